"""One batch of writes on Postgres: a statement or two for each type, and what each write is answered."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from durust.errors import ProviderUnavailable
from durust.model.attribute_writes import RecordAttributes, SetAttributes
from durust.model.copies import ImportWorkflows
from durust.model.message_writes import ReceiveMessage, RecordSend, SendMessages
from durust.model.publications import AppendStream, Closed, SetEvent
from durust.model.schedule_writes import (
    DeleteSchedule,
    Fired,
    FireTicks,
    Moved,
    PauseSchedule,
    ResumeSchedule,
    ScheduleExists,
    StoreSchedule,
)
from durust.model.status import ENQUEUED, PENDING, TRANSITIONS, Event, recorded
from durust.model.waits import SLEEP
from durust.model.wakes import wakes_of, with_queues
from durust.model.writes import (
    APPLY_ORDER,
    Adopted,
    AdoptWorkflows,
    Alive,
    AssumeRole,
    Beat,
    CalledOff,
    CancelWorkflow,
    DebounceWorkflow,
    DeleteQueue,
    DeleteWorkflow,
    Diverged,
    DrainExecutor,
    Duplicate,
    EndGrants,
    Existing,
    ExpireWorkflow,
    Fenced,
    FinishWorkflow,
    ForkWorkflow,
    HandBack,
    HistoryLost,
    Missing,
    Nothing,
    Outcome,
    ParkWorkflow,
    PauseQueue,
    PlacedWrite,
    PromoteVersion,
    Recorded,
    RecordSleep,
    RecordStep,
    Refused,
    RegisterExecutor,
    Released,
    ResumeWorkflow,
    Retire,
    RunWrite,
    SetDelay,
    StartChild,
    StartWorkflow,
    StoreQueue,
    StoreVersion,
    Unexpired,
    Write,
    taken,
)
from durust.storage import columns, copy_columns, debounces, message_columns, rows, schedule_columns, statements
from durust.storage.links import Call, Row
from durust.storage.retries import RECORDED, own_retry

SQL = statements.load("postgres")

# A write is sent again when what stands explains neither that it was written nor that it was not: its key was taken by
# a neighbour of the batch that was refused, or the row changed in between. Each round settles one write of each key.
ROUNDS_MAX = 64

Run = Callable[[Sequence[Call]], list[list[Row]]]
Results = list[list[Row]]
# Some outcomes by the index of their write.
Answers = dict[int, Outcome]
Group = list[tuple[int, Any]]


@dataclass(frozen=True, slots=True)
class _Kind:
    """How one type of write is sent: what two in one statement must not share, if anything; the calls; the results."""

    key: Callable[[Any], Any] | None
    calls: Callable[[list[Any]], list[Call]]
    read: Callable[[Group, Results], Answers]


# The advisory lock of batches that met others in a deadlock: a number that nothing else uses.
TURNS_LOCK = 0x6475727573747472


def commit(run: Run, writes: Sequence[Write], *, in_turn: bool = False) -> list[Outcome]:
    """Send *writes* through *run*, each of whose calls is one transaction, and return their outcomes.

    With *in_turn* it goes when no other such batch is under way: for one that has met others in a deadlock, and would
    meet them again.
    Raises what *run* raises, and `ProviderUnavailable` for writes that the bound leaves unanswered.
    """
    answers: Answers = {}
    open_writes: Group = list(enumerate(writes))
    if not open_writes:
        return []
    for _ in range(ROUNDS_MAX):
        answers |= _send(run, open_writes, in_turn=in_turn)
        unanswered = [(index, write) for index, write in open_writes if index not in answers]
        answers |= _classify(run, unanswered)
        open_writes = [(index, write) for index, write in unanswered if index not in answers]
        if not open_writes:
            return [answers[index] for index in range(len(writes))]
    raise ProviderUnavailable(
        "Postgres", f"{len(open_writes)} writes are neither done nor refused: {open_writes[0][1]}"
    )


def start_alone(write: StartWorkflow) -> Generator[Call, list[Row], Outcome]:
    """Yield the calls of one start, be sent the rows of each, and return its outcome.

    For whoever runs them inside a transaction of his own. Raises `ProviderUnavailable` when the bound is reached.
    """
    for _ in range(ROUNDS_MAX):
        started = yield Call(SQL.start_workflows, columns.start_workflows([write]))
        answers = _starts([(0, write)], [started])
        if answers:
            return answers[0]
        [standing] = yield Call(SQL.classify_starts, columns.classify_starts([write]))
        outcome = _explain_start(write, standing)
        if outcome is not None:
            return outcome
    raise ProviderUnavailable("Postgres", f"a start is neither done nor refused: {write}")


def explain_step(write: RecordStep, row: Row) -> Outcome | None:
    """Return why a step that was written alone did not come back, or None when it should be sent again."""
    return _explain(write, row)


def _send(run: Run, open_writes: Group, *, in_turn: bool) -> Answers:
    """Send the first write of each key in one transaction, and answer those that the statements answer."""
    groups = [(_KINDS[kind], group) for kind, group in _groups(open_writes)]
    calls = [kind.calls([write for _, write in group]) for kind, group in groups]
    locks = [Call(SQL.take_turn, {"lock": TURNS_LOCK})] if in_turn else []
    locks += _locks([write for _, group in groups for _, write in group])
    wakes = [wake for _, group in groups for _, write in group for wake in wakes_of(write)]
    # Wakes come last, in a snapshot of their own.
    last = [Call(SQL.wake_waiters, columns.wake_waiters(wakes), is_hot=True)] if wakes else []
    if trees := [write for _, group in groups for _, write in group if _is_cascade(write)]:
        last.append(Call(SQL.wake_family_waiters, columns.cancel_families(trees)))
    results = iter(run([call for each in (locks, *calls, last) for call in each])[len(locks) :])
    answers: Answers = {}
    for (kind, group), each in zip(groups, calls, strict=True):
        answers |= kind.read(group, [next(results) for _ in each])
    if queues := frozenset(row[0] for woken in results for row in woken):
        _tell(answers, groups, queues)
    return answers


def _locks(writes: list[Write]) -> list[Call]:
    """Return what locks the rows of a batch that sends messages, and no call for any other batch.

    Every other batch touches the rows of its own runs alone, or few enough in one statement.
    """
    letters = [letter for write in writes if isinstance(write, SendMessages | RecordSend) for letter in write.letters]
    if not letters:
        return []
    ids = [letter.destination_id for letter in letters]
    ids += [write.lease.workflow_id for write in writes if isinstance(write, _GUARDED)]
    return [Call(SQL.lock_workflows, message_columns.lock_workflows(ids), is_hot=True)]


def _tell(answers: Answers, groups: list[tuple[_Kind, Group]], queues: frozenset[str]) -> None:
    """Have one of the writes that woke somebody tell the queues."""
    for _, group in groups:
        for index, write in group:
            if index in answers and wakes_of(write):
                answers[index] = with_queues(answers[index], queues)
                return


def _groups(open_writes: Group) -> Iterator[tuple[type, Group]]:
    by_type: dict[type, Group] = {}
    for item in open_writes:
        by_type.setdefault(type(item[1]), []).append(item)
    for kind in APPLY_ORDER:
        if kind in by_type:
            yield kind, _firsts(by_type[kind], _KINDS[kind].key)


def _firsts(group: Group, key: Callable[[Any], Any] | None) -> Group:
    if key is None:
        return group
    firsts: dict[Any, tuple[int, Any]] = {}
    for item in group:
        firsts.setdefault(key(item[1]), item)
    return list(firsts.values())


def _classify(run: Run, unanswered: Group) -> Answers:
    """Answer what did not come back by what stands now."""
    runs = [item for item in unanswered if isinstance(item[1], _GUARDED)]
    starts = [item for item in unanswered if isinstance(item[1], StartWorkflow)]
    debounced = [item for item in unanswered if isinstance(item[1], DebounceWorkflow)]
    delays = [item for item in unanswered if isinstance(item[1], SetDelay)]
    moves = [item for item in unanswered if isinstance(item[1], CancelWorkflow | ResumeWorkflow)]
    trees = [item for item in moves if _is_cascade(item[1])]
    moves = [item for item in moves if not _is_cascade(item[1])]
    children = [item for item in unanswered if isinstance(item[1], StartChild)]
    answers: Answers = {}
    if runs:
        call = Call(SQL.classify_runs, columns.classify_runs([write for _, write in runs]))
        answers |= _explained(runs, run([call])[0], _explain)
    if starts:
        call = Call(SQL.classify_starts, columns.classify_starts([write for _, write in starts]))
        answers |= _explained(starts, run([call])[0], _explain_start)
    if debounced:
        met = debounces.meeting(debounced)
        call = Call(SQL.classify_debounces, columns.debounce_workflows([debounces.merged(each) for each in met]))
        for writes, row in zip(met, run([call])[0], strict=True):
            answers |= _explain_debounce(writes, row)
    if delays:
        call = Call(SQL.classify_starts, columns.classify_moves([write for _, write in delays]))
        answers |= _explained(delays, run([call])[0], _explain_delay)
    if moves:
        call = Call(SQL.classify_starts, columns.classify_moves([write for _, write in moves]))
        answers |= _explained(moves, run([call])[0], _explain_move)
    if trees:
        [found] = run([Call(SQL.classify_trees, columns.cancel_workflows([write for _, write in trees]))])
        answers |= _explained(trees, found, _explain_tree)
    if children:
        begun = [write for _, write in children]
        calls = [
            Call(SQL.classify_runs, columns.classify_runs(begun)),
            Call(SQL.classify_children, columns.classify_children(begun)),
        ]
        found = [(*parent, *child) for parent, child in zip(*run(calls), strict=True)]
        answers |= _explained(children, found, _explain_child)
    if forks := [item for item in unanswered if isinstance(item[1], ForkWorkflow)]:
        answers |= _explain_forks(run, forks)
    for index, write in unanswered:
        if isinstance(write, ImportWorkflows):
            answers |= _explain_import(run, index, write)
        if isinstance(write, StoreSchedule):
            answers |= _explain_store(run, index, write)
    return answers


def _is_cascade(write: Write) -> bool:
    return isinstance(write, CancelWorkflow) and write.children


def _explain_forks(run: Run, forks: Group) -> Answers:
    """Answer what has the id of each fork, or that its source is missing; of the others nothing, to send them again."""
    made, sources = run(
        [
            Call(SQL.classify_starts, columns.classify_ids(write.fork_id for _, write in forks)),
            Call(SQL.classify_starts, columns.classify_ids(write.workflow_id for _, write in forks)),
        ]
    )
    answers: Answers = {}
    for (index, write), (_, _, *record), (_, _, source, *_) in zip(forks, made, sources, strict=True):
        if record[0] is not None:
            standing = rows.workflow(record)
            answers[index] = RECORDED if standing.creator == write.creator else Existing(standing)
        elif source is None:
            answers[index] = Missing()
    return answers


def _explain_import(run: Run, index: int, write: ImportWorkflows) -> Answers:
    """Answer which id is taken; none when it was deleted meanwhile, and the write is sent again."""
    ids = columns.classify_ids(copy.row.workflow_id for copy in write.copies)
    taken_by = [rows.workflow(record) for _, _, *record in run([Call(SQL.classify_starts, ids)])[0] if record[0]]
    if not taken_by:
        return {}
    is_own_retry = all(row.creator == write.creator for row in taken_by)
    return {index: RECORDED if is_own_retry else Existing(taken_by[0])}


def _explain_store(run: Run, index: int, write: StoreSchedule) -> Answers:
    """Answer which schedule has the name; none when it was deleted meanwhile, and the write is sent again."""
    stored = rows.schedules(run([Call(SQL.list_schedules)])[0])
    for row in stored.rows:
        if row.name == write.name:
            return {index: RECORDED if row.schedule_id == write.schedule_id else ScheduleExists(row)}
    return {}


# As many columns as `classify_runs` answers.
_RUN_COLUMNS = 14
# A pass over a workflow and all that it led to, one for what was being started then, and one that finds nothing new.
# Where the last one finds something too, all is sent again.
CASCADE_PASSES = 3

_GUARDED = (
    AssumeRole,
    RecordStep,
    RecordSleep,
    RecordAttributes,
    SetEvent,
    AppendStream,
    RecordSend,
    ReceiveMessage,
    FinishWorkflow,
    ParkWorkflow,
    HandBack,
    ExpireWorkflow,
)


def _key_of(write: Any) -> Any:
    key = _KINDS[type(write)].key
    return key(write) if key else None


def _explained(group: Group, found: list[Row], explain: Callable[[Any, Row], Outcome | None]) -> Answers:
    answers: Answers = {}
    still_open = set()
    for (index, write), row in zip(group, found, strict=True):
        key = type(write), _key_of(write)
        # What comes behind an open write of its key was not sent yet, so nothing explains it.
        outcome = None if key in still_open else explain(write, row)
        if outcome is None:
            still_open.add(key)
        else:
            answers[index] = outcome
    return answers


def _explain(write: RunWrite, row: Row) -> Outcome | None:
    """Return why a run's write did not come back, or None when it should be sent again."""
    status, executor_id, token, left_ms, is_chained, *record = row
    lease = write.lease
    standing = None if record[0] is None else rows.checkpoint(record)
    if own := own_retry(write, standing):
        return own
    if isinstance(write, FinishWorkflow) and token == lease.token and recorded(status).is_terminal:
        return Recorded()
    if status != PENDING or (executor_id, token) != (lease.executor_id, lease.token):
        return Fenced(executor_id if status == PENDING else None)
    if isinstance(write, ExpireWorkflow):
        return Unexpired(left_ms) if left_ms is None or left_ms > 0 else None
    if standing is not None:
        return Diverged(standing)
    return None if is_chained else HistoryLost()


def _explain_child(write: StartChild, row: Row) -> Outcome | None:
    """Return why a child was not linked, or None when the write should be sent again."""
    of_parent, (holder, holder_name, *record) = row[:_RUN_COLUMNS], row[_RUN_COLUMNS:]
    outcome = _explain(write, of_parent)
    if outcome is not None:
        return outcome
    if record[0] is not None:
        standing = rows.workflow(record)
        return None if standing.name == write.start.name else Existing(standing)
    if holder is None or (write.attaches and holder_name == write.start.name):
        return None
    return Duplicate(holder)


def _explain_tree(_: CancelWorkflow, row: Row) -> Outcome | None:
    """Return why a cancel with children ended nothing, or None where something is left and it should be sent again."""
    is_there, is_left = row
    if not is_there:
        return Missing()
    return None if is_left else CalledOff(())


def _explain_start(write: StartWorkflow, row: Row) -> Outcome | None:
    """Return why a start did not come back, or None when it should be sent again."""
    holder, executor_state, *record = row
    if record[0] is not None:
        standing = rows.workflow(record)
        is_own_retry = standing.creator == write.creator
        return Recorded(now_ms=standing.created_at_ms) if is_own_retry else Existing(standing)
    if holder is not None:
        return Duplicate(holder)
    return Fenced() if write.lease and executor_state != "LIVE" else None


def _explain_debounce(writes: debounces.Group, row: Row) -> Answers:
    """Return why the debounced starts of one key did not come back; nothing for those that should be sent again."""
    own, is_waiting, holder, *record = row
    if own is not None:
        return {index: Recorded(workflow_id=own) for index, _ in writes}
    if is_waiting:
        return {}
    if record[0] is not None:
        # Only the first one asked for that id; the others go on without it.
        return {writes[0][0]: Existing(rows.workflow(record))}
    return {} if holder is None else {index: Duplicate(holder) for index, _ in writes}


def _explain_delay(_: SetDelay, row: Row) -> Outcome:
    """Return why a delay did not come back: of a row that is delayed all the same it is that its run is parked."""
    record = row[2:]
    return Missing() if record[0] is None else Existing(rows.workflow(record))


def _explain_move(write: CancelWorkflow | ResumeWorkflow, row: Row) -> Outcome | None:
    """Return why a cancel or a resume did not come back, or None when it should be sent again."""
    _, _, *record = row
    if record[0] is None:
        return Missing()
    standing = rows.workflow(record)
    event = Event.CANCEL if isinstance(write, CancelWorkflow) else Event.RESUME
    return None if standing.status in TRANSITIONS[event].sources else Existing(standing)


# ---------------------------------------------------------------------------------------------------------------------


def _by_id(found: Group, results: Results) -> Answers:
    """Answer the writes whose workflow came back."""
    came_back = {row[0] for row in results[0]}
    return {index: RECORDED for index, write in found if write.lease.workflow_id in came_back}


def _moved(found: Group, results: Results) -> Answers:
    """Answer the cancels or resumes whose workflow came back."""
    came_back = {row[0] for row in results[0]}
    return {index: RECORDED for index, write in found if write.workflow_id in came_back}


def _cancelling(writes: list[CancelWorkflow]) -> list[Call]:
    alone = [write for write in writes if not write.children]
    trees = [write for write in writes if write.children]
    calls = [Call(SQL.cancel_workflows, columns.cancel_workflows(alone))] if alone else []
    passes = [Call(SQL.cancel_trees, columns.cancel_workflows(trees))] * CASCADE_PASSES if trees else []
    return [*calls, *passes]


def _cancelled(found: Group, results: Results) -> Answers:
    """Answer the cancels whose workflow came back, and those with children whose last pass found nothing new."""
    alone = [(index, write) for index, write in found if not write.children]
    trees = [(index, write) for index, write in found if write.children]
    answers = _moved(alone, results) if alone else {}
    passes = results[-CASCADE_PASSES:] if trees else []
    is_open = {root for root, _ in passes[-1]} if passes else set()
    for index, write in trees:
        ended = sorted(ended for each in passes for root, ended in each if root == write.workflow_id)
        if ended and write.workflow_id not in is_open:
            answers[index] = CalledOff(tuple(ended))
    return answers


def _children(found: Group, results: Results) -> Answers:
    came_back = {(row[0], row[1]): row[2] for row in results[0]}
    return {
        index: Recorded(workflow_id=came_back[key]) for index, write in found if (key := _place_of(write)) in came_back
    }


def _forked(found: Group, results: Results) -> Answers:
    """Answer the forks that were made."""
    made = {row[0] for row in results[0]}
    return {index: RECORDED for index, write in found if write.fork_id in made}


def _deleted(found: Group, results: Results) -> Answers:
    """Answer the removals: what was not there is missing."""
    came_back = {row[0] for row in results[1]}
    return {index: RECORDED if write.workflow_id in came_back else Missing() for index, write in found}


def _by_place(found: Group, results: Results) -> Answers:
    """Answer the records whose place came back, with what the database computed for them."""
    came_back = {(row[0], row[1]): row[2:] for row in results[0]}
    return {
        index: Recorded(output=came_back[key][0]) if came_back[key] else RECORDED
        for index, write in found
        if (key := _place_of(write)) in came_back
    }


def _sent(found: Group, results: Results) -> Answers:
    """Answer the sends of runs that were recorded, or name a workflow that is not there."""
    came_back = {(row[0], row[1]): RECORDED if row[2] is None else Missing(row[2]) for row in results[0]}
    return {index: came_back[key] for index, write in found if (key := _place_of(write)) in came_back}


def _delivered(found: Group, results: Results) -> Answers:
    lost: dict[int, str] = dict(results[0])
    return {index: Missing(lost[number]) if number in lost else RECORDED for number, (index, _) in enumerate(found)}


def _received(found: Group, results: Results) -> Answers:
    came_back: dict[tuple[str, int], Outcome] = {
        (workflow_id, place): Recorded(output=output, serialization=serialization) if is_recorded else Nothing()
        for workflow_id, place, is_recorded, output, serialization in results[0]
    }
    return {index: came_back[key] for index, write in found if (key := _place_of(write)) in came_back}


def _starts(found: Group, results: Results) -> Answers:
    came_back = {row[0]: Duplicate(row[2]) if row[1] is None else Recorded(now_ms=row[1]) for row in results[0]}
    return {index: came_back[write.workflow_id] for index, write in found if write.workflow_id in came_back}


def _debounces(found: Group, results: Results) -> Answers:
    came_back = {row[0]: Recorded(workflow_id=row[1]) if row[1] else Duplicate(row[2]) for row in results[1]}
    # The last write of a key was sent for all of them.
    return {
        index: came_back[last.start.creator]
        for writes in debounces.meeting(found)
        for last in (writes[-1][1],)
        if last.start.creator in came_back
        for index, _ in writes
    }


def _delayed(found: Group, results: Results) -> Answers:
    # What is queued already needs nothing more where no delay was asked for.
    is_queued = {row[0] for row in results[0] if row[1] == ENQUEUED}
    came_back = {row[0] for row in results[1]}
    return {
        index: RECORDED
        for index, write in found
        if write.workflow_id in came_back
        or (write.workflow_id in is_queued and columns.milliseconds(write.delay_seconds) <= 0)
    }


def _marked(found: Group, results: Results) -> Answers:
    came_back = {row[0] for row in results[0]}
    return {index: RECORDED if write.workflow_id in came_back else Missing() for index, write in found}


def _all_recorded(found: Group, _results: Results) -> Answers:
    return {index: RECORDED for index, _ in found}


def _alive(found: Group, results: Results) -> Answers:
    return {
        index: Alive(frozenset(row[0] for row in came_back))
        for (index, _), came_back in zip(found, results, strict=True)
    }


def _named(found: Group, results: Results) -> Answers:
    came_back = {row[0] for rows_ in results for row in rows_}
    return {index: Recorded() if write.name in came_back else Missing() for index, write in found}


def _drained(found: Group, results: Results) -> Answers:
    came_back = {row[0] for row in results[0]}
    return {index: Recorded() if write.executor_id in came_back else Missing() for index, write in found}


def _released(found: Group, results: Results) -> Answers:
    return {
        index: Released(tuple(sorted(row[0] for row in released)), frozenset(row[1] for row in released))
        for (index, _), released in zip(found, results[1::2], strict=True)
    }


def _stored(found: Group, results: Results) -> Answers:
    return {index: RECORDED for (index, _), came_back in zip(found, results, strict=True) if came_back}


def _found(found: Group, results: Results) -> Answers:
    return {index: RECORDED if came_back else Missing() for (index, _), came_back in zip(found, results, strict=True)}


def _firing(writes: list[FireTicks]) -> list[Call]:
    return [
        Call(SQL.adopt_schedules, schedule_columns.adopt_schedules(write))
        if write.schedule.settled_ms is None
        else Call(SQL.fire_ticks, schedule_columns.fire_ticks(write))
        for write in writes
    ]


def _fired(found: Group, results: Results) -> Answers:
    return {
        index: Fired(tuple(row[1] for row in came_back if row[1:] not in {(), (None,)})) if came_back else Moved()
        for (index, _), came_back in zip(found, results, strict=True)
    }


def _stored_versions(found: Group, results: Results) -> Answers:
    """Answer by who owns the name; of one that somebody stores right now nothing comes back, so it is sent again."""
    owners: dict[str, str | None] = dict(results[0])
    return {
        index: RECORDED if owners[write.name] == write.app_name else Refused(taken(write, owners[write.name]))
        for index, write in found
        if write.name in owners
    }


def _promoted(found: Group, results: Results) -> Answers:
    return {index: RECORDED if rows else Missing() for (index, _), rows in zip(found, results, strict=True)}


def _adopted(found: Group, results: Results) -> Answers:
    return {
        index: Adopted(tuple(sorted(row[0] for row in rows)), frozenset(row[1] for row in rows))
        for (index, _), rows in zip(found, results, strict=True)
    }


def _by_key(writes: Iterable[Any], key: Callable[[Any], str]) -> list[Any]:
    """Return the last write of each key: two of one in a statement would touch one row twice."""
    return list({key(write): write for write in writes}.values())


def _appended(found: Group, results: Results) -> Answers:
    """Answer what came back: recorded, or behind the end of its stream."""
    came_back = {(row[0], row[1]): Closed() if row[2] else RECORDED for row in results[0]}
    return {index: came_back[key] for index, write in found if (key := _place_of(write)) in came_back}


def _place_of(write: PlacedWrite) -> tuple[str, int]:
    return write.lease.workflow_id, write.place


def _retirement(writes: list[Retire]) -> list[Call]:
    """Return two calls for each write: mark, then, in a later snapshot, release."""
    return [
        call
        for write in writes
        for call in (
            Call(SQL.retire_executors, columns.retire_executors(write.executor_ids, write.why)),
            Call(SQL.release_workflows, columns.release_workflows(write.executor_ids)),
        )
    ]


def _standing(writes: list[StoreQueue]) -> list[StoreQueue]:
    """Return for each queue the definition that stands after all: the last that replaces, else the first that keeps."""
    keeping = _by_key(reversed([write for write in writes if write.keeps]), lambda write: write.name)
    return _by_key([*keeping, *(write for write in writes if not write.keeps)], lambda write: write.name)


def _pauses(writes: list[PauseQueue]) -> list[Call]:
    paused = [write for write in writes if write.is_paused]
    unpaused = [write for write in writes if not write.is_paused]
    return [
        Call(statement, columns.queue_names(group))
        for statement, group in ((SQL.pause_queues, paused), (SQL.unpause_queues, unpaused))
        if group
    ]


def _and_end_grants(calls: list[Call], writes: list[Any]) -> list[Call]:
    """Return *calls* and, where the runs have any, what ends their shares of a budget in the same transaction."""
    tokens = [write.lease.token for write in writes if write.lease.has_grant]
    return [*calls, Call(SQL.end_grants, columns.end_grants(tokens), is_hot=True)] if tokens else calls


def _debouncing(writes: list[DebounceWorkflow]) -> list[Call]:
    """Return two calls: what is due leaves its key, then, in a later snapshot, bounce what waits or begin anew."""
    params = columns.debounce_workflows([debounces.merged(each) for each in debounces.meeting(list(enumerate(writes)))])
    return [Call(SQL.queue_overdue, params, is_hot=True), Call(SQL.debounce_workflows, params, is_hot=True)]


def _id_of(write: RecordAttributes | AssumeRole | FinishWorkflow | ParkWorkflow | HandBack | ExpireWorkflow) -> str:
    return write.lease.workflow_id


_KINDS: dict[type, _Kind] = {
    RegisterExecutor: _Kind(
        key=None,
        # The first of one executor stands.
        calls=lambda writes: [
            Call(
                SQL.register_executors,
                columns.register_executors(_by_key(reversed(writes), lambda write: write.executor_id)),
            )
        ],
        read=_all_recorded,
    ),
    StoreVersion: _Kind(
        key=lambda write: write.name,
        calls=lambda writes: [Call(SQL.store_versions, columns.store_versions(writes))],
        read=_stored_versions,
    ),
    PromoteVersion: _Kind(
        key=None,
        calls=lambda writes: [Call(SQL.promote_versions, columns.promote_version(write)) for write in writes],
        read=_promoted,
    ),
    AdoptWorkflows: _Kind(
        key=None,
        calls=lambda writes: [Call(SQL.adopt_workflows, columns.adopt_workflows(write)) for write in writes],
        read=_adopted,
    ),
    StoreQueue: _Kind(
        key=None,
        calls=lambda writes: [Call(SQL.store_queues, columns.store_queues(_standing(writes)))],
        read=_all_recorded,
    ),
    PauseQueue: _Kind(key=lambda write: write.name, calls=_pauses, read=_named),
    DeleteQueue: _Kind(
        key=lambda write: write.name,
        calls=lambda writes: [Call(SQL.delete_queues, columns.queue_names(writes))],
        read=_named,
    ),
    StoreSchedule: _Kind(
        key=None,
        calls=lambda writes: [Call(SQL.store_schedules, schedule_columns.store_schedules(write)) for write in writes],
        read=_stored,
    ),
    PauseSchedule: _Kind(
        key=None,
        calls=lambda writes: [Call(SQL.pause_schedules, schedule_columns.named(write.name)) for write in writes],
        read=_found,
    ),
    ResumeSchedule: _Kind(
        key=None,
        calls=lambda writes: [Call(SQL.resume_schedules, schedule_columns.named(write.name)) for write in writes],
        read=_found,
    ),
    DeleteSchedule: _Kind(
        key=None,
        calls=lambda writes: [Call(SQL.delete_schedules, schedule_columns.named(write.name)) for write in writes],
        read=_found,
    ),
    FireTicks: _Kind(key=None, calls=_firing, read=_fired),
    StartWorkflow: _Kind(
        key=lambda write: write.workflow_id,
        calls=lambda writes: [Call(SQL.start_workflows, columns.start_workflows(writes), is_hot=True)],
        read=_starts,
    ),
    DebounceWorkflow: _Kind(key=None, calls=_debouncing, read=_debounces),
    SetDelay: _Kind(
        key=None,
        # The last of one workflow stands.
        calls=lambda writes: [
            Call(SQL.lock_delayed, columns.set_delays(_by_key(writes, lambda write: write.workflow_id))),
            Call(SQL.set_delays, columns.set_delays(_by_key(writes, lambda write: write.workflow_id))),
        ],
        read=_delayed,
    ),
    RecordStep: _Kind(
        key=_place_of,
        calls=lambda writes: [Call(SQL.record_steps, columns.record_steps(writes), is_hot=True)],
        read=_by_place,
    ),
    SetAttributes: _Kind(
        key=None,
        calls=lambda writes: [Call(SQL.set_attributes, columns.set_attributes(writes))],
        read=_marked,
    ),
    AssumeRole: _Kind(
        key=_id_of,
        calls=lambda writes: [Call(SQL.assume_roles, columns.assume_roles(writes), is_hot=True)],
        read=_by_id,
    ),
    RecordAttributes: _Kind(
        # One row is changed once in a statement, so the next one of a run is sent again.
        key=_id_of,
        calls=lambda writes: [Call(SQL.record_attributes, columns.record_attributes(writes), is_hot=True)],
        read=_by_place,
    ),
    RecordSleep: _Kind(
        key=_place_of,
        calls=lambda writes: [Call(SQL.record_sleeps, columns.record_sleeps(writes), is_hot=True)],
        read=_by_place,
    ),
    SetEvent: _Kind(
        key=_place_of,
        calls=lambda writes: [
            Call(SQL.hold_buckets, columns.hold_buckets(write.lease.workflow_id for write in writes), is_hot=True),
            Call(SQL.set_events, columns.publish(writes), is_hot=True),
        ],
        read=lambda found, results: _by_place(found, results[1:]),
    ),
    AppendStream: _Kind(
        key=_place_of,
        calls=lambda writes: [Call(SQL.append_streams, columns.publish(writes), is_hot=True)],
        read=_appended,
    ),
    RecordSend: _Kind(
        key=_place_of,
        calls=lambda writes: [Call(SQL.record_sends, message_columns.record_sends(writes), is_hot=True)],
        read=_sent,
    ),
    SendMessages: _Kind(
        key=None,
        calls=lambda writes: [Call(SQL.send_messages, message_columns.send_messages(writes), is_hot=True)],
        read=_delivered,
    ),
    ReceiveMessage: _Kind(
        # Two of one topic in one statement would pick the same message.
        key=lambda write: (write.lease.workflow_id, write.topic),
        calls=lambda writes: [Call(SQL.receive_messages, message_columns.receive_messages(writes), is_hot=True)],
        read=_received,
    ),
    StartChild: _Kind(
        key=_place_of,
        calls=lambda writes: [Call(SQL.start_children, columns.start_children(writes), is_hot=True)],
        read=_children,
    ),
    FinishWorkflow: _Kind(
        key=_id_of,
        calls=lambda writes: _and_end_grants(
            [Call(SQL.finish_workflows, columns.finish_workflows(writes), is_hot=True)], writes
        ),
        read=_by_id,
    ),
    ParkWorkflow: _Kind(
        key=_id_of,
        calls=lambda writes: _and_end_grants(
            [
                Call(SQL.park_workflows, columns.park_workflows(writes), is_hot=True),
                # A sleep is waited for alone, and its instant is there already.
                *(
                    [Call(SQL.hold_awaited, columns.hold_awaited(writes), is_hot=True)]
                    if any(wait.kind != SLEEP for write in writes for wait in write.waits)
                    else []
                ),
                Call(SQL.wake_parked, columns.wake_parked(writes), is_hot=True),
            ],
            writes,
        ),
        read=_by_id,
    ),
    HandBack: _Kind(
        key=_id_of,
        calls=lambda writes: _and_end_grants(
            [Call(SQL.hand_back_workflows, columns.hand_back_workflows(writes), is_hot=True)], writes
        ),
        read=_by_id,
    ),
    EndGrants: _Kind(
        key=None,
        calls=lambda writes: [
            Call(SQL.end_grants, columns.end_grants([token for write in writes for token in write.tokens]))
        ],
        read=_all_recorded,
    ),
    ExpireWorkflow: _Kind(
        key=_id_of,
        calls=lambda writes: [Call(SQL.expire_workflows, columns.expire_workflows(writes), is_hot=True)],
        read=_by_id,
    ),
    CancelWorkflow: _Kind(
        key=lambda write: write.workflow_id,
        calls=_cancelling,
        read=_cancelled,
    ),
    ResumeWorkflow: _Kind(
        key=lambda write: write.workflow_id,
        calls=lambda writes: [Call(SQL.resume_workflows, columns.resume_workflows(writes))],
        read=_moved,
    ),
    ForkWorkflow: _Kind(
        key=lambda write: write.fork_id,
        calls=lambda writes: [Call(SQL.fork_workflows, columns.fork_workflows(writes))],
        read=_forked,
    ),
    DeleteWorkflow: _Kind(
        key=lambda write: write.workflow_id,
        calls=lambda writes: [
            Call(SQL.lock_doomed, columns.delete_workflows(writes)),
            Call(SQL.delete_workflows, columns.delete_workflows(writes)),
        ],
        read=_deleted,
    ),
    ImportWorkflows: _Kind(
        key=None,
        calls=lambda writes: [Call(SQL.import_workflows, copy_columns.import_workflows(write)) for write in writes],
        read=_stored,
    ),
    Beat: _Kind(
        key=None,
        calls=lambda writes: [Call(SQL.beat, columns.beat(write), is_hot=True) for write in writes],
        read=_alive,
    ),
    DrainExecutor: _Kind(
        key=None,
        calls=lambda writes: [Call(SQL.drain_executors, columns.drain_executors(writes))],
        read=_drained,
    ),
    Retire: _Kind(key=None, calls=_retirement, read=_released),
}
