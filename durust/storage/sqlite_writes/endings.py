"""How runs end on SQLite, and with them their shares of budgets: by a result, given back, or at their deadline."""

from __future__ import annotations

from durust.model.writes import (
    INTERNAL_QUEUE,
    EndGrants,
    ExpireWorkflow,
    Fenced,
    FinishWorkflow,
    HandBack,
    Outcome,
    Recorded,
)
from durust.storage.links import Param
from durust.storage.sqlite_statements import SQL, Kinds, Transaction
from durust.storage.sqlite_writes.guards import explain, guard


def finish(transaction: Transaction, write: FinishWorkflow) -> Outcome:
    """End a run."""
    params: dict[str, Param] = {"status": str(write.status), "format": write.serialization}
    if not transaction.change(SQL.finish_workflows, guard(write) | params):
        return explain(transaction, write) or Recorded()
    values = {"id": write.lease.workflow_id, "output": write.output, "error": write.error}
    transaction.change(SQL.store_outputs, values)
    return Recorded()


def hand_back(transaction: Transaction, write: HandBack) -> Outcome:
    """Give a run back to its queue."""
    changed = transaction.change(SQL.hand_back_workflows, {**guard(write), "internal": INTERNAL_QUEUE})
    return Recorded() if changed else explain(transaction, write) or Fenced()


def expire(transaction: Transaction, write: ExpireWorkflow) -> Outcome:
    """Cancel a run whose deadline has passed."""
    changed = transaction.change(SQL.expire_workflows, guard(write))
    return Recorded() if changed else explain(transaction, write) or Fenced()


def end_grants(transaction: Transaction, write: EndGrants) -> Outcome:
    """End the shares of runs that stopped without a write."""
    for token in write.tokens:
        end_grant(transaction, token)
    return Recorded()


def end_grant(transaction: Transaction, token: str) -> None:
    """End a run's share of its queue's budget, if it has one."""
    transaction.change(SQL.end_grants, {"token": token})


KINDS: Kinds = {
    FinishWorkflow: finish,
    HandBack: hand_back,
    ExpireWorkflow: expire,
    EndGrants: end_grants,
}
