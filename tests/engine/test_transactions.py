"""What a transaction's function writes commits together with its record: all of it once, or nothing."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

import durust
from durust import (
    DurableContext,
    InvalidArgument,
    NotInWorkflow,
    ProviderMisuse,
    TransactionOptions,
    WorkflowOptions,
    current_step,
)
from durust.routines.run import Verdict
from durust.storage import postgres_transactions, sqlite_transactions
from durust.storage.links import Lost
from tests.conformance.conftest import SHARED
from tests.engine.colours import Paint
from tests.engine.lines import note, notes
from tests.engine.stage import PATIENCE, Stage, parts
from tests.support.waiting import eventually

pytestmark = [pytest.mark.parametrize("url", SHARED, indirect=True), pytest.mark.usefixtures("lines")]

AT_ONCE: dict[str, Any] = {"base_interval": 0.001, "max_interval": 0.001}
ONE = WorkflowOptions(workflow_id="one")


class Later:
    def __await__(self) -> Iterator[None]:
        yield


@dataclass
class Receipt:
    number: int


@pytest.mark.covers(158, 165)
def test_what_a_function_writes_commits_with_its_record(stage: Stage, paint: Paint, lines: Any) -> None:
    @paint
    def order(ctx: Any) -> Any:
        first = yield ctx.transaction(note, "charged", 7)
        second = yield ctx.transaction(note, "shipped", answer=8)
        return [first, second]

    engine = stage.launch(order)

    assert engine.start("order", options=ONE) == [7, 8]
    assert notes(lines) == ["charged", "shipped"]
    assert stage.names("one") == {1: "note", 2: "note"}
    assert engine.vitals().steps == 2


@pytest.mark.covers(158)
def test_a_replay_does_not_call_the_function(stage: Stage, paint: Paint, lines: Any) -> None:
    gate = threading.Event()

    @paint
    def order(ctx: Any) -> Any:
        number = yield ctx.transaction(note, "charged", 7)
        yield ctx.step("wait", gate.wait)
        return number

    engine = stage.launch(order)
    engine.run_workflow("order", options=ONE)
    eventually(lambda: notes(lines))
    stage.line_of(engine).cut()
    gate.set()
    stage.crash(engine)

    assert stage.launch(order).retrieve_workflow("one").get_result(PATIENCE) == 7
    assert notes(lines) == ["charged"]


def test_a_result_is_rebuilt_as_its_annotation_says(stage: Stage, paint: Paint) -> None:
    def charge(connection: Any) -> Receipt:
        return Receipt(7)

    seen: list[Any] = []

    @paint
    def order(ctx: Any) -> Any:
        seen.append((yield ctx.transaction(charge)))
        seen.append((yield ctx.transaction(lambda _: Receipt(8), type=Receipt)))

    stage.launch(order).start("order")

    assert seen == [Receipt(7), Receipt(8)]


@pytest.mark.covers(159)
def test_an_error_undoes_what_was_written_and_is_recorded_once(stage: Stage, paint: Paint, lines: Any) -> None:
    calls: list[int] = []

    def charge(connection: Any) -> None:
        calls.append(1)
        note(connection, "charged")
        raise KeyError("declined")

    @paint
    def order(ctx: Any) -> Any:
        try:
            yield ctx.transaction(charge)
        except KeyError as error:
            yield ctx.transaction(note, f"not charged: {error.args[0]}")

    stage.launch(order).start("order", options=ONE)

    assert calls == [1]
    assert notes(lines) == ["not charged: declined"]
    assert "declined" in (stage.history("one")[1].error or "")


@pytest.mark.covers(159)
def test_a_function_that_fails_is_tried_again_as_its_options_say(stage: Stage, paint: Paint, lines: Any) -> None:
    seen: list[int] = []

    @durust.transaction(name="charge", max_retries=3, **AT_ONCE)
    def charge(connection: Any) -> int:
        status = current_step()
        assert status is not None
        seen.append(status.attempt)
        note(connection, f"attempt {status.attempt}")
        if status.attempt < 3:
            raise ConnectionError(status.attempt)
        return status.attempt

    @paint
    def order(ctx: Any) -> Any:
        return (yield ctx.transaction(charge))

    assert stage.launch(order).start("order", options=ONE) == 3
    assert seen == [1, 2, 3]
    assert notes(lines) == ["attempt 3"]
    assert stage.names("one") == {1: "charge"}


def test_a_result_that_cannot_be_recorded_undoes_what_was_written(stage: Stage, paint: Paint, lines: Any) -> None:
    def charge(connection: Any) -> object:
        note(connection, "charged")
        return threading.Lock()

    @paint
    def order(ctx: Any) -> Any:
        yield ctx.transaction(charge)

    with pytest.raises(durust.SerializationError):
        stage.launch(order).start("order", options=ONE)
    assert notes(lines) == []
    assert stage.history("one")[1].error is not None


ENDINGS: dict[str, Callable[[Any], Any]] = {
    "commit": lambda connection: connection.commit(),
    "rollback": lambda connection: connection.rollback(),
    "close": lambda connection: connection.close(),
    "text": lambda connection: connection.execute("  Commit"),
    "commented": lambda connection: connection.execute("/* now */ -- so\n rollback"),
    "cursor": lambda connection: connection.cursor().execute("end"),
}


@pytest.mark.parametrize("end", ENDINGS)
def test_a_function_that_ends_its_transaction_is_refused(stage: Stage, lines: Any, end: str) -> None:
    def charge(connection: Any) -> None:
        note(connection, "charged")
        ENDINGS[end](connection)

    def order(ctx: Any) -> None:
        ctx.transaction(charge)

    with pytest.raises(ProviderMisuse, match="commits when it returns"):
        stage.launch(order).start("order", options=ONE)
    assert notes(lines) == []
    assert stage.names("one") == {1: f"{charge.__qualname__}"}


def test_a_refused_commit_that_is_swallowed_breaks_nothing(stage: Stage, lines: Any) -> None:
    def charge(connection: Any) -> str:
        note(connection, "before")
        for end in ENDINGS.values():
            with pytest.raises(Exception, match=r"commit|authorized"):
                end(connection)
        note(connection, "behind")
        return "done"

    def order(ctx: Any) -> Any:
        return ctx.transaction(charge)

    assert stage.launch(order).start("order") == "done"
    assert notes(lines) == ["before", "behind"]


def test_a_part_of_a_function_may_be_undone_by_itself(stage: Stage, url: str, lines: Any) -> None:
    def charge(connection: Any) -> None:
        note(connection, "a")
        part = connection if url.startswith("sqlite") else connection.transaction()
        with contextlib.suppress(KeyError), part:
            note(connection, "b")
            raise KeyError
        with connection if url.startswith("sqlite") else connection.transaction():
            note(connection, "c")

    def order(ctx: Any) -> None:
        ctx.transaction(charge)

    stage.launch(order).start("order")

    assert notes(lines) == ["a", "c"]


@pytest.mark.covers(163)
def test_what_cannot_be_a_transaction_is_refused(stage: Stage, paint: Paint) -> None:
    async def charge_async(connection: Any) -> None:
        raise AssertionError

    @durust.step
    def step(connection: Any) -> None:
        raise AssertionError

    @durust.transaction
    def charge(connection: Any) -> None:
        raise AssertionError

    @paint
    def order(ctx: Any) -> Any:
        for wrong in (charge_async, step, "charge", functools.partial(charge_async)):
            with pytest.raises(InvalidArgument, match="fn="):
                ctx.transaction(wrong)
        with pytest.raises(InvalidArgument, match="timeout"):
            ctx.transaction_with(TransactionOptions(timeout=1), note, "a")
        with pytest.raises(InvalidArgument, match="TransactionOptions"):
            ctx.transaction_with(durust.StepOptions(), note, "a")
        with pytest.raises(InvalidArgument, match="Datasource"):
            ctx.transaction(note, "a", database="sqlite:///a.db")
        with pytest.raises(TypeError, match=r"ctx\.transaction\(charge, "):
            charge(None)
        yield ctx.step("last", str)

    stage.launch(order).start("order")
    with pytest.raises(InvalidArgument, match="isolation"):
        TransactionOptions(isolation="none")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="write `def`"):
        durust.transaction(charge_async)


@pytest.mark.covers(163)
def test_a_transaction_begins_in_a_workflows_own_body_only(stage: Stage, paint: Paint) -> None:
    errors: list[Exception] = []

    @paint
    def order(ctx: Any) -> Any:
        def nested(connection: Any = None) -> None:
            try:
                ctx.transaction(note, "inner")
            except NotInWorkflow as error:
                errors.append(error)

        yield ctx.transaction(nested)
        yield ctx.step("step", nested)

    stage.launch(order).start("order")

    assert len(errors) == 2


@pytest.mark.covers(163)
def test_a_function_that_answers_an_awaitable_is_refused(stage: Stage, paint: Paint, lines: Any) -> None:
    @paint
    def order(ctx: Any) -> Any:
        yield ctx.transaction(lambda connection: note(connection, "a", Later()))

    with pytest.raises(InvalidArgument, match="awaitable"):
        stage.launch(order).start("order")
    assert notes(lines) == []


def test_a_decorated_function_is_an_ordinary_one_elsewhere(stage: Stage, paint: Paint, lines: Any) -> None:
    @durust.transaction
    def write(connection: Any, text: str) -> None:
        note(connection, text)

    @durust.transaction
    def write_two(connection: Any) -> None:
        write(connection, "one")
        write(connection, "two")

    @paint
    def order(ctx: Any) -> Any:
        yield ctx.transaction(write_two)

    write(lines, "by hand")
    lines.commit()
    stage.launch(order).start("order")

    assert notes(lines) == ["by hand", "one", "two"]


class Bank:
    @durust.transaction(name="bank")
    def write(self, connection: Any, text: str) -> str:
        note(connection, text)
        return text


def test_a_function_of_a_class_is_bound_to_its_instance(stage: Stage, paint: Paint, lines: Any) -> None:
    @paint
    def order(ctx: Any) -> Any:
        return (yield ctx.transaction(Bank().write, "by a bank"))

    assert stage.launch(order).start("order", options=ONE) == "by a bank"
    assert notes(lines) == ["by a bank"]
    assert stage.names("one") == {1: "bank"}


def test_what_a_function_sets_on_its_connection_is_gone_for_the_next(stage: Stage, url: str) -> None:
    def change(connection: Any) -> None:
        connection.row_factory = lambda *_: lambda *_: "changed"

    def look(connection: Any) -> list[Any]:
        return list(connection.execute("select 1").fetchone())

    def order(ctx: Any) -> Any:
        ctx.transaction(change)
        return ctx.transaction(look)

    assert stage.launch(order).start("order") == [1]


@pytest.mark.covers(161)
@pytest.mark.parametrize("answer", ["same", "other"])
def test_a_lost_answer_to_a_commit_is_recognised(
    stage: Stage, url: str, paint: Paint, lines: Any, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    lose_one_commit(monkeypatch, url)
    calls: list[int] = []

    def charge(connection: Any) -> int:
        calls.append(1)
        note(connection, f"charge {len(calls)}")
        return len(calls) if answer == "other" else 7

    @paint
    def order(ctx: Any) -> Any:
        return (yield ctx.transaction(charge))

    result = stage.launch(order).start("order", options=ONE)

    assert result == (1 if answer == "other" else 7)
    assert notes(lines) == ["charge 1"]
    assert calls == [1]


@pytest.mark.covers(161)
def test_a_commit_that_is_still_on_its_way_is_recognised_by_the_second_one(
    stage: Stage, url: str, paint: Paint, lines: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_one_commit(monkeypatch, url)
    kind = (
        sqlite_transactions.SqliteTransaction if url.startswith("sqlite") else postgres_transactions.PostgresTransaction
    )
    # Nothing is found when the second try begins.
    monkeypatch.setattr(kind, "standing", lambda *_, **__: None)
    calls: list[int] = []

    def charge(connection: Any) -> int:
        calls.append(1)
        note(connection, f"charge {len(calls)}")
        return len(calls)

    @paint
    def order(ctx: Any) -> Any:
        return (yield ctx.transaction(charge))

    assert stage.launch(order).start("order", options=ONE) == 1
    assert calls == [1, 1]
    assert notes(lines) == ["charge 1"]


def lose_one_commit(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Let the first commit of a transaction happen, and its caller never hear of it."""
    lost: list[int] = []

    def lose(session: Any) -> None:
        if not lost:
            lost.append(1)
            session.close()
            raise Lost("the answer was lost")

    if url.startswith("sqlite"):
        commit_write = sqlite_transactions.SqliteSession.commit_write

        def commit_file(session: Any) -> None:
            commit_write(session)
            lose(session)

        monkeypatch.setattr(sqlite_transactions.SqliteSession, "commit_write", commit_file)
    else:
        commit = postgres_transactions.PostgresSession.commit

        def commit_server(session: Any, after: str) -> Any:
            failed = commit(session, after)
            lose(session)
            return failed

        monkeypatch.setattr(postgres_transactions.PostgresSession, "commit", commit_server)


def test_a_run_whose_guard_fails_commits_nothing_and_goes_on_elsewhere(
    stage: Stage, url: str, paint: Paint, lines: Any
) -> None:
    calls: list[int] = []
    table = "workflow_status" if url.startswith("sqlite") else "dbos.workflow_status"

    def charge(connection: Any) -> str:
        calls.append(1)
        note(connection, f"charge {len(calls)}")
        if len(calls) == 1:
            # As another owner would, and undone with the rest.
            connection.execute(f"update {table} set owner_xid = 'another'")
        return "done"

    @paint
    def order(ctx: Any) -> Any:
        return (yield ctx.transaction(charge))

    assert stage.launch(order).run_workflow("order", options=ONE).get_result(PATIENCE) == "done"
    assert notes(lines) == ["charge 2"]


@pytest.mark.parametrize("code", [sqlite3.SQLITE_IOERR, sqlite3.SQLITE_BUSY])
def test_a_file_that_fails_in_the_function_is_no_error_of_its_own(
    stage: Stage, url: str, lines: Any, code: int
) -> None:
    calls: list[int] = []

    def charge(connection: Any) -> str:
        calls.append(1)
        note(connection, f"charge {len(calls)}")
        if len(calls) == 1 and isinstance(connection, sqlite3.Connection):
            fault = sqlite3.OperationalError("the file is away")
            fault.sqlite_errorcode = code
            raise fault
        return "done"

    def order(ctx: Any) -> Any:
        return ctx.transaction(charge)

    assert stage.launch(order).start("order") == "done"
    assert notes(lines) == [f"charge {len(calls)}"]
    assert len(calls) == (2 if url.startswith("sqlite") else 1)


def test_a_database_that_is_away_makes_no_error_of_the_workflow(stage: Stage, paint: Paint, lines: Any) -> None:
    cuts: list[str] = []

    @paint
    def order(ctx: Any) -> Any:
        if not cuts:
            cuts.append("cut")
            stage.line_of(engine).cut()
        return (yield ctx.transaction(note, "charged", 7))

    engine = stage.launch(order)
    handle = engine.run_workflow("order", options=ONE)
    eventually(lambda: [each.run.verdict for each in parts(engine).runner.roster.running()] == [Verdict.HANDED_BACK])
    stage.line_of(engine).mend()

    assert handle.get_result(PATIENCE) == 7
    assert notes(lines) == ["charged"]
    assert stage.row("one").attempts == 1


def test_a_workflow_that_a_function_queues_is_there_with_the_rest_or_not_at_all(
    stage: Stage, url: str, paint: Paint, lines: Any
) -> None:
    def queue(connection: Any, workflow_id: str, fails: bool) -> None:
        note(connection, workflow_id)
        chosen = WorkflowOptions(workflow_id=workflow_id)
        client.enqueue_in_transaction(connection, "mail", "send", options=chosen)
        if fails:
            raise KeyError(workflow_id)

    @paint
    def order(ctx: Any) -> Any:
        yield ctx.transaction(queue, "queued", fails=False)
        with contextlib.suppress(KeyError):
            yield ctx.transaction(queue, "undone", fails=True)

    with durust.DurableClient(url) as client:
        stage.launch(order).start("order")

    assert [row.workflow_id for row in stage.rows(queues=["mail"])] == ["queued"]
    assert notes(lines) == ["queued"]


# Async runs


def test_transactions_of_a_gather_run_at_once_or_in_turn_and_replay_the_same(stage: Stage, lines: Any) -> None:
    async def order(ctx: DurableContext) -> list[int]:
        return list(await asyncio.gather(*(ctx.transaction(note, f"line {n}", n) for n in range(12))))

    assert stage.launch(order).start("order", options=ONE) == list(range(12))
    assert len(notes(lines)) == 12
    assert sorted(stage.history("one")) == list(range(1, 13))
