"""Whoever asks for a deduplication id that is taken may have the workflow that holds it instead of an error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from durust import (
    DurableEngine,
    ListFilter,
    QueueDeduplicated,
    Status,
    SyncDurableContext,
    WorkflowConflict,
    WorkflowOptions,
    WorkflowQueue,
    WorkflowRow,
)
from tests.conformance.conftest import open_provider
from tests.engine.stage import PATIENCE, Stage
from tests.support.gauge import Gauge
from tests.support.line import Line
from tests.support.waiting import eventually

RETURN = WorkflowOptions(dedup_id="m-7", on_duplicate="return")


@pytest.fixture
def gauge() -> Iterator[Gauge]:
    made = Gauge()
    yield made
    made.open()


class MeddledLine(Line):
    """A line on which something happens between the answer to a start and the look at who holds the id."""

    meddle: Callable[[], object] | None = None
    is_blind = False

    def workflows(self, query: ListFilter) -> list[WorkflowRow]:
        meddle, self.meddle = self.meddle, None
        if meddle is not None:
            meddle()
        return [] if self.is_blind else super().workflows(query)


def launch(stage: Stage, gauge: Gauge, line: Line | None = None) -> DurableEngine:
    """Return an engine with the queue `mail` and two workflows, one of which waits for the gauge."""

    def visit(ctx: SyncDurableContext, number: int = 0) -> int:
        ctx.step("visit", gauge.visit)
        return number

    def other(_: SyncDurableContext) -> None:
        return None

    engine = stage.make_engine(line)
    engine.register("visit", visit)
    engine.register("other", other)
    engine.register_queue(WorkflowQueue("mail"))
    engine.launch()
    return engine


def make_meddled_line(stage: Stage) -> MeddledLine:
    line = MeddledLine(stage.provider if stage.url.startswith("memory:") else open_provider(stage.url))
    stage._lines.append(line)
    return line


@pytest.mark.covers(83, 84)
def test_the_holder_is_answered_until_it_ends_and_then_a_new_one_starts(stage: Stage, gauge: Gauge) -> None:
    engine = launch(stage, gauge)
    first = engine.enqueue("mail", "visit", 1, options=RETURN)

    second = engine.enqueue("mail", "visit", 2, options=RETURN)

    assert second.id == first.id
    gauge.open()
    assert second.get_result(PATIENCE) == 1
    third = engine.enqueue("mail", "visit", 3, options=RETURN)
    assert third.id != first.id
    assert third.get_result(PATIENCE) == 3


@pytest.mark.covers(84)
def test_an_id_that_was_asked_for_is_kept_where_nobody_holds_the_deduplication_id(stage: Stage, gauge: Gauge) -> None:
    engine = launch(stage, gauge)

    handles = [
        engine.enqueue(
            "mail", "visit", options=WorkflowOptions(workflow_id=name, dedup_id="m-7", on_duplicate="return")
        )
        for name in ("one", "two")
    ]

    assert [handle.id for handle in handles] == ["one", "one"]


@pytest.mark.covers(64, 84)
def test_of_many_that_ask_at_once_one_starts_and_all_have_it(stage: Stage, gauge: Gauge) -> None:
    engine = launch(stage, gauge)

    with ThreadPoolExecutor(8) as pool:
        handles = list(pool.map(lambda number: engine.enqueue("mail", "visit", number, options=RETURN), range(24)))

    assert {handle.id for handle in handles} == {row.workflow_id for row in stage.rows()}
    gauge.open()
    assert len({handle.get_result(PATIENCE) for handle in handles}) == 1


@pytest.mark.covers(84)
def test_those_that_come_together_share_the_holder(stage: Stage, gauge: Gauge) -> None:
    engine = launch(stage, gauge)
    free = WorkflowOptions()

    handles = engine.enqueue_many("mail", "visit", [(1,), (2,), (3,), (4,)], options=[RETURN, free, RETURN, free])

    ids = [handle.id for handle in handles]
    assert ids[0] == ids[2]
    assert len(set(ids)) == 3
    gauge.open()
    assert [handle.get_result(PATIENCE) for handle in handles] in ([1, 2, 1, 4], [3, 2, 3, 4])


@pytest.mark.covers(84)
def test_a_holder_that_ends_before_it_is_looked_at_makes_room(stage: Stage, gauge: Gauge) -> None:
    line = make_meddled_line(stage)
    engine = launch(stage, gauge, line)
    first = engine.enqueue("mail", "visit", 1, options=RETURN)

    def end() -> None:
        gauge.open()
        eventually(lambda: stage.row(first).status is Status.SUCCESS)

    line.meddle = end
    second = engine.enqueue("mail", "visit", 2, options=RETURN)

    assert second.id != first.id
    assert second.get_result(PATIENCE) == 2


@pytest.mark.covers(84)
def test_holders_that_vanish_again_and_again_are_an_error_in_the_end(stage: Stage, gauge: Gauge) -> None:
    line = make_meddled_line(stage)
    engine = launch(stage, gauge, line)
    first = engine.enqueue("mail", "visit", options=RETURN)
    line.is_blind = True

    with pytest.raises(QueueDeduplicated, match=first.id):
        engine.enqueue("mail", "visit", options=RETURN)


@pytest.mark.covers(84)
def test_a_holder_of_another_kind_is_not_passed_off_as_the_one_asked_for(stage: Stage, gauge: Gauge) -> None:
    engine = launch(stage, gauge)
    engine.enqueue("mail", "visit", options=RETURN)

    with pytest.raises(WorkflowConflict, match=r"'m-7' is taken: asked for other, but it already stands for visit"):
        engine.enqueue("mail", "other", options=RETURN)


@pytest.mark.covers(84)
def test_without_a_queue_there_is_nothing_to_attach_to(stage: Stage, gauge: Gauge) -> None:
    engine = launch(stage, gauge)
    start: Any = engine.run_workflow

    with pytest.raises(ValueError, match="dedup_id"):
        start("visit", options=RETURN)
