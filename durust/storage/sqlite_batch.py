"""One batch of writes on SQLite: each does what it asks for, inside one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from durust.model.wakes import told
from durust.model.writes import (
    APPLY_ORDER,
    DebounceWorkflow,
    FinishWorkflow,
    HandBack,
    Outcome,
    ParkWorkflow,
    RecordStep,
    Write,
)
from durust.storage import debounces
from durust.storage.sqlite_statements import Kinds, Transaction
from durust.storage.sqlite_writes import (
    attributes,
    cancels,
    children,
    endings,
    executors,
    forks,
    imports,
    messages,
    orders,
    parking,
    publications,
    queues,
    schedules,
    starts,
    steps,
    versions,
)
from durust.storage.sqlite_writes.debounced import debounce
from durust.storage.sqlite_writes.endings import end_grant
from durust.storage.sqlite_writes.waking import wake_all


def commit(transaction: Transaction, writes: Sequence[Write]) -> list[Outcome]:
    """Apply *writes* by type, and within a type in their order; return their outcomes."""
    outcomes: dict[int, Outcome] = {}
    groups: dict[type, list[tuple[int, Any]]] = {}
    for index, write in enumerate(writes):
        groups.setdefault(type(write), []).append((index, write))
    for kind in APPLY_ORDER:
        group = groups.get(kind, [])
        if kind is DebounceWorkflow:
            outcomes |= debounces.answers(group, partial(debounce, transaction))
        elif kind is RecordStep and group:
            recorded = steps.record_steps(transaction, [write for _, write in group])
            outcomes |= zip((index for index, _ in group), recorded, strict=True)
        else:
            outcomes |= {index: _apply(transaction, write) for index, write in group}
    answers = [outcomes[index] for index in range(len(writes))]
    return told(writes, answers, partial(wake_all, transaction))


def _apply(transaction: Transaction, write: Any) -> Outcome:
    if isinstance(write, FinishWorkflow | ParkWorkflow | HandBack) and write.lease.has_grant:
        # Also where the guard refuses the rest: its body has stopped, or is about to.
        end_grant(transaction, write.lease.token)
    return _APPLY[type(write)](transaction, write)


_APPLY: Kinds = {
    **attributes.KINDS,
    **cancels.KINDS,
    **children.KINDS,
    **endings.KINDS,
    **executors.KINDS,
    **forks.KINDS,
    **imports.KINDS,
    **messages.KINDS,
    **orders.KINDS,
    **parking.KINDS,
    **publications.KINDS,
    **queues.KINDS,
    **schedules.KINDS,
    **starts.KINDS,
    **steps.KINDS,
    **versions.KINDS,
}
