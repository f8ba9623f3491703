"""Why a workflow does not run, by tables: each fact that may stand in its way, and the sentence that names it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from durust.model.reasons import Facts, reason
from durust.model.records import Checkpoint, ExecutorRow, QueueRow, VersionRow, WorkflowRow
from durust.model.standing import Standing, Taken
from durust.model.status import Status, recorded
from durust.model.writes import INTERNAL_QUEUE, Wait

NOW = 1_700_000_000_000
ROW = WorkflowRow(
    workflow_id="order-1",
    name="ship",
    status=Status.ENQUEUED,
    queue="mail",
    priority=0,
    dedup_id=None,
    executor_id=None,
    token=None,
    creator=None,
    app_name="shop",
    app_version=None,
    attempts=0,
    created_at_ms=NOW - 60_000,
    updated_at_ms=NOW - 60_000,
    started_at_ms=None,
    completed_at_ms=None,
    delay_until_ms=None,
    timeout_ms=None,
    deadline_ms=None,
    partition_key=None,
    schedule_name=None,
    parent_id=None,
    serialization="portable_json",
    authenticated_user=None,
    authenticated_roles=None,
    assumed_role=None,
    attributes=None,
    forked_from=None,
    was_forked_from=False,
)
WORKER = ExecutorRow(
    executor_id="du:1",
    supervisor_id="su:1",
    host="host",
    boot_id="boot",
    pid_ns="ns",
    pid=4711,
    pid_started=1.0,
    app_name="shop",
    app_version="r1",
    state="LIVE",
    registered_at_ms=NOW,
    ended_at_ms=None,
    why=None,
    lease_seconds_left=8.0,
)
OTHER = replace(WORKER, executor_id="du:2")
VERSION = VersionRow("r1", NOW, NOW, 1, (("ship", "v1"),))


def make_facts(standing: dict[str, Any] | None = None, queue: dict[str, Any] | None = None, **row: Any) -> Facts:
    """Return facts of a workflow that waits for a minute on a queue without limits, which one worker serves."""
    return Facts(
        row=replace(ROW, **row),
        standing=Standing(NOW, **(standing or {})),
        queue=None if queue is None else QueueRow("mail", **queue),
        living=[WORKER],
        versions=[VERSION],
    )


def waiting(*waits: Wait) -> Facts:
    return make_facts({"waits": waits}, status=Status.DELAYED, delay_until_ms=NOW + 60_000)


def claimed(by: ExecutorRow | None = WORKER, **facts: Any) -> Facts:
    row: dict[str, Any] = {"status": Status.PENDING, "executor_id": "du:1", "started_at_ms": NOW - 12_000}
    return replace(make_facts(**row), executor=by, **facts)


ENDED: dict[str, Any] = {"completed_at_ms": NOW - 1_000}
TIMED_OUT: dict[str, Any] = {"status": Status.CANCELLED, "deadline_ms": NOW - 2_000, **ENDED}

TABLE: list[tuple[Facts, str, str]] = [
    # Ended.
    (make_facts(status=Status.SUCCESS, **ENDED), "succeeded", "ended with a result at 2023-11-14 22:13:19Z"),
    (
        replace(make_facts(status=Status.ERROR, **ENDED), error="ValueError: no"),
        "failed",
        "failed at 2023-11-14 22:13:19Z: ValueError: no; `durust workflow fork order-1` runs it anew",
    ),
    (
        make_facts(status=Status.CANCELLED, **ENDED),
        "cancelled",
        "was cancelled at 2023-11-14 22:13:19Z; `durust workflow resume order-1` lets it go on behind its last step",
    ),
    (
        make_facts(**TIMED_OUT),
        "timed_out",
        (
            "was cancelled at 2023-11-14 22:13:19Z because its deadline had passed; "
            "`durust workflow resume order-1` lets it go on without one"
        ),
    ),
    (
        make_facts(status=Status.MAX_RECOVERY_ATTEMPTS_EXCEEDED, attempts=101),
        "set_aside",
        (
            "was set aside after 101 attempts, none of which came to an end: it may kill its process; "
            "mend that, then `durust workflow resume order-1` gives it new ones"
        ),
    ),
    (make_facts(status=recorded("FROZEN")), "unknown", "is FROZEN, a state that only a newer library knows"),
    # Claimed.
    (
        claimed(),
        "running",
        "is running on executor du:1 (pid 4711 on host 'host'), which claimed it 12 s ago; it has recorded no step yet",
    ),
    (
        claimed(last_step=Checkpoint(1, "charge", completed_at_ms=NOW - 3_000)),
        "running",
        "is running on executor du:1 (pid 4711 on host 'host'); its last recorded step is 'charge', 3.0 s ago",
    ),
    (
        claimed(replace(WORKER, state="DRAINING"), last_step=Checkpoint(1, "charge", completed_at_ms=NOW - 3_000)),
        "draining",
        (
            "is running on executor du:1 (pid 4711 on host 'host'), which is draining and hands back what does not end "
            "in time; its last recorded step is 'charge', 3.0 s ago"
        ),
    ),
    (
        claimed(replace(WORKER, lease_seconds_left=-4.0)),
        "suspect",
        (
            "is held by executor du:1 (pid 4711 on host 'host'), whose lease ended 4.0 s ago: its process was stopped "
            "or cut off, or its host is gone; the next sweep hands it to another one"
        ),
    ),
    (
        claimed(replace(WORKER, lease_seconds_left=-4.0), living=[]),
        "suspect",
        (
            "is held by executor du:1 (pid 4711 on host 'host'), whose lease ended 4.0 s ago: its process was stopped "
            "or cut off, or its host is gone; the next sweep hands it to another one, but no executor of application "
            "'shop' lives; `durust up MODULE` starts some"
        ),
    ),
    (
        claimed(replace(WORKER, state="DEAD", why="was killed by SIGKILL")),
        "executor_dead",
        (
            "was run by executor du:1 (pid 4711 on host 'host'), which is dead (was killed by SIGKILL); "
            "the next sweep hands it to another one"
        ),
    ),
    (
        claimed(None),
        "running_elsewhere",
        "is run by executor 'du:1', of which this database knows nothing: another library's, it seems",
    ),
    # Queued.
    (
        make_facts(queue={"is_paused": True}),
        "queue_paused",
        "is queued on queue 'mail', which is paused; `durust queue resume mail` lets it go on",
    ),
    (
        replace(make_facts(), living=[]),
        "no_executor",
        "is queued on queue 'mail', but no executor of application 'shop' lives; `durust up MODULE` starts some",
    ),
    (
        make_facts(name="print"),
        "no_worker_for_name",
        "is queued on queue 'mail'; 1 executor lives, but none has a workflow of the name 'print'",
    ),
    (
        make_facts(app_version="v0"),
        "no_worker_for_version",
        (
            "is queued on queue 'mail' for version 'v0' of its code, which nobody runs; "
            "`durust version adopt order-1` lets the latest one go on with it"
        ),
    ),
    (
        make_facts({"taken": Taken(4), "ahead": 3}, {"global_concurrency": 4}, app_version="v1"),
        "global_limit",
        "is queued on queue 'mail', which runs its limit of 4 (global_concurrency), behind 3 others",
    ),
    (
        make_facts({"taken": Taken(0, 50, NOW - 20_000)}, {"rate_limit": 50, "rate_period_seconds": 60.0}),
        "rate_limit",
        "is queued on queue 'mail', which has started its limit of 50 in 60 s; the next may start in 40 s",
    ),
    (
        make_facts({"running": (("du:1", 2, 0),), "ahead": 1}, {"worker_concurrency": 2}),
        "worker_limit",
        "is queued on queue 'mail', of which each executor runs its limit of 2 (worker_concurrency), behind 1 other",
    ),
    (
        make_facts({"taken": Taken(4)}, {"partition_queue": True, "partition_concurrency": 1, "global_concurrency": 4}),
        "no_partition_key",
        (
            "is queued on queue 'mail', which takes only workflows with a partition key, and it has none; "
            "cancel it and enqueue it with one, or take the queue's limits by partition away"
        ),
    ),
    (
        make_facts({"taken": Taken(4)}, {"partition_queue": True, "global_concurrency": 4}),
        "global_limit",
        "is queued on queue 'mail', which runs its limit of 4 (global_concurrency)",
    ),
    (
        make_facts(
            {"taken_of_partition": Taken(1)}, {"partition_queue": True, "partition_concurrency": 1}, partition_key="ada"
        ),
        "partition_limit",
        "is queued on queue 'mail', whose partition 'ada' runs its limit of 1 (partition_concurrency)",
    ),
    (
        make_facts(
            {"taken_of_partition": Taken(0, 5, NOW - 1_000)},
            {"partition_queue": True, "partition_rate_limit": 5, "partition_rate_period_seconds": 7200.0},
            partition_key="ada",
        ),
        "partition_rate_limit",
        (
            "is queued on queue 'mail', whose partition 'ada' has started its limit of 5 in 2 h; "
            "the next may start in 120 min"
        ),
    ),
    (
        make_facts(
            {"running": (("du:1", 3, 1),)},
            {"partition_queue": True, "partition_worker_concurrency": 1},
            partition_key="ada",
        ),
        "partition_worker_limit",
        (
            "is queued on queue 'mail', whose partition 'ada' runs its limit of 1 in each executor "
            "(partition_worker_concurrency)"
        ),
    ),
    (make_facts({"ahead": 7}), "behind_others", "is queued on queue 'mail', behind 7 others"),
    (make_facts({"ahead": 10_000}), "behind_others", "is queued on queue 'mail', behind 10000 or more others"),
    (
        make_facts(created_at_ms=NOW - 100, updated_at_ms=NOW - 100),
        "next",
        "is queued on queue 'mail', as the next one; 1 executor lives, and who serves the queue takes it at once",
    ),
    (
        make_facts(queue={"worker_concurrency": 2}),
        "not_served",
        (
            "is queued on queue 'mail', as the next one, and no limit holds it; 1 executor lives, so none of them "
            "seems to serve that queue, or to have a slot free; `durust up MODULE --queues mail` starts some that do"
        ),
    ),
    (
        replace(make_facts(), row=replace(ROW, queue=INTERNAL_QUEUE)),
        "no_slot",
        (
            "is queued on the internal queue, which each executor serves, as the next one; 1 executor lives, "
            "so none of them seems to have a slot free"
        ),
    ),
    # Delayed and parked.
    (
        make_facts(status=Status.DELAYED, delay_until_ms=NOW + 300_000),
        "delayed",
        "is delayed until 2023-11-14 22:18:20Z, in 5 min",
    ),
    (
        make_facts(status=Status.DELAYED, delay_until_ms=NOW - 1),
        "due",
        "was delayed until 2023-11-14 22:13:19Z; the next sweep queues it",
    ),
    (
        make_facts(status=Status.DELAYED),
        "delayed",
        "is delayed without an instant; `durust workflow resume order-1` queues it",
    ),
    (
        waiting(Wait(1, "sleep", until_ms=NOW + 60_000)),
        "asleep",
        "is asleep until 2023-11-14 22:14:20Z, in 60 s",
    ),
    (
        waiting(Wait(1, "sleep", until_ms=NOW - 1)),
        "due",
        "has waited until 2023-11-14 22:13:19Z; the next sweep queues it",
    ),
    (
        waiting(Wait(1, "message", "order-1", "paid", until_ms=NOW + 60_000)),
        "waits_for_message",
        "waits for a message on topic 'paid', at the latest until 2023-11-14 22:14:20Z, in 60 s",
    ),
    (
        waiting(Wait(1, "message", "order-1", "__null__topic__")),
        "waits_for_message",
        "waits for a message without a topic",
    ),
    (waiting(Wait(1, "event", "b", "ready")), "waits_for_event", "waits for event 'ready' of workflow 'b'"),
    (waiting(Wait(1, "result", "b")), "waits_for_result", "waits for the result of workflow 'b'"),
    (
        waiting(Wait(1, "stream", "b", "log")),
        "waits_for_stream",
        "waits for the next value of stream 'log' of workflow 'b'",
    ),
    (
        waiting(*(Wait(place, "result", f"w{place}") for place in range(1, 6))),
        "waits_for_result",
        (
            "waits for the result of workflow 'w1' or for the result of workflow 'w2' or for the result of workflow "
            "'w3' or 2 more"
        ),
    ),
]


@pytest.mark.parametrize(
    ("facts", "code", "said"), TABLE, ids=[f"{place}-{each[1]}" for place, each in enumerate(TABLE)]
)
def test_the_first_thing_that_stands_in_the_way_is_named(facts: Facts, code: str, said: str) -> None:
    found = reason(facts)

    assert (found.code, found.sentence) == (code, f"workflow 'order-1' {said}")


def test_a_limit_that_only_some_executors_have_reached_is_no_reason() -> None:
    facts = make_facts({"running": (("du:1", 2, 0),)}, {"worker_concurrency": 2})

    assert reason(replace(facts, living=[WORKER, OTHER])).code == "not_served"


def test_an_id_with_blanks_is_quoted_for_the_shell() -> None:
    found = reason(make_facts(workflow_id="order 1", status=Status.CANCELLED, **ENDED))

    assert "`durust workflow resume 'order 1'`" in found.sentence
