"""Transactions on Postgres, where several are open at once: what meets is tried again, what is fenced never counts."""

from __future__ import annotations

import asyncio
import random
import threading
from typing import Any

import psycopg
import pytest

import durust
from durust import DurableContext, ProviderMisuse, Status, TransactionOptions, WorkflowOptions, current_step
from durust.model.writes import CancelWorkflow
from durust.storage.transactions import TRANSACTIONS_MAX
from tests.engine.clients import connect
from tests.engine.colours import Paint
from tests.engine.lines import note, notes
from tests.engine.stage import PATIENCE, Stage, parts
from tests.support.waiting import eventually

pytestmark = [pytest.mark.parametrize("url", ["postgres"], indirect=True), pytest.mark.usefixtures("lines")]

ONE = WorkflowOptions(workflow_id="one")
SERIALIZABLE = TransactionOptions(isolation="serializable")


def test_a_run_that_is_cancelled_meanwhile_commits_nothing(stage: Stage, paint: Paint, lines: Any) -> None:
    seen: list[str] = []

    def charge(connection: Any) -> None:
        note(connection, "charged")
        stage.commit(CancelWorkflow("one"))

    @paint
    def order(ctx: Any) -> Any:
        try:
            yield ctx.transaction(charge)
        except Exception as error:  # noqa: BLE001  nothing of this is an outcome of the body's
            seen.append(repr(error))

    handle = stage.launch(order).run_workflow("order", options=ONE)

    with pytest.raises(durust.WorkflowCancelled):
        handle.get_result(PATIENCE)
    assert (notes(lines), seen, stage.history("one")) == ([], [], {})


@pytest.mark.covers(160)
def test_conflicts_of_serialization_are_tried_again_until_all_have_counted(stage: Stage, lines: Any) -> None:
    calls: list[int] = []

    def count(connection: Any) -> int:
        calls.append(1)
        # What each of them reads, each of the others changes.
        [(found,)] = connection.execute("select count(*) from lines").fetchall()
        note(connection, f"{found:02}")
        return int(found)

    async def order(ctx: DurableContext) -> list[int]:
        return list(await asyncio.gather(*(ctx.transaction_with(SERIALIZABLE, count) for _ in range(12))))

    assert sorted(stage.launch(order).start("order")) == list(range(12))
    assert notes(lines) == [f"{number:02}" for number in range(12)]
    assert len(calls) > 12


@pytest.mark.covers(160)
def test_a_deadlock_is_tried_again(stage: Stage, lines: Any) -> None:
    for number in (1, 2):
        lines.execute(f"insert into lines values ({number}, 'fresh')")
    lines.commit()
    meeting = threading.Barrier(2)
    met: set[int] = set()

    def change(connection: Any, first: int, second: int) -> None:
        connection.execute(f"update lines set note = 'changed' where number = {first}")
        if first not in met:
            met.add(first)
            meeting.wait(PATIENCE)
        connection.execute(f"update lines set note = note || '!' where number = {second}")

    async def order(ctx: DurableContext) -> None:
        await asyncio.gather(ctx.transaction(change, 1, 2), ctx.transaction(change, 2, 1))

    stage.launch(order).start("order")

    assert sorted(notes(lines)) in (["changed", "changed!"], ["changed!", "changed"])


@pytest.mark.covers(160)
def test_a_conflict_that_never_ends_is_the_functions_error(
    stage: Stage, paint: Paint, lines: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("durust.storage.transactions.CONFLICTS_MAX", 3)
    calls: list[int] = []

    def conflict(connection: Any) -> None:
        calls.append(1)
        connection.execute("do $$ begin raise serialization_failure; end $$")

    @paint
    def order(ctx: Any) -> Any:
        yield ctx.transaction(conflict)

    with pytest.raises(psycopg.errors.SerializationFailure):
        stage.launch(order).start("order", options=ONE)
    assert calls == [1, 1, 1]
    assert stage.history("one")[1].error is not None


def test_a_serializable_transaction_sees_nothing_of_what_begins_beside_it(stage: Stage, paint: Paint, url: str) -> None:
    def look(connection: Any) -> list[str]:
        [(level,)] = connection.execute("select current_setting('transaction_isolation')").fetchall()
        [(seqscan, jit)] = connection.execute(
            "select current_setting('enable_seqscan'), current_setting('statement_timeout')"
        ).fetchall()
        return [level, seqscan, jit]

    @paint
    def order(ctx: Any) -> Any:
        first = yield ctx.transaction_with(SERIALIZABLE, look)
        second = yield ctx.transaction(look)
        return [first, second]

    # What durust sets for its own statements is not set for the function's.
    assert stage.launch(order).start("order") == [["serializable", "on", "0"], ["read committed", "on", "0"]]


def test_a_connection_that_is_lost_in_the_function_is_no_error_of_its_own(
    stage: Stage, paint: Paint, url: str, lines: Any
) -> None:
    calls: list[int] = []

    def charge(connection: Any) -> str:
        calls.append(1)
        note(connection, f"charge {len(calls)}")
        if len(calls) == 1:
            with connect(url) as other:
                other.execute("select pg_terminate_backend(%s)", [connection.info.backend_pid])
        return note(connection, "behind", "done")  # type: ignore[no-any-return]

    @paint
    def order(ctx: Any) -> Any:
        return (yield ctx.transaction(charge))

    assert stage.launch(order).start("order", options=ONE) == "done"
    assert notes(lines) == ["behind", "charge 2"]
    assert stage.row("one").attempts == 1


def test_an_error_of_the_database_that_is_swallowed_is_told(stage: Stage, paint: Paint, lines: Any) -> None:
    def charge(connection: Any) -> None:
        note(connection, "charged")
        try:
            connection.execute("select 1 / 0")
        except psycopg.errors.DivisionByZero:
            return

    @paint
    def order(ctx: Any) -> Any:
        yield ctx.transaction(charge)

    with pytest.raises(ProviderMisuse, match="went on after an error"):
        stage.launch(order).start("order", options=ONE)
    assert notes(lines) == []
    assert stage.history("one")[1].error is not None


def test_a_constraint_that_is_checked_at_the_commit_is_the_functions_error(
    stage: Stage, paint: Paint, lines: Any
) -> None:
    lines.execute("alter table lines add constraint once unique (note) deferrable initially deferred")
    lines.commit()

    def charge(connection: Any) -> None:
        note(connection, "charged")
        note(connection, "charged")

    @paint
    def order(ctx: Any) -> Any:
        try:
            yield ctx.transaction(charge)
        except psycopg.errors.UniqueViolation:
            return "told"

    assert stage.launch(order).start("order", options=ONE) == "told"
    assert notes(lines) == []
    assert stage.history("one")[1].error is not None


def test_a_transaction_that_is_ended_and_begun_again_behind_the_back_is_told(
    stage: Stage, paint: Paint, lines: Any
) -> None:
    def charge(connection: Any) -> None:
        # Neither the connection's own cursors nor its methods.
        connection.pgconn.exec_(b"commit")
        connection.pgconn.exec_(b"begin")
        note(connection, "charged")

    @paint
    def order(ctx: Any) -> Any:
        yield ctx.transaction(charge)

    with pytest.raises(ProviderMisuse, match="ended its transaction and began another"):
        stage.launch(order).start("order")
    assert notes(lines) == []


def test_more_transactions_than_connections_take_turns(stage: Stage, lines: Any) -> None:
    present, most = [0], [0]
    mutex = threading.Lock()

    def charge(connection: Any, number: int) -> int:
        with mutex:
            present[0] += 1
            most[0] = max(most[0], present[0])
        connection.execute("select pg_sleep(0.02)")
        with mutex:
            present[0] -= 1
        return number

    async def order(ctx: DurableContext) -> int:
        return sum(await asyncio.gather(*(ctx.transaction(charge, number) for number in range(24))))

    assert stage.launch(order, slots=24).start("order") == sum(range(24))
    assert most[0] <= TRANSACTIONS_MAX


def test_a_transaction_beside_steps_comes_back_in_the_order_of_the_records(stage: Stage, lines: Any) -> None:
    gate = threading.Event()

    async def order(ctx: DurableContext) -> list[str]:
        came: list[str] = []

        async def take(operation: Any) -> None:
            came.append(await operation)

        def slow(connection: Any) -> str:
            gate.wait(PATIENCE)
            return note(connection, "slow", "slow")  # type: ignore[no-any-return]

        async def quick() -> str:
            return "quick"

        async def open_gate() -> str:
            gate.set()
            return "open"

        first = asyncio.create_task(take(ctx.transaction(slow)))
        await take(ctx.step("quick", quick))
        await take(ctx.step("open", open_gate))
        await first
        return came

    engine = stage.launch(order)

    assert engine.start("order", options=ONE) == ["quick", "open", "slow"]


def test_a_transaction_that_its_own_body_cancels_stands_and_replays_so(stage: Stage, lines: Any) -> None:
    begun, gate = threading.Event(), threading.Event()
    hold = threading.Event()

    async def order(ctx: DurableContext) -> list[str]:
        def slow(connection: Any) -> str:
            begun.set()
            gate.wait(PATIENCE)
            return note(connection, "slow", "slow")  # type: ignore[no-any-return]

        came: list[str] = []

        async def take() -> None:
            try:
                came.append(await ctx.transaction(slow))
                # Nothing is waited for: here the body gives its late cancellation the place to arrive.
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                came.append("cancelled")

        task = asyncio.create_task(take())
        await ctx.step("begun", begun.wait)
        task.cancel()
        gate.set()
        await task
        await ctx.step("hold", hold.wait)
        return came

    engine = stage.launch(order)
    engine.run_workflow("order", options=ONE)
    eventually(lambda: notes(lines))
    eventually(lambda: 2 in stage.history("one"))
    stage.line_of(engine).cut()
    hold.set()
    stage.crash(engine)
    result = stage.launch(order).retrieve_workflow("one").get_result(PATIENCE)

    assert result == ["slow", "cancelled"]
    assert notes(lines) == ["slow"]


def test_a_transaction_that_is_cancelled_before_it_begins_never_does(stage: Stage, lines: Any) -> None:
    begun, gate, hold = threading.Event(), threading.Event(), threading.Event()

    async def order(ctx: DurableContext) -> list[str]:
        def first(connection: Any) -> None:
            begun.set()
            gate.wait(PATIENCE)
            note(connection, "first")

        came: list[str] = []

        async def take() -> None:
            try:
                await ctx.transaction(note, "second")
            except asyncio.CancelledError:
                came.append("cancelled")

        async def wait_until_begun() -> None:
            await asyncio.to_thread(begun.wait)

        one = asyncio.create_task(ctx.transaction(first))
        two = asyncio.create_task(take())
        await ctx.step("begun", wait_until_begun)
        two.cancel()
        await two
        gate.set()
        await one
        await ctx.step("hold", asyncio.to_thread, hold.wait)
        return came

    engine = stage.launch(order, slots=1)
    engine.run_workflow("order", options=ONE)
    eventually(lambda: len(stage.history("one")) == 3)
    stage.line_of(engine).cut()
    hold.set()
    stage.crash(engine)
    result = stage.launch(order, slots=1).retrieve_workflow("one").get_result(PATIENCE)

    assert (result, notes(lines)) == (["cancelled"], ["first"])


def test_a_run_that_waits_for_a_connection_is_cancelled_there(
    stage: Stage, paint: Paint, lines: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("durust.storage.postgres.TURN_SECONDS", 0.01)
    gate = threading.Event()
    begun: list[str] = []

    def hold(connection: Any) -> None:
        status = current_step()
        assert status is not None
        begun.append(status.workflow_id)
        gate.wait(PATIENCE)

    @paint
    def order(ctx: Any) -> Any:
        yield ctx.transaction(hold)

    engine = stage.launch(order)
    handles = [engine.run_workflow("order") for _ in range(TRANSACTIONS_MAX + 1)]
    eventually(lambda: len(begun) == TRANSACTIONS_MAX)
    [waiting] = [handle for handle in handles if handle.id not in begun]
    engine.cancel_workflow(waiting.id)
    eventually(lambda: not parts(engine).runner.runs(waiting.id))
    gate.set()

    for handle in handles:
        if handle is not waiting:
            handle.get_result(PATIENCE)
    with pytest.raises(durust.WorkflowCancelled):
        waiting.get_result(PATIENCE)
    assert len(begun) == TRANSACTIONS_MAX


@pytest.mark.covers(158)
@pytest.mark.parametrize("seed", range(4))
def test_transactions_and_steps_at_once_replay_in_the_order_in_which_they_came_back(
    stage: Stage, lines: Any, seed: int
) -> None:
    chance = random.Random(seed)
    engines: list[durust.DurableEngine] = []
    left = [chance.randint(1, 24)]
    mutex = threading.Lock()

    def count_down() -> None:
        with mutex:
            left[0] -= 1
            if left[0] == 0:
                # The process is cut off in the middle of something.
                stage.line_of(engines[-1]).cut()

    def write(connection: Any, text: str) -> str:
        connection.execute("select pg_sleep(%s)", [chance.random() / 100])
        note(connection, text)
        count_down()
        return text

    async def wait(text: str) -> str:
        await asyncio.sleep(chance.random() / 100)
        count_down()
        return text

    async def order(ctx: DurableContext) -> list[str]:
        came: list[str] = []

        async def branch(number: int) -> None:
            for turn in range(3):
                # What it asks for next depends on what has come back before.
                name = f"{number}.{turn} behind {len(came)}"
                options = TransactionOptions(name=name)
                if (number + turn) % 2:
                    came.append(await ctx.transaction_with(options, write, name))
                else:
                    came.append(await ctx.step(name, wait, name))

        await asyncio.gather(*(branch(number) for number in range(5)))
        return came

    engines.append(stage.launch(order))
    engines[0].run_workflow("order", options=ONE)
    eventually(lambda: left[0] <= 0 or stage.row("one").status is Status.SUCCESS)
    stage.crash(engines[0])
    engines.append(stage.launch(order))
    result = engines[1].retrieve_workflow("one").get_result(PATIENCE)

    assert len(result) == len(set(result)) == 15
    assert sorted(notes(lines)) == sorted(text for text in result if (int(text[0]) + int(text[2])) % 2)
    assert set(stage.names("one").values()) == set(result)


def test_what_a_function_sets_for_its_session_is_gone_for_the_next(stage: Stage) -> None:
    def change(connection: Any) -> None:
        connection.execute("set search_path = pg_temp")
        connection.execute("set statement_timeout = 7777")

    def look(connection: Any) -> list[str]:
        return [connection.execute(f"show {name}").fetchone()[0] for name in ("search_path", "statement_timeout")]

    def order(ctx: Any) -> Any:
        before = ctx.transaction(look)
        ctx.transaction(change)
        return [before, ctx.transaction(look)]

    before, behind = stage.launch(order).start("order")

    assert behind == before
