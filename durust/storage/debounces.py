"""Debounced starts of one batch: those that meet under one key lead to one run, as one write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from durust.model.writes import INTERNAL_QUEUE, DebounceWorkflow, Existing, Outcome

Key = tuple[str, str | None, str, str]
Group = list[tuple[int, DebounceWorkflow]]


def key(write: DebounceWorkflow) -> Key:
    """Return what two writes have in common that lead to one run."""
    start = write.start
    return start.queue or INTERNAL_QUEUE, start.dedup_id, start.name, start.app_name


def meeting(group: Group) -> list[Group]:
    """Return the writes of each key."""
    by_key: dict[Key, Group] = {}
    for item in group:
        by_key.setdefault(key(item[1]), []).append(item)
    return list(by_key.values())


def merged(writes: Sequence[tuple[int, DebounceWorkflow]]) -> DebounceWorkflow:
    """Return the one write that does what *writes* of a key do one after the other.

    The first of them names the run and sets its limit, the last one says everything else. As one write they are
    recognized when the batch is sent again: one by one, each would push the run's time once more.
    """
    first, last = writes[0][1], writes[-1][1]
    start = replace(last.start, workflow_id=first.start.workflow_id)
    return replace(last, start=start, limit_seconds=first.limit_seconds)


def answers(group: Group, apply: Callable[[DebounceWorkflow], Outcome]) -> dict[int, Outcome]:
    """Apply the writes of each key as one, and answer each by its index."""
    found: dict[int, Outcome] = {}
    for writes in meeting(group):
        found |= _answers(writes, apply)
    return found


def _answers(writes: Group, apply: Callable[[DebounceWorkflow], Outcome]) -> dict[int, Outcome]:
    found: dict[int, Outcome] = {}
    while writes:
        outcome = apply(merged(writes))
        # Only the first one asked for that id; the others go on without it.
        answered = writes[:1] if isinstance(outcome, Existing) else writes
        found |= dict.fromkeys((index for index, _ in answered), outcome)
        writes = writes[len(answered) :]
    return found
