"""One batch of writes on SQLite: each does what it asks for, inside one transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from durust.model.attribute_writes import RecordAttributes, SetAttributes
from durust.model.copies import ImportWorkflows
from durust.model.message_writes import ReceiveMessage, RecordSend, SendMessages
from durust.model.publications import AppendStream, SetEvent
from durust.model.schedule_writes import DeleteSchedule, FireTicks, PauseSchedule, ResumeSchedule, StoreSchedule
from durust.model.wakes import told
from durust.model.writes import (
    APPLY_ORDER,
    AdoptWorkflows,
    AssumeRole,
    Beat,
    CancelWorkflow,
    DebounceWorkflow,
    DeleteQueue,
    DeleteWorkflow,
    DrainExecutor,
    EndGrants,
    ExpireWorkflow,
    FinishWorkflow,
    ForkWorkflow,
    HandBack,
    Outcome,
    ParkWorkflow,
    PauseQueue,
    PromoteVersion,
    RecordSleep,
    RecordStep,
    RegisterExecutor,
    ResumeWorkflow,
    Retire,
    SetDelay,
    StartChild,
    StartWorkflow,
    StoreQueue,
    StoreVersion,
    Write,
)
from durust.storage import (
    debounces,
    sqlite_attributes,
    sqlite_copies,
    sqlite_endings,
    sqlite_executors,
    sqlite_messages,
    sqlite_orders,
    sqlite_publications,
    sqlite_queues,
    sqlite_schedules,
    sqlite_steps,
    sqlite_versions,
)
from durust.storage.sqlite_children import start_child
from durust.storage.sqlite_debounces import debounce
from durust.storage.sqlite_forks import fork
from durust.storage.sqlite_grants import end_grant, end_grants
from durust.storage.sqlite_starts import start
from durust.storage.sqlite_statements import Transaction
from durust.storage.sqlite_wakes import wake_all


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
            recorded = sqlite_steps.record_steps(transaction, [write for _, write in group])
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


_APPLY: dict[type, Callable[[Transaction, Any], Outcome]] = {
    RegisterExecutor: sqlite_executors.register,
    StoreVersion: sqlite_versions.store_version,
    PromoteVersion: sqlite_versions.promote,
    AdoptWorkflows: sqlite_versions.adopt,
    StoreQueue: sqlite_queues.store_queue,
    PauseQueue: sqlite_queues.pause_queue,
    DeleteQueue: sqlite_queues.delete_queue,
    EndGrants: end_grants,
    StoreSchedule: sqlite_schedules.store,
    PauseSchedule: sqlite_schedules.pause,
    ResumeSchedule: sqlite_schedules.resume,
    DeleteSchedule: sqlite_schedules.delete,
    FireTicks: sqlite_schedules.fire,
    StartWorkflow: start,
    SetDelay: sqlite_orders.set_delay,
    SetAttributes: sqlite_attributes.set_attributes,
    AssumeRole: sqlite_attributes.assume_role,
    RecordSleep: sqlite_steps.record_sleep,
    RecordAttributes: sqlite_attributes.record_attributes,
    SetEvent: sqlite_publications.set_event,
    AppendStream: sqlite_publications.append,
    RecordSend: sqlite_messages.record_send,
    SendMessages: sqlite_messages.send,
    ReceiveMessage: sqlite_messages.receive,
    StartChild: start_child,
    FinishWorkflow: sqlite_endings.finish,
    ParkWorkflow: sqlite_endings.park,
    HandBack: sqlite_endings.hand_back,
    ExpireWorkflow: sqlite_endings.expire,
    CancelWorkflow: sqlite_orders.cancel,
    ResumeWorkflow: sqlite_orders.resume,
    ForkWorkflow: fork,
    DeleteWorkflow: sqlite_orders.delete,
    ImportWorkflows: sqlite_copies.enter,
    Beat: sqlite_executors.beat,
    DrainExecutor: sqlite_executors.drain,
    Retire: sqlite_executors.retire,
}
