"""One batch of writes in memory: each does what it asks for, whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from durust.model.attribute_writes import RecordAttributes, SetAttributes
from durust.model.copies import ImportWorkflows
from durust.model.message_writes import ReceiveMessage, RecordSend, SendMessages
from durust.model.publications import AppendStream, SetEvent
from durust.model.schedule_writes import DeleteSchedule, FireTicks, PauseSchedule, ResumeSchedule, StoreSchedule
from durust.model.validity import refusal
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
    Refused,
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
    memory_attributes,
    memory_copies,
    memory_endings,
    memory_executors,
    memory_messages,
    memory_orders,
    memory_publications,
    memory_queues,
    memory_schedules,
    memory_steps,
    memory_versions,
)
from durust.storage.memory_children import start_child
from durust.storage.memory_debounces import debounce
from durust.storage.memory_forks import fork
from durust.storage.memory_grants import end_grant, end_grants
from durust.storage.memory_starts import start
from durust.storage.memory_tables import Tables
from durust.storage.memory_wakes import wake_all


def commit(tables: Tables, writes: Sequence[Write]) -> list[Outcome]:
    """Apply *writes* by type, and within a type in their order; return their outcomes."""
    outcomes: dict[int, Outcome] = {}
    groups: dict[type, list[tuple[int, Any]]] = {}
    for index, write in enumerate(writes):
        if reason := refusal(write):
            outcomes[index] = Refused(reason)
        else:
            groups.setdefault(type(write), []).append((index, write))
    for kind in APPLY_ORDER:
        group = groups.get(kind, [])
        if kind is DebounceWorkflow:
            outcomes |= debounces.answers(group, partial(debounce, tables))
        else:
            outcomes |= {index: _apply(tables, write) for index, write in group}
    answers = [outcomes[index] for index in range(len(writes))]
    return told(writes, answers, partial(wake_all, tables))


def _apply(tables: Tables, write: Any) -> Outcome:
    if isinstance(write, FinishWorkflow | ParkWorkflow | HandBack) and write.lease.has_grant:
        # Also where the guard refuses the rest: its body has stopped, or is about to.
        end_grant(tables, write.lease.token)
    return _APPLY[type(write)](tables, write)


_APPLY: dict[type, Callable[[Tables, Any], Outcome]] = {
    RegisterExecutor: memory_executors.register,
    StoreVersion: memory_versions.store_version,
    PromoteVersion: memory_versions.promote,
    AdoptWorkflows: memory_versions.adopt,
    StoreQueue: memory_queues.store_queue,
    PauseQueue: memory_queues.pause_queue,
    DeleteQueue: memory_queues.delete_queue,
    EndGrants: end_grants,
    StoreSchedule: memory_schedules.store,
    PauseSchedule: memory_schedules.pause,
    ResumeSchedule: memory_schedules.resume,
    DeleteSchedule: memory_schedules.delete,
    FireTicks: memory_schedules.fire,
    StartWorkflow: start,
    SetDelay: memory_orders.set_delay,
    SetAttributes: memory_attributes.set_attributes,
    AssumeRole: memory_attributes.assume_role,
    RecordStep: memory_steps.record_step,
    RecordSleep: memory_steps.record_sleep,
    RecordAttributes: memory_attributes.record_attributes,
    SetEvent: memory_publications.set_event,
    AppendStream: memory_publications.append,
    RecordSend: memory_messages.record_send,
    SendMessages: memory_messages.send,
    ReceiveMessage: memory_messages.receive,
    StartChild: start_child,
    FinishWorkflow: memory_endings.finish,
    ParkWorkflow: memory_endings.park,
    HandBack: memory_endings.hand_back,
    ExpireWorkflow: memory_endings.expire,
    CancelWorkflow: memory_orders.cancel,
    ResumeWorkflow: memory_orders.resume,
    ForkWorkflow: fork,
    DeleteWorkflow: memory_orders.delete,
    ImportWorkflows: memory_copies.enter,
    Beat: memory_executors.beat,
    DrainExecutor: memory_executors.drain,
    Retire: memory_executors.retire,
}
