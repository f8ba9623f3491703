"""The writer of Postgres: a batch is sent until it stands, and by halves when it is too large or some of it refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from durust.model.validity import refusal
from durust.model.writes import Outcome, RecordStep, Refused, Write
from durust.storage import batch
from durust.storage.halves import by_halves, is_too_large
from durust.storage.links import BadData, Call, Deadlock, Link, Row
from durust.storage.pool import persist


class BatchWriter:
    """Commits batches on a connection of its own, which is opened when it is needed and again when it was lost."""

    def __init__(self, name: str, connect: Callable[[], Link]) -> None:
        self._name, self._connect = name, connect
        self._link: Link | None = None

    def commit(self, writes: Sequence[Write]) -> list[Outcome]:
        # Of a step the database itself refuses whatever it cannot take, and looking into each costs a third of sending.
        reasons = [None if isinstance(write, RecordStep) else refusal(write) for write in writes]
        outcomes = iter(self._commit([write for write, reason in zip(writes, reasons, strict=True) if not reason]))
        return [Refused(reason) if reason else next(outcomes) for reason in reasons]

    def _commit(self, writes: Sequence[Write]) -> list[Outcome]:
        if is_too_large(writes):
            return by_halves(self._commit, writes)
        in_turn = False

        def once() -> list[Outcome]:
            nonlocal in_turn
            try:
                return batch.commit(self._run, writes, in_turn=in_turn)
            except Deadlock:
                # Those that met lock rows in orders of their own, and would meet again.
                in_turn = True
                raise

        try:
            return persist(self._name, once)
        except BadData as error:
            if len(writes) == 1:
                return [Refused(str(error))]
        # By halves, until the one that cannot be held stands alone.
        return by_halves(self._commit, writes)

    def _run(self, calls: Sequence[Call]) -> list[list[Row]]:
        if self._link is None or not self._link.is_open:
            self.close()
            self._link = self._connect()
        return self._link.run(calls)

    def close(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.close()
