"""Claims on the memory provider: what is due, in order, within the limits of its queue."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from durust import clock
from durust.model.claims import Claimed, Claims
from durust.model.filters import ClaimRequest, QueueWant
from durust.model.records import Checkpoint, Lease, QueueRow, WorkflowRow
from durust.model.status import ENQUEUED, Event
from durust.storage.budgets import Budget, Candidate, Used
from durust.storage.memory_tables import Grant, Tables, deadline, is_in


class Claim:
    """One claim; whoever makes it holds the provider's lock."""

    def __init__(self, tables: Tables, request: ClaimRequest) -> None:
        self._tables, self._request = tables, request
        self._versions = dict(zip(request.scope.names, request.versions, strict=True))
        self._queues = {want.name: tables.queues.get(want.name, QueueRow(want.name)) for want in request.queues}
        self._granted: list[Claimed] = []
        self._again: list[float] = []

    def take(self) -> Claims:
        """Claim, queue by queue."""
        budgeted = [want for want in self._request.queues if self._queues[want.name].has_budget]
        first = [want for want in budgeted if want.name in self._request.budgeted_first]
        plain = [want for want in self._request.queues if want not in budgeted]
        for want in (*first, *plain, *(want for want in budgeted if want not in first)):
            most = min(want.limit, self._request.limit - len(self._granted))
            queue = self._queues[want.name]
            if most > 0 and not queue.is_paused:
                self._take(queue, want, most)
        limited = [
            queue
            for queue in self._queues.values()
            if (queue.has_budget or queue.worker_concurrency is not None) and not queue.is_paused
        ]
        waiting = [queue for queue in limited if self._has_waiting(queue.name)]
        return Claims(
            self._granted,
            limited=[queue.name for queue in waiting],
            budgeted=[queue.name for queue in waiting if queue.has_budget],
            again_seconds=min(self._again, default=None),
        )

    def _take(self, queue: QueueRow, want: QueueWant, most: int) -> None:
        bare = Budget(queue, (), want, most, self._tables.now_ms)
        used = self._used(queue.name, bare.span_ms, bare.partition_span_ms) if queue.has_budget else ()
        budget = Budget(queue, used, want, most, self._tables.now_ms)
        candidates = [
            Candidate(
                row.priority,
                row.created_at_ms,
                row.workflow_id,
                row.partition_key if budget.is_partitioned else None,
                row.workflow_id not in self._tables.started,
            )
            for row in self._due(queue.name)
            if row.partition_key is not None or not budget.is_partitioned
        ]
        for chosen in islice(budget.choose(candidates), most):
            lease = self._grant(self._tables.workflows[chosen.workflow_id], has_grant=queue.has_budget)
            if queue.has_budget:
                self._tables.started.add(chosen.workflow_id)
                self._tables.grants[lease.token] = Grant(
                    queue.name, chosen.partition, lease.executor_id, self._tables.now_ms, chosen.is_start
                )
        if (again := budget.again_seconds()) is not None:
            self._again.append(again)

    def _has_waiting(self, queue: str) -> bool:
        return any((row.status, row.queue) == (ENQUEUED, queue) for row in self._tables.workflows.values())

    def _due(self, queue: str) -> Iterator[WorkflowRow]:
        return (
            row
            for row in self._tables.workflows.values()
            if (row.status, row.queue) == (ENQUEUED, queue)
            and row.name in self._versions
            and is_in(self._request.scope, row)
            and row.app_version in {None, self._versions[row.name]}
        )

    def _used(self, queue: str, span_ms: float, partition_span_ms: float) -> list[Used]:
        now = self._tables.now_ms
        grants = [grant for grant in self._tables.grants.values() if grant.queue == queue]
        used = []
        for partition in {grant.partition for grant in grants}:
            of_partition = [grant for grant in grants if grant.partition == partition]
            held = [
                grant
                for grant in of_partition
                if grant.ended_at_ms is None and self._tables.state(grant.executor_id) in {"LIVE", "DRAINING"}
            ]
            starts = [grant.granted_at_ms for grant in of_partition if grant.is_start]
            recent = [at_ms for at_ms in starts if at_ms > now - span_ms]
            recent_of_partition = [at_ms for at_ms in starts if at_ms > now - partition_span_ms]
            used.append(
                Used(
                    partition,
                    runs=len(held),
                    mine=sum(grant.executor_id == self._request.executor_id for grant in held),
                    starts=len(recent),
                    partition_starts=len(recent_of_partition),
                    first_ms=min(recent, default=None),
                    partition_first_ms=min(recent_of_partition, default=None),
                )
            )
        return used

    def _grant(self, row: WorkflowRow, *, has_grant: bool) -> Lease:
        now = self._tables.now_ms
        token = f"{now * 1000:016x}-{clock.random_token()}"
        lease = Lease(row.workflow_id, self._request.executor_id, token, has_grant)
        claimed = self._tables.move(
            row.workflow_id,
            Event.CLAIM,
            executor_id=lease.executor_id,
            token=lease.token,
            attempts=row.attempts + 1,
            app_name=row.app_name or self._request.scope.app_name,
            app_version=self._versions[row.name],
            started_at_ms=now,
            deadline_ms=deadline(row.deadline_ms, row.timeout_ms, now),
            updated_at_ms=now,
        )
        self._granted.append(
            Claimed(
                lease=lease,
                name=claimed.name,
                inputs=claimed.inputs,
                serialization=claimed.serialization,
                attempts=claimed.attempts,
                queue=claimed.queue,
                app_version=claimed.app_version,
                created_at_ms=claimed.created_at_ms,
                now_ms=now,
                left_ms=None if claimed.deadline_ms is None else claimed.deadline_ms - now,
                deadline_ms=claimed.deadline_ms,
                authenticated_user=claimed.authenticated_user,
                authenticated_roles=claimed.authenticated_roles,
                assumed_role=claimed.assumed_role,
                attributes=claimed.attributes,
                history=steps_of(self._tables, claimed.workflow_id),
            )
        )
        return lease


def steps_of(tables: Tables, workflow_id: str) -> tuple[Checkpoint, ...]:
    """Return a workflow's recorded steps in commit order."""
    steps = tables.history.get(workflow_id, {}).values()
    return tuple(sorted(steps, key=lambda step: (step.completed_at_ms or 0, step.place)))
