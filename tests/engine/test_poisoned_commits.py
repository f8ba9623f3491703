"""One of 64 workflows in a single group commit writes what cannot be held: it fails alone, and by its own cause."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest

from durust import DurableEngine, RemoteError, SerializationError, Status, WorkflowHandle, WorkflowNotFound
from durust.model.writes import FinishWorkflow, RecordStep, Write
from durust.storage.memory import InMemoryProvider
from tests.conformance.conftest import SHARED
from tests.engine.clients import connect
from tests.engine.colours import Paint
from tests.engine.stage import PATIENCE, Stage, parts
from tests.support.turnstile import Turnstile
from tests.support.waiting import eventually

WORKFLOWS = 64
POISONED = 31
BYTES_MAX = 1_000


def fail() -> Any:
    """Raise an error that nobody can make again from what it says, and that holds what no record can."""

    class Unreadable(Exception):
        def __init__(self, one: str, other: str) -> None:
            super().__init__(f"{one} {other}")
            self.lock = threading.Lock()

    raise Unreadable("neither", "written")


# What the workflow makes, in its step or as its result; and how it ends.
Poison = tuple[Callable[[], Any], type[Exception], str]
POISONS: dict[str, Poison] = {
    "NaN": (lambda: math.nan, SerializationError, "JSON has finite numbers only"),
    "a value over the limit": (lambda: "x" * BYTES_MAX, SerializationError, f"value_bytes_max={BYTES_MAX}"),
    "an object that cannot be serialized": (threading.Lock, SerializationError, "lock"),
    "an exception that cannot be read back": (fail, RemoteError, "neither written"),
}


class Crowd:
    """64 workflows of one engine, whose steps wait until all of them are there, and whose commits a test lets go."""

    def __init__(self, stage: Stage, paint: Paint, **poisons: Callable[[], Any]) -> None:
        self._stage, self._gate = stage, threading.Event()
        self._begun: set[int] = set()
        in_step, in_result = (poisons.get(place, lambda: "harmless") for place in ("step", "result"))

        def take(number: int) -> Any:
            self._begun.add(number)
            self._gate.wait(PATIENCE)
            return in_step() if number == POISONED else number

        @paint
        def work(ctx: Any, number: int) -> Any:
            value = yield ctx.step("take", lambda: take(number))
            return in_result() if number == POISONED and "result" in poisons else value

        self.engine: DurableEngine = stage.launch(work, slots=WORKFLOWS + 6, value_bytes_max=BYTES_MAX)
        self.handles: list[WorkflowHandle[Any]] = [
            self.engine.run_workflow("work", number) for number in range(WORKFLOWS)
        ]
        eventually(lambda: len(self._begun) == WORKFLOWS)
        self.turnstile = Turnstile(parts(self.engine).journal)
        self._gate.set()

    @property
    def poisoned(self) -> WorkflowHandle[Any]:
        """The one that writes what cannot be held."""
        return self.handles[POISONED]

    def batches(self, kind: type[Write]) -> list[int]:
        """Return how many writes of *kind* each batch held that the journal handed over."""
        counts = [sum(type(write) is kind for write in batch) for batch in self._stage.line_of(self.engine).batches]
        return [count for count in counts if count]

    def assert_neighbours_ended(self) -> None:
        """Demand that the other 63 workflows ended well, each with its own record and result."""
        for number, handle in enumerate(self.handles):
            if number != POISONED:
                assert handle.get_result(PATIENCE) == number
                assert [record.output for record in self._stage.history(handle).values()] == [str(number)]

    def assert_nothing_runs(self) -> None:
        """Demand that no run is left behind."""
        eventually(lambda: not parts(self.engine).runner.roster.running())


MakeCrowd = Callable[..., Crowd]


@pytest.fixture
def make_crowd(stage: Stage, paint: Paint) -> Iterator[MakeCrowd]:
    """Return `make_crowd(step=, result=)`, whose commits all go through at the end."""
    made: list[Crowd] = []

    def make(**poisons: Callable[[], Any]) -> Crowd:
        made.append(Crowd(stage, paint, **poisons))
        return made[-1]

    yield make
    for crowd in made:
        crowd.turnstile.open()


each_poison = pytest.mark.parametrize("poison", POISONS.values(), ids=list(POISONS))


@pytest.mark.covers(10)
@each_poison
def test_a_poisoned_step_fails_alone(stage: Stage, make_crowd: MakeCrowd, poison: Poison) -> None:
    make, error, words = poison
    crowd = make_crowd(step=make)

    crowd.turnstile.let_through(WORKFLOWS, RecordStep)
    crowd.turnstile.let_through(WORKFLOWS, FinishWorkflow)
    crowd.turnstile.open()

    crowd.assert_neighbours_ended()
    with pytest.raises(error, match=words):
        crowd.poisoned.get_result(PATIENCE)
    assert stage.row(crowd.poisoned).status is Status.ERROR
    assert crowd.batches(RecordStep) == crowd.batches(FinishWorkflow) == [WORKFLOWS]
    crowd.assert_nothing_runs()


@pytest.mark.covers(9, 10)
@each_poison
def test_a_poisoned_result_fails_alone(stage: Stage, make_crowd: MakeCrowd, poison: Poison) -> None:
    make, error, words = poison
    crowd = make_crowd(result=make)

    crowd.turnstile.let_through(WORKFLOWS, RecordStep)
    crowd.turnstile.let_through(WORKFLOWS, FinishWorkflow)
    crowd.turnstile.open()

    crowd.assert_neighbours_ended()
    with pytest.raises(error, match=words):
        crowd.poisoned.get_result(PATIENCE)
    assert stage.row(crowd.poisoned).status is Status.ERROR
    assert crowd.batches(FinishWorkflow) == [WORKFLOWS]
    crowd.assert_nothing_runs()


@pytest.mark.parametrize("kind", [RecordStep, FinishWorkflow])
def test_a_workflow_whose_row_is_deleted_unwinds_alone(
    stage: Stage, make_crowd: MakeCrowd, kind: type[Write], delete: Callable[[str], None]
) -> None:
    crowd = make_crowd()
    if kind is FinishWorkflow:
        crowd.turnstile.let_through(WORKFLOWS, RecordStep)
    crowd.turnstile.gather(WORKFLOWS, kind)

    delete(crowd.poisoned.id)
    crowd.turnstile.let_through(WORKFLOWS, kind)
    crowd.turnstile.open()

    crowd.assert_neighbours_ended()
    with pytest.raises(WorkflowNotFound):
        crowd.poisoned.get_result(PATIENCE)
    assert crowd.batches(kind) == [WORKFLOWS]
    assert stage.history(crowd.poisoned) == {}
    crowd.assert_nothing_runs()


@pytest.mark.protocol("4.checkpoints.bisect")
@pytest.mark.parametrize("url", SHARED, indirect=True)
@pytest.mark.parametrize("kind", [RecordStep, FinishWorkflow])
def test_what_the_database_alone_refuses_fails_alone(
    stage: Stage, make_crowd: MakeCrowd, kind: type[Write], forbid: Callable[[type[Write], str], None]
) -> None:
    crowd = make_crowd()
    forbid(kind, crowd.poisoned.id)

    crowd.turnstile.let_through(WORKFLOWS, RecordStep)
    crowd.turnstile.let_through(WORKFLOWS, FinishWorkflow)
    crowd.turnstile.open()

    crowd.assert_neighbours_ended()
    with pytest.raises(SerializationError, match="forbidden"):
        crowd.poisoned.get_result(PATIENCE)
    assert stage.row(crowd.poisoned).status is Status.ERROR
    assert crowd.batches(kind)[0] == WORKFLOWS
    crowd.assert_nothing_runs()


@pytest.mark.covers(9)
@pytest.mark.parametrize("url", SHARED, indirect=True)
def test_an_error_that_the_database_refuses_is_replaced_by_one_that_says_so(
    stage: Stage, make_crowd: MakeCrowd, forbid_words: Callable[[str], None]
) -> None:
    def speak() -> Any:
        raise ValueError("unspeakable")

    crowd = make_crowd(result=speak)
    forbid_words("unspeakable")

    crowd.turnstile.let_through(WORKFLOWS, RecordStep)
    crowd.turnstile.let_through(WORKFLOWS, FinishWorkflow)
    crowd.turnstile.open()

    crowd.assert_neighbours_ended()
    with pytest.raises(SerializationError, match=r"error of workflow 'work': .*forbidden"):
        crowd.poisoned.get_result(PATIENCE)
    assert crowd.batches(FinishWorkflow) == [WORKFLOWS, 1]
    crowd.assert_nothing_runs()


@pytest.fixture
def delete(url: str, stage: Stage) -> Callable[[str], None]:
    """Return `delete(workflow_id)`, which removes a workflow as anybody can who owns the database."""

    def run(workflow_id: str) -> None:
        if isinstance(stage.provider, InMemoryProvider):
            stage.provider._tables.forget(workflow_id)
        else:
            with closing(connect(url)) as connection:
                schema = "" if url.startswith("sqlite:") else "dbos."
                for table in ("operation_outputs", "workflow_status"):
                    connection.execute(f"delete from {schema}{table} where workflow_uuid = '{workflow_id}'")
                connection.commit()

    return run


@pytest.fixture
def forbid(url: str, stage: Stage) -> Callable[[type[Write], str], None]:
    """Return `forbid(kind, workflow_id)`, which lets the database refuse what nobody could have foreseen."""

    def run(kind: type[Write], workflow_id: str) -> None:
        condition = f"new.workflow_uuid = '{workflow_id}'"
        if kind is RecordStep:
            _forbid(url, "insert on", "operation_outputs", condition, "22003")
        else:
            _forbid(url, "update on", "workflow_status", f"{condition} and new.status = 'SUCCESS'")

    return run


@pytest.fixture
def forbid_words(url: str, stage: Stage) -> Callable[[str], None]:
    """Return `forbid_words(words)`, which lets the database refuse errors that hold them."""
    return lambda words: _forbid(url, "insert on", "workflow_output", f"new.error like '%{words}%'")


def _forbid(url: str, event: str, table: str, condition: str, state: str = "P0001") -> None:
    if url.startswith("sqlite:"):
        with closing(connect(url)) as connection:
            connection.execute(
                f"create trigger forbidding before {event} {table} when {condition}"
                " begin select raise(abort, 'it is forbidden'); end"
            )
            connection.commit()
        return
    with psycopg.connect(url, autocommit=True) as server:
        server.execute(
            f"create function forbid() returns trigger language plpgsql as $$"
            f" begin raise exception 'it is forbidden' using errcode = '{state}'; end $$".encode()
        )
        server.execute(
            f"create trigger forbidding before {event} dbos.{table} for each row when ({condition})"
            " execute function forbid()".encode()
        )
