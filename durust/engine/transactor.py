"""Runs the transactions of runs, in the threads that the drivers call it in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from durust.engine.turns import Turn, Turns
from durust.engine.vitals import Tally
from durust.errors import Unwind
from durust.model.records import Lease
from durust.model.writes import Outcome, Recorded, RecordStep
from durust.routines.effects import Raised, Stood, Transact
from durust.storage.provider import StateProvider
from durust.storage.transactions import Asker, Failed, Witnessed, transact

T = TypeVar("T")

# How often a thread that waits for a loop looks whether it is still there; a loop that is answers at its next round.
LOOP_LOOK_SECONDS = 0.5


class Transactor:
    """Opens transactions where a run wants them: on the engine's own database, or on another one."""

    def __init__(self, provider: StateProvider, tally: Tally) -> None:
        self._provider, self._tally = provider, tally

    def transact(self, effect: Transact, asker: Asker) -> Outcome | Raised | Stood:
        """Carry a transaction through. Raises `ProviderUnavailable`, `ProviderMisuse`, and `Unwind`."""
        database = effect.database
        is_elsewhere = database is not None and database.location != self._provider.location
        answer = transact(database if is_elsewhere else self._provider, effect.isolation, asker)
        match answer:
            case Failed(error):
                return Raised(error)
            case Witnessed(output, error, serialization):
                return Stood(output, error, serialization)
            case Recorded():
                self._tally.count(steps=1)
        return answer


class LoopAsker:
    """Asks an async run on its loop, from the thread of its transaction.

    The record takes its turn among the run's operations there, before anything that ends later.
    """

    def __init__(self, behind: Asker, loop: asyncio.AbstractEventLoop, turns: Turns, turn: Turn) -> None:
        self._behind, self._loop, self._turns, self._turn = behind, loop, turns, turn
        self._is_sealed = False

    @property
    def lease(self) -> Lease:
        return self._behind.lease

    @property
    def place(self) -> int:
        return self._behind.place

    def ensure_open(self) -> None:
        self._behind.ensure_open()

    def call(self, connection: Any) -> Any:
        return self._behind.call(connection)

    def seal(self, value: Any) -> RecordStep:
        def on_loop() -> RecordStep:
            write = self._behind.seal(value)
            self._turns.commits(self._turn, write.completed_at_ms)
            return write

        write = _ask(self._loop, on_loop)
        self._is_sealed = True
        return write

    def withdraw(self) -> None:
        if self._is_sealed:
            self._is_sealed = False
            _ask(self._loop, lambda: self._turns.takes_back(self._turn))


def _ask(loop: asyncio.AbstractEventLoop, question: Callable[[], T]) -> T:
    """Have *question* answered on the loop. Raises what it raises, and `Unwind` when the loop is gone."""
    answer: Future[tuple[T | None, BaseException | None]] = Future()

    def reply() -> None:
        try:
            answer.set_result((question(), None))
        except BaseException as error:  # noqa: BLE001  carried over to the thread, which raises it
            answer.set_result((None, error))

    try:
        loop.call_soon_threadsafe(reply)
    except RuntimeError:
        raise Unwind("the loop is closed") from None
    while True:
        try:
            value, error = answer.result(LOOP_LOOK_SECONDS)
        except TimeoutError:
            if loop.is_closed():
                raise Unwind("the loop is closed") from None
        else:
            if error is not None:
                raise error
            return value  # type: ignore[return-value]  # there is a value where there is no error
