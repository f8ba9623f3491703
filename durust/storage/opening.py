"""A URL turned into the provider that serves it."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from durust.errors import InvalidArgument
from durust.storage.provider import StateProvider

# Where a URL stands when none is passed, the one meant for durust first.
VARIABLES = ("DURUST_DATABASE_URL", "DATABASE_URL")
# Without any choice: a file beside the program, which needs no server.
DEFAULT_URL = "sqlite:///durust.db"
SCHEMES = ("postgresql://", "postgres://", "sqlite:///", "memory://", "embedded://")


def open_provider(url_or_provider: str | StateProvider | None = None, *, app_name: str = "durust") -> StateProvider:
    """Return the provider of a URL; a provider is returned as it is.

    Without a URL it is the one in `DURUST_DATABASE_URL`, in `DATABASE_URL`, or `sqlite:///durust.db`. Nothing is
    connected yet, except that `embedded://` starts its server. *app_name* tells the database's operator whose
    connections these are.

    Raises `InvalidArgument` for a URL that cannot be meant, and for `embedded://` what `open_server` raises.
    """
    if isinstance(url_or_provider, StateProvider):
        return url_or_provider
    if url_or_provider is not None and not isinstance(url_or_provider, str):
        raise InvalidArgument("database", url_or_provider, f"must be a StateProvider or a URL ({', '.join(SCHEMES)})")
    url = url_or_provider
    if url is None:
        url = next(filter(None, map(os.environ.get, VARIABLES)), DEFAULT_URL)
    # Only the provider that is asked for is imported: the others' libraries cost their users nothing.
    scheme, colon, _ = url.partition("://")
    match scheme if colon else "":
        case "postgresql" | "postgres":
            from durust.storage.postgres import PostgresProvider

            return PostgresProvider(url, app_name=app_name)
        case "sqlite":
            from durust.storage.sqlite import SqliteProvider

            return SqliteProvider(sqlite_path(url))
        case "memory":
            from durust.storage.memory import InMemoryProvider

            return InMemoryProvider()
        case "embedded":
            return open_embedded(url, app_name)[0]
    raise InvalidArgument("url", without_password(url), f"must start with one of {', '.join(SCHEMES)}")


def sqlite_path(url: str) -> str:
    """Return the path: relative behind three slashes, absolute behind four."""
    host, slash, path = url.removeprefix("sqlite://").partition("/")
    if host or not slash or not path:
        raise InvalidArgument("url", url, "write sqlite:///relative/path.db or sqlite:////absolute/path.db")
    return unquote(path)


def open_embedded(url: str, app_name: str) -> tuple[StateProvider, str]:
    """Start the server of an `embedded://` URL; return its provider, which stops it, and the plain URL for others."""
    from durust.embedded import default_folder, open_server
    from durust.storage.postgres import PostgresProvider

    host, _, path = url.removeprefix("embedded://").partition("/")
    if host:
        raise InvalidArgument("url", url, "write embedded:///absolute/folder, or embedded:// for the default folder")
    server = open_server(Path("/", unquote(path)) if path else default_folder())
    return PostgresProvider(server.url, app_name=app_name, server=server), server.url


def without_password(url: str) -> str:
    """Return a URL as a reader may see it."""
    try:
        password = urlsplit(url).password
    except ValueError:
        return url.partition("://")[0] + "://..."
    return url.replace(f":{password}@", ":***@") if password else url
