"""What is left of a queue's budgets, where a claim may count in one place: the arithmetic of memory and SQLite."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from durust.model.filters import QueueWant
from durust.model.queues import Allowance, least, left, window_ms
from durust.model.records import QueueRow


@dataclass(frozen=True, slots=True)
class Used:
    """What the claims of one partition took: shares that are held, and starts within the windows of the rates."""

    partition: str | None
    runs: int = 0
    mine: int = 0
    starts: int = 0
    partition_starts: int = 0
    first_ms: int | None = None
    partition_first_ms: int | None = None


@dataclass(frozen=True, slots=True, order=True)
class Candidate:
    """A row that may be claimed, in the order in which it should be."""

    priority: int
    created_at_ms: int
    workflow_id: str
    partition: str | None = None
    is_start: bool = True


class Budget:
    """The budgets of one queue during one claim."""

    def __init__(self, queue: QueueRow, used: Iterable[Used], want: QueueWant, limit: int, now_ms: int) -> None:
        self._queue, self._now_ms = queue, now_ms
        self._used = {each.partition: each for each in used}
        runs = sum(each.runs for each in self._used.values())
        starts = sum(each.starts for each in self._used.values())
        room = least(
            limit, left(queue.worker_concurrency, want.running), left(queue.global_concurrency, runs), want.limit
        )
        self.whole = Allowance(room, left(queue.rate_limit, starts))
        self.is_partitioned = queue.has_partition_budget
        self._parts: dict[str | None, Allowance] = {}
        self._is_held_back = False

    @property
    def room(self) -> int:
        """Return how many rows may be claimed at most."""
        return self.whole.runs or 0

    def room_of(self, partition: str | None) -> int:
        """Return how many rows of a partition may be claimed at most."""
        of_partition = self._part(partition).runs
        return self.room if of_partition is None else min(self.room, of_partition)

    def choose(self, candidates: Iterable[Candidate]) -> list[Candidate]:
        """Return those of *candidates* that the budgets admit, in order."""
        chosen = []
        for candidate in sorted(candidates):
            part = self._part(candidate.partition)
            if self.room == 0:
                break
            if part.runs == 0:
                continue
            if not part.admits(is_start=candidate.is_start) or not self.whole.admits(is_start=candidate.is_start):
                self._is_held_back = True
                continue
            part.take(is_start=candidate.is_start)
            self.whole.take(is_start=candidate.is_start)
            chosen.append(candidate)
        return chosen

    def again_seconds(self) -> float | None:
        """Return when a rate has room again for what it held back; None where no rate stands in the way."""
        if not self._is_held_back or self.room == 0:
            return None
        ends = [each.first_ms + self.span_ms for each in self._used.values() if each.first_ms is not None]
        ends += [
            each.partition_first_ms + self.partition_span_ms
            for each in self._used.values()
            if each.partition_first_ms is not None
        ]
        return max(0.0, (min(ends) - self._now_ms) / 1000) if ends else None

    @property
    def span_ms(self) -> float:
        """Return over how long the queue's starts are counted."""
        return window_ms(self._queue.rate_period_seconds or 0.0)

    @property
    def partition_span_ms(self) -> float:
        """Return over how long a partition's starts are counted."""
        return window_ms(self._queue.partition_rate_period_seconds or 0.0)

    def _part(self, partition: str | None) -> Allowance:
        if not self.is_partitioned:
            return _BOUNDLESS
        if partition not in self._parts:
            used = self._used.get(partition, Used(partition))
            runs = least(
                left(self._queue.partition_concurrency, used.runs),
                left(self._queue.partition_worker_concurrency, used.mine),
            )
            self._parts[partition] = Allowance(runs, left(self._queue.partition_rate_limit, used.partition_starts))
        return self._parts[partition]


# Without limits there is nothing to take out.
_BOUNDLESS = Allowance()
