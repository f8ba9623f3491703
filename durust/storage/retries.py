"""Writes of a run that come again, told from others by what stands at their place."""

from __future__ import annotations

from durust.model.attribute_writes import RecordAttributes
from durust.model.message_writes import RECEIVE_NAME, ReceiveMessage, RecordSend
from durust.model.publications import AppendStream, SetEvent
from durust.model.records import Checkpoint
from durust.model.writes import Recorded, RecordSleep, RecordStep, RunWrite, StartChild

# The answer to most writes, made once.
RECORDED = Recorded()


def own_retry(write: RunWrite, standing: Checkpoint | None) -> Recorded | None:
    """Return the answer to a write that its own run has made before, or None where *standing* is another record."""
    if standing is None or standing.claim != write.lease.token:
        return None
    match write:
        case RecordStep() if standing == _checkpoint(write):
            return RECORDED
        case RecordSleep(name=name) if standing.name == name:
            return Recorded(output=standing.output)
        case SetEvent(name=name) | AppendStream(name=name) | RecordSend(name=name) if standing.name == name:
            return RECORDED
        case RecordAttributes(name=name) if standing.name == name:
            return RECORDED
        case ReceiveMessage() if standing.name == RECEIVE_NAME:
            return Recorded(output=standing.output, serialization=standing.serialization)
        case StartChild(start=start) if standing.name == start.name and standing.child_id is not None:
            return Recorded(workflow_id=standing.child_id)
    return None


def _checkpoint(write: RecordStep) -> Checkpoint:
    return Checkpoint(
        place=write.place,
        name=write.name,
        output=write.output,
        error=write.error,
        serialization=write.serialization,
        started_at_ms=write.started_at_ms,
        completed_at_ms=write.completed_at_ms,
        claim=write.lease.token,
    )
