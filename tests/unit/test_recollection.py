"""A fork's run begins when its source's did, whoever forked it."""

from __future__ import annotations

from durust.model.claims import Claimed
from durust.model.records import Checkpoint, Lease
from durust.routines.replay import recollect

CREATED_MS, CLAIMED_MS = 50_000, 60_000


def make_claimed(*history: Checkpoint, token: str = "") -> Claimed:
    """Return a claim of a workflow whose row was made long after its first record."""
    return Claimed(
        lease=Lease("a", "du:me", token or f"{CLAIMED_MS * 1000:016x}-claim"),
        name="job",
        inputs=None,
        serialization=None,
        attempts=1,
        queue=None,
        app_version=None,
        created_at_ms=CREATED_MS,
        now_ms=CLAIMED_MS,
        history=history,
    )


def step(claim: str | None, *, started_at_ms: int | None = 1_000) -> Checkpoint:
    """Return a record that an earlier execution left."""
    return Checkpoint(1, "one", started_at_ms=started_at_ms, completed_at_ms=1_500, claim=claim)


def test_the_time_of_the_sources_claim_is_the_beginning() -> None:
    assert recollect(make_claimed(step(f"{900_000:016x}-source"))).begun_ms == 900


def test_where_no_claim_is_kept_the_first_step_is_the_beginning() -> None:
    assert recollect(make_claimed(step(None))).begun_ms == 1_000
    assert recollect(make_claimed(step(None, started_at_ms=None))).begun_ms == CREATED_MS


def test_without_a_history_the_claim_or_the_row_is_the_beginning() -> None:
    assert recollect(make_claimed()).begun_ms == CLAIMED_MS
    assert recollect(make_claimed(token=f"{0:016x}-direct")).begun_ms == CREATED_MS
