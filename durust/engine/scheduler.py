"""Fires schedules when their ticks are due, by the database's time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from durust import clock
from durust.engine.service import Seconds, Service
from durust.model.filters import Scope
from durust.model.records import ScheduleRow
from durust.model.schedule_writes import Fired, FireTicks, Moved, place_of
from durust.model.schedules import Due, due
from durust.model.writes import INTERNAL_QUEUE, Refused
from durust.storage.provider import Hint, StateProvider, Writer
from durust.telemetry import emit, logger

# How late a changed schedule is noticed when every hint is lost; also bounds an error of this host's clocks.
LOOK_SECONDS_MAX = 30.0
# What only says that something changed, as on SQLite after each commit, makes nobody look more often than this.
VAGUE_SECONDS = 1.0
# A tick that is a rounding away, ticks left behind, a schedule that somebody else moved: not at once, for other work of
# the database goes between; and when it goes on like that, each time twice as long.
BUSY_PAUSE_SECONDS = 0.005
BUSY_PAUSE_SECONDS_MAX = 1.0
# Runs that one transaction starts, over all schedules.
TICKS_IN_BATCH = 500


class Scheduler(Service):
    """Reads all schedules, fires what is due, and sleeps until the next tick.

    Any number of them may run on one database: whoever moves a schedule on starts the run, in the same transaction.
    """

    def __init__(
        self,
        provider: StateProvider,
        scope: Callable[[], Scope | None],
        fired: Callable[[list[Hint]], None],
    ) -> None:
        super().__init__("scheduler")
        self._provider, self._scope, self._fired = provider, scope, fired
        self._writer: Writer | None = None
        self._creator = clock.token()
        self._is_told = self._is_vague = False
        self._read_at = self._planned = 0.0
        self._lost_rounds = 0
        self._unreadable: set[tuple[str, str]] = set()

    def hear(self, hint: Hint) -> None:
        """Take in that schedules changed, or may have. May be called from any thread."""
        if hint.kind == "schedule":
            self._is_told = True
            self.wake()
        elif hint.kind == "any":
            self._is_vague = True
            self.wake()

    def run_once(self) -> Seconds:
        """Look once at all schedules and return how long until the next look."""
        begun = clock.monotonic()
        if self._is_vague and not self._is_told:
            soonest = min(self._planned, self._read_at + VAGUE_SECONDS)
            if begun < soonest:
                return soonest - begun
        self._is_told = self._is_vague = False
        self._read_at = begun
        pause = self._look()
        self._planned = clock.monotonic() + pause
        return pause

    def stop(self) -> None:
        """Stop and close the connection."""
        super().stop()
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _look(self) -> Seconds:
        scope = self._scope()
        stored = self._provider.schedules()
        read_at = clock.monotonic()
        if scope is None:
            return LOOK_SECONDS_MAX
        plans = list(self._plans(scope, stored.rows, stored.now_ms))
        if not self._fire(scope, [(row, plan) for row, plan in plans if plan.settled_ms is not None]):
            self._lost_rounds += 1
            return min(BUSY_PAUSE_SECONDS * 2.0**self._lost_rounds, BUSY_PAUSE_SECONDS_MAX) * (0.5 + clock.jitter())
        self._lost_rounds = 0
        if any(plan.more for _, plan in plans):
            return BUSY_PAUSE_SECONDS
        upcoming = min((plan.next_ms for _, plan in plans if plan.next_ms is not None), default=None)
        if upcoming is None:
            return LOOK_SECONDS_MAX
        # A duration of the database's time, less what of it has passed.
        left = (upcoming - stored.now_ms) / 1000 - (clock.monotonic() - read_at)
        return max(BUSY_PAUSE_SECONDS, min(left, LOOK_SECONDS_MAX))

    def _plans(self, scope: Scope, rows: Iterable[ScheduleRow], now_ms: int) -> Iterator[tuple[ScheduleRow, Due]]:
        for row in rows:
            is_mine = scope.app_name == row.app_name or (row.app_name is None and row.workflow in scope.names)
            if not is_mine or row.status != "ACTIVE":
                continue
            try:
                yield row, due(row, now_ms)
            except ValueError as error:
                # Of another library, or of a newer one. It must not keep the others from firing.
                self._tell_of(row, error)

    def _tell_of(self, row: ScheduleRow, reason: object) -> None:
        """Say, once in a process, that a schedule does not fire."""
        if (row.schedule_id, row.cron) not in self._unreadable:
            self._unreadable.add((row.schedule_id, row.cron))
            logger.warning("the schedule %r cannot be served and does not fire: %s", row.name, reason)

    def _fire(self, scope: Scope, plans: list[tuple[ScheduleRow, Due]]) -> bool:
        """Fire in batches of a bounded size; return whether no schedule was moved by somebody else meanwhile."""
        is_settled = True
        batch: list[FireTicks] = []
        size = 0
        for row, plan in plans:
            if plan.missed:
                emit("ticks_missed", schedule=row.name)
            settled_ms = row.settled_ms or 0 if plan.settled_ms is None else plan.settled_ms
            batch.append(FireTicks(row, settled_ms, self._creator, scope.app_name, plan.ticks))
            size += len(plan.ticks)
            if size >= TICKS_IN_BATCH:
                is_settled &= self._commit(batch)
                batch, size = [], 0
        return (self._commit(batch) if batch else True) and is_settled

    def _commit(self, batch: list[FireTicks]) -> bool:
        if self._writer is None:
            self._writer = self._provider.writer()
        outcomes = self._writer.commit(batch)
        queues: set[str] = set()
        for write, outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, Fired) and outcome.workflow_ids:
                row = write.schedule
                queues.add(place_of(row.queue, row.overlap, row.name)[0] or INTERNAL_QUEUE)
                emit("ticks_fired", schedule=write.schedule.name, count=len(outcome.workflow_ids))
            elif isinstance(outcome, Refused):
                self._tell_of(write.schedule, outcome.reason)
        if queues:
            self._fired([Hint("queue", queue) for queue in sorted(queues)])
        return not any(isinstance(outcome, Moved) for outcome in outcomes)
