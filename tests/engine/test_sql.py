"""What plain SQL queues on Postgres is found by the poll and runs as if a client had queued it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from durust import Status, SyncDurableContext, WorkflowHandle, WorkflowQueue
from tests.engine.clients import launch, make_client
from tests.engine.stage import PATIENCE, Stage
from tests.support.gauge import Gauge
from tests.support.waiting import eventually

pytestmark = pytest.mark.parametrize("url", ["postgres"], indirect=True)

Enqueue = Callable[[str], WorkflowHandle[Any]]


@pytest.fixture
def enqueue(stage: Stage) -> Iterator[Enqueue]:
    """Return `enqueue(arguments)`, which calls the function of the database and answers a handle."""
    with make_client(stage) as client, psycopg.connect(stage.url, autocommit=True) as database:

        def call(arguments: str) -> WorkflowHandle[Any]:
            row = database.execute(f"select dbos.enqueue_workflow({arguments})".encode()).fetchone()
            assert row is not None
            return client.retrieve_workflow(row[0])

        yield call


def describe(_: SyncDurableContext, *args: Any, **kwargs: Any) -> list[Any]:
    return [list(args), kwargs]


@pytest.mark.covers(74, 97)
def test_positional_and_named_arguments_arrive(stage: Stage, enqueue: Enqueue) -> None:
    launch(stage, describe)

    handle = enqueue(
        """'describe', 'mail', array['1'::json, '"two"', '{"x": [null]}'], '{"three": 3.5}', workflow_id => 'the-one'"""
    )

    assert handle.id == "the-one"
    assert handle.get_result(PATIENCE) == [[1, "two", {"x": [None]}], {"three": 3.5}]


@pytest.mark.covers(74)
def test_without_arguments_it_has_none_and_its_annotations_rebuild_what_it_has(stage: Stage, enqueue: Enqueue) -> None:
    def total(_: SyncDurableContext, *amounts: float) -> float:
        return sum(amounts)

    launch(stage, describe, total)

    assert enqueue("'describe', 'mail'").get_result(PATIENCE) == [[], {}]
    assert enqueue("'total', 'mail', array['1.5'::json, '2']").get_result(PATIENCE) == 3.5


@pytest.mark.covers(86)
def test_a_delay_is_an_instant_and_can_be_changed(stage: Stage, enqueue: Enqueue) -> None:
    engine = launch(stage, describe)
    soon = enqueue(
        "'describe', 'mail', delay_until_epoch_ms => (extract(epoch from clock_timestamp()) * 1000)::bigint + 300"
    )
    never = enqueue("'describe', 'mail', delay_until_epoch_ms => 9000000000000")

    assert soon.get_result(PATIENCE) == [[], {}]
    row = stage.row(soon)
    assert (row.started_at_ms or 0) - row.created_at_ms >= 300
    assert never.get_status().status is Status.DELAYED
    engine.set_delay(never.id, 0)
    assert never.get_result(PATIENCE) == [[], {}]


@pytest.mark.covers(83)
def test_a_deduplication_id_is_free_again_when_its_holder_has_ended(stage: Stage, enqueue: Enqueue) -> None:
    first = enqueue("'describe', 'mail', deduplication_id => 'm-7'")
    with pytest.raises(psycopg.errors.UniqueViolation, match="DBOS queue duplicated"):
        enqueue("'describe', 'mail', deduplication_id => 'm-7'")

    launch(stage, describe)
    first.get_result(PATIENCE)

    second = enqueue("'describe', 'mail', deduplication_id => 'm-7'")
    assert second.id != first.id
    assert second.get_result(PATIENCE) == [[], {}]


@pytest.mark.covers(80)
def test_priorities_hold(stage: Stage, enqueue: Enqueue) -> None:
    order: list[int] = []

    def note(_: SyncDurableContext, number: int) -> None:
        order.append(number)

    handles = [enqueue(f"'note', 'mail', array['{number}'::json], priority => {number}") for number in (3, 1, 2)]
    launch(stage, note, slots=1)

    for handle in handles:
        handle.get_result(PATIENCE)
    assert order == [1, 2, 3]


def test_a_timeout_is_counted_from_the_claim_and_a_deadline_is_kept(stage: Stage, enqueue: Enqueue) -> None:
    gauge = Gauge()

    def visit(ctx: SyncDurableContext) -> None:
        ctx.step("visit", gauge.visit)

    launch(stage, visit)
    timed = enqueue("'visit', 'mail', timeout_ms => 60000")
    dated = enqueue("'visit', 'mail', deadline_epoch_ms => 9000000000000")
    eventually(lambda: gauge.now == 2)

    rows = [stage.row(handle) for handle in (timed, dated)]
    gauge.open()

    assert rows[0].timeout_ms == 60_000
    assert rows[0].deadline_ms == (rows[0].started_at_ms or 0) + 60_000
    assert rows[1].deadline_ms == 9_000_000_000_000


def test_a_partition_of_its_queue_is_kept(stage: Stage, enqueue: Enqueue) -> None:
    engine = stage.make_engine()
    engine.register("describe", describe)
    engine.register_queue(WorkflowQueue("parts", partition_queue=True, partition_concurrency=1))
    engine.launch()

    handles = [enqueue(f"'describe', 'parts', queue_partition_key => '{key}'") for key in "ab"]

    assert [handle.get_result(PATIENCE) for handle in handles] == [[[], {}]] * 2
    assert [stage.row(handle).partition_key for handle in handles] == ["a", "b"]


def test_of_another_application_it_is_left_alone(stage: Stage, enqueue: Enqueue) -> None:
    launch(stage, describe)

    theirs = enqueue("'describe', 'mail', application_name => 'theirs'")
    mine = enqueue("'describe', 'mail', application_name => 'durust'")

    assert mine.get_result(PATIENCE) == [[], {}]
    assert theirs.get_status().status is Status.ENQUEUED
