"""What engines and clients offer about schedules."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from datetime import datetime
from typing import Any, Generic, TypeVar

from durust.admission import NO_OPTIONS
from durust.handle import WorkflowHandle
from durust.model.queues import QueueDefinition
from durust.model.schedules import ScheduleDefinition
from durust.schedules import Schedule, Schedules
from durust.verbs import Footing, Verbs

# What names a workflow: a text, and for an engine also its function.
N = TypeVar("N")


class ScheduleVerbs(Verbs, Generic[N]):
    """The verbs that block."""

    @abstractmethod
    def _scheduled(self, workflow: N) -> str:
        """Return the name of a workflow that a schedule may start. Raises what a start of it would."""

    def create_schedule(
        self,
        name: str,
        workflow: N,
        cron: str,
        *,
        timezone: str = "UTC",
        context: Any = None,
        catch_up: bool = False,
        overlap: str = "allow",
        queue: str | QueueDefinition | None = None,
    ) -> Schedule:
        """Store a schedule that starts *workflow* with a `ScheduledInput`, from its next tick on.

        *cron* has six fields, the second first; *timezone* is an IANA name; *context* is handed to each run. The other
        options are those of `durust.workflow`. Raises `ScheduleConflict` for a name that is taken, `InvalidArgument`,
        `WorkflowNotRegistered`, `QueueNotFound`, `SerializationError` for a context that JSON cannot carry exactly.
        """
        schedules, named = schedules_of(self._footing("create_schedule")), self._scheduled(workflow)
        planned = ScheduleDefinition(
            cron=cron,
            timezone=timezone,
            catch_up=catch_up,
            overlap=overlap,
            queue=None if queue is None else self._queue_for(queue, [NO_OPTIONS]),
        )
        return schedules.create(name, named, planned, context)

    def list_schedules(self) -> list[Schedule]:
        """List the schedules of this application by their names."""
        return schedules_of(self._footing("list_schedules")).all()

    def get_schedule(self, name: str) -> Schedule:
        """Return one schedule. Raises `ScheduleNotFound`."""
        return schedules_of(self._footing("get_schedule")).get(name)

    def pause_schedule(self, name: str) -> None:
        """Stop a schedule from firing. Raises `ScheduleNotFound`."""
        schedules_of(self._footing("pause_schedule")).pause(name)

    def resume_schedule(self, name: str) -> None:
        """Let a paused schedule fire from now on; the ticks of the pause never do. Raises `ScheduleNotFound`."""
        schedules_of(self._footing("resume_schedule")).resume(name)

    def delete_schedule(self, name: str) -> None:
        """Forget a schedule; its runs stay. Raises `ScheduleNotFound`.

        One that a workflow declares is back at the next launch: take it out of the code first.
        """
        schedules_of(self._footing("delete_schedule")).delete(name)

    def trigger_schedule(self, name: str) -> WorkflowHandle[Any]:
        """Start a run of a schedule now, paused or not, and return its handle. Raises `ScheduleNotFound`."""
        return self._run_of(*schedules_of(self._footing("trigger_schedule")).trigger(name))

    def backfill_schedule(self, name: str, start: datetime, end: datetime) -> list[WorkflowHandle[Any]]:
        """Start a run for each tick from *start* on and before *end*; return their handles in order.

        Ticks that are not due yet are left out. A tick that has its run already gets no other, so repeating it is
        harmless. Raises `ScheduleNotFound`, and `InvalidArgument` for a datetime without a zone or for more than 10,000
        ticks.
        """
        ids, workflow = schedules_of(self._footing("backfill_schedule")).backfill(name, start, end)
        return [self._run_of(workflow_id, workflow) for workflow_id in ids]


class AsyncScheduleVerbs(Generic[N]):
    """The verbs that are awaited."""

    _blocking: ScheduleVerbs[N]

    async def create_schedule(
        self,
        name: str,
        workflow: N,
        cron: str,
        *,
        timezone: str = "UTC",
        context: Any = None,
        catch_up: bool = False,
        overlap: str = "allow",
        queue: str | QueueDefinition | None = None,
    ) -> Schedule:
        """Store a schedule, as the blocking twin does."""
        options = {"timezone": timezone, "context": context, "catch_up": catch_up, "overlap": overlap, "queue": queue}
        return await asyncio.to_thread(lambda: self._blocking.create_schedule(name, workflow, cron, **options))

    async def list_schedules(self) -> list[Schedule]:
        """List the schedules of this application by their names."""
        return await asyncio.to_thread(self._blocking.list_schedules)

    async def get_schedule(self, name: str) -> Schedule:
        """Return one schedule. Raises `ScheduleNotFound`."""
        return await asyncio.to_thread(self._blocking.get_schedule, name)

    async def pause_schedule(self, name: str) -> None:
        """Stop a schedule from firing. Raises `ScheduleNotFound`."""
        await asyncio.to_thread(self._blocking.pause_schedule, name)

    async def resume_schedule(self, name: str) -> None:
        """Let a paused schedule fire from now on, as the blocking twin does."""
        await asyncio.to_thread(self._blocking.resume_schedule, name)

    async def delete_schedule(self, name: str) -> None:
        """Forget a schedule; its runs stay, as the blocking twin does."""
        await asyncio.to_thread(self._blocking.delete_schedule, name)

    async def trigger_schedule(self, name: str) -> WorkflowHandle[Any]:
        """Start a run of a schedule now and return its handle."""
        return await asyncio.to_thread(self._blocking.trigger_schedule, name)

    async def backfill_schedule(self, name: str, start: datetime, end: datetime) -> list[WorkflowHandle[Any]]:
        """Start a run for each tick between two instants, as the blocking twin does."""
        return await asyncio.to_thread(self._blocking.backfill_schedule, name, start, end)


def schedules_of(footing: Footing) -> Schedules:
    """Return the schedules of the application that *footing* belongs to."""
    return Schedules(footing.provider, footing.scope(), footing.settings.value_bytes_max, footing.tell)
