"""Claims on SQLite: what is due, in order, within the limits of its queue, inside one transaction."""

from __future__ import annotations

import json

from durust.model.claims import Claimed, Claims
from durust.model.filters import ClaimRequest, QueueWant
from durust.model.queues import PARTITIONS_MAX
from durust.model.records import QueueRow
from durust.storage import rows
from durust.storage.budgets import Budget, Candidate, Used
from durust.storage.links import Param
from durust.storage.sqlite_statements import SQL, Transaction


def claim_params(request: ClaimRequest) -> dict[str, Param]:
    """Return what a claim asks for, over all its queues."""
    known = list(zip(request.scope.names, request.versions, strict=True))
    queues = [want.name for want in request.queues]
    return {
        "executor": request.executor_id,
        "app": request.scope.app_name,
        "known": json.dumps(known, ensure_ascii=False),
        "queues": json.dumps(queues, ensure_ascii=False),
    }


class Claim:
    """One claim inside an open write transaction, which nobody else claims beside."""

    def __init__(self, transaction: Transaction, request: ClaimRequest, after: dict[str, str]) -> None:
        self._transaction, self._request = transaction, request
        self._after = after
        self._params = claim_params(request)
        self._granted: list[Claimed] = []
        self._again: list[float] = []
        known = {queue.name: queue for queue in map(rows.queue, transaction.rows(SQL.list_queues, {}))}
        self._queues = {want.name: known.get(want.name, QueueRow(want.name)) for want in request.queues}

    def take(self) -> Claims:
        """Claim, queue by queue, without histories."""
        budgeted = [want for want in self._request.queues if self._queues[want.name].has_budget]
        first = [want for want in budgeted if want.name in self._request.budgeted_first]
        plain = [want for want in self._request.queues if want not in budgeted]
        for want in (*first, *plain, *(want for want in budgeted if want not in first)):
            most = min(want.limit, self._request.limit - len(self._granted))
            queue = self._queues[want.name]
            if most <= 0 or queue.is_paused:
                continue
            if queue.has_budget:
                self._take_budgeted(queue, want, most)
            else:
                self._take_plain(queue, want, most)
        limited = [
            queue
            for queue in self._queues.values()
            if (queue.has_budget or queue.worker_concurrency is not None) and not queue.is_paused
        ]
        waiting = [queue for queue in limited if self._transaction.rows(SQL.find_waiting, {"queue": queue.name})]
        return Claims(
            self._granted,
            limited=[queue.name for queue in waiting],
            budgeted=[queue.name for queue in waiting if queue.has_budget],
            again_seconds=min(self._again, default=None),
        )

    def _take_plain(self, queue: QueueRow, want: QueueWant, most: int) -> None:
        if queue.worker_concurrency is not None:
            most = min(most, max(0, queue.worker_concurrency - want.running))
        params = self._params | {"queue": want.name, "limit": most}
        taken = self._transaction.rows(SQL.claim_workflows, params)
        # What an update returns comes in no order; the first three columns say which one was asked for.
        self._granted += [rows.claimed(row[2:]) for row in sorted(taken, key=lambda row: row[:3])]

    def _take_budgeted(self, queue: QueueRow, want: QueueWant, most: int) -> None:
        if not self._transaction.rows(SQL.find_live, {"executor": self._request.executor_id}):
            return
        budget = Budget(queue, (), want, most, self._transaction.now_ms)
        spans: dict[str, Param] = {"span": budget.span_ms, "partition_span": budget.partition_span_ms}
        counted = self._transaction.rows(SQL.count_grants, self._params | {"queue": queue.name} | spans)
        budget = Budget(queue, (Used(*row) for row in counted), want, most, self._transaction.now_ms)
        for chosen in budget.choose(self._candidates(queue.name, budget)):
            self._grant(queue.name, chosen)
        if (again := budget.again_seconds()) is not None:
            self._again.append(again)

    def _candidates(self, queue: str, budget: Budget) -> list[Candidate]:
        if budget.room == 0:
            return []
        if not budget.is_partitioned:
            return self._first(queue, None, budget.room)
        after = self._after.get(queue, "")
        keys = self._partitions(queue, after)
        found = [candidate for key in keys for candidate in self._first(queue, key, budget.room_of(key))]
        if not found and after:
            # Nothing behind the place of the last look: once more from the first partition on.
            keys = self._partitions(queue, "")
            found = [candidate for key in keys for candidate in self._first(queue, key, budget.room_of(key))]
        self._after[queue] = keys[-1] if len(keys) == PARTITIONS_MAX else ""
        return found

    def _partitions(self, queue: str, after: str) -> list[str]:
        params: dict[str, Param] = {"queue": queue, "after": after, "most": PARTITIONS_MAX}
        return [row[0] for row in self._transaction.rows(SQL.list_partitions, params)]

    def _first(self, queue: str, partition: str | None, limit: int) -> list[Candidate]:
        if limit <= 0:
            return []
        params: dict[str, Param] = {"queue": queue, "partition": partition, "limit": limit}
        statement = SQL.find_candidates if partition is None else SQL.find_partition_candidates
        found = self._transaction.rows(statement, self._params | params)
        return [Candidate(*row) for row in found]

    def _grant(self, queue: str, chosen: Candidate) -> None:
        [row] = self._transaction.rows(SQL.claim_chosen, self._params | {"id": chosen.workflow_id})
        claimed = rows.claimed(row, has_grant=True)
        values: dict[str, Param] = {
            "id": chosen.workflow_id,
            "token": claimed.lease.token,
            "queue": queue,
            "partition": chosen.partition,
            "executor": claimed.lease.executor_id,
            "is_start": chosen.is_start,
        }
        self._transaction.change(SQL.store_grants, values)
        self._granted.append(claimed)
