"""Every change of the database as a frozen value: all of them together, and the order in which a batch applies them."""

from __future__ import annotations

from durust.model.attribute_writes import AssumeRole, RecordAttributes, SetAttributes
from durust.model.copies import ImportWorkflows
from durust.model.ending_writes import EndGrants, ExpireWorkflow, FinishWorkflow, HandBack, ParkWorkflow, Wait
from durust.model.executor_writes import Beat, DrainExecutor, RegisterExecutor, Retire
from durust.model.message_writes import ReceiveMessage, RecordSend, SendMessages
from durust.model.order_writes import CancelWorkflow, DeleteWorkflow, ResumeWorkflow, SetDelay
from durust.model.outcomes import (
    Adopted,
    Alive,
    CalledOff,
    Diverged,
    Duplicate,
    Existing,
    Fenced,
    HistoryLost,
    Missing,
    Nothing,
    Outcome,
    Recorded,
    Refused,
    Released,
    RunOutcome,
    Unexpired,
)
from durust.model.publications import AppendStream, Publication, SetEvent
from durust.model.queue_writes import DeleteQueue, PauseQueue, StoreQueue
from durust.model.schedule_writes import (
    DeleteSchedule,
    FireTicks,
    PauseSchedule,
    ResumeSchedule,
    ScheduleWrite,
    StoreSchedule,
)
from durust.model.start_writes import DebounceWorkflow, ForkWorkflow, StartChild, StartWorkflow
from durust.model.step_writes import RecordSleep, RecordStep
from durust.model.version_writes import AdoptWorkflows, PromoteVersion, StoreVersion, VersionWrite, taken

__all__ = [
    "APPLY_ORDER",
    "INTERNAL_QUEUE",
    "AdoptWorkflows",
    "Adopted",
    "Alive",
    "AssumeRole",
    "Beat",
    "CalledOff",
    "CancelWorkflow",
    "ChainedWrite",
    "DebounceWorkflow",
    "DeleteQueue",
    "DeleteWorkflow",
    "Diverged",
    "DrainExecutor",
    "Duplicate",
    "EndGrants",
    "Existing",
    "ExpireWorkflow",
    "Fenced",
    "FinishWorkflow",
    "ForkWorkflow",
    "HandBack",
    "HistoryLost",
    "Missing",
    "Nothing",
    "Outcome",
    "ParkWorkflow",
    "PauseQueue",
    "PlacedWrite",
    "PromoteVersion",
    "RecordSleep",
    "RecordStep",
    "Recorded",
    "Refused",
    "RegisterExecutor",
    "Released",
    "ResumeWorkflow",
    "Retire",
    "RunOutcome",
    "RunWrite",
    "SetDelay",
    "StartChild",
    "StartWorkflow",
    "StoreQueue",
    "StoreVersion",
    "Unexpired",
    "VersionWrite",
    "Wait",
    "Write",
    "taken",
]

INTERNAL_QUEUE = "_dbos_internal_queue"
"""Where work without a queue of its own waits; the canonical name, which other tools know too."""

# The order in which a provider applies the types of one batch; within a type it is the order of the batch. Rows come
# before what needs them, and a run's records before what ends it, so that a finish loses no step of its own batch.
APPLY_ORDER: tuple[type, ...] = (
    RegisterExecutor,
    StoreVersion,
    PromoteVersion,
    StoreQueue,
    PauseQueue,
    DeleteQueue,
    StoreSchedule,
    PauseSchedule,
    ResumeSchedule,
    DeleteSchedule,
    FireTicks,
    StartWorkflow,
    DebounceWorkflow,
    SetDelay,
    SetAttributes,
    AssumeRole,
    RecordStep,
    RecordSleep,
    RecordAttributes,
    SetEvent,
    AppendStream,
    RecordSend,
    SendMessages,
    ReceiveMessage,
    StartChild,
    FinishWorkflow,
    ParkWorkflow,
    HandBack,
    EndGrants,
    ExpireWorkflow,
    CancelWorkflow,
    ResumeWorkflow,
    ForkWorkflow,
    DeleteWorkflow,
    ImportWorkflows,
    AdoptWorkflows,
    Beat,
    DrainExecutor,
    Retire,
)

PlacedWrite = RecordStep | RecordSleep | RecordAttributes | Publication | RecordSend | ReceiveMessage | StartChild
"""What leaves a record at a place of a run's history."""
ChainedWrite = PlacedWrite | FinishWorkflow | ParkWorkflow
RunWrite = ChainedWrite | AssumeRole | HandBack | ExpireWorkflow
Write = (
    StartWorkflow
    | DebounceWorkflow
    | SetDelay
    | SetAttributes
    | RunWrite
    | SendMessages
    | VersionWrite
    | EndGrants
    | CancelWorkflow
    | ResumeWorkflow
    | ForkWorkflow
    | DeleteWorkflow
    | ImportWorkflows
    | RegisterExecutor
    | Beat
    | DrainExecutor
    | Retire
    | StoreQueue
    | PauseQueue
    | DeleteQueue
    | ScheduleWrite
)
