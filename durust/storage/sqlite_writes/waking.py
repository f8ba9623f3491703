"""Whom something wakes on SQLite that parked runs wait for."""

from __future__ import annotations

from collections.abc import Sequence

from durust.model.waits import Wake
from durust.model.writes import INTERNAL_QUEUE
from durust.storage.sqlite_statements import SQL, Transaction


def wake(transaction: Transaction, workflow_id: str) -> list[str]:
    """Queue a parked run; return the queue that got it, if it was parked."""
    queued = transaction.rows(SQL.wake_parked, {"id": workflow_id, "internal": INTERNAL_QUEUE})
    if queued:
        transaction.change(SQL.forget_waits, {"id": workflow_id})
    return [row[0] for row in queued]


def wake_all(transaction: Transaction, wakes: Sequence[Wake]) -> frozenset[str]:
    """Queue whoever is parked for one of *wakes*; return the queues."""
    waiters = [
        row[0]
        for one in wakes
        for row in transaction.rows(SQL.find_waiters, {"kind": one.kind, "target": one.target, "key": one.key})
    ]
    return frozenset(queue for workflow_id in waiters for queue in wake(transaction, workflow_id))
