"""The program that is killed: a workflow of three steps, each of which does something to the world."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import threading
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import durust
from durust import clock
from durust.engine.engine import Engine
from durust.engine.retention import purge_in_batches
from durust.engine.versions import adopt_stranded, set_latest_version
from durust.model.cron import milliseconds
from durust.model.filters import ListFilter, PurgeRequest, Scope
from durust.model.schedule_writes import FireTicks
from durust.model.schedules import utc_text
from durust.storage.opening import open_provider
from tests.crash.ledger import Entry, Ledger
from tests.crash.scenarios import TRANSACTIONS

ID, PAST, SOURCE = "crash", "past", "source"
# The second place of the workflow that starts it.
CHILD_ID = f"{ID}-2"
QUEUE = durust.WorkflowQueue("crash")
# Whoever is killed holds its only share, and nobody else could run anything if that stood for ever.
NARROW = durust.WorkflowQueue("narrow", global_concurrency=1)
# Longer than a wait may keep its stack, shorter than a process takes to start: it is over when the next one looks.
SLEEP_SECONDS = 0.15
# Far longer than a process that wants to end takes to notice the lull and to begin its end.
LULL_SECONDS = 2.0
# Longer than two steps take on a busy machine, and less than the lull that it ends.
TIMEOUT_SECONDS = 1.5
NO_PATIENCE_SECONDS = 0.01
RESULT_SECONDS_MAX = 40.0
# Until long after the test, and until the next process has started.
DEBOUNCE_SECONDS = 600.0
HURRY_SECONDS = 0.1
# An input that was replaced: whoever runs with it leaves the third step out, which the judge sees.
STALE = "stale"
LOOK_SECONDS = 0.02
YEARLY = "0 0 0 1 1 *"

DOCUMENT = Path(os.environ["CRASH_LEDGER"]).with_name("document")

ledger = Ledger(Path(os.environ["CRASH_LEDGER"]))
lull = threading.Event()
leaving = threading.Event()


def effect(step: int, attempt: int) -> str:
    """Do something to the world that can be seen and cannot be taken back."""
    durust.failpoint("body.before_effect")
    entry = Entry(step, attempt, os.getpid(), clock.random_token())
    ledger.append(entry)
    durust.failpoint("body.after_effect")
    return entry.value


async def effect_async(step: int, attempt: int) -> str:
    return effect(step, attempt)


def read_messages() -> list[str]:
    """Return what was sent to the workflow."""
    with durust.DurableClient() as client:
        return [json.loads(message.text) for message in client.list_messages(ID)]


def read_attributes() -> list[str]:
    """Return what the workflow's attributes hold, once another one stands beside it."""
    with durust.DurableClient() as client:
        client.set_attributes(ID, {"read": True})
        [row] = client.list_workflows(durust.ListFilter(attributes={"read": True}))
        values: list[str] = client.decode(row).attributes.get("values", [])
    return values


def effect_and_line(connection: Any, step: int, attempt: int) -> str:
    """Do something to the world, and write to the application's table that it was done."""
    value = effect(step, attempt)
    connection.execute(f"insert into lines values ({step}, '{value}')")
    return value


def application(kind: str) -> durust.Datasource | None:
    """Return where transactions write; None for the database of the state."""
    return durust.Datasource(os.environ["CRASH_APPLICATION"]) if kind == "datasource" else None


def commit_apart() -> None:
    """Plant a bug: what a function wrote is committed first, and its record afterwards."""
    # Here alone, as thousands of processes would load the library of a database that they do not use.
    from durust.storage.postgres_transactions import PostgresTransaction
    from durust.storage.sqlite_transactions import SqliteSession, SqliteTransaction

    def apart(record: Any) -> Any:
        def commit_and_record(self: Any, write: Any) -> Any:
            session = self._session
            if isinstance(session, SqliteSession):
                session.take_back()
                session.commit_write()
                # Past the session, which would not let a function that holds the lock wait for it.
                session.connection.execute("begin immediate")
            else:
                session.connection.lent_by = None
                session.connection.commit()
            return record(self, write)

        return commit_and_record

    for kind in (PostgresTransaction, SqliteTransaction):
        kind.record = apart(kind.record)  # type: ignore[method-assign]  # that is the bug


@durust.workflow(name="child sync")
def child(ctx: durust.SyncDurableContext) -> str:
    return ctx.step("step 2", effect, 2, ctx.attempt)


@durust.workflow(name="child async")
async def child_async(ctx: durust.DurableContext) -> str:
    return await ctx.step("step 2", effect_async, 2, ctx.attempt)


@durust.workflow(name="sync")
def job(ctx: durust.SyncDurableContext, kind: str) -> list[str]:
    if kind == "child":
        first = ctx.step("step 1", effect, 1, ctx.attempt)
        second = ctx.enqueue(QUEUE, child).get_result()
        return [first, second, ctx.step("step 3", effect, 3, ctx.attempt)]
    if kind in TRANSACTIONS:
        where = application(kind)
        return [ctx.transaction(effect_and_line, number, ctx.attempt, database=where) for number in (1, 2, 3)]
    values = [ctx.step(f"step {number}", effect, number, ctx.attempt) for number in (1, 2)]
    if kind == "sleep":
        ctx.sleep(SLEEP_SECONDS)
    if kind == "event":
        ctx.set_event("values", values)
        values = ctx.get_event(ID, "values", type=list[str])
    if kind == "send":
        for value in values:
            ctx.send(ID, value)
        values = ctx.step("read", read_messages, type=list[str])
    if kind == "recv":
        for value in values:
            ctx.send(ID, value)
        received = [str(ctx.recv(timeout=0)) for _ in values]
        values = received if ctx.recv(timeout=SLEEP_SECONDS) is None else []
    if kind == "wait":
        values = ctx.recv("go") or []
    if kind == "attributes":
        ctx.set_attributes({"values": values})
        values = ctx.step("read", read_attributes, type=list[str])
    if kind == "stream":
        for value in values:
            ctx.write_stream("values", value)
        ctx.close_stream("values")
        values = list(ctx.read_stream(ID, "values", type=str))
    if leaving.is_set():
        lull.set()
        clock.pause(LULL_SECONDS)
    return values if kind == STALE else [*values, ctx.step("step 3", effect, 3, ctx.attempt)]


@durust.workflow(name="async")
async def job_async(ctx: durust.DurableContext, kind: str) -> list[str]:
    if kind == "child":
        first = await ctx.step("step 1", effect_async, 1, ctx.attempt)
        second = await (await ctx.enqueue(QUEUE, child_async))
        return [first, second, await ctx.step("step 3", effect_async, 3, ctx.attempt)]
    if kind in TRANSACTIONS:
        where = application(kind)
        return [await ctx.transaction(effect_and_line, number, ctx.attempt, database=where) for number in (1, 2, 3)]
    values = [await ctx.step(f"step {number}", effect_async, number, ctx.attempt) for number in (1, 2)]
    if kind == "sleep":
        await ctx.sleep(SLEEP_SECONDS)
    if kind == "event":
        await ctx.set_event("values", values)
        values = await ctx.get_event(ID, "values", type=list[str])
    if kind == "send":
        for value in values:
            await ctx.send(ID, value)
        values = await ctx.step("read", read_messages, type=list[str])
    if kind == "recv":
        for value in values:
            await ctx.send(ID, value)
        received = [str(await ctx.recv(timeout=0)) for _ in values]
        values = received if await ctx.recv(timeout=SLEEP_SECONDS) is None else []
    if kind == "wait":
        values = await ctx.recv("go") or []
    if kind == "attributes":
        await ctx.set_attributes({"values": values})
        values = await ctx.step("read", read_attributes, type=list[str])
    if kind == "stream":
        for value in values:
            await ctx.write_stream("values", value)
        await ctx.close_stream("values")
        values = [value async for value in ctx.read_stream(ID, "values", type=str)]
    if leaving.is_set():
        lull.set()
        await asyncio.sleep(LULL_SECONDS)
    return values if kind == STALE else [*values, await ctx.step("step 3", effect_async, 3, ctx.attempt)]


@durust.workflow(name=PAST)
def past_job(ctx: durust.SyncDurableContext) -> list[str]:
    """Take steps that nobody counts."""
    return [ctx.step(f"step {number}", str, number) for number in (1, 2)]


def past(engine: durust.DurableEngine, _name: str, _kind: str) -> None:
    """Run another workflow to its end."""
    engine.start(past_job, options=durust.WorkflowOptions(workflow_id=PAST))


def purge() -> None:
    """Remove what has ended, whole, as a command does that knows no workflow."""
    provider = open_provider()
    scope = Scope("durust", ())
    purge_in_batches(provider, PurgeRequest(scope=scope, ended_before_seconds=0.0, dead_before_seconds=0.0))
    left = provider.workflows(ListFilter(workflow_ids=[PAST])), provider.history([PAST])[PAST]
    provider.close()
    if left != ([], ()):
        raise SystemExit(f"left behind: {left}")


@durust.workflow(name="scheduled sync")
def scheduled(ctx: durust.SyncDurableContext, tick: durust.ScheduledInput) -> list[str]:
    values: list[str] = job.fn(ctx, tick.context)
    return values


@durust.workflow(name="scheduled async")
async def scheduled_async(ctx: durust.DurableContext, tick: durust.ScheduledInput) -> list[str]:
    values: list[str] = await job_async.fn(ctx, tick.context)
    return values


def idle(_engine: durust.DurableEngine, _name: str, _kind: str) -> None:
    """Do nothing but launch, which takes what dead processes held off them, and end."""


def upgrade() -> None:
    """Let version 2 go on with what is stranded, as a command does that knows no workflow."""
    provider = open_provider()
    set_latest_version(provider, "durust", "1")
    adopt_stranded(provider, Scope("durust", ()), {"sync": "2", "async": "2"})
    [row] = provider.workflows(ListFilter(workflow_ids=[ID]))
    provider.close()
    if row.app_version != "2":
        raise SystemExit(f"not adopted: {row}")


def enqueue(engine: durust.DurableEngine, name: str, kind: str) -> None:
    """Put the workflow on its queue and leave."""
    engine.enqueue(QUEUE, name, kind, options=durust.WorkflowOptions(workflow_id=ID))


def enqueue_narrowly(engine: durust.DurableEngine, name: str, kind: str) -> None:
    """Put the workflow on the queue with a budget and leave."""
    engine.enqueue(NARROW, name, kind, options=durust.WorkflowOptions(workflow_id=ID))


def enqueue_late(engine: durust.DurableEngine, name: str, kind: str) -> None:
    """Put the workflow on its queue for long after the test, and leave."""
    options = durust.WorkflowOptions(workflow_id=ID, delay=DEBOUNCE_SECONDS)
    engine.enqueue(QUEUE, name, kind, options=options)


def advance(_engine: durust.DurableEngine, _name: str, _kind: str) -> None:
    """Let the workflow be due at once, unless it is."""
    with durust.DurableClient() as client, contextlib.suppress(durust.InvalidArgument):
        client.set_delay(ID, 0)


def tell(_engine: durust.DurableEngine, _name: str, _kind: str) -> None:
    """Send the workflow what its first two steps did, as whoever has no answer does again."""
    with durust.DurableClient() as client:
        steps = [client.list_steps(ID)[place].output or "" for place in (0, 1)]
        client.send(ID, [json.loads(output) for output in steps], "go", idempotency_key="go")


def administer(_engine: durust.DurableEngine, _name: str, _kind: str) -> None:
    """Pause the workflow's queue, let it go on, and take its limits away."""
    with durust.DurableClient() as client:
        client.set_queue(QUEUE.name, worker_concurrency=3)
        client.pause_queue(QUEUE.name)
        client.resume_queue(QUEUE.name)
        client.delete_queue(QUEUE.name)


def stale(engine: durust.DurableEngine, name: str, _kind: str) -> None:
    """Make a debounced call with an input that a later one replaces."""
    _debounce(engine, name, STALE, DEBOUNCE_SECONDS)


def debounce(engine: durust.DurableEngine, name: str, kind: str) -> None:
    """Make a debounced call whose time does not come."""
    _debounce(engine, name, kind, DEBOUNCE_SECONDS)


def hurry(engine: durust.DurableEngine, name: str, kind: str) -> None:
    """Make a debounced call whose time comes soon."""
    _debounce(engine, name, kind, HURRY_SECONDS)


def _debounce(engine: durust.DurableEngine, name: str, kind: str, period: float) -> None:
    call = durust.debounce(name, key="crash", period=period)
    engine.enqueue(QUEUE, call, kind, options=durust.WorkflowOptions(workflow_id=ID))


def work(engine: durust.DurableEngine, _name: str, _kind: str) -> None:
    """Serve the queue until the workflow has ended."""
    _tell(engine.retrieve_workflow(ID))


def start(engine: durust.DurableEngine, name: str, kind: str) -> None:
    """Start the workflow in this process, or join it, and wait for its end."""
    _tell(engine.run_workflow(name, kind, options=durust.WorkflowOptions(workflow_id=ID)))


def bear(engine: durust.DurableEngine, name: str, kind: str) -> None:
    """Start the workflow and leave as soon as its child is there, which nobody runs so far."""
    engine.run_workflow(name, kind, options=durust.WorkflowOptions(workflow_id=ID))
    while not _exists(engine, CHILD_ID):
        clock.pause(LOOK_SECONDS)


def cancel_family(_engine: durust.DurableEngine, _name: str, _kind: str) -> None:
    """Cancel the workflow with its child."""
    with durust.DurableClient() as client:
        client.cancel_workflow(ID, children="CRASH_CHILDLESS" not in os.environ)
        rows = client.list_workflows(durust.ListFilter(workflow_ids=[ID, CHILD_ID]))
    if [row.status for row in rows] != [durust.Status.CANCELLED] * 2:
        raise SystemExit(f"not cancelled: {rows}")


def resume_family(engine: durust.DurableEngine, _name: str, _kind: str) -> None:
    """Resume the workflow and its child, and wait for its end."""
    engine.resume_workflow([CHILD_ID, ID])
    _tell(engine.retrieve_workflow(ID))


def drain(engine: durust.DurableEngine, name: str, kind: str) -> None:
    """Start the workflow and end before it does, in order."""
    leaving.set()
    engine.run_workflow(name, kind, options=durust.WorkflowOptions(workflow_id=ID))
    lull.wait(RESULT_SECONDS_MAX)
    engine.close(NO_PATIENCE_SECONDS)


def run_out(engine: durust.DurableEngine, name: str, kind: str) -> None:
    """Start the workflow in this process, which does nothing until the workflow's time is over."""
    leaving.set()
    options = durust.WorkflowOptions(workflow_id=ID, timeout=TIMEOUT_SECONDS)
    handle = engine.run_workflow(name, kind, options=options)
    with contextlib.suppress(durust.WorkflowTimedOut):
        handle.get_result(RESULT_SECONDS_MAX)


def cancel(_engine: durust.DurableEngine, _name: str, _kind: str) -> None:
    """Cancel the workflow."""
    with durust.DurableClient() as client:
        client.cancel_workflow(ID)


def start_source(engine: durust.DurableEngine, name: str, kind: str) -> None:
    """Start what is to be forked."""
    _tell(engine.run_workflow(name, kind, options=durust.WorkflowOptions(workflow_id=SOURCE)))


def cancel_source(_engine: durust.DurableEngine, _name: str, _kind: str) -> None:
    """Let nobody go on with what is to be forked."""
    with durust.DurableClient() as client:
        client.cancel_workflow(SOURCE)


def fork(_engine: durust.DurableEngine, _name: str, _kind: str) -> None:
    """Make the workflow a fork of the other one, behind the two steps that are recorded there."""
    with durust.DurableClient() as client:
        client.fork_workflow(SOURCE, 3, workflow_id=ID)


def remove(_engine: durust.DurableEngine, _name: str, _kind: str) -> None:
    """Delete the other workflow, whole."""
    with durust.DurableClient() as client:
        client.delete_workflow(PAST)
    provider = open_provider()
    left = provider.workflows(ListFilter(workflow_ids=[PAST])), provider.history([PAST])[PAST]
    provider.close()
    if left != ([], ()):
        raise SystemExit(f"left behind: {left}")


def move_out(_engine: durust.DurableEngine, _name: str, _kind: str) -> None:
    """Take the workflow out of the database, with something of everything."""
    with durust.DurableClient() as client:
        client.send(ID, "hello")
        document = client.export_workflow(ID)
        client.delete_workflow(ID)
    [told] = document["workflows"]
    value = {"text": '"begun"', "serialization": "portable_json"}
    told["events"] = [{"key": "stage", **value}]
    told["past_events"] = [{"key": "stage", "place": 1, **value}]
    told["streams"] = [{"key": "log", "offset": 0, "place": 1, **value}]
    DOCUMENT.write_text(json.dumps(document), encoding="utf-8")


def move_in(_engine: durust.DurableEngine, _name: str, _kind: str) -> None:
    """Put the workflow into the database again, unless it is there."""
    with durust.DurableClient() as client, suppress(durust.WorkflowConflict):
        client.import_workflow(json.loads(DOCUMENT.read_text(encoding="utf-8")))


def resume(engine: durust.DurableEngine, _name: str, _kind: str) -> None:
    """Resume the workflow if it was cancelled, and wait for its end."""
    try:
        _tell(engine.retrieve_workflow(ID))
    except durust.WorkflowCancelled:
        _tell(engine.resume_workflow(ID))


def _tell(handle: durust.WorkflowHandle[list[str]]) -> None:
    print(json.dumps(handle.get_result(RESULT_SECONDS_MAX)), flush=True)


def plan(engine: durust.DurableEngine, name: str, _kind: str) -> None:
    """Make the schedule of the workflow, one tick of which was missed, by every way of changing one."""
    # The missed tick is for another process to fire, and this one's scheduler would hear of each change.
    _parts(engine).scheduler.stop()
    for schedule, again in (("other", True), (ID, True)):
        with suppress(durust.ScheduleConflict):
            engine.create_schedule(schedule, f"scheduled {name}", YEARLY, context="plain", catch_up=again)
        engine.pause_schedule(schedule)
        engine.resume_schedule(schedule)
    engine.delete_schedule("other")
    provider = _parts(engine).provider
    [row] = [row for row in provider.schedules().rows if row.name == ID]
    before = milliseconds(_tick() - timedelta(days=1))
    with closing(provider.writer()) as writer:
        writer.commit([FireTicks(row, before, "plan", "durust")] * (not _is_there(engine)))


def adopt(engine: durust.DurableEngine, _name: str, _kind: str) -> None:
    """Wait until a schedule that only another library has written is settled."""
    provider = _parts(engine).provider
    while any(row.settled_ms is None for row in provider.schedules().rows):
        clock.pause(LOOK_SECONDS)


def tick(engine: durust.DurableEngine, _name: str, _kind: str) -> None:
    """Fire the schedule and serve its run until it has ended."""
    while not _is_there(engine):
        clock.pause(LOOK_SECONDS)
    _tell(engine.retrieve_workflow(f"sched-{ID}-{utc_text(_tick())}"))


def _parts(engine: durust.DurableEngine) -> Engine:
    assert engine._engine is not None
    return engine._engine


def _is_there(engine: durust.DurableEngine) -> bool:
    return _exists(engine, f"sched-{ID}-{utc_text(_tick())}")


def _exists(engine: durust.DurableEngine, workflow_id: str) -> bool:
    return bool(engine.list_workflows(durust.ListFilter(workflow_ids=[workflow_id])))


def _tick() -> datetime:
    """Return the first moment of this year."""
    return datetime(clock.now_utc().year, 1, 1, tzinfo=UTC)


ROLES = {
    "enqueue": enqueue,
    "enqueue narrowly": enqueue_narrowly,
    "enqueue late": enqueue_late,
    "advance": advance,
    "tell": tell,
    "administer": administer,
    "stale": stale,
    "debounce": debounce,
    "hurry": hurry,
    "work": work,
    "start": start,
    "bear": bear,
    "cancel family": cancel_family,
    "resume family": resume_family,
    "drain": drain,
    "past": past,
    "run out": run_out,
    "cancel": cancel,
    "resume": resume,
    "start source": start_source,
    "cancel source": cancel_source,
    "fork": fork,
    "remove": remove,
    "move out": move_out,
    "move in": move_in,
    "plan": plan,
    "adopt": adopt,
    "tick": tick,
    "idle": idle,
}
ASKING = {
    "cancel",
    "administer",
    "advance",
    "tell",
    "cancel source",
    "fork",
    "remove",
    "move out",
    "move in",
    "cancel family",
}
SERVING = {"work", "start", "start source", "drain", "past", "run out", "resume", "tick", "resume family"}
TOOLS = {"purge": purge, "upgrade": upgrade}


def main(role: str, name: str, kind: str) -> None:
    """Play one role."""
    if role in TOOLS:
        TOOLS[role]()
        return
    if "CRASH_APART" in os.environ:
        commit_apart()
    if "CRASH_ELSEWHERE" in os.environ:
        # As a process of another host looks to this one: only its lease tells whether it lives.
        clock.boot_id = lambda: "elsewhere"
    # Who only enqueues serves no queue.
    engine = durust.DurableEngine(queues=None if role in SERVING else ())
    # Who only asks runs nothing: an engine would go on with what a crash left.
    with contextlib.nullcontext() if role in ASKING else engine:
        ROLES[role](engine, name, kind)


if __name__ == "__main__":
    main(*sys.argv[1:])
