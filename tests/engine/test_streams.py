"""A stream is read as it grows, by bodies, engines and clients, until it is closed or its writer has ended."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from durust import (
    DurableClient,
    DurableContext,
    InvalidArgument,
    NotInWorkflow,
    Settings,
    Status,
    StreamTimedOut,
    SyncDurableContext,
    WorkflowNotFound,
)
from durust.model.records import Lease
from durust.model.waits import STREAM_ENTRIES_MAX
from tests.conformance.publishing import append
from tests.engine.clients import make_client
from tests.engine.colours import Paint
from tests.engine.publishing import dismissed, make_publisher, watched
from tests.engine.stage import PATIENCE, QUICK, Stage
from tests.support.hintless import HintlessLine
from tests.support.waiting import TIMEOUT_SECONDS, eventually

# Kept in memory, however long it takes to look at it.
STAYS: dict[str, Any] = {"park_after_seconds": 3600.0}
# So that only a hint brings news within a test.
RARELY: dict[str, Any] = {"idle_poll_seconds": 60.0, "sweep_seconds": 60.0}
END = object()


@pytest.fixture(autouse=True)
def publishers(stage: Stage) -> Iterator[None]:
    with dismissed():
        yield


def next_of(stream: Any) -> Any:
    """Ask for the next value in the colour of the stream."""
    return anext(stream, END) if isinstance(stream, AsyncIterator) else next(stream, END)


async def awaited(answer: Any) -> Any:
    return await answer


async def collect(stream: AsyncIterator[Any]) -> list[Any]:
    return [value async for value in stream]


@pytest.mark.covers(116, 118)
@pytest.mark.parametrize("settings", [STAYS | RARELY, RARELY], ids=["in memory", "parked"])
def test_a_body_reads_a_stream_as_it_grows(stage: Stage, paint: Paint, settings: dict[str, Any]) -> None:
    read: list[Any] = []

    @paint
    def reader(ctx: Any) -> Any:
        stream = ctx.read_stream("publisher", "words", type=str)
        words = []
        while (word := (yield next_of(stream))) is not END:
            words.append(word)
            read.append(word)
        assert (yield next_of(stream)) is END
        return words

    publisher = make_publisher(stage)
    engine = stage.launch(reader, **settings)
    handle = engine.run_workflow("reader")
    for word in "abc":
        if settings is RARELY:
            eventually(lambda: stage.row(handle).status is Status.DELAYED)
        else:
            eventually(lambda: watched(engine))
        publisher.write(word)
        eventually(functools.partial(read.count, word))
    publisher.close()

    assert handle.get_result(PATIENCE) == ["a", "b", "c"]
    assert stage.names(handle) == dict.fromkeys((1, 3, 5, 7), "DBOS.readStream")
    assert stage.row(handle).attempts == 1
    assert not watched(engine)


@pytest.mark.covers(118)
def test_a_loop_reads_in_both_colours(stage: Stage) -> None:
    async def awaiting(ctx: DurableContext) -> list[Any]:
        return [word async for word in ctx.read_stream("publisher", "words")]

    def blocking(ctx: SyncDurableContext) -> list[Any]:
        return list(ctx.read_stream("publisher", "words", offset=1))

    publisher = make_publisher(stage)
    publisher.write("a", None, ["b"])
    publisher.close()
    engine = stage.launch(awaiting, blocking)

    assert engine.start("awaiting") == ["a", None, ["b"]]
    assert engine.start("blocking") == [None, ["b"]]


@pytest.mark.covers(116)
@pytest.mark.parametrize("end", ["success", "error", "cancel"])
def test_a_reader_ends_with_the_writer_after_its_last_value(stage: Stage, paint: Paint, end: str) -> None:
    @paint
    def reader(ctx: Any) -> Any:
        words = []
        stream = ctx.read_stream("publisher", "words")
        while (word := (yield next_of(stream))) is not END:
            words.append(word)
        return words

    publisher = make_publisher(stage)
    publisher.write("a")
    engine = stage.launch(reader)
    handle = engine.run_workflow("reader")
    eventually(lambda: stage.history(handle))
    publisher.write("b")
    eventually(lambda: len(publisher.engine.get_streams("publisher")["words"]) == 2)

    match end:
        case "success":
            publisher.end()
        case "error":
            publisher.fail()
        case _:
            publisher.engine.cancel_workflow("publisher")

    assert handle.get_result(PATIENCE) == ["a", "b"]
    assert list(publisher.engine.read_stream("publisher", "words")) == ["a", "b"]


@pytest.mark.covers(118, 120)
def test_a_recovery_goes_on_where_the_reader_was(stage: Stage, paint: Paint) -> None:
    executions: list[list[Any]] = []

    @paint
    def reader(ctx: Any) -> Any:
        words: list[Any] = []
        executions.append(words)
        stream = ctx.read_stream("publisher", "words")
        while (word := (yield next_of(stream))) is not END:
            words.append(word)
        yield ctx.sleep(0.5)
        return words

    publisher = make_publisher(stage)
    publisher.write("a", "b")
    first = stage.launch(reader, **STAYS)
    handle = first.run_workflow("reader")
    eventually(lambda: executions and executions[0] == ["a", "b"])
    stage.crash(first)
    publisher.write("c")
    publisher.close()

    assert stage.launch(reader).retrieve_workflow(handle.id).get_result(PATIENCE) == ["a", "b", "c"]
    assert [words == ["a", "b", "c"] for words in executions[1:]] == [True] * (len(executions) - 1)
    assert len(executions) >= 3


@pytest.mark.covers(121)
@pytest.mark.parametrize("settings", [STAYS, {"park_after_seconds": 0.05}], ids=["in memory", "parked"])
def test_a_wait_that_takes_too_long_is_an_error_that_is_recorded(
    stage: Stage, paint: Paint, settings: dict[str, Any]
) -> None:
    told: list[str] = []

    @paint
    def reader(ctx: Any) -> Any:
        stream = ctx.read_stream("publisher", "words", timeout=timedelta(seconds=0.3))
        words = [(yield next_of(stream))]
        with pytest.raises(StreamTimedOut) as late:
            yield next_of(stream)
        told.append(str(late.value))
        yield ctx.step("write", lambda: publisher.write("b"))
        yield ctx.sleep(0.5)
        words.append((yield next_of(stream)))
        return words

    publisher = make_publisher(stage)
    publisher.write("a")
    handle = stage.launch(reader, **settings).run_workflow("reader")

    assert handle.get_result(PATIENCE) == ["a", "b"]
    assert set(told) == {"stream 'words' of workflow publisher brought no value at offset 1 within 0.3 s"}
    assert stage.names(handle)[4] == "durust.timeout"


def test_a_read_that_is_cut_short_takes_nothing(stage: Stage) -> None:
    async def reader(ctx: DurableContext) -> list[Any]:
        stream = ctx.read_stream("publisher", "words")
        words = [await anext(stream)]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.1):
                words.append(await anext(stream))
        await ctx.step("write", publisher.write, "b")
        await ctx.sleep(0.5)
        return [*words, await anext(stream)]

    publisher = make_publisher(stage)
    publisher.write("a")
    engine = stage.launch(reader)

    assert engine.run_workflow("reader").get_result(PATIENCE) == ["a", "b"]
    assert not watched(engine)


@pytest.mark.covers(116, 119)
def test_engines_and_clients_follow_a_stream_in_both_colours(stage: Stage) -> None:
    publisher = make_publisher(stage, **RARELY)
    engine = publisher.engine
    publisher.write("a")
    with make_client(stage, **RARELY) as client:
        read: list[list[Any]] = []
        follow: list[Callable[[], list[Any]]] = [
            lambda: list(engine.read_stream("publisher", "words")),
            lambda: list(client.read_stream("publisher", "words", offset=1)),
            lambda: asyncio.run(collect(engine.aio.read_stream("publisher", "words"))),
            lambda: asyncio.run(collect(client.aio.read_stream("publisher", "words", type=str))),
        ]
        threads = [threading.Thread(target=lambda each=each: read.append(each())) for each in follow]
        for thread in threads:
            thread.start()
        for word in "bcd":
            eventually(lambda: watched(engine) and client._outpost.watcher.is_watched())
            publisher.write(word)
        publisher.close()
        for thread in threads:
            thread.join(TIMEOUT_SECONDS)

        assert sorted(read) == [["a", "b", "c", "d"]] * 3 + [["b", "c", "d"]]
        assert not watched(engine)
        assert not client._outpost.watcher.is_watched()


@pytest.mark.covers(115)
def test_more_values_than_are_read_at_once(stage: Stage) -> None:
    engine = make_publisher(stage, **STAYS).engine
    many = STREAM_ENTRIES_MAX + 7
    eventually(lambda: stage.row("publisher").status is Status.PENDING)
    lease = Lease("publisher", engine.executor_id, stage.row("publisher").token or "")
    stage.commit(*(append(lease, place, key="many", text=str(place)) for place in range(1001, 1001 + many)))
    engine.cancel_workflow("publisher")

    assert list(engine.read_stream("publisher", "many")) == list(range(1001, 1001 + many))
    assert list(engine.read_stream("publisher", "many", offset=many - 2)) == [many + 999, many + 1000]
    assert list(engine.read_stream("publisher", "many", offset=many)) == []


@pytest.mark.covers(119)
def test_a_reader_that_goes_away_leaves_nothing_behind(stage: Stage) -> None:
    publisher = make_publisher(stage)
    engine = publisher.engine
    publisher.write("a", "b")

    left = engine.read_stream("publisher", "words")
    assert next(left) == "a"
    left.close()  # type: ignore[attr-defined]  # whoever leaves a loop closes its generator

    async def cancelled() -> None:
        reading = asyncio.create_task(collect(engine.aio.read_stream("publisher", "words")))
        await asyncio.to_thread(eventually, lambda: watched(engine))
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading

    asyncio.run(cancelled())

    assert not watched(engine)


@pytest.mark.covers(121)
def test_whoever_waits_outside_of_a_workflow_has_a_timeout_too(stage: Stage) -> None:
    publisher = make_publisher(stage)
    publisher.write("a")
    stream = publisher.engine.read_stream("publisher", "words", timeout=0.2)
    first = next(stream)

    with pytest.raises(TimeoutError, match=r"offset 1 within 0\.2 s"):
        next(stream)
    with pytest.raises(StreamTimedOut):
        asyncio.run(collect(publisher.engine.aio.read_stream("publisher", "other", timeout=0)))

    assert first == "a"
    assert not watched(publisher.engine)


def test_the_stream_of_nobody_is_not_found(stage: Stage, paint: Paint) -> None:
    @paint
    def reader(ctx: Any) -> Any:
        yield next_of(ctx.read_stream("nowhere", "words"))

    engine = stage.launch(reader)
    handle = engine.run_workflow("reader")

    with pytest.raises(WorkflowNotFound, match="nowhere"):
        handle.get_result(PATIENCE)
    with pytest.raises(WorkflowNotFound, match="nowhere"):
        list(engine.read_stream("nowhere", "words"))
    assert stage.names(handle) == {1: "DBOS.readStream"}


def test_what_cannot_be_meant_is_refused_at_the_call(stage: Stage, paint: Paint) -> None:
    odd: list[dict[str, Any]] = [{"offset": -1}, {"offset": 2**31}, {"offset": "1"}, {"timeout": -1}]
    kept: list[Any] = []

    @paint
    def job(ctx: Any) -> Any:
        for each in odd:
            with pytest.raises(InvalidArgument):
                ctx.read_stream("a", "b", **each)
        kept.append(ctx.read_stream("a", "b"))
        return (yield ctx.step("after", lambda: True, type=bool))

    engine = stage.launch(job)
    handle = engine.run_workflow("job")

    assert handle.get_result(PATIENCE) is True
    with pytest.raises(NotInWorkflow):
        asyncio.run(awaited(next_of(kept[0])))
    for each in odd:
        with pytest.raises(InvalidArgument):
            engine.read_stream("a", "b", **each)
        with pytest.raises(InvalidArgument):
            engine.aio.read_stream("a", "b", **each)


@pytest.mark.covers(119)
def test_where_every_hint_is_lost_the_poll_finds_the_values(stage: Stage) -> None:
    publisher = make_publisher(stage)
    line = HintlessLine(stage.make_line().behind)
    stage._lines.append(line)

    with DurableClient(line, settings=Settings(**{**QUICK, "idle_poll_seconds": 0.3})) as client:
        words: list[str] = []
        reading = threading.Thread(target=lambda: words.extend(client.read_stream("publisher", "words")))
        reading.start()
        eventually(lambda: client._outpost.watcher._pace == 0.3)
        publisher.write("a", "b")
        publisher.close()
        reading.join(TIMEOUT_SECONDS)

    assert words == ["a", "b"]
