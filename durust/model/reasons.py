"""Why a workflow does not run, or where it does: facts in, one sentence out."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from durust.model import waits as kinds
from durust.model.queues import window_ms
from durust.model.records import Checkpoint, ExecutorRow, QueueRow, VersionRow, WorkflowRow
from durust.model.standing import AHEAD_MAX, Standing, Taken
from durust.model.status import Status
from durust.model.writes import INTERNAL_QUEUE, Wait

# Whoever serves a queue looks there at least once a second, so what nobody has taken by then is held by something.
SOON_MS = 5_000
# Of many things that a run waits for a sentence names the first.
WAITS_NAMED_MAX = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What there is to know about one workflow that is asked after."""

    row: WorkflowRow
    standing: Standing
    error: str | None = None
    """How it failed, in one line."""
    last_step: Checkpoint | None = None
    """The step that was recorded last."""
    queue: QueueRow | None = None
    """The stored definition of its queue."""
    executor: ExecutorRow | None = None
    """Who has claimed it."""
    living: Sequence[ExecutorRow] = ()
    """The executors of its application that may claim something."""
    versions: Sequence[VersionRow] = ()
    """The versions of its application, with what living executors know of each."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why: a code for programs, and a sentence for people."""

    code: str
    sentence: str


def reason(facts: Facts) -> Reason:
    """Say why a workflow does not run, or where it does."""
    code, predicate = _find(facts)
    return Reason(code, f"workflow {facts.row.workflow_id!r} {predicate}")


def _find(facts: Facts) -> tuple[str, str]:
    row = facts.row
    if row.status.value not in Status.__members__:
        return "unknown", f"is {row.status}, a state that only a newer library knows"
    match row.status:
        case Status.SUCCESS:
            return "succeeded", f"ended with a result {_at(row.completed_at_ms)}"
        case Status.ERROR:
            said = f": {facts.error}" if facts.error else ""
            return "failed", f"failed {_at(row.completed_at_ms)}{said}; {_order(row, 'fork')} runs it anew"
        case Status.CANCELLED if row.is_timed_out:
            remedy = f"{_order(row, 'resume')} lets it go on without one"
            return "timed_out", f"was cancelled {_at(row.completed_at_ms)} because its deadline had passed; {remedy}"
        case Status.CANCELLED:
            remedy = f"{_order(row, 'resume')} lets it go on behind its last step"
            return "cancelled", f"was cancelled {_at(row.completed_at_ms)}; {remedy}"
        case Status.MAX_RECOVERY_ATTEMPTS_EXCEEDED:
            why = "none of which came to an end: it may kill its process"
            remedy = f"mend that, then {_order(row, 'resume')} gives it new ones"
            return "set_aside", f"was set aside after {_count(row.attempts, 'attempt')}, {why}; {remedy}"
        case Status.PENDING:
            return _running(facts)
        case Status.ENQUEUED:
            code, because = _queued(facts)
            return code, f"is queued {because}"
        case Status.DELAYED:
            return _delayed(facts)


# What has been claimed


def _running(facts: Facts) -> tuple[str, str]:
    row, executor = facts.row, facts.executor
    if executor is None:
        who = f"executor {row.executor_id!r}" if row.executor_id else "nobody that is named"
        return (
            "running_elsewhere",
            f"is run by {who}, of which this database knows nothing: another library's, it seems",
        )
    who = f"executor {executor.executor_id} (pid {executor.pid} on host {executor.host!r})"
    if executor.state == "DEAD":
        died = f", which is dead ({executor.why})" if executor.why else ", which is dead"
        return "executor_dead", f"was run by {who}{died}; {_sweep(facts, 'hands it to another one')}"
    if executor.lease_seconds_left < 0:
        lapsed = f"whose lease ended {_duration(-executor.lease_seconds_left)} ago"
        why = "its process was stopped or cut off, or its host is gone"
        return "suspect", f"is held by {who}, {lapsed}: {why}; {_sweep(facts, 'hands it to another one')}"
    doing = _progress(facts)
    if executor.state == "DRAINING":
        return "draining", f"is running on {who}, which is draining and hands back what does not end in time{doing}"
    return "running", f"is running on {who}{doing}"


def _progress(facts: Facts) -> str:
    step, row = facts.last_step, facts.row
    if step is not None and step.completed_at_ms is not None:
        ago = _duration(max(0, facts.standing.now_ms - step.completed_at_ms) / 1000)
        return f"; its last recorded step is {step.name!r}, {ago} ago"
    if row.started_at_ms is None:
        return ""
    ago = _duration(max(0, facts.standing.now_ms - row.started_at_ms) / 1000)
    return f", which claimed it {ago} ago; it has recorded no step yet"


# What is queued


def _queued(facts: Facts) -> tuple[str, str]:
    row, queue = facts.row, facts.queue
    name = row.queue or INTERNAL_QUEUE
    is_internal = name == INTERNAL_QUEUE
    on = "on the internal queue, which each executor serves" if is_internal else f"on queue {name!r}"
    if queue is not None and queue.is_paused:
        return "queue_paused", f"{on}, which is paused; `durust queue resume {shlex.quote(name)}` lets it go on"
    if not facts.living:
        return "no_executor", f"{on}, but {_nobody(facts)}"
    known = {found for version in facts.versions if version.executors for found in version.workflows}
    alive = _count(len(facts.living), "executor lives", "executors live")
    # An executor that has just come up may not have said yet what it knows.
    if known and row.name not in {workflow for workflow, _ in known}:
        return "no_worker_for_name", f"{on}; {alive}, but none has a workflow of the name {row.name!r}"
    if known and row.app_version is not None and (row.name, row.app_version) not in known:
        remedy = f"`durust version adopt {shlex.quote(row.workflow_id)}` lets the latest one go on with it"
        return "no_worker_for_version", f"{on} for version {row.app_version!r} of its code, which nobody runs; {remedy}"
    if queue is not None and (held := _limit(facts, queue)) is not None:
        code, limit = held
        return code, f"{on}, {limit}{_behind(facts)}"
    if facts.standing.ahead:
        return "behind_others", f"{on}{_behind(facts)}"
    if facts.standing.now_ms - max(row.created_at_ms, row.updated_at_ms) < SOON_MS:
        return "next", f"{on}, as the next one; {alive}, and who serves the queue takes it at once"
    if is_internal:
        return "no_slot", f"{on}, as the next one; {alive}, so none of them seems to have a slot free"
    remedy = f"`durust up MODULE --queues {shlex.quote(name)}` starts some that do"
    why = "so none of them seems to serve that queue, or to have a slot free"
    return "not_served", f"{on}, as the next one, and no limit holds it; {alive}, {why}; {remedy}"


def _limit(facts: Facts, queue: QueueRow) -> tuple[str, str] | None:
    """Return the limit that keeps the first of a queue, or of a partition, from being claimed."""
    row, standing = facts.row, facts.standing
    if queue.has_partition_budget and row.partition_key is None:
        # First, because it alone passes by nothing that others do.
        remedy = "cancel it and enqueue it with one, or take the queue's limits by partition away"
        return "no_partition_key", f"which takes only workflows with a partition key, and it has none; {remedy}"
    whole = standing.taken
    if _is_reached(queue.global_concurrency, whole.runs):
        return "global_limit", f"which runs its limit of {queue.global_concurrency} (global_concurrency)"
    if _is_reached(queue.rate_limit, whole.starts):
        return "rate_limit", _rate(queue.rate_limit, queue.rate_period_seconds, whole, standing, "")
    busy = {executor_id: (runs, of_partition) for executor_id, runs, of_partition in standing.running}
    loads = [busy.get(executor.executor_id, (0, 0)) for executor in facts.living]
    if all(_is_reached(queue.worker_concurrency, runs) for runs, _ in loads):
        each = f"of which each executor runs its limit of {queue.worker_concurrency} (worker_concurrency)"
        return "worker_limit", each
    if not queue.has_partition_budget:
        return None
    part, which = standing.taken_of_partition, f"whose partition {row.partition_key!r} "
    if _is_reached(queue.partition_concurrency, part.runs):
        return "partition_limit", f"{which}runs its limit of {queue.partition_concurrency} (partition_concurrency)"
    if _is_reached(queue.partition_rate_limit, part.starts):
        rate = _rate(queue.partition_rate_limit, queue.partition_rate_period_seconds, part, standing, which)
        return "partition_rate_limit", rate
    if all(_is_reached(queue.partition_worker_concurrency, of_partition) for _, of_partition in loads):
        limit = f"{queue.partition_worker_concurrency} in each executor (partition_worker_concurrency)"
        return "partition_worker_limit", f"{which}runs its limit of {limit}"
    return None


def _is_reached(limit: int | None, taken: int) -> bool:
    return limit is not None and taken >= limit


def _rate(limit: int | None, period: float | None, taken: Taken, standing: Standing, which: str) -> str:
    again_ms = None if taken.first_ms is None else taken.first_ms + round(window_ms(period or 0.0))
    then = "" if again_ms is None else f"; the next may start in {_duration((again_ms - standing.now_ms) / 1000)}"
    return f"{which or 'which '}has started its limit of {limit} in {_duration(period or 0.0)}{then}"


def _behind(facts: Facts) -> str:
    ahead = facts.standing.ahead
    if not ahead:
        return ""
    return f", behind {ahead}{' or more' if ahead >= AHEAD_MAX else ''} other{'s'[: ahead != 1]}"


# What waits


def _delayed(facts: Facts) -> tuple[str, str]:
    row, standing = facts.row, facts.standing
    if not standing.waits:
        if row.delay_until_ms is None:
            return "delayed", f"is delayed without an instant; {_order(row, 'resume')} queues it"
        if row.delay_until_ms <= standing.now_ms:
            return "due", f"was delayed until {_instant(row.delay_until_ms)}; {_sweep(facts, 'queues it')}"
        return "delayed", f"is delayed {_until(row.delay_until_ms, standing.now_ms)}"
    first = standing.waits[0]
    told = [_wait(wait, standing.now_ms) for wait in standing.waits]
    ends = [wait.until_ms for wait in standing.waits if wait.until_ms is not None]
    if ends and min(ends) <= standing.now_ms:
        return "due", f"has waited until {_instant(min(ends))}; {_sweep(facts, 'queues it')}"
    more = len(told) - WAITS_NAMED_MAX
    named = " or ".join(told[:WAITS_NAMED_MAX]) + (f" or {more} more" if more > 0 else "")
    is_asleep = all(wait.kind == kinds.SLEEP for wait in standing.waits)
    return ("asleep", f"is asleep {named}") if is_asleep else (f"waits_for_{first.kind}", f"waits {named}")


def _wait(wait: Wait, now_ms: int) -> str:
    until = "" if wait.until_ms is None else f", at the latest {_until(wait.until_ms, now_ms)}"
    match wait.kind:
        case kinds.SLEEP:
            return _until(wait.until_ms, now_ms) if wait.until_ms is not None else "for ever"
        case kinds.MESSAGE:
            topic = "without a topic" if wait.key in {"", kinds.NULL_TOPIC} else f"on topic {wait.key!r}"
            return f"for a message {topic}{until}"
        case kinds.EVENT:
            return f"for event {wait.key!r} of workflow {wait.target!r}{until}"
        case kinds.RESULT:
            return f"for the result of workflow {wait.target!r}{until}"
        case kinds.STREAM:
            return f"for the next value of stream {wait.key!r} of workflow {wait.target!r}{until}"
        case _:
            return f"for {wait.kind} {wait.key!r} of {wait.target!r}{until}"


# Words


def _sweep(facts: Facts, does: str) -> str:
    return f"the next sweep {does}" if facts.living else f"the next sweep {does}, but {_nobody(facts)}"


def _nobody(facts: Facts) -> str:
    app = facts.row.app_name
    of = f" of application {app!r}" if app else ""
    return f"no executor{of} lives; `durust up MODULE` starts some"


def _order(row: WorkflowRow, verb: str) -> str:
    return f"`durust workflow {verb} {shlex.quote(row.workflow_id)}`"


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def _instant(epoch_ms: int) -> str:
    try:
        moment = datetime.fromtimestamp(epoch_ms / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return "the end of the calendar"
    return f"{moment:%Y-%m-%d %H:%M:%S}Z"


def _at(epoch_ms: int | None) -> str:
    return "at a time that is not known" if epoch_ms is None else f"at {_instant(epoch_ms)}"


def _until(epoch_ms: int, now_ms: int) -> str:
    return f"until {_instant(epoch_ms)}, in {_duration(max(0, epoch_ms - now_ms) / 1000)}"


def _duration(seconds: float) -> str:
    """Return a duration in the largest unit that shows two digits of it."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"  # noqa: PLR2004  tenths matter below ten
