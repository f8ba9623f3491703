"""Four workers under pressure keep the limits of their queues to the last workflow, and leave little of them unused."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psycopg
import pytest

from durust import DurableClient, WorkflowOptions
from durust.model.status import Status
from durust.storage.provider import StateProvider
from tests.supervisor.apps.limited import CONCURRENCY, PERIOD_SECONDS, STARTS
from tests.supervisor.conftest import StartUp, count
from tests.support.ledger import Ledger
from tests.support.waiting import eventually

WORKERS = 4
# With few slots each the shares lie on all of them, and those that have none ask all the time.
PRESSED = ["--workers", str(WORKERS), "--slots", "2"]
PRESSING = {"DURUST_IDLE_POLL_SECONDS": "0.02"}
BODY_SECONDS = 0.04
BATCH = 100
WORK_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Span:
    """A time in which something was held, in seconds."""

    begin: float
    end: float


def most_at_once(spans: Iterable[Span]) -> int:
    """Return how many of *spans* stand at once at most; one that ends when another begins is over."""
    events = sorted(event for span in spans for event in ((span.begin, 1), (span.end, -1)))
    now = most = 0
    for _, change in events:
        now += change
        most = max(most, now)
    return most


def most_within(instants: Iterable[float], seconds: float) -> int:
    """Return how many of *instants* lie within *seconds* at most, wherever those begin."""
    order = sorted(instants)
    most = first = 0
    for last, instant in enumerate(order):
        while order[first] <= instant - seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


def bodies(path: Path) -> dict[str, Span]:
    """Return when each body was inside, as the file tells it; a body that ran twice is none."""
    begins: dict[str, float] = {}
    ends: dict[str, float] = {}
    for name, what, at, _ in map(str.split, path.read_text().splitlines()):
        times = begins if what == "begins" else ends
        assert name not in times
        times[name] = float(at)
    return {name: Span(begins[name], ends[name]) for name in begins}


def grants(url: str) -> list[Span]:
    """Return when the shares of budgets were held, by the database's clock."""
    with psycopg.connect(url) as connection:
        rows = connection.execute("select granted_at, ended_at from durust.grants").fetchall()
    return [Span(granted / 1000, ended / 1000) for granted, ended in rows]


def work(url: str, provider: StateProvider, queue: str, total: int, seconds: float) -> None:
    """Queue *total* workflows of random priorities, part after part while others run."""
    seed = random.SystemRandom().randrange(2**32)
    chosen = random.Random(seed)
    print(f"priorities by {seed=}")
    with DurableClient(url) as client:
        for start in range(0, total, BATCH):
            names = [f"{queue}-{number:04}" for number in range(start, min(start + BATCH, total))]
            options = [WorkflowOptions(workflow_id=name, priority=chosen.randrange(5)) for name in names]
            client.enqueue_many(queue, "visit", [(name, seconds) for name in names], options=options)
            # The next part comes while half of this one still waits, so that there is a backlog all the time.
            eventually(partial(has_ended, provider, start - BATCH // 2), WORK_SECONDS)
    eventually(partial(has_ended, provider, total), WORK_SECONDS)


def has_ended(provider: StateProvider, least: int) -> bool:
    """Tell whether at least so many workflows have ended."""
    return count(provider, Status.SUCCESS) >= least


@pytest.fixture
def url(make_database: object) -> str:
    """Return the address of an empty database on Postgres."""
    assert callable(make_database)
    return str(make_database())


@pytest.mark.covers(75, 80)
def test_four_workers_keep_to_a_global_concurrency_and_use_it(
    up: StartUp, url: str, provider: StateProvider, ledger: Ledger
) -> None:
    up("limited", *PRESSED, url=url, env=PRESSING).wait_until_up(WORKERS)

    work(url, provider, "narrow", 2000, BODY_SECONDS)

    inside, held = bodies(ledger.path), grants(url)
    assert (len(inside), len(held)) == (2000, 2000)
    at_once = most_at_once(inside.values()), most_at_once(held)
    assert at_once == (CONCURRENCY, CONCURRENCY)
    # From the first start to the last one there was always more to do.
    begun, ended = min(span.begin for span in held), max(span.begin for span in held)
    used = sum(min(span.end, ended) - span.begin for span in held)
    assert used / (CONCURRENCY * (ended - begun)) >= 0.9


def test_a_budget_of_which_each_worker_counts_its_own_shares_is_seen_to_be_exceeded(
    up: StartUp, url: str, provider: StateProvider, ledger: Ledger
) -> None:
    up("limited", *PRESSED, url=url, env={**PRESSING, "PLANTED": "selfish"}).wait_until_up(WORKERS)

    work(url, provider, "narrow", 400, BODY_SECONDS)

    held, inside = most_at_once(grants(url)), most_at_once(bodies(ledger.path).values())
    assert held > CONCURRENCY
    assert inside > CONCURRENCY


@pytest.mark.covers(78)
def test_four_workers_keep_to_a_rate_and_use_it(up: StartUp, url: str, provider: StateProvider, ledger: Ledger) -> None:
    up("limited", "--workers", str(WORKERS), "--slots", "16", url=url).wait_until_up(WORKERS)

    work(url, provider, "paced", 500, 0.0)

    inside, starts = bodies(ledger.path), sorted(span.begin for span in grants(url))
    assert (len(inside), len(starts)) == (500, 500)
    in_a_period = most_within(starts, PERIOD_SECONDS)
    assert in_a_period <= STARTS
    # A body begins a little after its start, one later than another: that much closer together may they come.
    begins = sorted(span.begin for span in inside.values())
    lags = [body - start for start, body in zip(starts, begins, strict=True)]
    in_a_period = most_within(begins, PERIOD_SECONDS - (max(lags) - min(lags)))
    assert in_a_period <= STARTS
    # The first period gives its starts at once; after it they come as the earlier ones leave the window.
    assert (len(starts) - STARTS) / (starts[-1] - starts[0]) >= 45 / PERIOD_SECONDS
