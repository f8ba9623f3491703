"""What engines and clients offer about schedules, beside creating them."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from datetime import datetime
from typing import Any

from durust.handle import WorkflowHandle
from durust.schedules import Schedule, Schedules


class ScheduleVerbs(ABC):
    """The verbs that block."""

    @abstractmethod
    def _schedules_of(self, asked: str) -> Schedules:
        """Return the schedules of the database, for the verb that was *asked*."""

    @abstractmethod
    def _run_of(self, workflow_id: str, workflow: str) -> WorkflowHandle[Any]:
        """Return a handle to a run that a schedule started."""

    def list_schedules(self) -> list[Schedule]:
        """List the schedules of this application by their names."""
        return self._schedules_of("list_schedules").all()

    def get_schedule(self, name: str) -> Schedule:
        """Return one schedule. Raises `ScheduleNotFound`."""
        return self._schedules_of("get_schedule").get(name)

    def pause_schedule(self, name: str) -> None:
        """Stop a schedule from firing. Raises `ScheduleNotFound`."""
        self._schedules_of("pause_schedule").pause(name)

    def resume_schedule(self, name: str) -> None:
        """Let a paused schedule fire from now on; the ticks of the pause never do. Raises `ScheduleNotFound`."""
        self._schedules_of("resume_schedule").resume(name)

    def delete_schedule(self, name: str) -> None:
        """Forget a schedule; its runs stay. Raises `ScheduleNotFound`.

        One that a workflow declares is back at the next launch: take it out of the code first.
        """
        self._schedules_of("delete_schedule").delete(name)

    def trigger_schedule(self, name: str) -> WorkflowHandle[Any]:
        """Start a run of a schedule now, paused or not, and return its handle. Raises `ScheduleNotFound`."""
        return self._run_of(*self._schedules_of("trigger_schedule").trigger(name))

    def backfill_schedule(self, name: str, start: datetime, end: datetime) -> list[WorkflowHandle[Any]]:
        """Start a run for each tick from *start* on and before *end*; return their handles in order.

        Ticks that are not due yet are left out. A tick that has its run already gets no other, so repeating it is
        harmless. Raises `ScheduleNotFound`, and `InvalidArgument` for a datetime without a zone or for more than 10,000
        ticks.
        """
        ids, workflow = self._schedules_of("backfill_schedule").backfill(name, start, end)
        return [self._run_of(workflow_id, workflow) for workflow_id in ids]


class AsyncScheduleVerbs:
    """The verbs that are awaited."""

    _scheduling: ScheduleVerbs

    async def list_schedules(self) -> list[Schedule]:
        """List the schedules of this application by their names."""
        return await asyncio.to_thread(self._scheduling.list_schedules)

    async def get_schedule(self, name: str) -> Schedule:
        """Return one schedule. Raises `ScheduleNotFound`."""
        return await asyncio.to_thread(self._scheduling.get_schedule, name)

    async def pause_schedule(self, name: str) -> None:
        """Stop a schedule from firing. Raises `ScheduleNotFound`."""
        await asyncio.to_thread(self._scheduling.pause_schedule, name)

    async def resume_schedule(self, name: str) -> None:
        """Let a paused schedule fire from now on, as the blocking twin does."""
        await asyncio.to_thread(self._scheduling.resume_schedule, name)

    async def delete_schedule(self, name: str) -> None:
        """Forget a schedule; its runs stay, as the blocking twin does."""
        await asyncio.to_thread(self._scheduling.delete_schedule, name)

    async def trigger_schedule(self, name: str) -> WorkflowHandle[Any]:
        """Start a run of a schedule now and return its handle."""
        return await asyncio.to_thread(self._scheduling.trigger_schedule, name)

    async def backfill_schedule(self, name: str, start: datetime, end: datetime) -> list[WorkflowHandle[Any]]:
        """Start a run for each tick between two instants, as the blocking twin does."""
        return await asyncio.to_thread(self._scheduling.backfill_schedule, name, start, end)
