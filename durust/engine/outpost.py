"""What a process that runs nothing needs of an engine: a way in for its writes, and word of what has ended."""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from collections.abc import Callable, Sequence

from durust.engine.hints import Ear, Herald, hints_of
from durust.engine.journal import Journal
from durust.engine.watcher import Watcher
from durust.errors import ProviderUnavailable, SchemaMismatch
from durust.model.filters import Scope
from durust.model.writes import Outcome, Write
from durust.settings import Settings
from durust.storage.listening import LateListener
from durust.storage.provider import Hint, StateProvider


class Outpost:
    """Opens a database on the first use, demands that its schema fits, and makes only what is needed.

    It is no executor: it has no lease, claims nothing and sweeps nothing. May be used from any thread; a process that
    was forked from one that used it begins anew.
    """

    def __init__(self, open_provider: Callable[[], StateProvider], settings: Settings, *, owns_provider: bool) -> None:
        self._open, self._settings, self._owns_provider = open_provider, settings, owns_provider
        self._mutex = threading.Lock()
        self._parts: _Parts | None = None
        self._is_closed = False

    @property
    def provider(self) -> StateProvider:
        """Return the database. Raises `SchemaMismatch` for one that cannot be served, and `ProviderUnavailable`."""
        return self._checked().provider

    @property
    def journal(self) -> Journal:
        """Return what commits writes and announces them after. Raises like `provider`."""
        return self._checked().journal

    @property
    def watcher(self) -> Watcher:
        """Return what waits for workflows to end, with hints."""
        return self._made().watching()

    @property
    def settings(self) -> Settings:
        """Return what the process was told."""
        return self._settings

    def scope(self) -> Scope:
        """Return whose rows are meant: those that name this application, for nobody here knows any workflow."""
        return Scope(self._settings.app_name, ())

    def tell(self, hints: Sequence[Hint]) -> None:
        """Tell everybody that something changed."""
        self.provider.announce(hints)

    def close(self) -> None:
        """Commit and announce what is under way, and close what was opened. Idempotent."""
        with self._mutex:
            self._is_closed = True
            parts, self._parts = self._parts, None
        if parts is not None and parts.pid == os.getpid():
            parts.close()
            if self._owns_provider:
                parts.provider.close()

    def _checked(self) -> _Parts:
        parts = self._made()
        if not parts.is_checked:
            try:
                parts.provider.check()
            except SchemaMismatch as error:
                wanted = f"{error.wanted} (`durust db migrate` brings it up)"
                raise SchemaMismatch(error.database, error.found, wanted) from None
            parts.is_checked = True
        return parts

    def _made(self) -> _Parts:
        with self._mutex:
            if self._is_closed:
                raise ProviderUnavailable("the client", "it was closed")
            if self._parts is None or self._parts.pid != os.getpid():
                self._parts = _Parts(self._open(), self._settings)
            return self._parts


class _Parts:
    """What was made in one process."""

    def __init__(self, provider: StateProvider, settings: Settings) -> None:
        self.pid = os.getpid()
        self.provider = provider
        self.is_checked = False
        self.journal = Journal(provider, self._committed)
        self._herald = Herald(provider)
        self._watcher = Watcher(provider, settings.idle_poll_seconds)
        self._ear = Ear(LateListener(provider.listen), self._heard)
        self._mutex = threading.Lock()
        self._is_watching = False
        self.journal.start()
        self._herald.start()
        _OPEN.add(self)

    def watching(self) -> Watcher:
        """Return the watcher; it and its ear are started by the first who waits."""
        with self._mutex:
            if not self._is_watching:
                self._is_watching = True
                self._watcher.start()
                self._ear.start()
        return self._watcher

    def flush(self) -> None:
        """Announce what was committed."""
        self._herald.flush()

    def close(self) -> None:
        """Stop everything in the opposite order."""
        self.journal.close()
        self._herald.stop()
        self._ear.stop()
        self._watcher.stop()

    def _committed(self, writes: Sequence[Write], outcomes: Sequence[Outcome]) -> None:
        answers = zip(writes, outcomes, strict=True)
        self._herald.tell(hint for write, outcome in answers for hint in hints_of(write, outcome))

    def _heard(self, hint: Hint) -> None:
        self._watcher.hint(hint)


_OPEN: weakref.WeakSet[_Parts] = weakref.WeakSet()


@atexit.register
def _flush_all() -> None:
    """Announce what a program that just ends has committed: its threads end with it, and workers may be idle."""
    for parts in list(_OPEN):
        if parts.pid == os.getpid():
            parts.flush()
