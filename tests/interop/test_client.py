"""The official client starts, watches and steers durust's workflows on a database that durust migrated."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from durust import DurableClient, ListFilter, WorkflowNotFound
from tests.interop.conversation import Conversation, Refused
from tests.interop.environment import TIMEOUT_SECONDS
from tests.support.waiting import eventually

pytestmark = [pytest.mark.timeout(TIMEOUT_SECONDS), pytest.mark.usefixtures("worker")]

ORDERS = "orders"


@pytest.fixture(scope="module")
def own(url: str) -> Iterator[DurableClient]:
    """Return durust's own client of the same database."""
    with DurableClient(url) as made:
        yield made


def enqueue(client: Conversation, workflow: str, *args: Any, **kwargs: Any) -> str:
    """Queue a workflow for durust by the official client, in portable form, and return its id."""
    options = {"queue_name": ORDERS, "workflow_name": workflow, "application_name": "durust"}
    workflow_id: str = client.ask("enqueue", *args, options={**options, **kwargs.pop("options", {})}, **kwargs)
    return workflow_id


def status_of(client: Conversation, workflow_id: str) -> str:
    """Ask the official client how a workflow stands."""
    status: str = client.ask("get_status", workflow_id)["status"]
    return status


@pytest.mark.covers(176)
def test_it_enqueues_a_workflow_and_reads_its_result(client: Conversation) -> None:
    ids = [
        enqueue(client, "add", 1, 2),
        enqueue(client, "add", 1, other=4),
        enqueue(client, "greet", "Ada", mark="?"),
    ]

    assert [client.ask("get_result", each) for each in ids] == [3, 5, "Hello Ada?"]


def test_it_reads_texts_that_no_column_holds(client: Conversation) -> None:
    workflow_id = enqueue(client, "speak", "naïve \0")

    assert client.ask("get_result", workflow_id) == {"text": "naïve \0 \0 \ud800"}
    assert [step["output"] for step in client.ask("list_workflow_steps", workflow_id)] == ["naïve \0 \0 \ud800"]


def test_typed_arguments_and_results_are_plain_json_to_it(client: Conversation) -> None:
    order = {"id": "o-1", "total": "12.50", "at": "2026-03-01T12:30:00.000Z"}

    assert client.ask("get_result", enqueue(client, "sell", order)) == {"id": "o-1", "total": "25.00", "year": 2026}


@pytest.mark.covers(181)
def test_it_reads_the_error_of_a_workflow(client: Conversation) -> None:
    workflow_id = enqueue(client, "refuse", "42")

    with pytest.raises(Refused) as caught:
        client.ask("get_result", workflow_id)

    refused = caught.value
    assert (refused.type, refused.name, refused.message) == (
        "PortableWorkflowError",
        "Declined",
        "card 42 was declined",
    )
    assert (refused.code, refused.data) == ("card_declined", {"card": "42"})


@pytest.mark.covers(177)
def test_arguments_that_do_not_fit_are_the_workflows_error(client: Conversation) -> None:
    for args, kind in ((("one", "two"), "SerializationError"), ((1, 2, 3), "TypeError")):
        with pytest.raises(Refused) as caught:
            client.ask("get_result", enqueue(client, "add", *args))

        assert caught.value.name == kind


def test_it_names_priority_delay_and_timeout(client: Conversation) -> None:
    options = {"priority": 7, "delay_seconds": 0.2, "workflow_timeout": 30.0, "authenticated_user": "ada"}

    workflow_id = enqueue(client, "add", 1, 2, options=options)

    assert client.ask("get_result", workflow_id) == 3
    status = client.ask("get_status", workflow_id)
    assert (status["priority"], status["workflow_timeout_ms"], status["authenticated_user"]) == (7, 30_000, "ada")
    assert status["dequeued_at"] >= status["created_at"] + 190


def test_a_deduplication_id_holds_between_both_libraries(client: Conversation) -> None:
    holder = enqueue(client, "nap", 0.5, options={"deduplication_id": "once"})

    with pytest.raises(Refused) as caught:
        enqueue(client, "nap", 0.5, options={"deduplication_id": "once"})

    assert caught.value.type == "DBOSQueueDeduplicatedError"
    assert client.ask("get_result", holder) == "awake"


def test_it_lists_workflows_and_their_steps(client: Conversation) -> None:
    workflow_id = enqueue(client, "draw", 3)
    drawn = client.ask("get_result", workflow_id)

    [status] = client.ask("list_workflows", workflow_ids=[workflow_id])
    steps = client.ask("list_workflow_steps", workflow_id)

    assert (status["status"], status["name"], status["queue_name"]) == ("SUCCESS", "draw", ORDERS)
    assert (status["input"], status["output"]) == ({"args": [3], "kwargs": {}}, drawn)
    assert status["app_version"] is not None
    assert [(step["function_id"], step["function_name"], step["output"]) for step in steps] == [
        (number, f"draw {number}", token) for number, token in enumerate(drawn, 1)
    ]


def test_it_lists_what_durusts_client_enqueued(client: Conversation, own: DurableClient) -> None:
    handle = own.enqueue(ORDERS, "refuse", "13")

    with pytest.raises(Refused):
        client.ask("get_result", handle.id)

    [status] = client.ask("list_workflows", name="refuse", status=["ERROR"], workflow_id_prefix=handle.id)
    [step] = client.ask("list_workflow_steps", handle.id)
    assert status["error"]["name"] == step["error"]["name"] == "Declined"
    assert (step["function_name"], step["error"]["code"]) == ("charge", "card_declined")


def test_it_cancels_and_resumes_a_parked_workflow(client: Conversation, own: DurableClient) -> None:
    workflow_id = enqueue(client, "nap", 1)
    eventually(lambda: status_of(client, workflow_id) == "DELAYED")

    client.ask("cancel_workflow", workflow_id)
    cancelled = client.ask("get_status", workflow_id)
    client.ask("resume_workflow", workflow_id)

    assert cancelled["status"] == "CANCELLED"
    assert client.ask("get_result", workflow_id) == "awake"


def test_it_sees_the_children_of_a_workflow_and_cancels_them_with_it(client: Conversation) -> None:
    ended, cancelled = enqueue(client, "family", 0.2), enqueue(client, "family", 600)
    assert client.ask("get_result", ended) == "awake too"
    steps = client.ask("list_workflow_steps", ended)
    assert [step["function_name"] for step in steps] == ["nap", "DBOS.getResult"]
    assert steps[0]["child_workflow_id"] == f"{ended}-1"
    eventually(lambda: client.ask("list_workflows", parent_workflow_id=cancelled, status=["DELAYED"]))

    client.ask("cancel_workflow", cancelled, cancel_children=True)

    assert [status_of(client, each) for each in (cancelled, f"{cancelled}-1")] == ["CANCELLED"] * 2


def test_it_cancels_and_resumes_a_running_workflow(client: Conversation, tmp_path: Path) -> None:
    workflow_id = enqueue(client, "hold", str(tmp_path))
    eventually((tmp_path / "begun").exists)

    client.ask("cancel_workflow", workflow_id)
    (tmp_path / "released").touch()

    # What the step returned then is not recorded, so the resumed run calls it again.
    assert status_of(client, workflow_id) == "CANCELLED"
    assert client.ask("list_workflow_steps", workflow_id) == []
    client.ask("resume_workflow", workflow_id)
    assert client.ask("get_result", workflow_id) == "released"


@pytest.mark.covers(182)
def test_it_forks_a_workflow_from_a_step(client: Conversation) -> None:
    workflow_id = enqueue(client, "draw", 3)
    drawn = client.ask("get_result", workflow_id)

    whole = client.ask("fork_workflow", workflow_id, 1)
    behind = client.ask("fork_workflow", workflow_id, 3)

    assert set(client.ask("get_result", whole)).isdisjoint(drawn)
    redrawn = client.ask("get_result", behind)
    assert (redrawn[:2], redrawn[2] == drawn[2]) == (drawn[:2], False)
    status = client.ask("get_status", behind)
    assert (status["forked_from"], status["output"]) == (workflow_id, redrawn)


def test_it_rewinds_a_workflow_to_a_step(client: Conversation, own: DurableClient) -> None:
    workflow_id = enqueue(client, "draw", 3)
    drawn = client.ask("get_result", workflow_id)

    client.ask("rewind_workflow", workflow_id, start_step=3)

    redrawn = client.ask("get_result", workflow_id)
    assert (redrawn[:2], redrawn[2] == drawn[2]) == (drawn[:2], False)
    assert own.retrieve_workflow(workflow_id).get_result(30) == redrawn


def test_it_looks_after_delays_attributes_queues_and_what_is_over(client: Conversation, own: DurableClient) -> None:
    workflow_id = enqueue(client, "add", 1, 2, options={"delay_seconds": 600, "attributes": {"customer": "c-1"}})

    client.ask("set_workflow_delay", workflow_id, delay_seconds=0)
    client.ask("update_workflow_attributes", workflow_id, {"vip": True}, merge=True)

    assert own.retrieve_workflow(workflow_id).get_result(30) == 3
    [row] = own.list_workflows(ListFilter(attributes={"customer": "c-1", "vip": True}))
    assert row.workflow_id == workflow_id
    assert ORDERS in client.ask("list_queues")
    client.ask("delete_workflow", workflow_id)
    with pytest.raises(WorkflowNotFound):
        own.retrieve_workflow(workflow_id)


def test_it_reads_events_and_streams(client: Conversation) -> None:
    workflow_id = enqueue(client, "publish", 3)

    assert client.ask("read_stream", workflow_id, "numbers", timeout_seconds=30) == [1, 2, 3]
    assert client.ask("read_stream", workflow_id, "numbers", offset=2, timeout_seconds=30) == [3]
    assert client.ask("get_event", workflow_id, "progress", timeout_seconds=30) == {"done": 3}
    assert client.ask("get_event", workflow_id, "nothing", timeout_seconds=0.01) is None
    names = [step["function_name"] for step in client.ask("list_workflow_steps", workflow_id)]
    assert names == ["DBOS.setEvent", "DBOS.writeStream"] * 3 + ["DBOS.closeStream"]


def test_it_waits_for_an_event_and_a_stream_that_are_still_to_come(client: Conversation) -> None:
    workflow_id = enqueue(client, "publish", 2, options={"delay_seconds": 0.5})

    assert client.ask("get_event", workflow_id, "progress", timeout_seconds=30)["done"] >= 1
    assert client.ask("read_stream", workflow_id, "numbers", timeout_seconds=30) == [1, 2]


@pytest.mark.covers(103, 178)
def test_it_sends_messages_to_a_parked_workflow(client: Conversation, own: DurableClient) -> None:
    workflow_id = enqueue(client, "hear", 3)
    eventually(lambda: status_of(client, workflow_id) == "DELAYED")

    client.ask("send", workflow_id, {"go": "naïve \0"}, topic="control", idempotency_key="once")
    client.ask("send", workflow_id, {"go": "again"}, topic="control", idempotency_key="once")
    client.ask("send", workflow_id, [2], topic="control")
    client.ask("send", workflow_id, "for nobody")
    eventually(lambda: len(client.ask("list_workflow_steps", workflow_id)) > 2)
    client.ask("send", workflow_id, None, topic="control")

    assert client.ask("get_result", workflow_id) == [{"go": "naïve \0"}, [2], None]
    rows = own.list_messages(workflow_id)
    assert [(row.topic, row.text) for row in rows] == [
        ("control", '{"go":"naïve \\u0000"}'),
        ("control", "[2]"),
        (None, '"for nobody"'),
        ("control", "null"),
    ]


def test_its_command_line_lists_durusts_runs(other_command: Any, client: Conversation, url: str) -> None:
    workflow_id = enqueue(client, "draw", 1)
    drawn = client.ask("get_result", workflow_id)

    listed = other_command("workflow", "list", "-n", "draw", "-d")
    steps = other_command("workflow", "steps", workflow_id)

    assert [(each["workflow_id"], each["output"]) for each in listed if each["workflow_id"] == workflow_id] == [
        (workflow_id, drawn)
    ]
    assert [(step["function_name"], step["output"]) for step in steps] == [("draw 1", drawn[0])]


@pytest.mark.covers(179)
def test_a_pickle_of_its_own_is_not_loaded_unasked(client: Conversation) -> None:
    workflow_id = enqueue(client, "add", 1, 2, options={"serialization_type": None})

    with pytest.raises(Refused) as caught:
        client.ask("get_result", workflow_id)

    assert caught.value.name == "SerializationError"
    assert "py_pickle" in caught.value.message
