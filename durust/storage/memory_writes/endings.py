"""How runs end in memory, and with them their shares of budgets: by a result, given back, or at their deadline."""

from __future__ import annotations

from dataclasses import replace

from durust.model.status import Event, finishing_event
from durust.model.writes import (
    EndGrants,
    ExpireWorkflow,
    FinishWorkflow,
    HandBack,
    HistoryLost,
    Outcome,
    Recorded,
    Unexpired,
)
from durust.storage.memory_tables import Kinds, Tables
from durust.storage.memory_writes.guards import fenced, is_lost


def finish(tables: Tables, write: FinishWorkflow) -> Outcome:
    """End a run."""
    row = tables.workflows.get(write.lease.workflow_id)
    if row is not None and row.status.is_terminal and row.token == write.lease.token:
        return Recorded()
    if other := fenced(tables, write.lease):
        return other
    if is_lost(tables, write):
        return HistoryLost()
    tables.move(
        write.lease.workflow_id,
        finishing_event(write.status),
        dedup_id=None,
        completed_at_ms=tables.now_ms,
        updated_at_ms=tables.now_ms,
        serialization=write.serialization,
        output=write.output,
        error=write.error,
    )
    return Recorded()


def hand_back(tables: Tables, write: HandBack) -> Outcome:
    """Give a run back to its queue."""
    if other := fenced(tables, write.lease):
        return other
    tables.unwind(write.lease, Event.HAND_BACK)
    return Recorded()


def expire(tables: Tables, write: ExpireWorkflow) -> Outcome:
    """Cancel a run whose deadline has passed."""
    if other := fenced(tables, write.lease):
        return other
    deadline_ms = tables.workflows[write.lease.workflow_id].deadline_ms
    if deadline_ms is None or deadline_ms > tables.now_ms:
        return Unexpired(None if deadline_ms is None else deadline_ms - tables.now_ms)
    tables.call_off(write.lease.workflow_id, Event.EXPIRE)
    return Recorded()


def end_grants(tables: Tables, write: EndGrants) -> Outcome:
    """End the shares of runs that stopped without a write."""
    for token in write.tokens:
        end_grant(tables, token)
    return Recorded()


def end_grant(tables: Tables, token: str) -> None:
    """End a run's share of its queue's budget, if it has one."""
    grant = tables.grants.get(token)
    if grant is not None and grant.ended_at_ms is None:
        tables.grants[token] = replace(grant, ended_at_ms=tables.now_ms)


KINDS: Kinds = {
    FinishWorkflow: finish,
    HandBack: hand_back,
    ExpireWorkflow: expire,
    EndGrants: end_grants,
}
