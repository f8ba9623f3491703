"""`durust queue`: lists, one queue, pauses."""

from __future__ import annotations

import json

from durust import DurableClient, RateLimiter
from durust.storage.provider import StateProvider
from tests.commands.conftest import Answer, Durust
from tests.conformance.builders import make_enqueued, make_executor, want

QUEUE_KEYS = [
    "name",
    "paused",
    "global_concurrency",
    "worker_concurrency",
    "rate_limit",
    "rate_period_seconds",
    "priority_enabled",
    "partitioned",
    "partition_concurrency",
    "partition_worker_concurrency",
    "partition_rate_limit",
    "partition_rate_period_seconds",
    "app",
]


def make_queues(provider: StateProvider) -> None:
    with DurableClient(provider) as client:
        client.set_queue("mail", global_concurrency=4, rate_limiter=RateLimiter(10, 60))
        client.set_queue("print")


def test_queues_are_listed_with_their_limits(answer: Answer, durust: Durust, provider: StateProvider) -> None:
    make_queues(provider)

    mail, other = answer("queue", "list")

    assert list(mail) == QUEUE_KEYS
    assert (mail["name"], mail["global_concurrency"], mail["rate_limit"], mail["rate_period_seconds"]) == (
        "mail",
        4,
        10,
        60.0,
    )
    assert other["name"] == "print"
    assert durust("queue", "list", "-o", "ids", "--limit", "1").stdout == "mail\n"
    assert "\nmail " in durust("queue", "list", "-o", "table").stdout


def test_a_list_of_queues_is_narrowed(durust: Durust, provider: StateProvider) -> None:
    make_queues(provider)
    durust("queue", "pause", "mail")

    listed = [
        durust("queue", "list", "-o", "ids", *filters).stdout
        for filters in (
            ["--paused"],
            ["--unpaused"],
            ["--prefix", "pri"],
            ["--unpaused", "--limit", "1"],
            ["--prefix", "x"],
        )
    ]

    assert listed == ["mail\n", "print\n", "print\n", "print\n", ""]


def test_queues_are_paused_and_resumed(answer: Answer, durust: Durust, provider: StateProvider) -> None:
    make_queues(provider)

    told = durust("queue", "pause", "-", stdin="mail\ngone\n")

    assert json.loads(told.stdout) == {"paused": ["mail"], "unchanged": [], "refused": {}, "missing": ["gone"]}
    assert told.stderr == "durust: there is no queue 'gone'\n"
    assert answer("queue", "show", "mail")["paused"] is True
    assert answer("queue", "pause", "mail")["unchanged"] == ["mail"]
    assert answer("queue", "resume", "mail")["resumed"] == ["mail"]
    assert answer("queue", "resume", "mail")["unchanged"] == ["mail"]
    assert answer("queue", "show", "mail")["paused"] is False


def test_a_queue_tells_how_much_of_it_waits_and_runs(answer: Answer, provider: StateProvider) -> None:
    make_queues(provider)
    for _ in range(3):
        make_enqueued(provider, queue="mail")
    make_enqueued(provider, queue="mail", delay_seconds=600.0)
    provider.claim(want(make_executor(provider, "first"), "mail", limit=1))

    shown = answer("queue", "show", "mail")

    assert list(shown) == [*QUEUE_KEYS, "waiting", "running", "delayed", "waiting_without_key"]
    assert (shown["waiting"], shown["running"], shown["delayed"]) == (2, 1, 1)


def test_a_queue_tells_what_waits_in_vain_for_want_of_a_key(answer: Answer, provider: StateProvider) -> None:
    with DurableClient(provider) as client:
        client.set_queue("mail", partition_queue=True, partition_concurrency=1)
    make_enqueued(provider, queue="mail")
    make_enqueued(provider, queue="mail", partition_key="ada")

    shown = answer("queue", "show", "mail")

    assert (shown["waiting"], shown["waiting_without_key"]) == (2, 1)


def test_a_queue_that_is_not_there_has_an_exit_code(durust: Durust, provider: StateProvider) -> None:
    make_queues(provider)

    assert [durust("queue", verb, "gone").exit_code for verb in ("show", "pause", "resume")] == [3, 3, 3]
