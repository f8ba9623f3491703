"""Notices that a run was taken away while it waits for something that asks nobody: a step of hours, a request."""

from __future__ import annotations

from durust.engine.execution import Execution
from durust.engine.runner import Runner
from durust.engine.service import Seconds, Service
from durust.model.filters import ListFilter
from durust.model.records import WorkflowRow
from durust.model.status import Status
from durust.routines.run import Verdict
from durust.storage.provider import StateProvider

# One query asks for this many runs at most; each is one probe of the primary key.
IDS_MAX = 1000


class Recalls(Service):
    """Looks in a rhythm, and at once on a hint, which of the runs of this process are its own no more.

    Every write of such a run is refused anyway; without this it would hear of it only then.
    """

    def __init__(self, provider: StateProvider, runner: Runner, cadence_seconds: float) -> None:
        super().__init__("recalls")
        self._provider, self._runner, self._cadence = provider, runner, cadence_seconds
        self._seen: set[str] = set()
        self._is_asked = False

    def hint(self) -> None:
        """Look now, also at runs that have only just begun."""
        self._is_asked = True
        self.wake()

    def run_once(self) -> Seconds:
        """Look once at the runs that were there in the last round already; short ones end by themselves."""
        is_asked, self._is_asked = self._is_asked, False
        running = [one for one in self._runner.roster.running() if not one.run.is_closed()]
        seen, self._seen = self._seen, {one.run.lease.token for one in running}
        looked_at = [one for one in running if is_asked or one.run.lease.token in seen]
        for start in range(0, len(looked_at), IDS_MAX):
            self._look(looked_at[start : start + IDS_MAX])
        return self._cadence

    def _look(self, executions: list[Execution]) -> None:
        ids = [one.run.workflow_id for one in executions]
        rows = {row.workflow_id: row for row in self._provider.workflows(ListFilter(workflow_ids=ids, limit=len(ids)))}
        for execution in executions:
            row = rows.get(execution.run.workflow_id)
            if not _is_held(execution, row) and not execution.run.is_closed():
                is_cancelled = row is not None and row.status is Status.CANCELLED
                self._runner.close_run(execution, Verdict.CANCELLED if is_cancelled else Verdict.FENCED)


def _is_held(execution: Execution, row: WorkflowRow | None) -> bool:
    lease = execution.run.lease
    return (
        row is not None
        and row.status is Status.PENDING
        and (row.executor_id, row.token) == (lease.executor_id, lease.token)
    )
