"""Rows that plain SQL or another library wrote, which no provider would have made."""

from __future__ import annotations

from pathlib import Path

import pytest

from durust import clock
from durust.codec import Codec
from durust.errors import SerializationError
from durust.model.filters import ListFilter
from durust.model.waits import EVENT, SLEEP, Awaited
from durust.model.writes import ParkWorkflow, Wait
from durust.storage.postgres import PostgresProvider
from durust.storage.sqlite import SqliteProvider
from tests.conformance.builders import FORMAT, commit, finish, make_claimed, make_enqueued, make_executor, purge, want
from tests.storage.opened import ask, opened
from tests.storage.races import Race

LAST_INSTANT = 2**63 - 1


def test_a_timeout_past_every_instant_costs_the_queue_nothing(provider: PostgresProvider, race: Race) -> None:
    race.observer.do(
        "select dbos.enqueue_workflow('ship', 'work', workflow_id => 'endless', timeout_ms => %(most)s)",
        {"most": LAST_INSTANT},
    )
    make_enqueued(provider, "next")

    claimed = provider.claim(want(make_executor(provider, "first")))

    deadlines = race.observer.do("select workflow_deadline_epoch_ms from dbos.workflow_status order by workflow_uuid")
    assert [run.lease.workflow_id for run in claimed] == ["endless", "next"]
    assert deadlines == [(LAST_INSTANT,), (None,)]


def test_a_timeout_past_every_instant_is_no_fraction_on_sqlite(tmp_path: Path) -> None:
    path = tmp_path / "durust.db"
    with opened(path) as provider:
        make_enqueued(provider, "endless")
        make_enqueued(provider, "next")
        ask(path, "update workflow_status set workflow_timeout_ms = ? where workflow_uuid = 'endless'", LAST_INSTANT)

        claimed = provider.claim(want(make_executor(provider, "first")))

    deadlines = ask(path, "select workflow_deadline_epoch_ms from workflow_status order by workflow_uuid")
    assert {run.lease.workflow_id for run in claimed} == {"endless", "next"}
    assert deadlines == [(LAST_INSTANT,), (None,)]


@pytest.mark.covers(170)
def test_a_text_of_other_bytes_on_sqlite_costs_its_neighbours_nothing(tmp_path: Path) -> None:
    path = tmp_path / "durust.db"
    with opened(path) as provider:
        for name in "ab":
            make_enqueued(provider, name)
        ask(path, "update workflow_input set inputs = cast(x'22ff22' as text) where workflow_uuid = 'a'")

        claimed = {run.lease.workflow_id: run for run in provider.claim(want(make_executor(provider, "first")))}
        listed = provider.workflows(ListFilter(load_input=True))

    assert sorted(claimed) == ["a", "b"]
    assert len(listed) == 2
    with pytest.raises(SerializationError):
        Codec().load(claimed["a"].inputs, FORMAT)


def test_values_that_replace_older_ones_are_retained_anew(provider: PostgresProvider, race: Race) -> None:
    for table in ("workflow_input", "workflow_output"):
        race.observer.do(f"insert into dbos.{table} (workflow_uuid, retention_timestamp) values ('a', 1)")

    commit(provider, finish(make_claimed(provider, "a")))

    for table in ("workflow_input", "workflow_output"):
        assert race.observer.do(f"select retention_timestamp > 1 from dbos.{table}") == [(True,)]


DELETE = "delete from dbos.workflow_status where workflow_uuid in ('gone', 'asleep')"
LEFT = "select workflow_id from durust.waits order by workflow_id"


def make_parked(provider: PostgresProvider | SqliteProvider) -> None:
    """Park two runs for what has ended, of which one is to be deleted, and one that sleeps, which is to be too."""
    for name in ("stays", "gone"):
        target = f"target of {name}"
        commit(provider, finish(make_claimed(provider, target)))
        awaited = Wait.of(1, Awaited(EVENT, target, "news"), None)
        commit(provider, ParkWorkflow(make_claimed(provider, name).lease, None, None, (awaited,)))
    sleep = Wait(1, SLEEP, until_ms=clock.now_ms() + 600_000)
    commit(provider, ParkWorkflow(make_claimed(provider, "asleep").lease, None, sleep.until_ms, (sleep,)))


def test_the_waits_of_a_workflow_that_plain_sql_deletes_keep_nothing(provider: PostgresProvider, race: Race) -> None:
    make_parked(provider)
    race.observer.do(DELETE)

    purged = [purge(provider, keep=0).workflows for _ in range(2)]

    assert race.observer.do(LEFT) == [("stays",)]
    assert purged == [0, 1]


def test_the_waits_of_a_workflow_that_plain_sql_deletes_keep_nothing_on_sqlite(tmp_path: Path) -> None:
    path = tmp_path / "durust.db"
    with opened(path) as provider:
        make_parked(provider)
        ask(path, DELETE.replace("dbos.", ""))

        purged = [purge(provider, keep=0).workflows for _ in range(2)]

        assert ask(path, LEFT.replace("durust.", "durust_")) == [("stays",)]
        assert purged == [0, 1]
