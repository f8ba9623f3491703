"""A value may hold any text, also one that no column holds as it stands; an id, a topic, a key or a name may not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from durust import InvalidArgument, ListFilter, WorkflowOptions, WorkflowQueue
from durust.codec import Codec
from tests.conformance.builders import start
from tests.engine.colours import Paint
from tests.engine.stage import PATIENCE, Stage


def idle(_: Any) -> None:
    """Stand for any workflow."""


HARD = ["a NUL \0", "half a pair \ud800", 'naïve 🎈 "\\ \x1f\x7f\u2028']
UNSTORABLE = ["a NUL \0", "half a pair \ud800"]


@pytest.mark.parametrize("text", HARD, ids=["NUL", "surrogate", "others"])
def test_any_text_round_trips_in_a_value(stage: Stage, paint: Paint, text: str) -> None:
    stage.commit(start("receiver"))
    seen: list[Any] = []

    def fail() -> None:
        raise ValueError(text, {text: text})

    @paint
    def carry(ctx: Any, one: str, *, other: dict[str, str]) -> Any:
        seen.append((one, other))
        seen.append((yield ctx.step("carry", lambda: {text: [text]})))
        try:
            yield ctx.step("fail", fail)
        except ValueError as error:
            seen.append(error.args)
        yield ctx.send("receiver", {text: text}, "topic")
        yield ctx.send(ctx.workflow_id, {text: text}, "own")
        seen.append((yield ctx.recv("own", timeout=PATIENCE)))
        yield ctx.set_event("event", {text: text})
        yield ctx.write_stream("stream", {text: text})
        # Long enough to park, so that all of it is read back.
        yield ctx.sleep(0.5)
        raise ValueError(text)

    engine = stage.launch(carry)
    handle = engine.run_workflow("carry", text, other={text: text})
    with pytest.raises(ValueError) as caught:  # noqa: PT011  the text is compared below
        handle.get_result(PATIENCE)

    assert caught.value.args == (text,)
    assert seen == 2 * [(text, {text: text}), {text: [text]}, (text, {text: text}), {text: text}]
    assert engine.get_event(handle.id, "event") == {text: text}
    assert list(engine.read_stream(handle.id, "stream")) == [{text: text}]
    assert engine.get_events(handle.id) == {"event": {text: text}}
    assert engine.get_streams(handle.id) == {"stream": [{text: text}]}
    [message] = engine.list_messages("receiver")
    assert Codec().load(message.text, message.serialization) == {text: text}


@pytest.mark.parametrize("text", HARD, ids=["NUL", "surrogate", "others"])
def test_any_text_round_trips_as_a_result(stage: Stage, text: str) -> None:
    def carry(_: Any) -> dict[str, str]:
        return {text: text}

    engine = stage.launch(carry)
    handle = engine.run_workflow("carry")

    assert handle.get_result(PATIENCE) == {text: text}
    assert engine.retrieve_workflow(handle.id).get_result(PATIENCE) == {text: text}


OUTSIDE: dict[str, Callable[[Any, str], Any]] = {
    "a workflow's id": lambda engine, text: engine.run_workflow("idle", options=WorkflowOptions(workflow_id=text)),
    "a deduplication id": lambda engine, text: engine.enqueue("mail", "idle", options=WorkflowOptions(dedup_id=text)),
    "a partition": lambda engine, text: engine.enqueue("mail", "idle", options=WorkflowOptions(partition_key=text)),
    "a version": lambda engine, text: engine.run_workflow("idle", options=WorkflowOptions(app_version=text)),
    "a user": lambda engine, text: engine.run_workflow("idle", options=WorkflowOptions(authenticated_user=text)),
    "a role": lambda engine, text: engine.run_workflow("idle", options=WorkflowOptions(authenticated_roles=[text])),
    "an attribute": lambda engine, text: engine.run_workflow("idle", options=WorkflowOptions(attributes={"a": text})),
    "a queue": lambda engine, text: engine.register_queue(WorkflowQueue(text)),
    "a workflow's name": lambda engine, text: engine.register(text, idle),
    "who is asked about": lambda engine, text: engine.retrieve_workflow(text),
    "who is cancelled": lambda engine, text: engine.cancel_workflow(text),
    "who is resumed": lambda engine, text: engine.resume_workflow(text),
    "who is sent to": lambda engine, text: engine.send(text, 1),
    "a topic": lambda engine, text: engine.send("receiver", 1, topic=text),
    "an event": lambda engine, text: engine.get_event("receiver", text, timeout=0),
    "who sets an event": lambda engine, text: engine.get_event(text, "key", timeout=0),
    "a stream": lambda engine, text: list(engine.read_stream("receiver", text, timeout=0)),
    "a message's key": lambda engine, text: engine.send("receiver", 1, idempotency_key=text),
}


@pytest.mark.parametrize("text", UNSTORABLE, ids=["NUL", "surrogate"])
@pytest.mark.parametrize("url", ["memory"], indirect=True)
def test_a_text_that_no_column_holds_is_refused_where_it_names_something(stage: Stage, text: str) -> None:
    engine = stage.launch(idle)
    taken = []

    for what, call in OUTSIDE.items():
        try:
            call(engine, text)
        except InvalidArgument:
            continue
        taken.append(what)

    assert taken == []
    assert stage.provider.workflows(ListFilter()) == []


INSIDE: dict[str, Callable[[Any, str], Any]] = {
    "a step's name": lambda ctx, text: ctx.step(text, lambda: None),
    "a patch": lambda ctx, text: ctx.patch(text),
    "who is sent to": lambda ctx, text: ctx.send(text, 1),
    "a topic": lambda ctx, text: ctx.send("receiver", 1, text),
    "a topic that is listened to": lambda ctx, text: ctx.recv(text, timeout=0),
    "an event that is waited for": lambda ctx, text: ctx.get_event("receiver", text, timeout=0),
    "who sets an event": lambda ctx, text: ctx.get_event(text, "key", timeout=0),
    "a child's id": lambda ctx, text: ctx.start_workflow(idle, options=WorkflowOptions(workflow_id=text)),
    "an event": lambda ctx, text: ctx.set_event(text, 1),
    "a stream": lambda ctx, text: ctx.write_stream(text, 1),
    "a stream that is closed": lambda ctx, text: ctx.close_stream(text),
}


@pytest.mark.parametrize("text", UNSTORABLE, ids=["NUL", "surrogate"])
@pytest.mark.parametrize("url", ["memory"], indirect=True)
def test_a_body_is_refused_it_where_it_names_something(stage: Stage, paint: Paint, text: str) -> None:
    @paint
    def name(ctx: Any) -> Any:
        taken = []
        for what, call in INSIDE.items():
            try:
                yield call(ctx, text)
            except InvalidArgument:
                continue
            taken.append(what)
        return taken

    engine = stage.launch(name, idle)
    handle = engine.run_workflow("name")

    assert handle.get_result(PATIENCE) == []
    assert stage.history(handle) == {}
