"""Schedules as their users see and change them, from an engine or from anywhere else."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from durust import clock
from durust.codec import PORTABLE_JSON, UNTYPED, Codec
from durust.errors import InvalidArgument, ProviderUnavailable, ScheduleConflict, ScheduleNotFound
from durust.model.cron import instant, zone_named
from durust.model.filters import Scope
from durust.model.queues import QueueDefinition
from durust.model.records import ScheduleRow
from durust.model.schedule_writes import (
    SCHEDULE_QUEUE,
    DeleteSchedule,
    PauseSchedule,
    ResumeSchedule,
    ScheduleExists,
    StoreSchedule,
    place_of,
)
from durust.model.schedules import (
    ScheduleDefinition,
    check_schedule_name,
    inputs_of,
    moments_between,
    tick_id,
    trigger_id,
    upcoming,
)
from durust.model.writes import (
    INTERNAL_QUEUE,
    Existing,
    Missing,
    Outcome,
    Recorded,
    Refused,
    StartWorkflow,
    StoreQueue,
    Write,
)
from durust.storage.provider import Hint, StateProvider

# A backfill of more ticks than this is asked for in parts: it is stored at once and then all of it waits to run.
BACKFILL_TICKS_MAX = 10_000
# Runs that one transaction starts.
BACKFILL_BATCH = 500
# Two triggers of one millisecond take two: so many may meet.
TRIGGERS_MEETING_MAX = 100
# One run of each schedule at a time.
ONE_BY_ONE = QueueDefinition(SCHEDULE_QUEUE, partition_queue=True, partition_concurrency=1)
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A stored schedule. Its times are instants in its own zone."""

    name: str
    workflow: str
    cron: str
    timezone: str
    context: Any
    catch_up: bool
    overlap: str
    queue: str | None
    is_paused: bool
    last_fired: datetime | None
    """The last tick that fired."""
    next_fire: datetime | None
    """The next tick; None while it is paused."""


class Schedules:
    """Creates, lists and changes the schedules of one application.

    Rows that name no application belong to it where they name a workflow of *scope*. *announce* is told what others
    may be waiting for, after the commit.
    """

    def __init__(
        self,
        provider: StateProvider,
        scope: Scope,
        value_bytes_max: int,
        announce: Callable[[Sequence[Hint]], None],
    ) -> None:
        self._provider, self._scope, self._announce = provider, scope, announce
        # Whoever fires a schedule knows nothing of the application, so a context is what every library reads.
        self._codec = Codec(value_bytes_max=value_bytes_max)

    def create(self, name: str, workflow: str, definition: ScheduleDefinition, context: Any) -> Schedule:
        """Store a schedule under a free name. Raises `ScheduleConflict`, `SerializationError`, `InvalidArgument`."""
        text = self._codec.dump(context, UNTYPED, what="context").text or "null"
        write = stored(check_schedule_name(name), workflow, definition, self._scope.app_name, context=text)
        self._store([write])
        return self.get(name)

    def declare(self, definitions: Sequence[tuple[str, ScheduleDefinition]]) -> None:
        """Store the schedules that workflows declare, under the workflows' names, in one transaction.

        One that is there keeps its context, its status, its last tick and, unless its cron or zone changes, how far it
        is settled. Raises `ScheduleConflict` for a name that another application has; the others stand.
        """
        app_name = self._scope.app_name
        self._store([stored(name, name, definition, app_name, replaces=True) for name, definition in definitions])

    def all(self) -> list[Schedule]:
        """Return all schedules of the application by their names."""
        now_ms, rows = self._read()
        return [self._shown(row, now_ms) for row in sorted(rows, key=lambda row: row.name)]

    def get(self, name: str) -> Schedule:
        """Return one schedule. Raises `ScheduleNotFound`."""
        now_ms, row = self._find(name)
        return self._shown(row, now_ms)

    def pause(self, name: str) -> None:
        """Stop a schedule from firing. Raises `ScheduleNotFound`."""
        self._change(name, PauseSchedule(name))

    def resume(self, name: str) -> None:
        """Let a paused schedule fire from now on; the ticks of the pause never do. Raises `ScheduleNotFound`."""
        self._change(name, ResumeSchedule(name))

    def delete(self, name: str) -> None:
        """Forget a schedule; its runs stay. Raises `ScheduleNotFound`."""
        self._change(name, DeleteSchedule(name))

    def trigger(self, name: str) -> tuple[str, str]:
        """Start a run now, also of a paused schedule; return its id and its workflow. Raises `ScheduleNotFound`."""
        now_ms, row = self._find(name)
        for later_ms in range(TRIGGERS_MEETING_MAX):
            moment = instant(now_ms + later_ms)
            write = self._start(row, trigger_id(row.name, moment), moment)
            if isinstance(self._commit([write])[0], Recorded):
                self._announce([Hint("queue", _queue_of(row))])
                return write.workflow_id, row.workflow
        raise ProviderUnavailable(self._provider.name, f"{TRIGGERS_MEETING_MAX} triggers of {name!r} at one moment")

    def backfill(self, name: str, start: datetime, end: datetime) -> tuple[list[str], str]:
        """Start a run for each tick from *start* on and before *end*; return their ids in order, and the workflow.

        Ticks that are not due yet are left out. A tick that has its run gets no other, so repeating it is harmless.
        Raises `ScheduleNotFound`, and `InvalidArgument` for instants without a zone, for an end before the start, and
        for too many ticks.
        """
        for what, moment in (("start", start), ("end", end)):
            if not isinstance(moment, datetime) or moment.utcoffset() is None:
                raise InvalidArgument(
                    what, moment, "must be a datetime with a time zone, as in datetime(..., tzinfo=UTC)"
                )
        if end < start:
            raise InvalidArgument("end", end.isoformat(), f"must not be before the start, {start.isoformat()}")
        now_ms, row = self._find(name)
        # Exclusive and inclusive the other way round; ticks are whole seconds.
        try:
            after, last = (moment.astimezone(UTC) - _INSTANT for moment in (start, end))
        except OverflowError:
            raise InvalidArgument("start", start, "and end must be within the calendar, in UTC too") from None
        last = min(last, instant(now_ms))
        moments = moments_between(row, after, last, BACKFILL_TICKS_MAX + 1)
        if len(moments) > BACKFILL_TICKS_MAX:
            wanted = f"makes more than {BACKFILL_TICKS_MAX} ticks; fill them in by shorter parts"
            raise InvalidArgument("end", end.isoformat(), wanted)
        writes = [self._start(row, tick_id(row.name, moment), moment) for moment in moments]
        for first in range(0, len(writes), BACKFILL_BATCH):
            self._commit(writes[first : first + BACKFILL_BATCH])
        if writes:
            self._announce([Hint("queue", _queue_of(row))])
        return [write.workflow_id for write in writes], row.workflow

    def _start(self, row: ScheduleRow, workflow_id: str, moment: datetime) -> StartWorkflow:
        queue, partition = place_of(row.queue, row.overlap, row.name)
        return StartWorkflow(
            workflow_id=workflow_id,
            name=row.workflow,
            inputs=_written(row, moment),
            serialization=PORTABLE_JSON,
            creator=clock.token(),
            app_name=self._scope.app_name,
            queue=queue,
            partition_key=partition,
            schedule_name=row.name,
        )

    def _store(self, writes: list[StoreSchedule]) -> None:
        # With each schedule that needs it, in the same transaction.
        in_turn = any(write.overlap == "queue" for write in writes)
        queues = [StoreQueue.of(ONE_BY_ONE, self._scope.app_name)] if in_turn else []
        outcomes = self._commit([*queues, *writes])
        for write, outcome in zip(writes, outcomes[len(queues) :], strict=True):
            if isinstance(outcome, ScheduleExists):
                raise ScheduleConflict(write.name, outcome.row.workflow, outcome.row.app_name or "")
        if writes:
            self._announce([Hint("schedule", write.name) for write in writes])

    def _change(self, name: str, write: Write) -> None:
        self._find(name)
        # One that somebody deleted meanwhile, or that this very write deleted before its answer was lost.
        if isinstance(self._commit([write])[0], Missing) and not isinstance(write, DeleteSchedule):
            raise ScheduleNotFound(name)
        self._announce([Hint("schedule", name)])

    def _commit(self, writes: Sequence[Write]) -> list[Outcome]:
        if not writes:
            return []
        with closing(self._provider.writer()) as writer:
            outcomes = writer.commit(writes)
        for outcome in outcomes:
            match outcome:
                case Recorded() | Existing() | Missing() | ScheduleExists():
                    continue
                case Refused(reason):
                    raise InvalidArgument("schedule", reason, "is nothing that the database takes")
                case _:
                    raise ProviderUnavailable(self._provider.name, f"an unexpected answer: {outcome}")
        return outcomes

    def _read(self) -> tuple[int, list[ScheduleRow]]:
        found = self._provider.schedules()
        return found.now_ms, [row for row in found.rows if self._is_mine(row)]

    def _is_mine(self, row: ScheduleRow) -> bool:
        return row.app_name == self._scope.app_name or (row.app_name is None and row.workflow in self._scope.names)

    def _find(self, name: str) -> tuple[int, ScheduleRow]:
        check_schedule_name(name)
        now_ms, rows = self._read()
        for row in rows:
            if row.name == name:
                return now_ms, row
        raise ScheduleNotFound(name, tuple(sorted(row.name for row in rows)))

    @staticmethod
    def _shown(row: ScheduleRow, now_ms: int) -> Schedule:
        try:
            zone, next_fire = zone_named(row.zone or "UTC"), upcoming(row, now_ms)
        except ValueError:
            # Of another library: it is shown, though it cannot be served.
            zone, next_fire = UTC, None
        is_paused = row.status != "ACTIVE"
        return Schedule(
            name=row.name,
            workflow=row.workflow,
            cron=row.cron,
            timezone=row.zone or "UTC",
            context=_context(row),
            catch_up=row.catch_up,
            overlap=row.overlap,
            queue=row.queue,
            is_paused=is_paused,
            last_fired=_past(row.last_fired_at, zone),
            next_fire=None if next_fire is None or is_paused else next_fire.astimezone(zone),
        )


def stored(
    name: str,
    workflow: str,
    definition: ScheduleDefinition,
    app_name: str,
    *,
    context: str = "null",
    replaces: bool = False,
) -> StoreSchedule:
    """Return the write that stores a schedule under a fresh id."""
    return StoreSchedule(
        schedule_id=clock.ordered_id(),
        name=name,
        workflow=workflow,
        cron=definition.cron,
        zone=definition.timezone,
        context=context,
        catch_up=definition.catch_up,
        overlap=definition.overlap,
        queue=definition.queue,
        app_name=app_name,
        replaces=replaces,
    )


def _context(row: ScheduleRow) -> Any:
    try:
        return json.loads(row.context)
    except ValueError:
        return row.context


def _past(text: str | None, zone: tzinfo) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    # Other libraries may leave the offset out where they mean UTC.
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(zone)


def _written(row: ScheduleRow, moment: datetime) -> str:
    try:
        return inputs_of(row, moment)
    except ValueError as error:
        raise InvalidArgument("schedule", row.name, f"cannot be started: {error}") from None


def _queue_of(row: ScheduleRow) -> str:
    return place_of(row.queue, row.overlap, row.name)[0] or INTERNAL_QUEUE
