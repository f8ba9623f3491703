"""A batch is one transaction in which no write harms another, and which may be sent again."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from enum import Enum, IntEnum
from threading import Thread
from typing import Any

import pytest

from durust.model.filters import ListFilter
from durust.model.status import Status
from durust.model.writes import (
    Alive,
    Beat,
    DrainExecutor,
    Existing,
    Fenced,
    Missing,
    Recorded,
    Refused,
    Released,
    Retire,
    StoreQueue,
    Write,
)
from durust.storage.provider import Hint, StateProvider
from tests.conformance.builders import (
    APP,
    VERSION,
    commit,
    commit_one,
    executor,
    finish,
    hand_back,
    history,
    make_claimed,
    make_enqueued,
    make_executor,
    park,
    record_sleep,
    record_step,
    register,
    row_of,
    start,
    sweep,
    want,
)


def test_an_empty_batch_has_no_outcomes(provider: StateProvider) -> None:
    assert commit(provider) == []


def test_outcomes_come_in_the_order_of_their_writes(provider: StateProvider) -> None:
    runs = [make_claimed(provider, f"run {number}") for number in range(4)]
    make_enqueued(provider, "taken")

    outcomes = commit(
        provider,
        Retire(("nobody",), "killed"),
        DrainExecutor("nobody"),
        Beat(("first",), 60),
        hand_back(runs[0]),
        park(runs[1]),
        finish(runs[2]),
        record_step(runs[3]),
        start("taken"),
        StoreQueue("work", 3, APP),
        register("second"),
    )

    assert [type(outcome) for outcome in outcomes] == [
        Released,
        Missing,
        Alive,
        Recorded,
        Recorded,
        Recorded,
        Recorded,
        Existing,
        Recorded,
        Recorded,
    ]


def test_a_batch_of_every_type_that_is_sent_again_changes_nothing(provider: StateProvider) -> None:
    recording, ending, leaving, parking = (make_claimed(provider, name) for name in "abcd")
    doomed = make_claimed(provider, "e", by="doomed")
    batch: list[Write] = [
        register("new"),
        StoreQueue("work", 3, APP),
        start("queued", dedup_id="once"),
        record_step(recording),
        record_sleep(recording, 2),
        finish(ending),
        park(parking),
        hand_back(leaving),
        Beat(("first",), 600),
        DrainExecutor("new"),
        Retire((doomed.lease.executor_id,), "killed"),
    ]
    commit(provider, *batch)
    ids = ("a", "b", "c", "d", "e", "queued")
    rows, steps = [row_of(provider, name) for name in ids], history(provider, "a")

    commit(provider, *batch)

    assert ([row_of(provider, name) for name in ids], history(provider, "a")) == (rows, steps)
    assert [executor(provider, name).state for name in ("first", "new", "doomed")] == ["LIVE", "DRAINING", "DEAD"]


BAD: dict[str, Write] = {
    "a NUL in an id": start("nul\0"),
    "a lone surrogate in a name": start("surrogate", name="\ud800"),
    "a NUL in an input": start("a", inputs="\0"),
    "an integer beyond any column": start("a", priority=2**70),
    "an integer beyond its column": start("a", priority=2**31),
    "a delay without an end": start("a", delay_seconds=float("inf")),
    "a delay that is no number": start("a", delay_seconds=float("nan")),
    "a process id beyond any column": register("x", pid=2**70),
    "an executor with a NUL": Beat(("ok", "not\0ok"), 60),
    "a queue with a limit beyond its column": StoreQueue("q", 2**40, APP),
    "a reason that cannot be written": Retire(("nobody",), "\udfff"),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_one_bad_write_among_sixty_four_costs_its_neighbours_nothing(provider: StateProvider, bad: Write) -> None:
    claimed = make_claimed(provider, "good")
    good: list[Write] = [record_step(claimed, place) for place in range(1, 64)]

    outcomes = commit(provider, *[*good[:30], bad, *good[30:]])

    assert isinstance(outcomes.pop(30), Refused)
    assert outcomes == [Recorded()] * 63
    assert len(history(provider, "good")) == 63


@pytest.mark.parametrize(
    "change", [{"output": "\0"}, {"name": "\ud800"}, {"completed_at_ms": 2**64}, {"place": 2**31}, {"after": 2**80}]
)
def test_a_record_that_cannot_be_written_costs_its_neighbours_nothing(
    provider: StateProvider, change: dict[str, object]
) -> None:
    claimed = make_claimed(provider, "good")
    bad = replace(record_step(claimed, 1), **change)  # type: ignore[arg-type]  # one field of any type

    outcomes = commit(provider, bad, record_step(claimed, 2))

    assert isinstance(outcomes[0], Refused)
    assert outcomes[1] == Recorded()
    assert [step.place for step in history(provider, "good")] == [2]


def test_text_of_any_script_is_kept(provider: StateProvider) -> None:
    text = "'\"\\ %s :x $1 \n\t ẞ 漢字 🙂 \x01"
    make_enqueued(provider, text, name=text, queue=text, dedup_id=text, inputs=text, app_name=text)
    make_executor(provider, text)
    [claimed] = provider.claim(want(text, text, names=[text], versions=[text], app=text))
    write = record_step(claimed, name=text, output=text)

    outcomes = [commit_one(provider, write), commit_one(provider, finish(claimed, Status.ERROR, after=1, output=text))]

    row, [step] = row_of(provider, text), history(provider, text)
    assert outcomes == [Recorded(), Recorded()]
    assert (row.name, row.queue, row.inputs, row.error, row.app_version) == (text, text, text, text, text)
    assert (step.name, step.output) == (text, text)


HOSTILE = [
    "'); drop table workflow_status; --",
    "x' or '1'='1",
    '"; delete from dbos.workflow_status; select "',
    "%' or id like '%",
    "%(ids)s :ids $1 ? {0} %s",
    "\\'; truncate dbos.workflow_status cascade; --",
    "$$; drop schema dbos cascade; $$",
]


@pytest.mark.covers(199)
@pytest.mark.parametrize("text", HOSTILE)
def test_text_that_looks_like_sql_is_only_text(provider: StateProvider, text: str) -> None:
    bystander = make_claimed(provider, "bystander")
    commit(provider, record_step(bystander))
    before = (row_of(provider, "bystander"), history(provider, "bystander"))
    make_executor(provider, text, supervisor=text, host=text, boot_id=text, pid_ns=text, app_name=text)
    make_enqueued(
        provider,
        text,
        name=text,
        queue=text,
        dedup_id=text,
        inputs=text,
        serialization=text,
        app_name=text,
        creator=text,
    )
    filters: dict[str, Any] = {"workflow_ids": [text], "names": [text], "queues": [text], "app_names": [text]}
    filters |= {"executor_ids": [text], "id_prefix": text}

    [claimed] = provider.claim(want(text, text, names=[text], versions=[text], app=text))
    commit(provider, StoreQueue(text, 3, text), record_step(claimed, name=text, output=text, serialization=text))
    listed = [provider.workflows(ListFilter(**{name: value})) for name, value in filters.items()]
    provider.announce([Hint(text, text)])
    swept = sweep(provider, by=text, app=text)
    commit(provider, Beat((text,), 60), finish(claimed, after=1, output=text), Retire((text,), text))

    assert [[row.workflow_id for row in rows] for rows in listed] == [[text]] * len(filters)
    assert (swept.reaped, swept.orphans) == ((), 0)
    row, [step] = row_of(provider, text), history(provider, text)
    assert (row.name, row.queue, row.inputs, row.output, row.app_name) == (text,) * 5
    assert (step.name, step.output, step.serialization) == (text,) * 3
    assert executor(provider, text).why == text
    assert text in {queue.name for queue in provider.queues()}
    assert (row_of(provider, "bystander"), history(provider, "bystander")) == before


class Word(str, Enum):  # noqa: UP042  the text enum of old, whose member formats as its name
    """A text of the kind that programs name queues by."""

    URGENT = "urgent"


class Number(IntEnum):
    """A number of the kind that programs name priorities by."""

    HIGH = 7


def test_the_member_of_an_enum_is_kept_by_its_value(provider: StateProvider) -> None:
    write = start(Word.URGENT, queue=Word.URGENT, dedup_id=Word.URGENT, priority=Number.HIGH)

    outcomes = commit(provider, write, StoreQueue("q", Number.HIGH, APP))

    row = row_of(provider, "urgent")
    [claimed] = provider.claim(want(make_executor(provider, "first"), Word.URGENT))
    assert [type(outcome) for outcome in outcomes] == [Recorded, Recorded]
    assert (row.queue, row.dedup_id, row.priority) == ("urgent", "urgent", 7)
    assert claimed.lease.workflow_id == "urgent"
    assert provider.workflows(ListFilter(id_prefix=Word.URGENT, queues=[Word.URGENT])) == [
        replace(row_of(provider, "urgent"), inputs=None)
    ]


def test_large_values_are_kept(provider: StateProvider) -> None:
    value = '"' + "x" * 5_000_000 + '"'
    make_enqueued(provider, "a", inputs=value)
    [claimed] = provider.claim(want(make_executor(provider, "first")))

    commit(provider, record_step(claimed, output=value), finish(claimed, output=value))

    assert claimed.inputs == value
    assert history(provider, "a")[0].output == value
    assert row_of(provider, "a").output == value


def test_the_least_and_the_greatest_numbers_are_kept(provider: StateProvider) -> None:
    make_enqueued(provider, "low", priority=-(2**31) + 1)
    make_enqueued(provider, "high", priority=2**31 - 1)
    claimed = make_claimed(provider, "a")
    commit(provider, record_step(claimed, 2**31 - 1, completed_at_ms=2**63 - 1, started_at_ms=0))

    assert [row_of(provider, name).priority for name in ("low", "high")] == [-(2**31) + 1, 2**31 - 1]
    [step] = history(provider, "a")
    assert (step.place, step.completed_at_ms, step.started_at_ms) == (2**31 - 1, 2**63 - 1, 0)


def test_two_writers_of_two_threads_record_side_by_side(provider: StateProvider) -> None:
    runs = [make_claimed(provider, name) for name in "ab"]

    def work(run_number: int) -> None:
        with closing(provider.writer()) as writer:
            for place in range(1, 41):
                assert writer.commit([record_step(runs[run_number], place)]) == [Recorded()]

    threads = [Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [len(history(provider, name)) for name in "ab"] == [40, 40]


def test_a_writer_serves_many_batches_and_closes_twice(provider: StateProvider) -> None:
    claimed = make_claimed(provider, "a")
    writer = provider.writer()

    outcomes = [writer.commit([record_step(claimed, place)]) for place in range(1, 20)]
    writer.close()
    writer.close()

    assert outcomes == [[Recorded()]] * 19


def test_a_queue_definition_is_replaced_by_a_newer_one(provider: StateProvider) -> None:
    outcomes = commit(
        provider, StoreQueue("b", 1, APP), StoreQueue("a", None, APP), StoreQueue("b", 5, APP), StoreQueue("c", 0, APP)
    )
    commit(provider, StoreQueue("c", None, APP))

    assert outcomes == [Recorded()] * 4
    assert [(queue.name, queue.worker_concurrency) for queue in provider.queues()] == [
        ("a", None),
        ("b", 5),
        ("c", None),
    ]


def test_any_number_of_writes_for_one_key_fits_into_a_batch(provider: StateProvider) -> None:
    count = 130
    registrations = [register("first", pid=pid) for pid in range(count)]
    queues = [StoreQueue("q", limit, APP) for limit in range(count)]

    outcomes = commit(provider, *registrations, *queues)

    assert outcomes == [Recorded()] * 2 * count
    assert executor(provider, "first").pid == 0
    assert [queue.worker_concurrency for queue in provider.queues()] == [count - 1]


@pytest.mark.parametrize(
    ("definitions", "standing"),
    [
        ([(1, True), (2, True)], 1),
        ([(1, True), (2, False), (3, True)], 2),
        ([(1, False), (2, True), (3, False)], 3),
        ([(1, False), (2, True)], 1),
    ],
)
def test_of_several_definitions_of_one_queue_those_that_keep_give_way(
    provider: StateProvider, definitions: list[tuple[int, bool]], standing: int
) -> None:
    batch = [StoreQueue("q", limit, APP, keeps=keeps) for limit, keeps in definitions]

    outcomes = commit(provider, *batch, StoreQueue("other", 9, APP))

    assert outcomes == [Recorded()] * (len(batch) + 1)
    assert {queue.name: queue.worker_concurrency for queue in provider.queues()} == {"q": standing, "other": 9}


def test_a_bad_write_does_not_put_an_end_before_its_record(provider: StateProvider) -> None:
    ending, other = make_claimed(provider, "a"), make_claimed(provider, "b")

    outcomes = commit(
        provider, finish(ending), record_step(other), record_step(ending), record_step(other, 2, output="\0")
    )

    assert outcomes[:3] == [Recorded()] * 3
    assert isinstance(outcomes[3], Refused)
    assert len(history(provider, "a")) == 1


def test_a_batch_touches_only_the_workflows_it_names(provider: StateProvider) -> None:
    kept = make_claimed(provider, "kept", by="second")
    run = make_claimed(provider, "a", by="first")
    before = row_of(provider, "kept")

    commit(provider, record_step(run), finish(run), Retire(("first",), VERSION))

    assert row_of(provider, "kept") == before
    assert commit_one(provider, finish(replace(kept.lease, token="x"))) == Fenced(holder="second")
