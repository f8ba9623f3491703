"""What a write may hold: told before the batch, so that one bad write cannot fail its neighbours."""

from __future__ import annotations

import math
from dataclasses import fields

from durust.model.copies import EntryCopy, EventCopy, MessageCopy, WorkflowCopy
from durust.model.message_writes import Letter
from durust.model.records import Checkpoint, Lease, ScheduleRow, WorkflowRow
from durust.model.schedule_writes import Tick
from durust.model.status import Status
from durust.model.writes import (
    APPLY_ORDER,
    DebounceWorkflow,
    FinishWorkflow,
    RecordStep,
    StartChild,
    StartWorkflow,
    Wait,
    Write,
)

# The canonical columns of these are four bytes wide on Postgres, so no provider takes more.
_INT4_MAX = 2**31 - 1
_INT4_FIELDS = frozenset(
    {
        "place",
        "after",
        "start_place",
        "offset",
        "consumed_by",
        "priority",
        "worker_concurrency",
        "global_concurrency",
        "rate_limit",
        "partition_concurrency",
        "partition_worker_concurrency",
        "partition_rate_limit",
    }
)
# Times in milliseconds and the like are eight bytes wide.
_INT8_MAX = 2**63 - 1
# Three thousand years: beyond any wait that is meant, within every provider's calendar.
SECONDS_MAX = 1e11

_ENDS = frozenset({Status.SUCCESS, Status.ERROR, Status.MAX_RECOVERY_ATTEMPTS_EXCEEDED})
# Asked for each write of each batch, so the names are looked up once.
_COPIES = (WorkflowCopy, WorkflowRow, Checkpoint, EventCopy, EntryCopy, MessageCopy)
_KINDS = (*APPLY_ORDER, *_COPIES, Lease, Letter, Wait, ScheduleRow, Tick)
_FIELDS = {kind: tuple(spec.name for spec in fields(kind)) for kind in _KINDS}


def refusal(write: Write) -> str | None:
    """Return why no database can take *write*, or None when it can."""
    if type(write) is RecordStep and _is_plain(write):
        return None
    match write:
        case FinishWorkflow(status=status) if status not in _ENDS:
            return f"a run cannot finish as {status}"
        case StartWorkflow(lease=lease, queue=None, dedup_id=str()) if lease is not None:
            return "a deduplication id belongs to a queue, and a direct start without one has none"
        case DebounceWorkflow(start=start) if start.dedup_id is None or start.lease is not None:
            return "a debounced start waits under a deduplication id, and under no lease"
        case StartChild(start=start) if start.lease is not None:
            return "a child is queued, under no lease of its own"
    return _first_fault(write)


def _is_plain(step: RecordStep) -> bool:
    """Tell at a glance that a step holds nothing unusual: steps are most of all writes, and a closer look costs."""
    lease = step.lease
    texts = (lease.workflow_id, lease.executor_id, lease.token, step.name, step.output, step.error, step.serialization)
    for text in texts:
        if text is not None and ("\0" in text or not text.isascii()):
            return False
    return (
        0 <= step.place <= _INT4_MAX
        and (step.after is None or 0 <= step.after <= _INT4_MAX)
        and 0 <= step.started_at_ms <= _INT8_MAX
        and 0 <= step.completed_at_ms <= _INT8_MAX
    )


def _first_fault(value: object) -> str | None:
    for name in _FIELDS[type(value)]:
        reason = _fault(name, getattr(value, name))
        if reason:
            return reason
    return None


def _fault(name: str, value: object) -> str | None:
    if isinstance(value, str):
        return _text_fault(name, value)
    if isinstance(value, int):
        most = _INT4_MAX if name in _INT4_FIELDS else _INT8_MAX
        return None if -most <= value <= most else f"{name} is beyond {most}"
    if isinstance(value, float):
        return None if math.isfinite(value) and abs(value) <= SECONDS_MAX else f"{name} is not a usable number: {value}"
    if isinstance(value, tuple):
        return next(filter(None, (_fault(name, item) for item in value)), None)
    return _first_fault(value) if type(value) in _FIELDS else None


def _text_fault(name: str, text: str) -> str | None:
    if "\0" in text:
        return f"{name} holds a NUL"
    if text.isascii():
        return None
    try:
        text.encode()
    except UnicodeEncodeError:
        return f"{name} holds a lone surrogate"
    return None
