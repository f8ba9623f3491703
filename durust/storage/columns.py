"""Writes turned into columns: the arrays that one statement takes for a whole batch of a type."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from durust.model.attribute_writes import RecordAttributes, SetAttributes
from durust.model.attributes import both
from durust.model.counts import CountQuery, StepQuery
from durust.model.filters import ClaimRequest, ExecutorQuery, ListFilter, PurgeRequest, QueueWant, Scope, SweepRequest
from durust.model.message_writes import ReceiveMessage, RecordSend
from durust.model.publications import AppendStream, Publication, SetEvent
from durust.model.queues import GRANTS_KEPT_SECONDS, PARTITIONS_MAX, RATE_MARGIN_PART, RATE_MARGIN_SECONDS
from durust.model.records import Lease
from durust.model.standing import AHEAD_MAX, StandingRequest
from durust.model.waits import Wake
from durust.model.writes import (
    INTERNAL_QUEUE,
    AdoptWorkflows,
    AssumeRole,
    Beat,
    CancelWorkflow,
    ChainedWrite,
    DebounceWorkflow,
    DeleteQueue,
    DeleteWorkflow,
    DrainExecutor,
    ExpireWorkflow,
    FinishWorkflow,
    ForkWorkflow,
    HandBack,
    ParkWorkflow,
    PauseQueue,
    PromoteVersion,
    RecordSleep,
    RecordStep,
    RegisterExecutor,
    ResumeWorkflow,
    RunWrite,
    SetDelay,
    StartChild,
    StartWorkflow,
    StoreQueue,
    StoreVersion,
)
from durust.storage import listing
from durust.storage.links import Param, Row

Params = dict[str, Param]


# The advisory locks of places in which no workflow stands yet: their class, a number that nothing else uses, and how
# many there are. With many buckets two workflows seldom share one; a batch never takes more locks than this.
PLACES_LOCK = 0x64757275
PLACES_BUCKETS = 64

# Stands in no text that is worth a shortcut.
_BETWEEN = "\x1f"


def texts(values: Iterable[str | None]) -> str:
    """Write an array of texts the way Postgres reads it."""
    # By hand, because a general adapter looks at each element's type and takes several times as long.
    items = list(values)
    if items and None not in items:
        # Most columns need no quoting: then all of them are looked at, and written, at once.
        together = _BETWEEN.join(items)  # type: ignore[arg-type]  # None is not in it
        if '"' not in together and "\\" not in together and together.count(_BETWEEN) == len(items) - 1:
            return '{"' + together.replace(_BETWEEN, '","') + '"}'
    return "{" + ",".join(["NULL" if value is None else _quote(value) for value in items]) + "}"


def _quote(value: str) -> str:
    if "\\" in value or '"' in value:
        value = value.replace("\\", "\\\\").replace('"', '\\"')
    # Added and not formatted, because an enum's member formats as its name.
    return '"' + value + '"'


def numbers(values: Iterable[float | None]) -> str:
    """Write an array of numbers the way Postgres reads it."""
    # Added to zero, because an enum's member shows its name.
    return "{" + ",".join(["NULL" if value is None else repr(value + 0) for value in values]) + "}"


def milliseconds(seconds: float) -> int:
    """Return *seconds* in whole milliseconds."""
    return round(seconds * 1000)


def register_executors(writes: Sequence[RegisterExecutor]) -> Params:
    """Return the columns of new executors."""
    return {
        "ids": texts(write.executor_id for write in writes),
        "supervisors": texts(write.supervisor_id for write in writes),
        "hosts": texts(write.host for write in writes),
        "boots": texts(write.boot_id for write in writes),
        "namespaces": texts(write.pid_ns for write in writes),
        "pids": numbers(write.pid for write in writes),
        "started": numbers(write.pid_started for write in writes),
        "apps": texts(write.app_name for write in writes),
        "versions": texts(write.app_version for write in writes),
        "ttls": numbers(write.ttl_seconds for write in writes),
    }


def store_versions(writes: Sequence[StoreVersion]) -> Params:
    """Return the columns of versions, and of what they are made of."""
    parts = {
        (write.app_name, write.name, workflow): version for write in writes for workflow, version in write.workflows
    }
    return {
        "ids": texts(write.version_id for write in writes),
        "apps": texts(write.app_name for write in writes),
        "names": texts(write.name for write in writes),
        "executors": texts(write.executor_id for write in writes),
        "part_apps": texts(app for app, _, _ in parts),
        "part_names": texts(name for _, name, _ in parts),
        "workflows": texts(workflow for _, _, workflow in parts),
        "versions": texts(parts.values()),
    }


def promote_version(write: PromoteVersion) -> Params:
    """Return the parameters of one promotion."""
    return {"app": write.app_name, "name": write.name}


def adopt_workflows(write: AdoptWorkflows) -> Params:
    """Return the columns of one adoption."""
    return {
        "ids": texts(write.workflow_ids),
        "versions": texts(write.versions),
        "app": write.app_name,
        "names": texts(write.names),
        "internal": INTERNAL_QUEUE,
    }


def store_queues(writes: Sequence[StoreQueue]) -> Params:
    """Return the columns of queue definitions."""
    return {
        "names": texts(write.name for write in writes),
        "worker": numbers(write.worker_concurrency for write in writes),
        "concurrency": numbers(write.global_concurrency for write in writes),
        "rates": numbers(write.rate_limit for write in writes),
        "periods": numbers(write.rate_period_seconds for write in writes),
        "prioritized": texts(str(write.priority_enabled) for write in writes),
        "partitioned": texts(str(write.partition_queue) for write in writes),
        "partition": numbers(write.partition_concurrency for write in writes),
        "partition_worker": numbers(write.partition_worker_concurrency for write in writes),
        "partition_rates": numbers(write.partition_rate_limit for write in writes),
        "partition_periods": numbers(write.partition_rate_period_seconds for write in writes),
        "apps": texts(write.app_name for write in writes),
        "keeps": texts(str(write.keeps) for write in writes),
    }


def queue_names(writes: Sequence[PauseQueue | DeleteQueue]) -> Params:
    """Return the names of queues."""
    return {"names": texts(write.name for write in writes)}


def end_grants(tokens: Iterable[str]) -> Params:
    """Return the tokens whose shares of a budget end."""
    return {"tokens": texts(tokens)}


def queue_of(write: StartWorkflow) -> str | None:
    """Return the queue that a start's row stands on; a direct start without one is on none."""
    return write.queue if write.lease else write.queue or INTERNAL_QUEUE


def start_workflows(writes: Sequence[StartWorkflow]) -> Params:
    """Return the columns of new workflows."""
    return {
        "ids": texts(write.workflow_id for write in writes),
        "names": texts(write.name for write in writes),
        "queues": texts(queue_of(write) for write in writes),
        "priorities": numbers(write.priority for write in writes),
        "dedups": texts(write.dedup_id for write in writes),
        "delays": numbers(0 if write.lease else milliseconds(write.delay_seconds) for write in writes),
        "versions": texts(write.app_version for write in writes),
        "apps": texts(write.app_name for write in writes),
        "formats": texts(write.serialization for write in writes),
        "creators": texts(write.creator for write in writes),
        "executors": texts(write.lease.executor_id if write.lease else None for write in writes),
        "tokens": texts(write.lease.token if write.lease else None for write in writes),
        "timeouts": numbers(write.timeout_ms for write in writes),
        "deadlines": numbers(write.deadline_ms for write in writes),
        "partitions": texts(write.partition_key for write in writes),
        "schedules": texts(write.schedule_name for write in writes),
        "parents": texts(write.parent_id for write in writes),
        "users": texts(write.authenticated_user for write in writes),
        "roles": texts(write.authenticated_roles for write in writes),
        "attributes": texts(write.attributes for write in writes),
        "inputs": texts(write.inputs for write in writes),
    }


def debounce_workflows(writes: Sequence[DebounceWorkflow]) -> Params:
    """Return the columns of debounced starts; those of a start that they have no use for stand there unused."""
    return start_workflows([write.start for write in writes]) | {
        "periods": numbers(milliseconds(write.period_seconds) for write in writes),
        "limits": numbers(
            None if write.limit_seconds is None else milliseconds(write.limit_seconds) for write in writes
        ),
    }


def set_delays(writes: Sequence[SetDelay]) -> Params:
    """Return the columns of new delays."""
    return {
        "ids": texts(write.workflow_id for write in writes),
        "delays": numbers(milliseconds(write.delay_seconds) for write in writes),
        "internal": INTERNAL_QUEUE,
    }


def _leases(leases: Sequence[Lease]) -> Params:
    return {
        "ids": texts(lease.workflow_id for lease in leases),
        "tokens": texts(lease.token for lease in leases),
        "executors": texts(lease.executor_id for lease in leases),
    }


def chained(writes: Sequence[ChainedWrite]) -> Params:
    """Return the columns by which runs are guarded."""
    return _leases([write.lease for write in writes]) | {"afters": numbers(write.after for write in writes)}


def record_steps(writes: Sequence[RecordStep]) -> Params:
    """Return the columns of recorded steps."""
    return chained(writes) | {
        "places": numbers(write.place for write in writes),
        "names": texts(write.name for write in writes),
        "outputs": texts(write.output for write in writes),
        "errors": texts(write.error for write in writes),
        "formats": texts(write.serialization for write in writes),
        "started": numbers(write.started_at_ms for write in writes),
        "completed": numbers(write.completed_at_ms for write in writes),
    }


def record_sleeps(writes: Sequence[RecordSleep]) -> Params:
    """Return the columns of recorded sleeps."""
    return chained(writes) | {
        "places": numbers(write.place for write in writes),
        "names": texts(write.name for write in writes),
        "lasting": numbers(milliseconds(write.seconds) for write in writes),
        "floors": numbers(write.not_before_ms for write in writes),
    }


def set_attributes(writes: Sequence[SetAttributes]) -> Params:
    """Return the columns of attributes that somebody gives to workflows, those of one workflow together."""
    patches: dict[str, str] = {}
    for write in writes:
        known = patches.get(write.workflow_id)
        patches[write.workflow_id] = write.patch if known is None else both(known, write.patch)
    return {"ids": texts(patches), "patches": texts(patches.values())}


def assume_roles(writes: Sequence[AssumeRole]) -> Params:
    """Return the columns of roles by which runs were let in."""
    return _leases([write.lease for write in writes]) | {"roles": texts(write.role for write in writes)}


def record_attributes(writes: Sequence[RecordAttributes]) -> Params:
    """Return the columns of attributes that runs give to their workflows."""
    return chained(writes) | {
        "places": numbers(write.place for write in writes),
        "names": texts(write.name for write in writes),
        "patches": texts(write.patch for write in writes),
        "started": numbers(write.started_at_ms for write in writes),
        "completed": numbers(write.completed_at_ms for write in writes),
    }


def publish(writes: Sequence[Publication]) -> Params:
    """Return the columns of events that are set, or of values that are appended to streams."""
    return chained(writes) | {
        "places": numbers(write.place for write in writes),
        "names": texts(write.name for write in writes),
        "keys": texts(write.key for write in writes),
        "texts": texts(write.text for write in writes),
        "formats": texts(write.serialization for write in writes),
        "started": numbers(write.started_at_ms for write in writes),
        "completed": numbers(write.completed_at_ms for write in writes),
    }


def start_children(writes: Sequence[StartChild]) -> Params:
    """Return the columns of runs, of their children and of the links; what has no use there stands in them too."""
    return (
        start_workflows([write.start for write in writes])
        | chained(writes)
        | {
            "children": texts(write.start.workflow_id for write in writes),
            "places": numbers(write.place for write in writes),
            "started": numbers(write.started_at_ms for write in writes),
            "completed": numbers(write.completed_at_ms for write in writes),
            "attaching": texts(str(write.attaches) for write in writes),
        }
    )


def classify_children(writes: Sequence[StartChild]) -> Params:
    """Return the keys by which children that are not linked are explained."""
    return {
        "ids": texts(write.start.workflow_id for write in writes),
        "queues": texts(queue_of(write.start) for write in writes),
        "dedups": texts(write.start.dedup_id for write in writes),
    }


def finish_workflows(writes: Sequence[FinishWorkflow]) -> Params:
    """Return the columns of ended runs."""
    return chained(writes) | {
        "statuses": texts(write.status for write in writes),
        "outputs": texts(write.output for write in writes),
        "errors": texts(write.error for write in writes),
        "formats": texts(write.serialization for write in writes),
    }


def park_workflows(writes: Sequence[ParkWorkflow]) -> Params:
    """Return the columns of parked runs and of what they wait for."""
    waits = [(write.lease.workflow_id, wait) for write in writes for wait in write.waits]
    return chained(writes) | {
        "untils": numbers(write.until_ms for write in writes),
        "wait_ids": texts(workflow_id for workflow_id, _ in waits),
        "wait_places": numbers(wait.place for _, wait in waits),
        "wait_kinds": texts(wait.kind for _, wait in waits),
        "wait_targets": texts(wait.target for _, wait in waits),
        "wait_keys": texts(wait.key for _, wait in waits),
        "wait_ats": numbers(wait.at for _, wait in waits),
        "wait_untils": numbers(wait.until_ms for _, wait in waits),
        "internal": INTERNAL_QUEUE,
    }


def hold_awaited(writes: Sequence[ParkWorkflow]) -> Params:
    """Return what parked runs wait for."""
    waits = [wait for write in writes for wait in write.waits]
    return {
        "wait_kinds": texts(wait.kind for wait in waits),
        "wait_targets": texts(wait.target for wait in waits),
        "lock": PLACES_LOCK,
        "buckets": PLACES_BUCKETS,
    }


def hold_buckets(workflow_ids: Iterable[str]) -> Params:
    """Return the workflows of which events are about to be written."""
    return {"ids": texts(workflow_ids), "lock": PLACES_LOCK, "buckets": PLACES_BUCKETS}


def wake_waiters(wakes: Sequence[Wake]) -> Params:
    """Return the columns of what has arrived."""
    return {
        "kinds": texts(wake.kind for wake in wakes),
        "targets": texts(wake.target for wake in wakes),
        "keys": texts(wake.key for wake in wakes),
        "internal": INTERNAL_QUEUE,
    }


def wake_parked(writes: Sequence[ParkWorkflow]) -> Params:
    """Return the ids of parked runs."""
    return {"ids": texts(write.lease.workflow_id for write in writes)}


def hand_back_workflows(writes: Sequence[HandBack]) -> Params:
    """Return the columns of runs that are given back."""
    return _leases([write.lease for write in writes]) | {"internal": INTERNAL_QUEUE}


def expire_workflows(writes: Sequence[ExpireWorkflow]) -> Params:
    """Return the columns of runs whose time may be over."""
    return _leases([write.lease for write in writes])


def cancel_workflows(writes: Sequence[CancelWorkflow]) -> Params:
    """Return the ids of workflows to cancel."""
    return {"ids": texts(write.workflow_id for write in writes)}


def cancel_families(writes: Sequence[CancelWorkflow]) -> Params:
    """Return the ids of workflows whose waiters, and those of all that they led to, are to go on."""
    return cancel_workflows(writes) | {"internal": INTERNAL_QUEUE}


def resume_workflows(writes: Sequence[ResumeWorkflow]) -> Params:
    """Return the columns of workflows to queue again."""
    return {
        "ids": texts(write.workflow_id for write in writes),
        "queues": texts(write.queue for write in writes),
        "internal": INTERNAL_QUEUE,
    }


def fork_workflows(writes: Sequence[ForkWorkflow]) -> Params:
    """Return the columns of forks, and of the children that others stand for in them."""
    children = [(write.fork_id, old, new) for write in writes for old, new in write.children]
    return {
        "ids": texts(write.workflow_id for write in writes),
        "forks": texts(write.fork_id for write in writes),
        "places": numbers(write.start_place for write in writes),
        "creators": texts(write.creator for write in writes),
        "versions": texts(write.app_version for write in writes),
        "queues": texts(write.queue or INTERNAL_QUEUE for write in writes),
        "partitions": texts(write.partition_key for write in writes),
        "timeouts": numbers(write.timeout_ms for write in writes),
        "child_forks": texts(fork for fork, _, _ in children),
        "child_olds": texts(old for _, old, _ in children),
        "child_news": texts(new for _, _, new in children),
    }


def delete_workflows(writes: Sequence[DeleteWorkflow]) -> Params:
    """Return the ids of workflows to remove."""
    return {"ids": texts(write.workflow_id for write in writes)}


def beat(write: Beat) -> Params:
    """Return the parameters of one supervisor's beat."""
    return {"ids": texts(write.executor_ids), "ttl": write.ttl_seconds}


def drain_executors(writes: Sequence[DrainExecutor]) -> Params:
    """Return the ids of executors that drain."""
    return {"ids": texts(write.executor_id for write in writes)}


def retire_executors(executor_ids: Sequence[str], why: str) -> Params:
    """Return the parameters of a retirement's first statement."""
    return {"ids": texts(executor_ids), "why": why}


def release_workflows(executor_ids: Sequence[str]) -> Params:
    """Return the parameters of a retirement's second statement."""
    return {"ids": texts(executor_ids), "internal": INTERNAL_QUEUE}


# One kind for each write that stands at a place; as a tuple, because a union is looked through more slowly.
_PLACED = (RecordStep, RecordSleep, RecordAttributes, SetEvent, AppendStream, RecordSend, ReceiveMessage, StartChild)
# What a run writes without looking at what it wrote before.
_UNCHAINED = (AssumeRole, HandBack, ExpireWorkflow)


def classify_runs(writes: Sequence[RunWrite]) -> Params:
    """Return the columns that ask what stands for the writes of runs."""
    return {
        "ids": texts(write.lease.workflow_id for write in writes),
        "places": numbers(write.place if isinstance(write, _PLACED) else None for write in writes),
        "afters": numbers(None if isinstance(write, _UNCHAINED) else write.after for write in writes),
    }


def classify_starts(writes: Sequence[StartWorkflow]) -> Params:
    """Return the columns that ask what stands for starts."""
    return {
        "ids": texts(write.workflow_id for write in writes),
        "queues": texts(queue_of(write) for write in writes),
        "dedups": texts(write.dedup_id for write in writes),
        "executors": texts(write.lease.executor_id if write.lease else None for write in writes),
    }


def classify_moves(writes: Sequence[CancelWorkflow | ResumeWorkflow | SetDelay]) -> Params:
    """Return the columns that ask, as for starts, what stands for cancels, resumes and new delays."""
    return classify_ids(write.workflow_id for write in writes)


def classify_ids(workflow_ids: Iterable[str]) -> Params:
    """Return the columns that ask, as for starts, for the rows of those ids alone."""
    ids = list(workflow_ids)
    nothing = texts(None for _ in ids)
    return {"ids": texts(ids), "queues": nothing, "dedups": nothing, "executors": nothing}


def scope(of: Scope) -> Params:
    """Return whose rows are meant."""
    return {"app": of.app_name, "names": texts(of.names)}


def claim_workflows(request: ClaimRequest) -> Params:
    """Return the parameters of a claim from the queues without a budget."""
    return scope(request.scope) | {
        "executor": request.executor_id,
        "versions": texts(request.versions),
        "queues": texts(queue.name for queue in request.queues),
        "limits": numbers(queue.limit for queue in request.queues),
        "running": numbers(queue.running for queue in request.queues),
        "limit": request.limit,
        "internal": INTERNAL_QUEUE,
    }


def claim_budgeted(request: ClaimRequest, want: QueueWant, limit: int, after: str) -> Params:
    """Return the parameters of a claim from a queue with a budget, whose partitions are looked at from *after* on."""
    return scope(request.scope) | {
        "executor": request.executor_id,
        "versions": texts(request.versions),
        "queue": want.name,
        "internal": INTERNAL_QUEUE,
        "limit": limit,
        "running": want.running,
        "after": after,
        "keys": PARTITIONS_MAX,
        "margin": RATE_MARGIN_SECONDS,
        "part": RATE_MARGIN_PART,
    }


def sweep(request: SweepRequest) -> Params:
    """Return the parameters of a sweep's statements."""
    return scope(request.scope) | {
        "limit": request.limit,
        "internal": INTERNAL_QUEUE,
        "kept": GRANTS_KEPT_SECONDS,
    }


def find_purgeable(request: PurgeRequest) -> Params:
    """Return the parameters of a look for what a purge may remove."""
    age = request.ended_before_seconds
    return scope(request.scope) | {
        "age": None if age is None else milliseconds(age),
        "keep": request.keep_newest,
        "statuses": texts(request.statuses),
        "limit": request.limit,
    }


def purge_workflows(request: PurgeRequest, found: Sequence[Row]) -> Params:
    """Return the columns of workflows to remove, each with the end that it was found with."""
    return {
        "ids": texts(row[0] for row in found),
        "ends": numbers(row[1] for row in found),
        "statuses": texts(request.statuses),
    }


def forget_executors(request: PurgeRequest) -> Params:
    """Return the parameters of forgetting executors."""
    return {
        "app": request.scope.app_name,
        "dead_age": milliseconds(request.dead_before_seconds),
        "limit": request.limit,
    }


def _any_of(values: Iterable[str] | None) -> str | None:
    return None if values is None else texts(values)


def list_workflows(query: ListFilter) -> Params:
    """Return the parameters of a list; a filter that is not set is NULL."""
    return listing.conditions(query, _any_of) | listing.page(query)


def count_workflows(query: CountQuery) -> Params:
    """Return the parameters of a count."""
    return listing.conditions(query.filter, _any_of) | listing.groups(query) | {"by": texts(query.by)}


def count_steps(query: StepQuery) -> Params:
    """Return the parameters of a count of steps."""
    return listing.steps(query, _any_of)


def standing(request: StandingRequest) -> Params:
    """Return the parameters of the question how things stand for a workflow."""
    return {
        "id": request.workflow_id,
        "span": request.span_ms,
        "partition_span": request.partition_span_ms,
        "bound": AHEAD_MAX,
    }


def list_executors(query: ExecutorQuery) -> Params:
    """Return the parameters of a list of executors."""
    return {
        "ids": _any_of(query.executor_ids),
        "boot": query.boot_id,
        "supervisor": query.supervisor_id,
        "states": texts(query.states),
    }
