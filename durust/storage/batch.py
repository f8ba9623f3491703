"""One batch of writes on Postgres: a statement or two for each type, and what each write is answered."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from durust.errors import ProviderUnavailable
from durust.model.message_writes import RecordSend, SendMessages
from durust.model.wakes import wakes_of, with_queues
from durust.model.writes import APPLY_ORDER, Outcome, Write
from durust.storage import statements
from durust.storage.links import Call, Row
from durust.storage.postgres_writes import (
    attributes,
    cancels,
    children,
    debounced,
    endings,
    executors,
    forks,
    imports,
    messages,
    orders,
    parking,
    publications,
    queues,
    schedules,
    starts,
    steps,
    versions,
    waking,
)
from durust.storage.postgres_writes.guards import RUNS
from durust.storage.postgres_writes.kinds import ROUNDS_MAX, Answers, Group, Kind, Question

SQL = statements.load("postgres")

Run = Callable[[Sequence[Call]], list[list[Row]]]

# The advisory lock of batches that met others in a deadlock: a number that nothing else uses.
TURNS_LOCK = 0x6475727573747472

_KINDS: Mapping[type, Kind] = {
    **attributes.KINDS,
    **cancels.KINDS,
    **children.KINDS,
    **debounced.KINDS,
    **endings.KINDS,
    **executors.KINDS,
    **forks.KINDS,
    **imports.KINDS,
    **messages.KINDS,
    **orders.KINDS,
    **parking.KINDS,
    **publications.KINDS,
    **queues.KINDS,
    **schedules.KINDS,
    **starts.KINDS,
    **steps.KINDS,
    **versions.KINDS,
}


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
        answers |= _explain(run, unanswered)
        open_writes = [(index, write) for index, write in unanswered if index not in answers]
        if not open_writes:
            return [answers[index] for index in range(len(writes))]
    raise ProviderUnavailable(
        "Postgres", f"{len(open_writes)} writes are neither done nor refused: {open_writes[0][1]}"
    )


def _send(run: Run, open_writes: Group, *, in_turn: bool) -> Answers:
    """Send the first write of each key in one transaction, and answer those that the statements answer."""
    groups = [(_KINDS[kind], group) for kind, group in _groups(open_writes)]
    sent = [[write for _, write in group] for _, group in groups]
    calls = [kind.calls(writes) for (kind, _), writes in zip(groups, sent, strict=True)]
    locks = [Call(SQL.take_turn, {"lock": TURNS_LOCK})] if in_turn else []
    locks += _locks([write for writes in sent for write in writes])
    wakes = [wake for writes in sent for write in writes for wake in wakes_of(write)]
    # Wakes come last, in a snapshot of their own.
    last = [Call(SQL.wake_waiters, waking.wake_waiters(wakes), is_hot=True)] if wakes else []
    last += [call for (kind, _), writes in zip(groups, sent, strict=True) for call in kind.wakes(writes)]
    results = iter(run([call for each in (locks, *calls, last) for call in each])[len(locks) :])
    answers: Answers = {}
    for (kind, group), each in zip(groups, calls, strict=True):
        answers |= kind.read(group, [next(results) for _ in each])
    if woken := frozenset(row[0] for rows in results for row in rows):
        _tell(answers, groups, woken)
    return answers


def _locks(writes: list[Write]) -> list[Call]:
    """Return what locks the rows of a batch that sends messages, and no call for any other batch.

    Every other batch touches the rows of its own runs alone, or few enough in one statement.
    """
    letters = [letter for write in writes if isinstance(write, SendMessages | RecordSend) for letter in write.letters]
    if not letters:
        return []
    ids = [letter.destination_id for letter in letters]
    ids += [write.lease.workflow_id for write in writes if _KINDS[type(write)].question is RUNS]  # type: ignore[union-attr]
    return [Call(SQL.lock_workflows, messages.lock_workflows(ids), is_hot=True)]


def _tell(answers: Answers, groups: list[tuple[Kind, Group]], woken: frozenset[str]) -> None:
    """Have one of the writes that woke somebody tell the queues."""
    for _, group in groups:
        for index, write in group:
            if index in answers and wakes_of(write):
                answers[index] = with_queues(answers[index], woken)
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


def _explain(run: Run, unanswered: Group) -> Answers:
    """Answer what did not come back by what stands now."""
    asked: dict[Question, Group] = {}
    for item in unanswered:
        question = _KINDS[type(item[1])].question
        if question is not None:
            asked.setdefault(question, []).append(item)
    answers: Answers = {}
    for question, group in asked.items():
        answers |= question.read(group, run(question.calls([write for _, write in group])))
    return _in_order(unanswered, answers)


def _in_order(unanswered: Group, answers: Answers) -> Answers:
    """Return *answers* without those behind an open write of their key: what was not sent yet nothing explains."""
    kept: Answers = {}
    still_open = set()
    for index, write in unanswered:
        key = _KINDS[type(write)].key
        mine = (type(write), key(write)) if key else None
        if index in answers and mine not in still_open:
            kept[index] = answers[index]
        elif mine is not None:
            still_open.add(mine)
    return kept
