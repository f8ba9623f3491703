"""Cancels on Postgres, of one workflow or of all that it led to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from durust.model.writes import INTERNAL_QUEUE, CalledOff, CancelWorkflow, Missing, Outcome
from durust.storage import statements
from durust.storage.columns import Params, texts
from durust.storage.links import Call, Row
from durust.storage.postgres_writes.kinds import Answers, Group, Kind, Question, Results, explained
from durust.storage.postgres_writes.moves import explain_move, moved
from durust.storage.postgres_writes.starts import classify_ids

SQL = statements.load("postgres")


# A pass over a workflow and all that it led to, one for what was being started then, and one that finds nothing new.
# Where the last one finds something too, all is sent again.
CASCADE_PASSES = 3


def cancel_workflows(writes: Sequence[CancelWorkflow]) -> Params:
    """Return the ids of workflows to cancel."""
    return {"ids": texts(write.workflow_id for write in writes)}


def cancel_families(writes: Sequence[CancelWorkflow]) -> Params:
    """Return the ids of workflows whose waiters, and those of all that they led to, are to go on."""
    return cancel_workflows(writes) | {"internal": INTERNAL_QUEUE}


def _parted(writes: list[CancelWorkflow]) -> tuple[list[CancelWorkflow], list[CancelWorkflow]]:
    """Return those that end one workflow alone, and those that end all that it led to."""
    return [write for write in writes if not write.children], [write for write in writes if write.children]


def _cancelling(writes: list[CancelWorkflow]) -> list[Call]:
    alone, trees = _parted(writes)
    calls = [Call(SQL.cancel_workflows, cancel_workflows(alone))] if alone else []
    passes = [Call(SQL.cancel_trees, cancel_workflows(trees))] * CASCADE_PASSES if trees else []
    return [*calls, *passes]


def _waking(writes: list[CancelWorkflow]) -> list[Call]:
    _, trees = _parted(writes)
    return [Call(SQL.wake_family_waiters, cancel_families(trees))] if trees else []


def _cancelled(found: Group, results: Results) -> Answers:
    """Answer the cancels whose workflow came back, and those with children whose last pass found nothing new."""
    alone = [(index, write) for index, write in found if not write.children]
    trees = [(index, write) for index, write in found if write.children]
    answers = moved(alone, results) if alone else {}
    passes = results[-CASCADE_PASSES:] if trees else []
    is_open = {root for root, _ in passes[-1]} if passes else set()
    for index, write in trees:
        ended = sorted(ended for each in passes for root, ended in each if root == write.workflow_id)
        if ended and write.workflow_id not in is_open:
            answers[index] = CalledOff(tuple(ended))
    return answers


def _ask(writes: list[CancelWorkflow]) -> list[Call]:
    alone, trees = _parted(writes)
    return [
        *([Call(SQL.classify_starts, classify_ids(write.workflow_id for write in alone))] if alone else []),
        *([Call(SQL.classify_trees, cancel_workflows(trees))] if trees else []),
    ]


def _explain(group: Group, results: Results) -> Answers:
    alone = [(index, write) for index, write in group if not write.children]
    trees = [(index, write) for index, write in group if write.children]
    answers = explained(explain_move)(alone, results[:1]) if alone else {}
    return answers | (explained(_explain_tree)(trees, results[-1:]) if trees else {})


def _explain_tree(_: CancelWorkflow, row: Row) -> Outcome | None:
    """Return why a cancel with children ended nothing, or None where something is left and it should be sent again."""
    is_there, is_left = row
    if not is_there:
        return Missing()
    return None if is_left else CalledOff(())


KINDS: Mapping[type, Kind] = {
    CancelWorkflow: Kind(
        key=lambda write: write.workflow_id,
        calls=_cancelling,
        read=_cancelled,
        question=Question(calls=_ask, read=_explain),
        wakes=_waking,
    )
}
