"""The judge sees what must not happen: bugs that are planted on purpose."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.crash.ledger import Entry, faults
from tests.crash.matrix import DATABASES
from tests.crash.scenarios import SCENARIOS, Part
from tests.crash.stage import Stage

ONCE = {1: 1, 2: 1, 3: 1}
# A resume forgets the attempts, which an honest repeat would have counted.
BEGUN_ANEW = ["step 2 happened in the attempts [1, 1]"]
FINE = [Entry(1, 1, 10, "a"), Entry(2, 1, 10, "b"), Entry(3, 2, 11, "c")]


@pytest.mark.parametrize("colour", ["async", "sync"])
@pytest.mark.parametrize("kind", DATABASES)
def test_a_record_that_got_lost_between_two_processes_is_noticed(stage: Stage, kind: str, colour: str) -> None:
    scenario = SCENARIOS["direct"]
    stage.kill(scenario, "step.recorded", 2)
    stage.database.forget_step(2)

    stage.finish(scenario)

    assert stage.faults() == ["step 2 happened 2 times and not 1"]


@pytest.mark.parametrize("colour", ["async", "sync"])
@pytest.mark.parametrize("kind", DATABASES)
@pytest.mark.parametrize(
    ("name", "boundary"),
    [("timeout", "sql.expire_workflows.after"), ("cancel", "sql.cancel_workflows.after")],
)
def test_a_record_that_a_cancel_loses_is_noticed(
    stage: Stage, kind: str, colour: str, name: str, boundary: str
) -> None:
    scenario = SCENARIOS[name]
    stage.prepare(scenario)
    stage.kill(scenario, boundary, 1)
    stage.database.forget_step(2)

    stage.finish(scenario)

    assert stage.faults() == ["step 2 happened 2 times and not 1", *BEGUN_ANEW]


@pytest.mark.parametrize("colour", ["async", "sync"])
@pytest.mark.parametrize("kind", DATABASES)
def test_an_effect_that_is_repeated_unexpectedly_is_noticed(stage: Stage, kind: str, colour: str) -> None:
    scenario = SCENARIOS["direct"]
    stage.kill(scenario, "body.after_effect", 3)

    stage.finish(scenario)

    assert stage.faults() == ["step 3 happened 2 times and not 1"]
    assert stage.faults(repeated_step=3) == []


@pytest.mark.parametrize("colour", ["async", "sync"])
@pytest.mark.parametrize("kind", DATABASES)
def test_a_value_that_an_event_loses_is_noticed(stage: Stage, kind: str, colour: str) -> None:
    scenario = SCENARIOS["event"]
    stage.kill(scenario, "sql.set_events.after", 1)
    stage.database.forget_value()

    stage.finish(scenario)

    [fault] = stage.faults()
    assert fault.startswith("the result")


@pytest.mark.parametrize("colour", ["async", "sync"])
@pytest.mark.parametrize("kind", DATABASES)
def test_a_value_that_stands_twice_in_a_stream_is_noticed(stage: Stage, kind: str, colour: str) -> None:
    scenario = SCENARIOS["stream"]
    stage.kill(scenario, "sql.append_streams.after", 2)
    stage.database.forget_step(4)
    stage.database.forget_key()

    stage.finish(scenario)

    [fault] = stage.faults()
    assert fault.startswith("the result")


@pytest.mark.parametrize("colour", ["async", "sync"])
@pytest.mark.parametrize("kind", DATABASES)
@pytest.mark.parametrize(("name", "place"), [("send", 4), ("recv", 5)])
def test_a_record_of_a_message_that_gets_lost_is_noticed(
    stage: Stage, kind: str, colour: str, name: str, place: int
) -> None:
    scenario = SCENARIOS[name]
    # Behind the second of two sends, or the first of two receipts.
    boundary = {"send": "record_sends", "recv": "receive_messages"}[name]
    at_pass = {"send": 2, "recv": 1}[name]
    if kind == "sqlite":
        boundary = {"send": "send_messages", "recv": "consume_messages"}[name]
    stage.kill(scenario, f"sql.{boundary}.after", at_pass)
    stage.database.forget_step(place)

    stage.finish(scenario)

    [fault] = stage.faults()
    assert fault.startswith("the result")


@pytest.mark.parametrize("kind", DATABASES)
@pytest.mark.parametrize("colour", ["sync"])
def test_attributes_that_are_recorded_and_do_not_stand_are_noticed(stage: Stage, kind: str, colour: str) -> None:
    scenario = SCENARIOS["attributes"]
    stage.kill(scenario, "sql.set_attributes.after", 1)
    stage.database.forget_attributes()

    stage.finish(scenario)

    [fault] = stage.faults()
    assert fault.startswith("the result")


@pytest.mark.parametrize("kind", DATABASES)
@pytest.mark.parametrize("colour", ["async", "sync"])
def test_a_record_that_is_committed_apart_from_what_the_function_wrote_is_noticed(
    stage: Stage, kind: str, colour: str
) -> None:
    honest = SCENARIOS["transaction"]
    scenario = replace(honest, victim=replace(honest.victim, env={"CRASH_APART": "1"}))
    stage.prepare(scenario)
    stage.kill(scenario, "sql.record_steps.before", 2)

    stage.finish(scenario)

    [fault] = stage.faults(repeated_step=2)
    assert fault.startswith("the application's table holds")


@pytest.mark.parametrize("kind", DATABASES)
@pytest.mark.parametrize("colour", ["sync"])
def test_a_witness_that_gets_lost_is_noticed(stage: Stage, kind: str, colour: str) -> None:
    scenario = SCENARIOS["datasource"]
    stage.prepare(scenario)
    stage.kill(scenario, "sql.store_witness.after", 2)
    assert stage.application is not None
    stage.application.forget_witnesses()

    stage.finish(scenario)

    table, *_ = [fault for fault in stage.faults(repeated_step=2) if fault.startswith("the application's table")]
    assert table


@pytest.mark.parametrize("kind", DATABASES)
@pytest.mark.parametrize("colour", ["sync"])
def test_a_link_without_its_child_is_noticed(stage: Stage, kind: str, colour: str) -> None:
    scenario = SCENARIOS["child"]
    stage.kill(scenario, "child.started", 1)
    stage.database.forget_children()

    with pytest.raises(AssertionError, match="there is no workflow 'crash-2'"):
        stage.finish(scenario)


@pytest.mark.parametrize("kind", DATABASES)
@pytest.mark.parametrize("colour", ["sync"])
def test_a_child_that_a_cancel_leaves_behind_is_noticed(stage: Stage, kind: str, colour: str) -> None:
    scenario = SCENARIOS["family"]
    stage.prepare(scenario)

    with pytest.raises(AssertionError, match="not cancelled"):
        stage.finish(replace(scenario, after=(Part("cancel family", env={"CRASH_CHILDLESS": "1"}),)))


def test_a_run_without_fault_is_no_fault() -> None:
    assert faults(FINE, ONCE, ["a", "b", "c"]) == []


def test_an_effect_that_is_missing_is_noticed() -> None:
    assert faults(FINE[:2], ONCE, ["a", "b", "c"]) != []


def test_a_recorded_step_that_happens_again_later_is_noticed() -> None:
    repeated = [*FINE, Entry(1, 3, 12, "d")]

    assert "a recorded step happened again: [1, 2, 3, 1]" in faults(repeated, ONCE | {1: 2}, ["d", "b", "c"])


def test_a_result_that_forgets_what_was_recorded_is_noticed() -> None:
    assert faults(FINE, ONCE, ["a", "x", "c"]) != []


def test_a_step_that_happens_twice_in_one_process_is_noticed() -> None:
    repeated = [*FINE, Entry(3, 2, 11, "d")]

    assert faults(repeated, ONCE | {3: 2}, ["a", "b", "d"]) != []


def test_a_repeat_that_was_not_counted_as_an_attempt_is_noticed() -> None:
    repeated = [*FINE, Entry(3, 2, 12, "d")]

    assert faults(repeated, ONCE | {3: 2}, ["a", "b", "d"]) != []
