"""Shares of the budgets of queues in memory: each ends with its run, and is forgotten when no rate counts it."""

from __future__ import annotations

from dataclasses import replace

from durust.model.queues import GRANTS_KEPT_SECONDS
from durust.model.writes import EndGrants, Outcome, Recorded
from durust.storage.memory_tables import Tables


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


def forget_grants(tables: Tables, limit: int) -> int:
    """Forget at most *limit* shares that no rate counts any more and nobody runs by."""
    periods = [
        period or 0.0
        for queue in tables.queues.values()
        for period in (queue.rate_period_seconds, queue.partition_rate_period_seconds)
    ]
    kept_ms = 1000 * max(GRANTS_KEPT_SECONDS, 2 * max(periods, default=0.0))
    old = [
        token
        for token, grant in tables.grants.items()
        if grant.granted_at_ms <= tables.now_ms - kept_ms
        and (grant.ended_at_ms is not None or tables.state(grant.executor_id) in {None, "DEAD"})
    ][:limit]
    for token in old:
        del tables.grants[token]
    return len(old)
