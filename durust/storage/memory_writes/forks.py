"""Forks in memory: a new workflow begins with what another one recorded before a place."""

from __future__ import annotations

from dataclasses import replace

from durust.model.records import Checkpoint
from durust.model.status import ENQUEUED
from durust.model.waits import StoredValue, StreamEntry
from durust.model.writes import INTERNAL_QUEUE, Existing, ForkWorkflow, Missing, Outcome, Recorded
from durust.storage.memory_tables import Kinds, Tables, bare

_Steps = dict[int, Checkpoint]
_Events = dict[tuple[int, str], StoredValue]
# What the token of a direct start begins with, and how many digits of a claim's tell its time in microseconds.
_UNTIMED = "0" * 16


def fork(tables: Tables, write: ForkWorkflow) -> Outcome:
    """Queue a fork of a workflow."""
    source, known = tables.workflows.get(write.workflow_id), tables.workflows.get(write.fork_id)
    if known is not None:
        return Recorded() if known.creator == write.creator else Existing(bare(known))
    if source is None:
        return Missing()
    tables.workflows[write.workflow_id] = replace(source, was_forked_from=True)
    tables.workflows[write.fork_id] = replace(
        source,
        workflow_id=write.fork_id,
        status=ENQUEUED,
        queue=write.queue or INTERNAL_QUEUE,
        priority=0,
        dedup_id=None,
        executor_id=None,
        token=None,
        creator=write.creator,
        app_version=write.app_version or source.app_version,
        attempts=0,
        created_at_ms=tables.now_ms,
        updated_at_ms=tables.now_ms,
        started_at_ms=None,
        completed_at_ms=None,
        delay_until_ms=None,
        timeout_ms=write.timeout_ms,
        deadline_ms=None,
        partition_key=write.partition_key,
        schedule_name=None,
        parent_id=None,
        forked_from=write.workflow_id,
        was_forked_from=False,
        output=None,
        error=None,
    )
    _take(tables, write, source.created_at_ms)
    return Recorded()


def _take(tables: Tables, write: ForkWorkflow, created_at_ms: int) -> None:
    """Give the fork what the source recorded."""
    kept = _steps(tables.history.get(write.workflow_id, {}), write, created_at_ms)
    past_events = _events(tables.event_history.get(write.workflow_id, {}), kept)
    tables.history[write.fork_id] = kept
    tables.event_history[write.fork_id] = past_events
    tables.events[write.fork_id] = {key: past_events[place, key] for place, key in sorted(past_events)}
    tables.streams[write.fork_id] = _streams(tables.streams.get(write.workflow_id, {}), kept)


def _steps(source: _Steps, write: ForkWorkflow, created_at_ms: int) -> _Steps:
    """Return the records before the place at which the fork begins.

    A first execution that was started directly has no time in its claim; here it gets the source's, whose it was.
    """
    stands_for = dict(write.children)
    return {
        step.place: replace(
            step,
            child_id=stands_for.get(step.child_id or "", step.child_id),
            claim=_timed(step.claim, created_at_ms),
        )
        for step in source.values()
        if step.place < write.start_place
    }


def _timed(claim: str | None, created_at_ms: int) -> str | None:
    if claim is None or not claim.startswith(_UNTIMED):
        return claim
    return f"{created_at_ms * 1000:016x}{claim[len(_UNTIMED) :]}"


def _events(source: _Events, kept: _Steps) -> _Events:
    """Return the values that were set by the *kept* steps: the fork sets the others again."""
    return {key: value for key, value in source.items() if key[0] in kept}


def _streams(source: dict[str, list[StreamEntry]], kept: _Steps) -> dict[str, list[StreamEntry]]:
    """Return what the *kept* steps appended, counted anew: entries that stay behind may stand between."""
    appended = {key: [entry for entry in entries if entry.place in kept] for key, entries in source.items()}
    return {
        key: [replace(entry, offset=offset) for offset, entry in enumerate(entries)]
        for key, entries in appended.items()
        if entries
    }


KINDS: Kinds = {
    ForkWorkflow: fork,
}
