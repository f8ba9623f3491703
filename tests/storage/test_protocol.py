"""The sentences of the protocol that no race shows: what each operation leaves in the database."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from durust.model.filters import Scope, SweepRequest
from durust.model.records import Checkpoint
from durust.model.status import Status
from durust.model.writes import (
    INTERNAL_QUEUE,
    Alive,
    Beat,
    Diverged,
    Duplicate,
    Existing,
    Fenced,
    HistoryLost,
    Recorded,
    RegisterExecutor,
    Released,
    Retire,
)
from durust.storage.batch import SQL
from durust.storage.postgres import PostgresProvider
from durust.storage.sweeping import REAP_LIMIT
from tests.conformance.builders import (
    APP,
    NAME,
    TINY_SECONDS,
    commit,
    commit_one,
    executor,
    finish,
    hand_back,
    history,
    lapse,
    make_claimed,
    make_enqueued,
    make_executor,
    make_started,
    park,
    reclaim,
    record_sleep,
    record_step,
    register,
    row_of,
    start,
    sweep,
    want,
)
from tests.storage.races import Race


@pytest.mark.protocol("3.chain.gaps")
def test_gaps_in_places_are_legal(provider: PostgresProvider) -> None:
    run = make_claimed(provider, "a")

    outcomes = [
        commit_one(provider, record_step(run, place, after=after)) for place, after in ((3, None), (9, 3), (5, 9))
    ]

    assert outcomes == [Recorded()] * 3


@pytest.mark.protocol("4.beat.renews")
def test_a_beat_renews_the_leases_of_those_that_are_not_dead(provider: PostgresProvider) -> None:
    for name in ("live", "dead"):
        make_executor(provider, name, ttl_seconds=TINY_SECONDS)
    commit(provider, Retire(("dead",), "killed"))

    outcome = commit_one(provider, Beat(("live", "dead", "unknown"), 10))

    assert outcome == Alive(frozenset({"live"}))
    assert 5 < executor(provider, "live").lease_seconds_left <= 10
    assert executor(provider, "dead").lease_seconds_left < 0


@pytest.mark.protocol("4.claim.bounded")
def test_a_claim_takes_no_more_than_was_asked_for(provider: PostgresProvider) -> None:
    for name in "abcd":
        make_enqueued(provider, name)
    make_executor(provider, "first")

    assert [found.lease.workflow_id for found in provider.claim(want("first", limit=3))] == ["a", "b", "c"]


@pytest.mark.protocol("4.claim.filters")
def test_a_claim_takes_its_versions_and_its_application_alone(provider: PostgresProvider, race: Race) -> None:
    make_enqueued(provider, "any version")
    make_enqueued(provider, "its version", app_version="v1")
    make_enqueued(provider, "another version", app_version="v2")
    make_enqueued(provider, "another application", app_name="other")
    make_enqueued(provider, "no application")
    make_enqueued(provider, "another name", name="bill")
    race.observer.do("update dbos.workflow_status set application_name = null where workflow_uuid = 'no application'")
    make_executor(provider, "first")

    claimed = provider.claim(want("first"))

    assert {found.lease.workflow_id for found in claimed} == {"any version", "its version", "no application"}


@pytest.mark.protocol("4.claim.grants", "5.one-grant")
def test_a_claim_makes_the_row_its_own(provider: PostgresProvider) -> None:
    make_enqueued(provider, "a", inputs="[1]")
    make_executor(provider, "first")

    [first] = provider.claim(want("first"))
    row = row_of(provider, "a")
    again = reclaim(provider, first.lease, by="second")

    assert (row.status, row.executor_id, row.token, row.attempts) == (Status.PENDING, "first", first.lease.token, 1)
    assert row.started_at_ms == first.now_ms
    assert (first.inputs, again.inputs, again.attempts) == ("[1]", "[1]", 2)
    assert first.lease.token != again.lease.token
    assert [len(part) for part in first.lease.token.split("-")] == [16, 32]


@pytest.mark.protocol("4.claim.histories-later")
def test_a_history_is_loaded_only_for_rows_that_ran_before(
    provider: PostgresProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []
    read = provider.history

    def listen(ids: Sequence[str]) -> dict[str, tuple[Checkpoint, ...]]:
        asked.append(sorted(ids))
        return read(ids)

    monkeypatch.setattr(provider, "history", listen)
    runs = {name: make_claimed(provider, name) for name in ("parked", "handed back", "released")}
    assert asked == []
    assert set(commit(provider, *(record_step(run) for run in runs.values()))) == {Recorded()}
    commit(provider, park(runs["parked"], until_ms=0), hand_back(runs["handed back"]))
    commit(provider, Retire((runs["released"].lease.executor_id,), "lost"))
    make_enqueued(provider, "new", queue="fresh")
    make_executor(provider, "second")

    claims = provider.claim(want("second", "fresh", *(run.queue or "" for run in runs.values())))

    assert {claim.lease.workflow_id: len(claim.history) for claim in claims} == dict.fromkeys(runs, 1) | {"new": 0}
    assert asked == [sorted(runs)]


@pytest.mark.protocol("4.checkpoints.one-statement", "4.checkpoints.classified", "4.checkpoints.fenced-neighbours")
def test_one_statement_records_for_many_workflows_and_one_read_explains_the_rest(provider: PostgresProvider) -> None:
    stands, retried, diverged, lost, fenced = (make_claimed(provider, name, by=f"of {name}") for name in "abcde")
    commit(provider, record_step(retried), record_step(diverged, name="refund"))
    reclaim(provider, fenced.lease, by="second")
    [recorded] = history(provider, "c")

    outcomes = commit(
        provider,
        record_step(stands),
        record_step(retried),
        record_step(diverged),
        record_step(lost, 2, after=1),
        record_step(fenced),
    )

    assert outcomes == [Recorded(), Recorded(), Diverged(recorded), HistoryLost(), Fenced("second")]
    assert len(history(provider, "a")) == 1


@pytest.mark.protocol("4.checkpoints.dedup", "4.checkpoints.client-ids")
def test_a_start_is_judged_by_its_id_and_then_by_its_deduplication_id(provider: PostgresProvider) -> None:
    write = start("a", dedup_id="once")

    outcomes = [
        commit_one(provider, each) for each in (write, write, start("a", dedup_id="once"), start("b", dedup_id="once"))
    ]

    assert [type(outcome) for outcome in outcomes] == [Recorded, Recorded, Existing, Duplicate]


@pytest.mark.protocol("4.checkpoints.order")
def test_the_types_of_a_batch_are_applied_in_one_order(provider: PostgresProvider) -> None:
    run, other = make_claimed(provider, "a"), make_claimed(provider, "b")

    outcomes = commit(
        provider,
        finish(run),
        hand_back(other),
        record_step(run),
        record_sleep(other, 2),
        record_step(other),
        register("new"),
    )

    assert [type(outcome) for outcome in outcomes] == [Recorded] * 6
    assert [len(history(provider, name)) for name in "ab"] == [1, 2]


@pytest.mark.protocol("4.complete", "5.result-implies-checkpoints")
def test_a_completion_stands_once_and_only_behind_its_checkpoints(provider: PostgresProvider) -> None:
    run, lost = make_claimed(provider, "a"), make_claimed(provider, "b")

    outcomes = [
        commit_one(provider, write)
        for write in (finish(run), finish(run), finish(lost, after=1), hand_back(lost), finish(lost))
    ]

    assert outcomes == [Recorded(), Recorded(), HistoryLost(), Recorded(), Fenced(None)]
    row = row_of(provider, "a")
    assert (row.status, row.output, row.dedup_id, row.completed_at_ms is not None) == (
        Status.SUCCESS,
        '"done"',
        None,
        True,
    )


@pytest.mark.protocol("4.park.locked", "4.park.retried", "4.attempts")
def test_a_park_takes_the_run_off_its_owner_and_costs_no_attempt(provider: PostgresProvider, race: Race) -> None:
    lease = make_started(provider, "a")
    write = park(lease, until_ms=9_000_000_000_000)

    outcomes = [commit_one(provider, write), commit_one(provider, write)]

    row = row_of(provider, "a")
    waits = race.observer.do("select workflow_id, place, kind, until from durust.waits")
    assert outcomes == [Recorded(), Fenced(None)]
    assert (row.status, row.queue, row.token, row.attempts) == (Status.DELAYED, INTERNAL_QUEUE, None, 0)
    assert row.delay_until_ms == 9_000_000_000_000
    assert waits == [("a", 1, "sleep", 9_000_000_000_000)]


@pytest.mark.protocol("4.sweep.next-due", "4.sweep.delays")
def test_a_sweep_queues_what_is_due_and_tells_when_the_next_is(provider: PostgresProvider, race: Race) -> None:
    make_enqueued(provider, "due", delay_seconds=600)
    make_enqueued(provider, "next", delay_seconds=60)
    race.observer.do("update dbos.workflow_status set delay_until_epoch_ms = 1 where workflow_uuid = 'due'")

    swept = sweep(provider, by="any supervisor")

    assert (swept.due, row_of(provider, "due").status) == (1, Status.ENQUEUED)
    assert 30 < (swept.next_due_seconds or 0) <= 60


@pytest.mark.protocol("4.sweep.quiet")
def test_a_sweep_finds_no_orphan_while_all_is_well(provider: PostgresProvider) -> None:
    make_claimed(provider, "running", by="du:first")
    commit(provider, park(make_claimed(provider, "parked", by="du:first")))
    reclaim(provider, make_claimed(provider, "released", by="du:second").lease, by="du:first")

    swept = sweep(provider)

    assert (swept.orphans, swept.released, swept.reaped) == (0, 0, ())


@pytest.mark.protocol("4.local-death.released", "4.attempts", "5.crash-release")
def test_a_death_gives_its_rows_back_and_changes_nothing_else(provider: PostgresProvider, race: Race) -> None:
    run = make_claimed(provider, "a", dedup_id="once", priority=3)
    commit(provider, record_step(run))
    changed = "array['status', 'executor_id', 'owner_xid', 'started_at_epoch_ms']"
    columns = f"select to_jsonb(w) - {changed} from dbos.workflow_status w"
    before, steps = race.observer.do(columns), history(provider, "a")

    outcome = commit_one(provider, Retire(("first",), "killed"))

    row = row_of(provider, "a")
    assert outcome == Released(("a",), frozenset({run.queue or ""}))
    assert (row.status, row.executor_id, row.token, row.attempts) == (Status.ENQUEUED, None, None, 1)
    assert (race.observer.do(columns), history(provider, "a")) == (before, steps)
    assert (executor(provider, "first").state, executor(provider, "first").why) == ("DEAD", "killed")


@pytest.mark.protocol("4.reap.not-own")
def test_nobody_reaps_himself_or_his_own(provider: PostgresProvider) -> None:
    for name in ("mine", "another's"):
        make_executor(provider, name, supervisor=name)
        lapse(provider, name)

    assert sweep(provider, by="mine").reaped == ("another's",)
    assert executor(provider, "mine").state == "LIVE"


@pytest.mark.protocol("4.reap.bound")
def test_a_reap_is_bounded_and_says_that_there_is_more(provider: PostgresProvider, race: Race) -> None:
    registrations: list[RegisterExecutor] = [register(f"du:{number:03}") for number in range(REAP_LIMIT + 1)]
    commit(provider, *registrations)
    race.observer.do("update durust.leases set lease_until = clock_timestamp()")
    request = SweepRequest("sweeper", Scope(APP, (NAME,)), reap=True)

    swept = [provider.sweep(request), provider.sweep(request)]

    assert [(len(each.reaped), each.more) for each in swept] == [(REAP_LIMIT, True), (1, False)]


@pytest.mark.protocol("5.one-row")
def test_a_record_is_never_changed(provider: PostgresProvider) -> None:
    run = make_claimed(provider, "a")
    commit(provider, record_step(run))
    before = history(provider, "a")
    again = reclaim(provider, run.lease, by="second")

    commit(provider, record_step(again, output='"other"'), record_sleep(again))

    assert history(provider, "a") == before
    assert not any("update dbos.operation_outputs" in statement.sql for statement in SQL)


@pytest.mark.protocol("5.pending-has-a-future")
def test_what_an_executor_without_a_lease_holds_comes_back(provider: PostgresProvider) -> None:
    make_claimed(provider, "a", by="du:first")
    lapse(provider, "du:first")

    assert sweep(provider).released == 1
    assert row_of(provider, "a").status is Status.ENQUEUED
