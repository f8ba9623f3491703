"""A process that runs nothing queues workflows by their names, and reads how they do."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import pytest

from durust import (
    DurableClient,
    InvalidArgument,
    ListFilter,
    ProviderUnavailable,
    QueueDeduplicated,
    SchemaMismatch,
    SerializationError,
    Status,
    SyncDurableContext,
    WorkflowConflict,
    WorkflowNotFound,
    WorkflowOptions,
)
from durust.decorators import Workflow
from durust.engine.registry import Definition
from durust.model.filters import ExecutorQuery
from durust.storage.opening import open_provider
from tests.conformance.conftest import SHARED
from tests.engine.clients import launch, make_client
from tests.engine.colours import Paint
from tests.engine.stage import PATIENCE, Stage, own_threads
from tests.support.server import MakeDatabase

WHEN = datetime(2031, 5, 17, 12, 0, 0, 123456, tzinfo=UTC)


@dataclass
class Line:
    price: Decimal
    tags: tuple[str, ...]


@dataclass
class Order:
    id: UUID
    at: datetime
    lines: list[Line]


def double(_: SyncDurableContext, number: int, *, plus: int = 0) -> int:
    return 2 * number + plus


def fail(_: SyncDurableContext) -> None:
    raise ValueError("no", 7)


@pytest.mark.covers(74, 97)
def test_a_workflow_is_queued_by_its_name_and_its_result_comes_back(
    stage: Stage, client: DurableClient, paint: Paint
) -> None:
    @paint
    def add(ctx: Any, one: int, *, other: int) -> Any:
        return (yield ctx.step("add", lambda: one + other))

    launch(stage, add)

    handle = client.enqueue("mail", "add", 1, other=2)

    assert handle.get_result(PATIENCE) == 3
    assert handle.get_status().status is Status.SUCCESS
    assert [record.name for record in client.list_steps(handle.id)] == ["add"]


@pytest.mark.covers(74)
def test_the_annotations_of_the_worker_rebuild_what_a_client_wrote(stage: Stage, client: DurableClient) -> None:
    seen: list[Any] = []

    def take(_: SyncDurableContext, order: Order, amounts: dict[str, list[Decimal]], when: datetime) -> Order:
        seen.extend([order, amounts, when])
        return order

    launch(stage, take)
    order = Order(UUID(int=7), WHEN, [Line(Decimal("1.10"), ("a", "b"))])

    handle = client.enqueue("mail", "take", order, {"x": [Decimal("2.50")]}, when=WHEN)

    plain = {
        "id": str(UUID(int=7)),
        "at": "2031-05-17T12:00:00.123456Z",
        "lines": [{"price": "1.10", "tags": ["a", "b"]}],
    }
    assert handle.get_result(PATIENCE) == plain
    assert seen == [order, {"x": [Decimal("2.50")]}, WHEN]
    assert client.retrieve_workflow(handle.id, type=Order).get_result(PATIENCE) == order


class Thing:
    pass


@pytest.mark.covers(10)
@pytest.mark.parametrize(
    ("value", "place"),
    [
        (float("nan"), "argument '#1' of take: nan"),
        ([{"x": Thing()}], r"argument '#1' of take, at \[0\]\['x'\]: a Thing"),
        ({"x": Line(1, ("a",))}, r"argument '#1' of take, at \['x'\].price"),  # type: ignore[arg-type]  # on purpose
    ],
)
def test_what_json_cannot_carry_is_refused_by_its_place(
    stage: Stage, client: DurableClient, value: Any, place: str
) -> None:
    with pytest.raises(SerializationError, match=f'{place}.*; .*serializer="pickle"'):
        client.enqueue("mail", "take", value)

    assert stage.rows() == []


def test_pickle_is_a_choice(stage: Stage) -> None:
    def take(_: SyncDurableContext, thing: Any) -> str:
        return type(thing).__name__

    launch(stage, take, serializer="pickle")

    with make_client(stage, serializer="pickle") as client:
        assert client.enqueue("mail", "take", Thing()).get_result(PATIENCE) == "Thing"


@pytest.mark.covers(8, 7)
def test_errors_and_nothing_come_back_as_they_are(stage: Stage, client: DurableClient) -> None:
    def nothing(_: SyncDurableContext) -> None:
        return None

    launch(stage, nothing, fail)

    assert client.enqueue("mail", "nothing").get_result(PATIENCE) is None
    with pytest.raises(ValueError, match="no") as raised:
        client.enqueue("mail", "fail").get_result(PATIENCE)
    assert raised.value.args == ("no", 7)


@pytest.mark.covers(91)
def test_work_for_a_queue_that_nobody_knows_waits_until_somebody_does(stage: Stage, client: DurableClient) -> None:
    launch(stage, double, queue="other")

    handle = client.enqueue("mail", "double", 4)

    with pytest.raises(TimeoutError, match="it goes on"):
        handle.get_result(0.3)
    assert handle.get_status().status is Status.ENQUEUED
    launch(stage, double)
    assert handle.get_result(PATIENCE) == 8


@pytest.mark.covers(1, 2)
def test_an_id_that_exists_answers_that_workflow_or_is_a_conflict(stage: Stage, client: DurableClient) -> None:
    launch(stage, double)
    options = WorkflowOptions(workflow_id="the-one")
    client.enqueue("mail", "double", 1, options=options)

    again = client.enqueue("mail", "double", 2, options=options)

    assert again.get_result(PATIENCE) == 2
    with pytest.raises(WorkflowConflict, match="asked for triple, but it already stands for double"):
        client.enqueue("mail", "triple", 1, options=options)


@pytest.mark.covers(83, 84)
def test_a_taken_deduplication_id_raises_or_answers_its_holder(stage: Stage, client: DurableClient) -> None:
    first = client.enqueue("mail", "double", 1, options=WorkflowOptions(dedup_id="m-7"))

    with pytest.raises(QueueDeduplicated, match=first.id):
        client.enqueue("mail", "double", 2, options=WorkflowOptions(dedup_id="m-7"))
    attached = client.enqueue("mail", "double", 2, options=WorkflowOptions(dedup_id="m-7", on_duplicate="return"))

    assert attached.id == first.id
    launch(stage, double)
    assert attached.get_result(PATIENCE) == 2


@pytest.mark.covers(64, 84)
def test_threads_that_share_a_client_start_one_of_an_id(stage: Stage, client: DurableClient) -> None:
    options = WorkflowOptions(dedup_id="m-7", on_duplicate="return")

    with ThreadPoolExecutor(8) as pool:
        handles = list(pool.map(lambda number: client.enqueue("mail", "double", number, options=options), range(24)))

    assert {handle.id for handle in handles} == {row.workflow_id for row in stage.rows()}
    assert len(stage.rows()) == 1


@pytest.mark.covers(74)
def test_many_are_queued_in_few_commits_and_keep_their_order(stage: Stage) -> None:
    line = stage.make_line()

    with DurableClient(line) as client:
        handles = client.enqueue_many("mail", "double", ((number,) for number in range(5000)))

    assert len(line.batches) <= 6
    assert [row.workflow_id for row in stage.rows(limit=5000)] == [handle.id for handle in handles]
    assert len({handle.id for handle in handles}) == 5000


def test_options_of_many_are_given_one_by_one(stage: Stage, client: DurableClient) -> None:
    launch(stage, double)
    options = [WorkflowOptions(workflow_id=f"run-{number}") for number in range(3)]

    handles = client.enqueue_many("mail", "double", [(1,), (2,), (3,)], options=options)

    assert [(handle.id, handle.get_result(PATIENCE)) for handle in handles] == [
        ("run-0", 2),
        ("run-1", 4),
        ("run-2", 6),
    ]
    assert client.enqueue_many("mail", "double", []) == []
    with pytest.raises(InvalidArgument, match="one entry for each of the 1 argument tuples"):
        client.enqueue_many("mail", "double", [(1,)], options=options)


@pytest.mark.parametrize("argument", ["ab", 5, None])
def test_arguments_of_many_are_tuples(stage: Stage, client: DurableClient, argument: Any) -> None:
    engine = launch(stage, double)

    for enqueue_many in (client.enqueue_many, engine.enqueue_many):
        with pytest.raises(InvalidArgument, match="must be tuples"):
            enqueue_many("mail", "double", [argument])
    assert stage.rows() == []


def test_a_client_names_workflows_by_their_text(client: DurableClient) -> None:
    work: Workflow[Any, Any] = Workflow(Definition("double", double))

    with pytest.raises(InvalidArgument, match="named by its text here, as in 'double'"):
        client.enqueue("mail", cast("Any", work), 1)


@pytest.mark.covers(6)
def test_an_unknown_workflow_is_named(stage: Stage, client: DurableClient) -> None:
    for ask in (client.retrieve_workflow, client.list_steps):
        with pytest.raises(WorkflowNotFound, match="'nobody'"):
            ask("nobody")


def test_a_list_holds_the_rows_of_the_application(stage: Stage, client: DurableClient) -> None:
    mine = client.enqueue("mail", "double", 1)
    with make_client(stage, app_name="theirs") as other:
        other.enqueue("mail", "double", 2)

    listed = client.list_workflows()

    assert [row.workflow_id for row in listed] == [mine.id]
    assert len(client.list_workflows(ListFilter(queues=["mail"]))) == 2


@pytest.mark.parametrize(
    ("queue", "workflow", "options"),
    [("", "double", None), ("mail", "", None), ("mail", double, None), ("mail", "double", 5)],
)
def test_what_cannot_be_meant_is_refused(client: DurableClient, queue: Any, workflow: Any, options: Any) -> None:
    with pytest.raises(InvalidArgument):
        client.enqueue(queue, workflow, 1, options=options)


@pytest.mark.covers(196)
def test_a_client_is_no_executor_and_starts_no_thread_before_it_is_used(stage: Stage) -> None:
    with make_client(stage) as client:
        assert own_threads() == []

        client.enqueue("mail", "double", 1)

        assert own_threads() == ["durust-journal", "durust-herald"]
    assert own_threads() == []
    assert stage.provider.executors(ExecutorQuery(states=("LIVE", "DRAINING", "DEAD"))) == []


def test_a_closed_client_says_so_and_closes_again(stage: Stage) -> None:
    client = make_client(stage)
    handle = client.enqueue("mail", "double", 1)
    client.close()
    client.close()

    for act in (lambda: client.enqueue("mail", "double", 1), client.list_workflows, handle.get_result):
        with pytest.raises(ProviderUnavailable, match="closed"):
            act()


def test_a_result_that_is_waited_for_when_the_client_closes_fails(stage: Stage) -> None:
    client = make_client(stage)
    handle = client.enqueue("mail", "double", 1)
    errors: list[BaseException] = []

    def wait() -> None:
        try:
            handle.get_result(PATIENCE)
        except ProviderUnavailable as error:
            errors.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    client.close()
    waiting.join(PATIENCE)

    assert len(errors) == 1


def test_the_awaiting_view_does_all_that_the_blocking_one_does(stage: Stage) -> None:
    launch(stage, double)

    async def act() -> None:
        async with make_client(stage).aio as client:
            handle = await client.enqueue("mail", "double", 1, plus=5)
            assert await handle == 7
            many = await client.enqueue_many("mail", "double", [(number,) for number in range(3)])
            assert await asyncio.gather(*(each.aio.get_result(PATIENCE) for each in many)) == [0, 2, 4]
            assert await (await client.retrieve_workflow(handle.id, type=int)) == 7
            assert len(await client.list_workflows()) == 4
            assert await client.list_steps(handle.id) == []
            waiting = await client.enqueue("nowhere", "double", 1)
            with pytest.raises(TimeoutError, match="it goes on"):
                await waiting.aio.get_result(0.1)

    asyncio.run(act())


def test_in_a_workflows_body_a_client_is_refused_and_in_a_step_it_is_not(stage: Stage, client: DurableClient) -> None:
    def direct(_: SyncDurableContext) -> None:
        client.enqueue("mail", "double", 1)

    def stepped(ctx: SyncDurableContext) -> str:
        return ctx.step("queue", lambda: client.enqueue("mail", "double", 1).id)

    engine = launch(stage, double, direct, stepped)

    with pytest.raises(InvalidArgument, match="call the client in a step"):
        engine.start("direct")
    assert client.retrieve_workflow(engine.start("stepped")).get_result(PATIENCE) == 2


def test_a_memory_of_its_own_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="pass the engine's InMemoryProvider"):
        DurableClient("memory://")


@pytest.mark.parametrize("kind", SHARED)
def test_a_database_without_the_schema_is_left_alone_until_somebody_has_migrated_it(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    make_database: MakeDatabase = (
        request.getfixturevalue("make_database") if kind == "postgres" else (lambda: f"sqlite:///{tmp_path}/later.db")
    )
    url = make_database()
    with DurableClient(url) as client:
        for _ in range(2):
            with pytest.raises(SchemaMismatch, match="durust db migrate"):
                client.enqueue("mail", "double", 1)
        assert list(tmp_path.iterdir()) == []
        with closing(open_provider(url)) as provider:
            provider.migrate()

        handle = client.enqueue("mail", "double", 1)

        assert handle.get_status().status is Status.ENQUEUED


@pytest.mark.covers(196)
def test_making_a_client_touches_nothing(tmp_path: Path) -> None:
    client = DurableClient(f"sqlite:///{tmp_path}/none/durust.db")

    assert (list(tmp_path.iterdir()), own_threads()) == ([], [])
    client.close()
