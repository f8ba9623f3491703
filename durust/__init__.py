"""Durable execution: ordinary Python functions that survive the death of their process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from durust.client import AsyncDurableClient, DurableClient
from durust.context import DurableContext
from durust.debouncing import Debounced, debounce
from durust.decoding import DecodedStep, DecodedWorkflow
from durust.decorators import Step, Workflow, step, workflow
from durust.durable import AsyncDurableEngine, DurableEngine
from durust.engine.current import current_step
from durust.errors import (
    DurustError,
    InvalidArgument,
    MaxRecoveryAttemptsExceeded,
    NotAuthorized,
    NotInStep,
    NotInWorkflow,
    NotLaunched,
    ProviderMisuse,
    ProviderUnavailable,
    QueueDeduplicated,
    QueueNotFound,
    RemoteError,
    ScheduleConflict,
    ScheduleNotFound,
    SchemaMismatch,
    SerializationError,
    StepDiverged,
    StepRetriesExhausted,
    StepTimedOut,
    StreamClosed,
    StreamTimedOut,
    VersionNotFound,
    WorkflowCancelled,
    WorkflowConflict,
    WorkflowNotFound,
    WorkflowNotRegistered,
    WorkflowTimedOut,
)
from durust.failpoints import FailpointError, failpoint
from durust.handle import AsyncWorkflowHandle, WorkflowHandle
from durust.model.attempts import StepStatus
from durust.model.counts import Spread, StepCount, WorkflowCount
from durust.model.filters import ListFilter
from durust.model.messages import Message
from durust.model.options import WorkflowOptions
from durust.model.queues import RateLimiter
from durust.model.reasons import Reason
from durust.model.records import Checkpoint, MessageRow, QueueRow, VersionRow, WorkflowRow
from durust.model.retry import StepOptions
from durust.model.schedules import ScheduledInput
from durust.model.status import Status
from durust.model.sweeps import Purged
from durust.queue import WorkflowQueue
from durust.run_handle import DurableHandle, SyncDurableHandle
from durust.schedules import Schedule
from durust.settings import Settings
from durust.storage.datasource import Datasource
from durust.storage.memory import InMemoryProvider
from durust.storage.provider import StateProvider
from durust.sync_context import SyncDurableContext
from durust.transactions import Transaction, TransactionOptions, transaction

if TYPE_CHECKING:
    from durust.storage.postgres import PostgresProvider
    from durust.storage.sqlite import SqliteProvider

__version__ = "0.1.0"

__all__ = [
    "AsyncDurableClient",
    "AsyncDurableEngine",
    "AsyncWorkflowHandle",
    "Checkpoint",
    "Datasource",
    "Debounced",
    "DecodedStep",
    "DecodedWorkflow",
    "DurableClient",
    "DurableContext",
    "DurableEngine",
    "DurableHandle",
    "DurustError",
    "FailpointError",
    "InMemoryProvider",
    "InvalidArgument",
    "ListFilter",
    "MaxRecoveryAttemptsExceeded",
    "Message",
    "MessageRow",
    "NotAuthorized",
    "NotInStep",
    "NotInWorkflow",
    "NotLaunched",
    "PostgresProvider",
    "ProviderMisuse",
    "ProviderUnavailable",
    "Purged",
    "QueueDeduplicated",
    "QueueNotFound",
    "QueueRow",
    "RateLimiter",
    "Reason",
    "RemoteError",
    "Schedule",
    "ScheduleConflict",
    "ScheduleNotFound",
    "ScheduledInput",
    "SchemaMismatch",
    "SerializationError",
    "Settings",
    "Spread",
    "SqliteProvider",
    "StateProvider",
    "Status",
    "Step",
    "StepCount",
    "StepDiverged",
    "StepOptions",
    "StepRetriesExhausted",
    "StepStatus",
    "StepTimedOut",
    "StreamClosed",
    "StreamTimedOut",
    "SyncDurableContext",
    "SyncDurableHandle",
    "Transaction",
    "TransactionOptions",
    "VersionNotFound",
    "VersionRow",
    "Workflow",
    "WorkflowCancelled",
    "WorkflowConflict",
    "WorkflowCount",
    "WorkflowHandle",
    "WorkflowNotFound",
    "WorkflowNotRegistered",
    "WorkflowOptions",
    "WorkflowQueue",
    "WorkflowRow",
    "WorkflowTimedOut",
    "current_step",
    "debounce",
    "failpoint",
    "step",
    "transaction",
    "workflow",
]


def __getattr__(name: str) -> Any:
    """Load the providers whose drivers take long to import only when they are asked for."""
    if name == "PostgresProvider":
        from durust.storage.postgres import PostgresProvider

        return PostgresProvider
    if name == "SqliteProvider":
        from durust.storage.sqlite import SqliteProvider

        return SqliteProvider
    raise AttributeError(f"module 'durust' has no attribute {name!r}")
