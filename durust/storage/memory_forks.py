"""What a fork takes from its source, in memory."""

from __future__ import annotations

from dataclasses import replace

from durust.model.records import Checkpoint
from durust.model.waits import StoredValue, StreamEntry

Steps = dict[int, Checkpoint]
Events = dict[tuple[int, str], StoredValue]
# What the token of a direct start begins with, and how many digits of a claim's tell its time in microseconds.
_UNTIMED = "0" * 16


def steps(source: Steps, place: int, created_at_ms: int, children: tuple[tuple[str, str], ...]) -> Steps:
    """Return the records before *place*.

    A first execution that was started directly has no time in its claim; here it gets the source's, whose it was.
    """
    stands_for = dict(children)
    return {
        step.place: replace(
            step,
            child_id=stands_for.get(step.child_id or "", step.child_id),
            claim=_timed(step.claim, created_at_ms),
        )
        for step in source.values()
        if step.place < place
    }


def events(source: Events, kept: Steps) -> Events:
    """Return the values that were set by the *kept* steps: the fork sets the others again."""
    return {key: value for key, value in source.items() if key[0] in kept}


def latest(history: Events) -> dict[str, StoredValue]:
    """Return the latest value of each key."""
    return {key: history[place, key] for place, key in sorted(history)}


def streams(source: dict[str, list[StreamEntry]], kept: Steps) -> dict[str, list[StreamEntry]]:
    """Return what the *kept* steps appended, counted anew: entries that stay behind may stand between."""
    appended = {key: [entry for entry in entries if entry.place in kept] for key, entries in source.items()}
    return {
        key: [replace(entry, offset=offset) for offset, entry in enumerate(entries)]
        for key, entries in appended.items()
        if entries
    }


def _timed(claim: str | None, created_at_ms: int) -> str | None:
    if claim is None or not claim.startswith(_UNTIMED):
        return claim
    return f"{created_at_ms * 1000:016x}{claim[len(_UNTIMED) :]}"
