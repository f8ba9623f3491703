"""What a command works with: a database, a client of it, and one clear line for whatever goes wrong."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from durust.client import DurableClient
from durust.commands.exits import one_clear_line
from durust.commands.options import app_option, database_option, verbose_option
from durust.errors import ProviderMisuse
from durust.model.filters import Scope
from durust.storage.opening import open_provider
from durust.storage.provider import StateProvider


@dataclass(frozen=True, slots=True)
class Desk:
    """A database as one application sees it."""

    provider: StateProvider
    client: DurableClient
    app_name: str

    @property
    def scope(self) -> Scope:
        """Return whose rows are meant: without the user's code nobody here knows rows that name no application."""
        return Scope(self.app_name, ())

    def now_ms(self) -> int:
        """Return the database's time."""
        return self.provider.schedules().now_ms


@contextmanager
def opened(url: str) -> Iterator[StateProvider]:
    """Open the provider of *url* for as long as the block runs.

    Raises `ProviderMisuse` for a database that other processes do not share.
    """
    provider = open_provider(url)
    try:
        if not provider.is_shared:
            reason = "it lives in one process, and a command is another one"
            raise ProviderMisuse(provider.name, reason, "use sqlite:///durust.db or postgresql://...")
        yield provider
    finally:
        provider.close()


@contextmanager
def desk(url: str, app_name: str) -> Iterator[Desk]:
    """Open a desk on *url*. Raises `ProviderMisuse` for a database that other processes do not share."""
    with opened(url) as provider, DurableClient(provider, app_name=app_name) as client:
        yield Desk(provider, client, app_name)


def at_desk(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that name a database, and a `Desk` as its first argument."""

    @database_option
    @app_option
    @verbose_option
    @functools.wraps(command)
    def sit(url: str, app_name: str, is_verbose: bool, **given: Any) -> None:
        with one_clear_line(is_verbose=is_verbose), desk(url, app_name) as opened_desk:
            command(opened_desk, **given)

    return sit
