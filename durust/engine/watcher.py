"""Waits for what others write, for everybody at once: one query of a kind a round for all that is waited for."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from concurrent.futures import Future

from durust import clock
from durust.engine.service import Seconds, Service
from durust.errors import ProviderUnavailable
from durust.model.message_writes import Letter
from durust.model.waits import MESSAGE, RESULT, Awaited, Ending, Found
from durust.model.writes import FinishWorkflow
from durust.storage.provider import Hint, StateProvider

# The first look after somebody began to wait; each further one waits twice as long, up to the idle poll.
FIRST_LOOK_SECONDS = 0.005
# A look that was asked for is followed by a rest of this many times its length, so that such looks take a quarter of
# one connection at most, and by one of a millisecond at least, in which the hints of one batch of writes gather.
REST_FACTOR = 3
REST_SECONDS_MIN = 0.001
# One query asks for this many things at most.
IDS_MAX = 1000


class Watcher(Service):
    """Completes a future for each thing that is waited for."""

    def __init__(self, provider: StateProvider, slowest_seconds: float) -> None:
        super().__init__("watcher")
        self._provider, self._slowest = provider, slowest_seconds
        self._mutex = threading.Lock()
        self._awaited: dict[Awaited, list[Future[Found]]] = {}
        self._by_key: dict[tuple[str, str], set[Awaited]] = {}
        """By kind and what a hint of it names."""
        self._soon: set[Awaited] = set()
        """What a hint has named since the last look, or nobody has looked for yet."""
        self._is_asked = False
        """Whether a hint, or somebody who began to wait, has asked for a look since the last one."""
        self._pace = FIRST_LOOK_SECONDS
        self._all_at = 0.0
        """When all that is waited for is looked for again."""
        self._is_closed = False

    def watch(self, awaited: Awaited) -> Future[Found]:
        """Return a future of what there is once it has come; it is looked for at once."""
        future: Future[Found] = Future()
        with self._mutex:
            if self._is_closed:
                future.set_exception(_closed())
                return future
            self._awaited.setdefault(awaited, []).append(future)
            self._by_key.setdefault(_key_of(awaited), set()).add(awaited)
            self._soon.add(awaited)
            self._hasten()
        self._ask()
        return future

    def abandon(self, awaited: Awaited, future: Future[Found]) -> None:
        """Stop waiting."""
        with self._mutex:
            futures = self._awaited.get(awaited, [])
            if future in futures:
                futures.remove(future)
            if not futures:
                self._forget(awaited)

    def is_watched(self) -> bool:
        """Tell whether anything is waited for."""
        return bool(self._awaited)

    def hint(self, hint: Hint) -> None:
        """Look soon for what the hint may speak of."""
        if not self._awaited:
            return
        if (hint.kind, hint.key) in self._by_key:
            with self._mutex:
                self._soon |= self._by_key.get((hint.kind, hint.key), set())
        elif hint.kind in _ENDS:
            # It names no workflow, or a stream may be over with its writer.
            self._hasten()
        else:
            return
        self._ask()

    def sent(self, letters: Iterable[Letter]) -> None:
        """Take in messages that this process has sent; whoever waits for one finds out by receiving it."""
        for letter in letters:
            awaited = Awaited(MESSAGE, letter.destination_id, letter.topic)
            if awaited in self._awaited:
                self._settle(awaited, found=True)

    def finished(self, write: FinishWorkflow) -> None:
        """Take in the end of a workflow that ran in this process."""
        awaited = Awaited(RESULT, write.lease.workflow_id)
        if awaited in self._awaited:
            self._settle(awaited, Ending(write.status, write.output, write.error, write.serialization))

    def run_once(self) -> Seconds | None:
        """Ask once, for what was named since the last time, or for all that is waited for."""
        begun = clock.monotonic()
        with self._mutex:
            is_asked, self._is_asked = self._is_asked, False
            soon, self._soon = self._soon, set()
            is_full = not soon or begun >= self._all_at
            asked = list(self._awaited if is_full else soon)
            if not self._awaited:
                return None
        if is_full:
            self._all_at = begun + self._pace
            self._pace = min(self._pace * 2, self._slowest)
        for start in range(0, len(asked), IDS_MAX):
            self._look(asked[start : start + IDS_MAX])
        if is_asked:
            took = clock.monotonic() - begun
            # A hint must not cut this rest short, or a stream of writes would keep the database busy with questions.
            # Looks that nobody asked for become rare by themselves, and the first hint behind one is heard at once.
            clock.pause(max(REST_SECONDS_MIN, took * REST_FACTOR))
        return 0.0 if self._soon else max(0.0, self._all_at - clock.monotonic())

    def stop(self) -> None:
        """Stop, and fail what is still waited for."""
        super().stop()
        with self._mutex:
            self._is_closed = True
            left, self._awaited = self._awaited, {}
            self._by_key.clear()
            self._soon.clear()
        for futures in left.values():
            for future in futures:
                _complete(future, _closed())

    def _look(self, asked: list[Awaited]) -> None:
        try:
            found = self._provider.values(asked)
        except ProviderUnavailable:
            with self._mutex:
                self._soon.update(one for one in asked if one in self._awaited)
            raise
        for awaited, there in found.items():
            self._settle(awaited, there)

    def _settle(self, awaited: Awaited, found: Found) -> None:
        with self._mutex:
            futures = self._awaited.get(awaited, [])
            self._forget(awaited)
        for future in futures:
            _complete(future, found)

    def _ask(self) -> None:
        self._is_asked = True
        self.wake()

    def _hasten(self) -> None:
        self._pace = FIRST_LOOK_SECONDS
        self._all_at = min(self._all_at, clock.monotonic() + FIRST_LOOK_SECONDS)

    def _forget(self, awaited: Awaited) -> None:
        self._awaited.pop(awaited, None)
        self._soon.discard(awaited)
        if same := self._by_key.get(_key_of(awaited)):
            same.discard(awaited)
            if not same:
                del self._by_key[_key_of(awaited)]


# Hints that something has ended: it may be any of the workflows that are waited for.
_ENDS = frozenset({"workflow", "cancel", "any"})


def _key_of(awaited: Awaited) -> tuple[str, str]:
    return awaited.kind, hint_key(awaited.target, awaited.key)


def hint_key(target: str, key: str) -> str:
    """Return by what a hint names something that has come: the canonical form of other libraries' notifications."""
    return f"{target}::{key}"


def _complete(future: Future[Found], answer: Found | Exception) -> None:
    if not future.set_running_or_notify_cancel():
        return
    if isinstance(answer, Exception):
        future.set_exception(answer)
    else:
        future.set_result(answer)


def _closed() -> ProviderUnavailable:
    return ProviderUnavailable("the engine", "it was closed while something was waited for")
