"""A purge removes what has ended and is old or too much, whole, and nothing that anybody still needs."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import psycopg
import pytest

from durust import clock
from durust.errors import InvalidArgument
from durust.model.filters import FINAL, ExecutorQuery, ListFilter, PurgeRequest, Scope
from durust.model.status import Status
from durust.model.sweeps import Purged
from durust.model.writes import ParkWorkflow, Recorded, Retire, Wait
from durust.storage.memory import InMemoryProvider
from durust.storage.portions import STEPS_IN_BATCH_MAX
from durust.storage.provider import StateProvider
from tests.conformance.builders import (
    ANY_STATE,
    APP,
    cancel,
    commit,
    commit_one,
    finish,
    fork,
    history,
    make_claimed,
    make_enqueued,
    make_executor,
    make_started,
    park,
    purge,
    record_step,
    row_of,
    start_child,
)
from tests.conformance.conftest import SHARED, Rewrite

HOUR_MS = 3_600_000
# Columns by which a row belongs to a workflow.
OWNERS = {"workflow_uuid", "workflow_id", "destination_uuid"}
# A grant that started counts in its queue's rate until its period is over, whatever became of the workflow.
KEPT = {"grants", "durust_grants"}


def make_ended(
    provider: StateProvider, rewrite: Rewrite, name: str, *, hours_ago: float = 0, status: Status = Status.SUCCESS
) -> str:
    """Run a workflow of two steps to its end, some hours ago."""
    run = make_claimed(provider, name)
    commit(provider, record_step(run, 1), record_step(run, 2), finish(run, status))
    assert row_of(provider, name).status is status
    if hours_ago:
        rewrite(name, completed_at=clock.now_ms() - round(hours_ago * HOUR_MS))
    return name


def ids(provider: StateProvider) -> list[str]:
    return sorted(row.workflow_id for row in provider.workflows(ListFilter()))


def dead(provider: StateProvider) -> list[str]:
    return [row.executor_id for row in provider.executors(ExecutorQuery(states=("DEAD",)))]


@pytest.mark.covers(173)
def test_what_ended_longer_ago_goes_and_the_rest_stays(provider: StateProvider, rewrite: Rewrite) -> None:
    for name, hours_ago in (("a", 3), ("b", 2), ("c", 1)):
        make_ended(provider, rewrite, name, hours_ago=hours_ago)

    purged = purge(provider, age=1.5 * 3600)

    assert purged == Purged(workflows=2)
    assert ids(provider) == ["c"]
    assert history(provider, "a") == []
    assert len(history(provider, "c")) == 2
    assert purge(provider, age=1.5 * 3600) == Purged()


@pytest.mark.covers(173)
def test_beyond_the_newest_the_oldest_ends_go(provider: StateProvider, rewrite: Rewrite) -> None:
    # By their ends and not by their starts.
    for name, hours_ago in (("a", 1), ("b", 4), ("c", 3), ("d", 2)):
        make_ended(provider, rewrite, name, hours_ago=hours_ago)

    purged = purge(provider, keep=2)

    assert purged == Purged(workflows=2)
    assert ids(provider) == ["a", "d"]


def test_of_ends_in_one_millisecond_as_many_stay_as_are_to_be_kept(provider: StateProvider, rewrite: Rewrite) -> None:
    for name in "abcd":
        make_ended(provider, rewrite, name)
        rewrite(name, completed_at=1_000_000)

    purge(provider, keep=3)

    assert ids(provider) == ["b", "c", "d"]


@pytest.mark.covers(173)
@pytest.mark.parametrize(("age_hours", "keep", "left"), [(3.5, 1, "a"), (1.5, 3, "a"), (3.5, 3, "abc")])
def test_of_age_and_number_the_one_that_removes_more_decides(
    provider: StateProvider, rewrite: Rewrite, age_hours: float, keep: int, left: str
) -> None:
    for name, hours_ago in (("a", 1), ("b", 2), ("c", 3), ("d", 4)):
        make_ended(provider, rewrite, name, hours_ago=hours_ago)

    purge(provider, age=age_hours * 3600, keep=keep)

    assert ids(provider) == list(left)


def test_without_age_and_number_nothing_goes(provider: StateProvider, rewrite: Rewrite) -> None:
    make_ended(provider, rewrite, "a", hours_ago=1)

    assert purge(provider) == Purged()
    assert ids(provider) == ["a"]


def test_nothing_is_too_young_for_an_age_of_zero(provider: StateProvider, rewrite: Rewrite) -> None:
    make_ended(provider, rewrite, "a")
    make_ended(provider, rewrite, "b", status=Status.ERROR)

    assert purge(provider, age=0.0) == Purged(workflows=2)


@pytest.mark.covers(173)
def test_what_has_not_ended_stays_with_its_history(provider: StateProvider, rewrite: Rewrite) -> None:
    running, parked = make_claimed(provider, "running"), make_claimed(provider, "parked")
    commit(provider, record_step(running, 1), record_step(parked, 1), park(parked, after=1))
    make_enqueued(provider, "queued")
    make_enqueued(provider, "delayed", delay_seconds=600)
    before = {name: (row_of(provider, name), history(provider, name)) for name in ids(provider)}

    assert purge(provider, age=0.0, keep=0) == Purged()
    assert {name: (row_of(provider, name), history(provider, name)) for name in ids(provider)} == before
    assert commit_one(provider, finish(running, after=1)) == Recorded()


def test_what_was_set_aside_stays_until_it_is_asked_for(provider: StateProvider, rewrite: Rewrite) -> None:
    make_ended(provider, rewrite, "a", hours_ago=1, status=Status.MAX_RECOVERY_ATTEMPTS_EXCEEDED)

    assert purge(provider, age=0.0, keep=0) == Purged()
    assert purge(provider, age=0.0, keep=0, includes_exceeded=True) == Purged(workflows=1)


def test_what_was_cancelled_goes(provider: StateProvider, rewrite: Rewrite) -> None:
    make_ended(provider, rewrite, "a", hours_ago=1)
    rewrite("a", status=Status.CANCELLED)

    assert purge(provider, age=0.0) == Purged(workflows=1)


def test_a_child_stays_for_as_long_as_its_parent_has_not_ended(provider: StateProvider, rewrite: Rewrite) -> None:
    for name in ("child", "other child", "orphan"):
        make_ended(provider, rewrite, name, hours_ago=1)
    parent = make_claimed(provider, "parent")
    exceeded = make_claimed(provider, "exceeded")
    commit(provider, finish(exceeded, Status.MAX_RECOVERY_ATTEMPTS_EXCEEDED))
    rewrite("child", parent_workflow_id="parent")
    rewrite("other child", parent_workflow_id="exceeded")
    rewrite("orphan", parent_workflow_id="long gone")

    purge(provider, age=0.0, keep=0)
    assert ids(provider) == ["child", "exceeded", "other child", "parent"]
    commit(provider, finish(parent))
    purge(provider, age=0.0, keep=0)

    assert ids(provider) == ["exceeded", "other child"]


def test_a_child_stays_for_as_long_as_a_fork_of_its_parent_has_not_ended(
    provider: StateProvider, rewrite: Rewrite
) -> None:
    parent = make_claimed(provider, "parent")
    commit(provider, start_child(parent, "child", place=1), finish(parent, after=1))
    rewrite("child", status=Status.SUCCESS)
    rewrite("child", completed_at=1)
    commit(provider, fork("parent", "fork", 2))
    purge(provider, age=0.0)
    commit(provider, fork("fork", "fork of the fork", 2))
    commit(provider, cancel("fork"))

    purge(provider, age=0.0)

    assert ids(provider) == ["child", "fork of the fork"]
    commit(provider, cancel("fork of the fork"))
    assert purge(provider, age=0.0) == Purged(workflows=2)


def test_who_is_waited_for_stays(provider: StateProvider, rewrite: Rewrite) -> None:
    make_ended(provider, rewrite, "awaited", hours_ago=1)
    waiting = make_claimed(provider, "waiting")
    until_ms = clock.now_ms() + HOUR_MS
    commit(
        provider, ParkWorkflow(waiting.lease, None, until_ms, (Wait(1, "event", "awaited", "news", until_ms=until_ms),))
    )

    assert purge(provider, age=0.0, keep=0) == Purged()
    assert ids(provider) == ["awaited", "waiting"]


def test_who_is_in_the_way_holds_up_nobody(provider: StateProvider, rewrite: Rewrite) -> None:
    make_claimed(provider, "parent")
    for name, hours_ago in (("a", 3), ("b", 2), ("c", 1)):
        make_ended(provider, rewrite, name, hours_ago=hours_ago)
    rewrite("a", parent_workflow_id="parent")

    purge(provider, age=0.0, limit=2)

    assert ids(provider) == ["a", "parent"]


@pytest.mark.covers(173)
def test_a_batch_takes_no_more_than_its_limit_from_the_oldest_on(provider: StateProvider, rewrite: Rewrite) -> None:
    for name, hours_ago in (("a", 1), ("b", 2), ("c", 3)):
        make_ended(provider, rewrite, name, hours_ago=hours_ago)

    first = purge(provider, age=0.0, limit=2)
    left = ids(provider)
    second = purge(provider, age=0.0, limit=2)

    assert (first, second) == (Purged(workflows=2, more=True), Purged(workflows=1))
    assert left == ["a"]


def test_a_dry_purge_counts_and_removes_nothing(provider: StateProvider, rewrite: Rewrite) -> None:
    for name, hours_ago in (("a", 1), ("b", 2), ("c", 3)):
        make_ended(provider, rewrite, name, hours_ago=hours_ago)

    assert purge(provider, age=1.5 * 3600, is_dry=True) == Purged(workflows=2)
    assert purge(provider, age=0.0, is_dry=True, limit=2) == Purged(workflows=2, more=True)
    assert ids(provider) == ["a", "b", "c"]


@pytest.mark.covers(190)
def test_rows_of_another_application_stay_and_do_not_count(provider: StateProvider, rewrite: Rewrite) -> None:
    for name, hours_ago in (("a", 3), ("b", 2), ("c", 1)):
        make_ended(provider, rewrite, name, hours_ago=hours_ago)
    rewrite("a", application_name="other")
    rewrite("b", application_name=None)

    assert purge(provider, keep=1, names=()) == Purged()
    assert purge(provider, keep=1) == Purged(workflows=1)
    assert ids(provider) == ["a", "c"]


def test_a_row_whose_end_nobody_wrote_down_stays(provider: StateProvider, rewrite: Rewrite) -> None:
    make_ended(provider, rewrite, "a", hours_ago=1)
    rewrite("a", completed_at=None)

    assert purge(provider, age=0.0, keep=0) == Purged()


def test_an_id_that_was_purged_may_be_used_again(provider: StateProvider, rewrite: Rewrite) -> None:
    make_ended(provider, rewrite, "a", hours_ago=1)
    purge(provider, age=0.0)

    again = make_claimed(provider, "a")

    assert again.history == ()
    assert row_of(provider, "a").output is None


@pytest.mark.parametrize("url", SHARED, indirect=True)
def test_nothing_of_a_purged_workflow_is_left_in_any_table(provider: StateProvider, url: str, rewrite: Rewrite) -> None:
    make_ended(provider, rewrite, "gone", hours_ago=1)
    make_ended(provider, rewrite, "kept")
    tables = tables_of_workflows(url)
    fill(url, "gone")
    fill(url, "kept")
    assert counts(url, "gone").keys() == tables

    purge(provider, age=60.0)

    assert counts(url, "gone") == {}
    assert counts(url, "kept").keys() == tables


def test_nothing_of_a_purged_workflow_is_left_in_memory(rewrite: Rewrite) -> None:
    provider = InMemoryProvider()
    run = make_started(provider, "gone")
    commit(provider, record_step(run, 1), finish(run))

    provider.purge(PurgeRequest(scope=Scope(APP, ()), keep_newest=0))

    tables = provider._tables
    assert [name for name in tables.__slots__ if "gone" in repr(getattr(tables, name))] == []


def test_a_history_of_many_steps_goes_alone(provider: StateProvider, rewrite: Rewrite) -> None:
    half = STEPS_IN_BATCH_MAX // 2 + 1
    for name, hours_ago in (("a", 3), ("b", 2)):
        run = make_claimed(provider, name)
        commit(provider, *(record_step(run, place) for place in range(1, half + 1)))
        commit(provider, finish(run))
        rewrite(name, completed_at=clock.now_ms() - hours_ago * HOUR_MS)

    first = purge(provider, age=0.0)
    left = ids(provider)
    second = purge(provider, age=0.0)

    expected = [(2, []), (0, [])] if isinstance(provider, InMemoryProvider) else [(1, ["b"]), (1, [])]
    assert [(first.workflows, left), (second.workflows, ids(provider))] == expected
    assert first.more is not isinstance(provider, InMemoryProvider)


def test_executors_that_died_long_ago_are_forgotten(provider: StateProvider) -> None:
    for name in ("alive", "fresh"):
        make_executor(provider, name)
    commit(provider, Retire(("fresh",), "killed"))

    assert purge(provider) == Purged()
    assert dead(provider) == ["fresh"]
    assert purge(provider, dead_before_seconds=0.0) == Purged(executors=1)
    assert [row.executor_id for row in provider.executors(ExecutorQuery(states=ANY_STATE))] == ["alive"]
    assert make_executor(provider, "fresh") == "fresh"


def test_an_executor_that_still_holds_something_is_remembered(provider: StateProvider, rewrite: Rewrite) -> None:
    make_executor(provider, "du:holder")
    commit(provider, Retire(("du:holder",), "killed"))
    make_claimed(provider, "a")
    rewrite("a", executor_id="du:holder")

    assert purge(provider, dead_before_seconds=0.0) == Purged()
    assert dead(provider) == ["du:holder"]


def test_executors_of_another_application_are_left_to_it(provider: StateProvider) -> None:
    make_executor(provider, "other", app_name="other")
    commit(provider, Retire(("other",), "killed"))

    assert purge(provider, dead_before_seconds=0.0) == Purged()


def test_executors_are_forgotten_within_the_limit(provider: StateProvider) -> None:
    for name in "abc":
        make_executor(provider, name)
    commit(provider, Retire(("a", "b", "c"), "killed"))

    first, second = (purge(provider, dead_before_seconds=0.0, limit=2) for _ in range(2))

    assert (first, second) == (Purged(executors=2, more=True), Purged(executors=1))


@pytest.mark.parametrize(
    "fields",
    [
        {"ended_before_seconds": -1.0},
        {"ended_before_seconds": float("nan")},
        {"ended_before_seconds": 1e18},
        {"keep_newest": -1},
        {"limit": 0},
    ],
)
def test_a_request_that_cannot_be_meant_is_refused(fields: dict[str, float]) -> None:
    with pytest.raises(InvalidArgument):
        PurgeRequest(scope=Scope(APP, ()), **fields)  # type: ignore[arg-type]  # some of them are whole


def test_a_workflow_is_final_only_where_nothing_else_waits_for_it() -> None:
    assert {status for status in Status if status.is_terminal} - set(FINAL) == {Status.MAX_RECOVERY_ATTEMPTS_EXCEEDED}


def execute(url: str, sql: str) -> list[tuple[object, ...]]:
    """Run a statement behind the provider's back."""
    if url.startswith("sqlite:"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"), timeout=10)) as connection, connection:
            return connection.execute(sql).fetchall()
    with psycopg.connect(url) as database:
        cursor = database.execute(sql.encode())
        return cursor.fetchall() if cursor.description else []


def columns_of(url: str) -> dict[str, dict[str, str]]:
    """Return the columns of each table that holds rows of workflows, with their types where they must have a value."""
    if url.startswith("sqlite:"):
        found = execute(
            url,
            "select m.name, c.name, iif((c.\"notnull\" or c.pk) and c.dflt_value is null, lower(c.type), '') "
            "from sqlite_master m join pragma_table_info(m.name) c where m.type = 'table'",
        )
    else:
        found = execute(
            url,
            "select table_schema || '.' || table_name, column_name, "
            "case when is_nullable = 'NO' and column_default is null then data_type else '' end "
            "from information_schema.columns where table_schema in ('dbos', 'durust')",
        )
    tables: dict[str, dict[str, str]] = {}
    for table, column, kind in found:
        tables.setdefault(str(table), {})[str(column)] = str(kind)
    return {
        table: columns
        for table, columns in tables.items()
        if OWNERS & columns.keys() and table.rpartition(".")[2] not in KEPT
    }


def tables_of_workflows(url: str) -> set[str]:
    return set(columns_of(url))


def fill(url: str, workflow_id: str) -> None:
    """Put a row of the workflow into each table that has none of it yet."""
    for table, columns in columns_of(url).items():
        [owner] = OWNERS & columns.keys()
        if table not in counts(url, workflow_id):
            needed = {
                column: "''" if "text" in kind else "1" for column, kind in columns.items() if kind and column != owner
            }
            names, values = (
                ", ".join(f'"{column}"' for column in (owner, *needed)),
                ", ".join([f"'{workflow_id}'", *needed.values()]),
            )
            execute(url, f"insert into {table} ({names}) values ({values})")


def counts(url: str, workflow_id: str) -> dict[str, object]:
    """Return how many rows each table holds of a workflow, where it holds any."""
    found = {}
    for table, columns in columns_of(url).items():
        [owner] = OWNERS & columns.keys()
        [(count,)] = execute(url, f"select count(*) from {table} where {owner} = '{workflow_id}'")
        if count:
            found[table] = count
    return found
