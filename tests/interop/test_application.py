"""An application of the official library on a database that durust migrated: each does its own work and no other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from durust import DurableClient, SerializationError, WorkflowOptions, clock
from durust.model.filters import ListFilter
from durust.model.records import WorkflowRow
from durust.model.status import Status
from durust.storage.provider import StateProvider
from tests.conformance.builders import commit, make_claimed, make_enqueued, make_started, park, record_step
from tests.conformance.test_schedules import store
from tests.interop.conftest import Converse
from tests.interop.conversation import Conversation, Refused
from tests.interop.environment import TIMEOUT_SECONDS
from tests.interop.schemas import Rows, ask, schema_of, version_of
from tests.support.processes import Spawned
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(TIMEOUT_SECONDS)

# What the other application recovers at its start; here also the name of durust's executor, which never happens.
EXECUTOR = "local"
INTERNAL = "_dbos_internal_queue"
LONG_AGO_MS = 1_000
ONE = '{"positionalArgs":[1],"namedArgs":{}}'


@dataclass
class Scene:
    """durust's rows as they were before the other application came, and that application."""

    rows: dict[str, WorkflowRow]
    schema: dict[str, Rows]
    version: Rows
    other: Conversation


def rows_of(provider: StateProvider) -> dict[str, WorkflowRow]:
    """Read durust's workflows by their ids."""
    rows = provider.workflows(ListFilter(app_names=["durust"], load_input=True, load_output=True))
    return {row.workflow_id: row for row in rows}


def leave_work(provider: StateProvider) -> None:
    """Leave a row of durust's in each state in which somebody could take it for his own."""
    make_enqueued(provider, "enqueued", name="add")
    make_enqueued(provider, "internal", name="add", queue=INTERNAL)
    make_enqueued(provider, "on their queue", name="add", queue="their-queue")
    make_enqueued(provider, "delayed", delay_seconds=600)
    make_enqueued(provider, "due", delay_seconds=0.001)
    make_enqueued(provider, "late", deadline_ms=LONG_AGO_MS)
    make_enqueued(provider, "late and delayed", delay_seconds=600, deadline_ms=LONG_AGO_MS)
    make_enqueued(provider, "debounced", delay_seconds=0.001, dedup_id="add-key")
    commit(provider, store("ours", cron="* * * * * *", workflow="ticked", context="null"))
    running = make_claimed(provider, "running", by=EXECUTOR, name="ship")
    commit(provider, record_step(running))
    make_started(provider, "direct", by=EXECUTOR, name="add", app_version="their-version")
    commit(provider, park(make_claimed(provider, "parked", by=EXECUTOR)))
    commit(provider, park(make_claimed(provider, "parked and due", by=EXECUTOR), until_ms=clock.now_ms() + 50))


def leave_nobodys(provider: StateProvider, url: str) -> None:
    """Leave rows that name no application, which everybody may queue, cancel and run."""
    make_enqueued(provider, "nobody's, due", delay_seconds=0.001)
    make_enqueued(provider, "nobody's, late", deadline_ms=LONG_AGO_MS)
    make_enqueued(provider, "nobody's, internal", name="their_draw", queue=INTERNAL, inputs=ONE)
    ask(url, "update dbos.workflow_status set application_name = null where workflow_uuid like 'nobody%'")


def ticks_of(url: str, schedule: str) -> list[str]:
    """Name the workflows that a schedule has started."""
    found = ask(url, "select workflow_uuid from dbos.workflow_status where schedule_name = ?", schedule)
    return [row[0] for row in found]


@pytest.fixture(scope="module")
def scene(url: str, provider: StateProvider, converse: Converse) -> Scene:
    """Leave work of durust's, launch the other application, and let it do all that it does on its own."""
    leave_work(provider)
    leave_nobodys(provider, url)
    rows, schema, version = rows_of(provider), schema_of(url), version_of(url)
    other = converse("application", url)
    other.ask("launch")
    # Its jobs flip what is delayed and cancel what is late, each second; its queues are looked at more often.
    other.ask("enqueue_delayed", "job 1", "their_draw", 0.5)
    other.ask("get_result", "job 1")
    other.ask("enqueue_delayed", "job 2", "their_draw", 0.5)
    other.ask("get_result", "job 2")
    other.ask("start", "nap", "their_nap", 0.01)
    other.ask("get_result", "nap")
    other.ask("tick", "theirs")
    eventually(lambda: ticks_of(url, "theirs"))
    return Scene(rows, schema, version, other)


@pytest.mark.covers(185)
def test_its_launch_neither_migrates_nor_changes_the_schema(scene: Scene, url: str) -> None:
    assert version_of(url) == scene.version == [(125,)]
    assert schema_of(url) == scene.schema


@pytest.mark.covers(190)
def test_it_takes_none_of_durusts_work(scene: Scene, provider: StateProvider, url: str) -> None:
    assert len(scene.rows) == 12

    assert rows_of(provider) == scene.rows
    assert ticks_of(url, "ours") == []
    # It looked for such work: what belongs to nobody it did take.
    assert {row.workflow_id: row.status for row in provider.workflows(ListFilter(id_prefix="nobody"))} == {
        "nobody's, due": Status.ENQUEUED,
        "nobody's, late": Status.CANCELLED,
        "nobody's, internal": Status.SUCCESS,
    }


@pytest.mark.covers(190)
def test_its_own_workflows_run(scene: Scene) -> None:
    other = scene.other
    other.ask("start", "their draw", "their_draw", 3)
    other.ask("enqueue", "their add", "add", 1, 2)
    other.ask("start", "their refusal", "their_refusal", "42")

    assert len(other.ask("get_result", "their draw")) == 3
    assert other.ask("get_result", "their add") == "theirs: 3"
    with pytest.raises(Refused, match="card 42 was declined"):
        other.ask("get_result", "their refusal")


@pytest.fixture
def own(url: str) -> Iterator[DurableClient]:
    """Return durust's own client of the same database."""
    with DurableClient(url) as made:
        yield made


@pytest.mark.covers(190)
def test_both_work_beside_each_other(scene: Scene, worker: Spawned, own: DurableClient) -> None:
    theirs = [f"beside {number}" for number in range(5)]
    for workflow_id in theirs:
        scene.other.ask("enqueue", workflow_id, "add", 1, 2)

    # The same name, on each side's own queue.
    ours = [own.enqueue("orders", "add", 1, number) for number in range(5)]

    assert [handle.get_result(30) for handle in ours] == [1, 2, 3, 4, 5]
    assert [scene.other.ask("get_result", workflow_id) for workflow_id in theirs] == ["theirs: 3"] * 5
    owners = ask_owners(own, theirs)
    assert owners == {"theirs"}
    # It was durust that looked at its arguments.
    with pytest.raises(SerializationError):
        own.retrieve_workflow("internal").get_result(30)


@pytest.mark.covers(190)
def test_what_names_no_application_is_its_own_who_runs_it(
    scene: Scene, worker: Spawned, client: Conversation, own: DurableClient
) -> None:
    options = {"queue_name": "orders", "workflow_name": "nap"}

    # It parks, and each second the other application queues whatever is due and nobody's.
    ours = client.ask("enqueue", 1.5, options=options)
    theirs = client.ask("enqueue", 1, options={"queue_name": "their-queue", "workflow_name": "their_draw"})

    assert client.ask("get_result", ours) == "awake"
    assert len(client.ask("get_result", theirs)) == 1
    assert (ask_owners(own, [ours]), ask_owners(own, [theirs])) == ({"durust"}, {"theirs"})


@pytest.mark.covers(103)
def test_each_sends_messages_to_the_other(scene: Scene, worker: Spawned, own: DurableClient) -> None:
    other, message = scene.other, {"go": ["naïve", 1, None]}
    other.ask("start", "hearing", "their_hearing")
    ours = own.enqueue("orders", "hear", 1)

    own.enqueue("orders", "tell", "hearing", message)
    other.ask("start", "telling", "their_telling", ours.id, message)

    assert other.ask("get_result", "hearing") == message
    assert ours.get_result(30) == [message]


@pytest.mark.covers(116)
def test_each_reads_events_and_streams_of_the_other(scene: Scene, worker: Spawned, own: DurableClient) -> None:
    other = scene.other
    # Both wait for workflows that do not exist yet.
    ours = own.enqueue("orders", "watch", "their publishing")
    other.ask("start", "watching", "their_watching", "our publishing")

    own.enqueue("orders", "publish", 3, options=WorkflowOptions(workflow_id="our publishing"))
    other.ask("start", "their publishing", "their_publishing", 3)

    progress, numbers = ours.get_result(30)
    assert (progress["done"] in {1, 2, 3}, numbers) == (True, [1, 2, 3])
    progress, numbers = other.ask("get_result", "watching")
    assert (progress["done"] in {1, 2, 3}, numbers) == (True, [1, 2, 3])


def ask_owners(own: DurableClient, workflow_ids: list[str]) -> set[str | None]:
    """Read whose workflows are."""
    return {row.app_name for row in own.list_workflows(ListFilter(workflow_ids=workflow_ids))}
