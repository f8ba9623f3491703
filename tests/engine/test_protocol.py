"""What the protocol asks of a process: it claims what fits, enters before it starts, and audits what it holds."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from durust import ProviderUnavailable, SyncDurableContext, WorkflowOptions, WorkflowQueue, clock
from durust.model.claims import Claims
from durust.model.filters import ClaimRequest
from durust.model.records import Lease
from durust.model.status import Status
from durust.model.writes import INTERNAL_QUEUE, CancelWorkflow, Outcome, RegisterExecutor, StartWorkflow, Write
from tests.conformance.builders import register, start
from tests.engine.stage import PATIENCE, Stage, parts
from tests.support.processes import Spawn
from tests.support.waiting import eventually

# An audit of this cadence happens only where a test asks for it.
NEVER_SECONDS = 3600.0
NO_ARGUMENTS = '{"positionalArgs":[]}'


class Blocked:
    """A workflow that says that it runs and then waits to be let go."""

    def __init__(self) -> None:
        self.began = threading.Semaphore(0)
        self.released = threading.Event()

    def __call__(self, ctx: SyncDurableContext) -> str:
        self.began.release()
        self.released.wait(PATIENCE)
        return "done"


def queued(workflow_id: str, name: str = "blocked") -> StartWorkflow:
    """Return the write that queues a workflow without arguments where every engine looks."""
    return start(workflow_id, name=name, queue=INTERNAL_QUEUE, inputs=NO_ARGUMENTS)


@pytest.fixture
def blocked() -> Blocked:
    """Return a workflow that the test lets go."""
    return Blocked()


@pytest.mark.protocol("4.claim.bounded")
def test_an_engine_claims_no_more_than_its_free_slots(stage: Stage, blocked: Blocked) -> None:
    engine = stage.make_engine(slots=2)
    engine.register("blocked", blocked)
    engine.launch()
    stage.commit(*(queued(f"{number}") for number in range(5)))
    handles = [engine.retrieve_workflow(f"{number}") for number in range(5)]
    parts(engine).claimer.wake()
    for _ in range(2):
        assert blocked.began.acquire(timeout=PATIENCE)

    parts(engine).claimer.wake()
    taken = [row.workflow_id for row in stage.rows(statuses=[Status.PENDING])]

    blocked.released.set()
    assert len(taken) == 2
    assert [handle.get_result(PATIENCE) for handle in handles] == ["done"] * 5


@pytest.mark.protocol("4.direct-start.no-slot")
def test_a_start_without_a_free_slot_is_queued(stage: Stage, blocked: Blocked) -> None:
    engine = stage.make_engine(slots=1)
    engine.register("blocked", blocked)
    engine.launch()
    first = engine.run_workflow("blocked")
    assert blocked.began.acquire(timeout=PATIENCE)

    second = engine.run_workflow("blocked")

    row = stage.row(second)
    blocked.released.set()
    assert (row.status, row.queue) == (Status.ENQUEUED, INTERNAL_QUEUE)
    assert [handle.get_result(PATIENCE) for handle in (first, second)] == ["done", "done"]


@pytest.mark.protocol("4.direct-start.registry-first")
def test_an_audit_in_the_middle_of_a_start_leaves_it_alone(
    stage: Stage, blocked: Blocked, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A claim in flight has all free slots reserved: the start would be queued.
    engine = stage.make_engine(audit_seconds=NEVER_SECONDS, idle_poll_seconds=NEVER_SECONDS)
    engine.register("blocked", blocked)
    engine.launch()
    claimer = parts(engine).claimer
    eventually(lambda: stage.line_of(engine).calls["claim"] and not claimer.mutex.locked(), PATIENCE)
    journal, audit = parts(engine).journal, parts(engine).audit
    commit = journal.commit
    audited: list[Write] = []

    def commit_and_audit(write: Write, timeout_seconds: float = -1) -> Outcome:
        outcome = commit(write, timeout_seconds)
        monkeypatch.setattr(journal, "commit", commit)
        audited.append(write)
        audit.run_once()
        return outcome

    monkeypatch.setattr(journal, "commit", commit_and_audit)
    handle = engine.run_workflow("blocked")

    row = stage.row(handle)
    blocked.released.set()
    assert len(audited) == 1
    assert (row.status, row.executor_id) == (Status.PENDING, engine.executor_id)
    assert handle.get_result(PATIENCE) == "done"


@pytest.mark.covers(56, 58)
@pytest.mark.protocol("4.audit", "4.attempts")
def test_a_claim_whose_answer_was_lost_is_handed_back_without_an_attempt(stage: Stage) -> None:
    def ship(ctx: SyncDurableContext) -> str:
        return "shipped"

    # A quick audit after the error is what the engine asks for itself.
    engine = stage.launch(ship, audit_seconds=NEVER_SECONDS)
    stage.line_of(engine).lost_answers["claim"] = 1
    stage.commit(queued("a", "ship"))

    assert eventually(lambda: stage.row("a").status is Status.SUCCESS, PATIENCE)
    assert stage.row("a").attempts == 1


@pytest.mark.protocol("4.budget.ends")
def test_the_share_of_a_claim_whose_answer_was_lost_ends_though_its_row_was_cancelled(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ship(ctx: SyncDurableContext) -> str:
        return "shipped"

    lost: list[str] = []

    def lose_the_first(request: ClaimRequest) -> Claims:
        claims = claim(request)
        if not claims or lost:
            return claims
        lost.extend(one.lease.workflow_id for one in claims)
        stage.commit(*map(CancelWorkflow, lost))
        raise ProviderUnavailable("the database", "the answer was lost")

    engine = stage.make_engine(audit_seconds=NEVER_SECONDS)
    engine.register("ship", ship)
    engine.register_queue(WorkflowQueue("mail", global_concurrency=1))
    claim = stage.line_of(engine).claim
    monkeypatch.setattr(stage.line_of(engine), "claim", lose_the_first)
    engine.launch()
    engine.enqueue("mail", "ship", options=WorkflowOptions(workflow_id="a"))
    eventually(lambda: lost == ["a"], PATIENCE)

    after = engine.enqueue("mail", "ship")

    assert after.get_result(PATIENCE) == "shipped"
    assert stage.row("a").status is Status.CANCELLED


@pytest.mark.covers(52)
@pytest.mark.protocol("4.recover")
def test_recover_retires_what_is_gone_from_this_host_alone(stage: Stage, blocked: Blocked, spawn: Spawn) -> None:
    engine = stage.make_engine()
    engine.register("blocked", blocked)
    engine.launch()
    ended = spawn("-c", "")
    ended.wait()
    here: dict[str, Any] = {
        "boot_id": clock.boot_id(),
        "pid_ns": clock.pid_namespace(),
        "pid": ended.pid,
        "pid_started": 1.0,
    }
    stage.commit(*(_registration(name, here) for name in ("gone", "another boot", "another namespace")))
    leases = {
        name: Lease(name, f"du:{name}", f"token of {name}") for name in ("gone", "another boot", "another namespace")
    }
    stage.commit(*(start(lease=lease, name="blocked", inputs=NO_ARGUMENTS) for lease in leases.values()))
    blocked.released.set()

    handles = engine.recover()

    assert [handle.id for handle in handles] == ["gone"]
    assert handles[0].get_result(PATIENCE) == "done"
    assert [stage.row(name).status for name in ("another boot", "another namespace")] == [Status.PENDING] * 2


def _registration(name: str, here: dict[str, Any]) -> RegisterExecutor:
    there = {"another boot": {"boot_id": "another"}, "another namespace": {"pid_ns": "pid:[0]"}}.get(name, {})
    return register(f"du:{name}", **{**here, **there})


@pytest.mark.protocol("4.beat.trust")
def test_an_engine_that_does_not_trust_its_lease_claims_nothing(stage: Stage, blocked: Blocked) -> None:
    engine = stage.make_engine(beat_seconds=NEVER_SECONDS, lease_seconds=2 * NEVER_SECONDS)
    engine.register("blocked", blocked)
    engine.launch()
    blocked.released.set()
    keeper, claimer = parts(engine)._own_lease, parts(engine).claimer
    # Not amid a claim, which may have found the lease good. The last beat was sent a lease ago, less the margin.
    with claimer.mutex:
        keeper.renewed(clock.boottime() - 2 * NEVER_SECONDS + engine._settings.lease_margin_seconds)
    stage.commit(queued("a"))

    claimer.run_once()

    assert stage.row("a").status is Status.ENQUEUED
    keeper.renewed(clock.boottime())
    claimer.wake()
    assert engine.retrieve_workflow("a").get_result(PATIENCE) == "done"
