"""A batch that met others in a deadlock takes its turn with those that did, so that they do not meet for ever."""

from __future__ import annotations

from collections.abc import Sequence

from durust.model.writes import EndGrants, Recorded
from durust.storage.links import Call, Deadlock, Row
from durust.storage.writing import BatchWriter


class Meeting:
    """A connection on which the first batches meet somebody in a deadlock."""

    is_open = True

    def __init__(self, deadlocks: int) -> None:
        self.deadlocks = deadlocks
        self.sent: list[list[str]] = []

    def run(self, calls: Sequence[Call]) -> list[list[Row]]:
        self.sent.append([call.statement.name for call in calls])
        if len(self.sent) <= self.deadlocks:
            raise Deadlock("deadlock detected")
        return [[] for _ in calls]

    def script(self, sql: str) -> None:
        raise AssertionError(sql)

    def close(self) -> None:
        """Hold nothing, so release nothing."""


def test_a_batch_that_met_others_in_a_deadlock_takes_its_turn() -> None:
    link = Meeting(2)
    writer = BatchWriter("postgresql://", lambda: link)

    outcomes = writer.commit([EndGrants(("token",))])

    assert outcomes == [Recorded()]
    assert link.sent == [["end_grants"], ["take_turn", "end_grants"], ["take_turn", "end_grants"]]


def test_the_next_batch_waits_for_nobody_again() -> None:
    link = Meeting(1)
    writer = BatchWriter("postgresql://", lambda: link)
    writer.commit([EndGrants(("token",))])

    writer.commit([EndGrants(("token",))])

    assert link.sent[-1] == ["end_grants"]
