"""The writer of Postgres: a batch is sent until it stands, and by halves when it is too large or some of it refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from durust.model.validity import refusal
from durust.model.writes import Outcome, RecordStep, Refused, Write
from durust.storage import batch
from durust.storage.halves import by_halves
from durust.storage.links import BadData, Call, Link, Row
from durust.storage.pool import persist

# Written in well under a second, also beside others. Several values of the largest size took longer together than a
# statement may, and a batch that comes too late is sent again for ever.
BATCH_CHARACTERS_MAX = 16 * 1024 * 1024


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
        try:
            run = self._run if len(writes) == 1 else self._run_bounded
            return persist(self._name, lambda: batch.commit(run, writes))
        except BadData as error:
            if len(writes) == 1:
                return [Refused(str(error))]
        # By halves, until the one that cannot be held stands alone, or each part can be.
        return by_halves(self._commit, writes)

    def _run_bounded(self, calls: Sequence[Call]) -> list[list[Row]]:
        size = sum([len(value) for call in calls for value in call.params.values() if isinstance(value, str)])
        if size > BATCH_CHARACTERS_MAX:
            raise BadData(f"{size} characters, too many for one batch")
        return self._run(calls)

    def _run(self, calls: Sequence[Call]) -> list[list[Row]]:
        if self._link is None or not self._link.is_open:
            self.close()
            self._link = self._connect()
        return self._link.run(calls)

    def close(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.close()
