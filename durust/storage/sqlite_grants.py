"""Shares of the budgets of queues on SQLite, each of which ends with its run."""

from __future__ import annotations

from durust.model.writes import EndGrants, Outcome, Recorded
from durust.storage.sqlite_statements import SQL, Transaction


def end_grants(transaction: Transaction, write: EndGrants) -> Outcome:
    """End the shares of runs that stopped without a write."""
    for token in write.tokens:
        end_grant(transaction, token)
    return Recorded()


def end_grant(transaction: Transaction, token: str) -> None:
    """End a run's share of its queue's budget, if it has one."""
    transaction.change(SQL.end_grants, {"token": token})
