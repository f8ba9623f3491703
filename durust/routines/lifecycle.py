"""How a run ends: finished, failed, cancelled, parked or handed back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, assert_never

from durust.codec import Codec, Encoded
from durust.errors import RemoteError, SerializationError
from durust.failpoints import failpoint
from durust.model.status import Status
from durust.model.writes import (
    ExpireWorkflow,
    FinishWorkflow,
    HandBack,
    HistoryLost,
    ParkWorkflow,
    Recorded,
    Refused,
    Unexpired,
    Wait,
)
from durust.routines.effects import Commit, Ended, Raised, Returned, Routine
from durust.routines.run import Run, Verdict
from durust.telemetry import emit


def conclude(run: Run, ended: Ended, codec: Codec, annotation: Any) -> Routine[FinishWorkflow | None]:
    """Write how the run ended, as its mark says; return what was written if it is the workflow's outcome.

    What the body returned or raised counts only when the run was still open.
    """
    run.close(Verdict.FINISHED)
    match run.verdict:
        case Verdict.FINISHED:
            return (yield from _finish(run, ended, codec, annotation))
        case Verdict.FAILED:
            failure = run.failure or RemoteError("Failure", "unknown")
            return (yield from _finish(run, Raised(failure), codec, annotation))
        case Verdict.HANDED_BACK:
            yield Commit(HandBack(run.lease))
            return None
        case Verdict.FENCED | Verdict.PARKED | Verdict.CANCELLED | None:
            return None
        case _:
            assert_never(run.verdict)


def set_aside(run: Run, codec: Codec, error: Exception, status: Status) -> Routine[FinishWorkflow | None]:
    """End a run whose body is not started: its arguments cannot be read, or it was tried too often."""
    run.close(Verdict.FINISHED)
    return (yield from _commit(run, codec, status, codec.dump_error(error)))


def run_out(run: Run) -> Routine[FinishWorkflow | None]:
    """Cancel a run whose time is over before its body is started."""
    run.close(Verdict.CANCELLED)
    outcome = yield Commit(ExpireWorkflow(run.lease))
    if isinstance(outcome, Unexpired):
        # The database's clock was set back since the claim.
        yield Commit(HandBack(run.lease))
    return None


def park(run: Run, waits: Sequence[Wait]) -> Routine[None]:
    """Set the closed run aside until the first of *waits* is over; the answer makes no difference to its unwinding."""
    until_ms = min((wait.until_ms for wait in waits if wait.until_ms is not None), default=None)
    failpoint("run.park")
    outcome = yield Commit(ParkWorkflow(lease=run.lease, after=run.after, until_ms=until_ms, waits=tuple(waits)))
    failpoint("run.parked")
    if isinstance(outcome, HistoryLost):
        yield Commit(HandBack(run.lease))


def _finish(run: Run, ended: Ended, codec: Codec, annotation: Any) -> Routine[FinishWorkflow | None]:
    if isinstance(ended, Returned):
        try:
            encoded = codec.dump(ended.value, annotation, what=f"result of workflow {run.name!r}")
        except SerializationError as error:
            return (yield from _commit(run, codec, Status.ERROR, codec.dump_error(error)))
        return (yield from _commit(run, codec, Status.SUCCESS, encoded))
    return (yield from _commit(run, codec, Status.ERROR, codec.dump_error(ended.error)))


def _commit(run: Run, codec: Codec, status: Status, encoded: Encoded) -> Routine[FinishWorkflow | None]:
    failpoint("run.finish")
    is_success = status is Status.SUCCESS
    write = FinishWorkflow(
        lease=run.lease,
        after=run.after,
        status=status,
        output=encoded.text if is_success else None,
        error=None if is_success else encoded.text,
        serialization=encoded.serialization,
    )
    outcome = yield Commit(write)
    failpoint("run.finished")
    match outcome:
        case Recorded():
            return write
        case Refused(reason) if is_success:
            refused = SerializationError(
                f"result of workflow {run.name!r}", reason, "return something the database can store"
            )
            return (yield from _commit(run, codec, Status.ERROR, codec.dump_error(refused)))
        case Refused(reason) if encoded != (unspeakable := _unspeakable(run, codec, reason)):
            # Without any end the run would be handed back and fail again, for ever.
            return (yield from _commit(run, codec, status, unspeakable))
        case HistoryLost():
            yield Commit(HandBack(run.lease))
        case _:
            emit("finish_did_not_count", workflow=run.workflow_id, outcome=outcome)
    return None


def _unspeakable(run: Run, codec: Codec, reason: str) -> Encoded:
    refused = SerializationError(f"error of workflow {run.name!r}", reason, "raise something the database can store")
    return codec.dump_error(refused)
