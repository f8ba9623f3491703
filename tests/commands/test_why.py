"""`durust workflow why`: the facts of a real database, and the one sentence that they make."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from durust import DurableClient, RateLimiter
from durust.model.status import Status
from durust.model.writes import DrainExecutor, PauseQueue, Retire, StoreVersion, Wait
from durust.storage.provider import StateProvider
from tests.commands.conftest import Answer, Durust
from tests.conformance.builders import (
    APP,
    NAME,
    QUEUE,
    cancel,
    commit,
    finish,
    lapse,
    make_claimed,
    make_enqueued,
    make_executor,
    park,
    want,
)
from tests.support.processes import Spawn
from tests.support.waiting import eventually

# One run that never ends, in a process whose lease is short.
STOPPABLE = """
import threading
import durust

@durust.workflow
def hang(ctx: durust.SyncDurableContext) -> None:
    print("inside", flush=True)
    threading.Event().wait()

settings = durust.Settings(beat_seconds=0.5, lease_seconds=3.0)
with durust.DurableEngine(settings=settings) as engine:
    engine.start(hang, options=durust.WorkflowOptions(workflow_id="a"))
"""

Situation = Callable[[StateProvider], None]


def make_worker(provider: StateProvider, **workflows: str) -> None:
    """Enter a living executor whose code knows *workflows*, each by its version."""
    make_executor(provider, "worker", app_version="r1")
    known = tuple((workflows or {NAME: "v1"}).items())
    commit(provider, StoreVersion("id of r1", APP, "r1", known, "worker"))


def running(provider: StateProvider) -> None:
    make_claimed(provider, "a")


def suspect(provider: StateProvider) -> None:
    make_claimed(provider, "a")
    lapse(provider, "first")


def draining(provider: StateProvider) -> None:
    make_claimed(provider, "a")
    commit(provider, DrainExecutor("first"))


def nobody(provider: StateProvider) -> None:
    make_enqueued(provider, "a")


def paused(provider: StateProvider) -> None:
    with DurableClient(provider) as client:
        client.set_queue(QUEUE)
    commit(provider, PauseQueue(QUEUE, is_paused=True))
    make_enqueued(provider, "a")


def unknown_name(provider: StateProvider) -> None:
    make_worker(provider)
    make_enqueued(provider, "a", name="other")


def unknown_version(provider: StateProvider) -> None:
    make_worker(provider)
    make_enqueued(provider, "a", app_version="v0")


def first_of_queue(provider: StateProvider) -> None:
    make_worker(provider)
    make_enqueued(provider, "a")


def behind(provider: StateProvider) -> None:
    make_worker(provider)
    make_enqueued(provider)
    make_enqueued(provider, "a")


def limited(provider: StateProvider) -> None:
    _take_one(provider, global_concurrency=1)


def rated(provider: StateProvider) -> None:
    _take_one(provider, rate_limiter=RateLimiter(1, 600))


def limited_in_its_partition(provider: StateProvider) -> None:
    _take_one(provider, partition_queue=True, partition_concurrency=1)


def full_worker(provider: StateProvider) -> None:
    _take_one(provider, worker_concurrency=1)


def _take_one(provider: StateProvider, **limits: object) -> None:
    make_worker(provider)
    with DurableClient(provider) as client:
        client.set_queue(QUEUE, **limits)  # type: ignore[arg-type]  # as each situation says
    for name in ("taken", "a"):
        make_enqueued(provider, name, partition_key="ada")
    [claim] = provider.claim(want("worker", QUEUE, limit=1))
    assert claim.lease.workflow_id == "taken"


def delayed(provider: StateProvider) -> None:
    make_enqueued(provider, "a", delay_seconds=600.0)


def asleep(provider: StateProvider) -> None:
    commit(provider, park(make_claimed(provider, "a")))


def waiting_for_a_message(provider: StateProvider) -> None:
    claimed = make_claimed(provider, "a")
    commit(provider, replace(park(claimed), waits=(Wait(1, "message", "a", "paid"),)))


def failed(provider: StateProvider) -> None:
    claimed = make_claimed(provider, "a")
    commit(provider, finish(claimed, Status.ERROR, output='{"name": "ValueError", "message": "no"}'))


def set_aside(provider: StateProvider) -> None:
    claimed = make_claimed(provider, "a")
    commit(provider, finish(claimed, Status.MAX_RECOVERY_ATTEMPTS_EXCEEDED, output=None))


def cancelled(provider: StateProvider) -> None:
    make_enqueued(provider, "a")
    commit(provider, cancel("a"))


def released(provider: StateProvider) -> None:
    make_claimed(provider, "a")
    commit(provider, Retire(("first",), "was killed"))


SITUATIONS: dict[Situation, tuple[str, str]] = {
    running: ("running", "is running on executor first (pid 4711 on host 'host'), which claimed it"),
    suspect: ("suspect", "is held by executor first (pid 4711 on host 'host'), whose lease ended"),
    draining: ("draining", "which is draining and hands back what does not end in time"),
    nobody: ("no_executor", "is queued on queue 'work', but no executor of application 'durust' lives"),
    paused: ("queue_paused", "is queued on queue 'work', which is paused; `durust queue resume work` lets it go on"),
    unknown_name: ("no_worker_for_name", "1 executor lives, but none has a workflow of the name 'other'"),
    unknown_version: ("no_worker_for_version", "for version 'v0' of its code, which nobody runs"),
    first_of_queue: ("next", "is queued on queue 'work', as the next one"),
    behind: ("behind_others", "is queued on queue 'work', behind 1 other"),
    limited: ("global_limit", "which runs its limit of 1 (global_concurrency)"),
    rated: ("rate_limit", "which has started its limit of 1 in 10 min; the next may start in 10 min"),
    limited_in_its_partition: ("partition_limit", "whose partition 'ada' runs its limit of 1"),
    full_worker: ("worker_limit", "of which each executor runs its limit of 1 (worker_concurrency)"),
    delayed: ("delayed", "is delayed until"),
    asleep: ("asleep", "is asleep until"),
    waiting_for_a_message: ("waits_for_message", "waits for a message on topic 'paid'"),
    failed: ("failed", "ValueError: no; `durust workflow fork a` runs it anew"),
    set_aside: ("set_aside", "was set aside after 1 attempt"),
    cancelled: ("cancelled", "`durust workflow resume a` lets it go on behind its last step"),
    released: ("no_executor", "but no executor of application 'durust' lives"),
}


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda situation: situation.__name__)
def test_what_stands_in_the_way_is_found_in_the_database(
    answer: Answer, provider: StateProvider, situation: Situation
) -> None:
    situation(provider)

    told = answer("workflow", "why", "a")

    code, said = SITUATIONS[situation]
    assert list(told) == ["id", "status", "code", "why"]
    assert (told["code"], said in told["why"]) == (code, True), told["why"]


def test_a_terminal_gets_the_sentence_alone(durust: Durust, provider: StateProvider) -> None:
    cancelled(provider)

    told = durust("workflow", "why", "a", "-o", "table").stdout

    assert told.startswith("workflow 'a' was cancelled at ")
    assert len(told.splitlines()) == 1
    assert json.loads(durust("workflow", "show", "a").stdout)["why"] == told.strip()


def test_a_run_whose_process_was_stopped_is_suspect(
    answer: Answer, durust: Durust, spawn: Spawn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DURUST_DATABASE_URL", f"sqlite:///{tmp_path}/durust.db")
    worker = spawn("-c", STOPPABLE)
    worker.wait_for("inside")
    assert answer("workflow", "why", "a")["code"] == "running"

    worker.send(signal.SIGSTOP)

    eventually(lambda: answer("workflow", "why", "a")["code"] == "suspect")
    told = answer("workflow", "why", "a")["why"]
    assert f"(pid {worker.pid} on host " in told
    assert told.endswith("but no executor of application 'durust' lives; `durust up MODULE` starts some")
