"""Starting a child: answered from history, or inserted and linked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from durust.codec import Codec
from durust.errors import (
    InvalidArgument,
    ProviderUnavailable,
    QueueDeduplicated,
    StepCancelled,
    WorkflowConflict,
)
from durust.failpoints import failpoint
from durust.model.records import Checkpoint
from durust.model.writes import INTERNAL_QUEUE, Duplicate, Existing, RecordStep, Refused, StartChild, StartWorkflow
from durust.routines.effects import Call, Commit, Cut, Raised, Returned, Routine, StepEnd
from durust.routines.run import Run

_ERRORS = Codec()


@dataclass(frozen=True, slots=True)
class Birth:
    """What a child is to be started as."""

    start: StartWorkflow
    attaches: bool = False
    """Whether the holder of its deduplication id may stand for it."""
    check: Callable[[], object] | None = None
    """Raises where the child cannot be started; it may ask the database."""


def start_child(run: Run, place: int, birth: Birth) -> Routine[StepEnd]:
    """Answer the id of the child that history holds at *place*; otherwise start it there.

    That it cannot be started is recorded in its place, because the body goes on from that.
    """
    run.ensure_open()
    record = run.recall(place, birth.start.name)
    if record is not None:
        return _read(run, record)
    started_at_ms = run.now_ms()
    if birth.check is not None:
        ended: StepEnd = yield Call(birth.check, is_async=False)
        run.ensure_open()
        match ended:
            case Cut():
                yield from _record(run, place, birth, StepCancelled(birth.start.name), started_at_ms)
                return ended
            case Raised(ProviderUnavailable() as error):
                run.break_off(error)
            case Raised(Exception() as error):
                return (yield from _record(run, place, birth, error, started_at_ms))
            case Raised():
                return ended
    failpoint("child.start")
    completed_at_ms = run.stamp(place)
    write = StartChild(run.lease, run.after, place, birth.start, started_at_ms, completed_at_ms, birth.attaches)
    outcome = yield Commit(write)
    failpoint("child.started")
    match outcome:
        case Existing() | Duplicate():
            return (yield from _record(run, place, birth, _conflict(birth, outcome), started_at_ms))
        case Refused(reason):
            refused = InvalidArgument("workflow", birth.start.workflow_id, f"the database refused it: {reason}")
            return (yield from _record(run, place, birth, refused, started_at_ms))
        case _:
            run.accept(outcome, place, birth.start.name)
            return Returned(outcome.workflow_id or birth.start.workflow_id)


def _read(run: Run, record: Checkpoint) -> StepEnd:
    if record.error is not None:
        error = _ERRORS.load_error(record.error, record.serialization)
        return Cut() if isinstance(error, StepCancelled) else Raised(error)
    if record.child_id is None:
        run.diverge(record.place, f"child {record.name}", f"step {record.name}")
    return Returned(record.child_id)


def _conflict(birth: Birth, outcome: Existing | Duplicate) -> Exception:
    start = birth.start
    if isinstance(outcome, Existing):
        return WorkflowConflict(f"the workflow id {start.workflow_id!r}", start.name, outcome.row.name)
    if birth.attaches:
        holder = f"workflow {outcome.workflow_id}, which is of another name"
        return WorkflowConflict(f"the deduplication id {start.dedup_id!r}", start.name, holder)
    return QueueDeduplicated(start.queue or INTERNAL_QUEUE, start.dedup_id or "", outcome.workflow_id)


def _record(run: Run, place: int, birth: Birth, error: Exception, started_at_ms: int) -> Routine[StepEnd]:
    encoded, settled = _ERRORS.settle_error(error)
    outcome = yield Commit(
        RecordStep(
            lease=run.lease,
            after=run.after,
            place=place,
            name=birth.start.name,
            output=None,
            error=encoded.text,
            serialization=encoded.serialization,
            started_at_ms=started_at_ms,
            completed_at_ms=run.stamp(place),
        )
    )
    run.accept(outcome, place, birth.start.name)
    return Raised(settled)
