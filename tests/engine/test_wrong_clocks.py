"""A calendar that is three hours wrong changes no sleep, delay, deadline, tick, rate or lease.

Two processes share one database with a third that is right, one of them three hours fast and one three hours slow. The
judge is a file that step bodies write to with a clock that nobody sets.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from durust import WorkflowCancelled, clock
from durust.model.filters import ExecutorQuery
from tests.engine.stage import PATIENCE, Stage
from tests.engine.wrong_clock import (
    DELAY_SECONDS,
    DOZE_SECONDS,
    LEASE_SECONDS,
    NAP_SECONDS,
    PACED,
    RATE,
    TIMEOUT_SECONDS,
    make_engine,
)
from tests.support.processes import Spawn, Spawned
from tests.support.waiting import eventually

THREE_HOURS = 10_800
SKEWS = {"fast": THREE_HOURS, "slow": -THREE_HOURS}
# A busy machine may be late; nobody may be early, and three hours are far more than this.
LATE_SECONDS = 15.0
# What rounding to milliseconds, and the way to the ledger, may take off a duration.
ROUNDING_SECONDS = 0.05
# How long after its claim a body may begin, whose time counts from there.
BEGIN_SECONDS = 1.5
# So many seconds in a row show whose they are.
TICKS = 5


@dataclass
class Judge:
    """The file, and what is wrong with the durations in it."""

    path: Path
    faults: list[str] = field(default_factory=list)

    def times(self) -> dict[str, dict[str, float]]:
        """Return when each event of each workflow happened first."""
        seen: dict[str, dict[str, float]] = defaultdict(dict)
        for line in self.path.read_text().splitlines() if self.path.exists() else ():
            workflow, event, at, _ = json.loads(line)
            seen[workflow].setdefault(event, at)
        return seen

    def ticks(self) -> dict[str, list[float]]:
        """Return when the runs of each tick began."""
        seen: dict[str, list[float]] = defaultdict(list)
        for line in self.path.read_text().splitlines() if self.path.exists() else ():
            moment, event, at, _ = json.loads(line)
            if event == "tick":
                seen[moment].append(at)
        return seen

    def demand(self, workflow: str, first: str, then: str, seconds: float, less: float = ROUNDING_SECONDS) -> None:
        """Note a fault unless *then* came *seconds* after *first*, at most *less* earlier and not much later."""
        events = self.times()[workflow]
        if first not in events or then not in events:
            self.faults.append(f"{workflow}: only {sorted(events)} happened")
            return
        took = events[then] - events[first]
        if not seconds - less <= took <= seconds + LATE_SECONDS:
            self.faults.append(f"{workflow}: {took:.2f} s from {first} to {then} instead of {seconds} s")


@pytest.fixture
def judge(tmp_path: Path) -> Judge:
    """Return the judge of the test's processes."""
    return Judge(tmp_path / "ledger")


def launch(spawn: Spawn, url: str, judge: Judge) -> dict[str, Spawned]:
    """Start the two processes with wrong calendars and wait until they have started their workflows."""
    spawned = {
        tag: spawn(
            "-m",
            "tests.engine.wrong_clock",
            url,
            str(judge.path),
            tag,
            env={"DURUST_CLOCK_SKEW_SECONDS": str(skew)},
        )
        for tag, skew in SKEWS.items()
    }
    for process in spawned.values():
        process.wait_for("started")
    return spawned


def ids(name: str) -> list[str]:
    """Return the ids of one workflow's runs: of each process, started there and queued for anybody."""
    return [f"{name}-{where}-{tag}" for where in ("here", "queued") for tag in SKEWS]


@pytest.mark.parametrize("url", ["postgres"], indirect=True)
def test_a_calendar_that_is_wrong_changes_nothing_on_postgres(
    stage: Stage, url: str, spawn: Spawn, judge: Judge
) -> None:
    launch(spawn, url, judge)
    with make_engine(url) as engine:
        handles = {key: engine.retrieve_workflow(key) for name in ("nap", "doze", "early", "held") for key in ids(name)}
        results = {key: handle.get_result(PATIENCE * 2) for key, handle in handles.items()}
        for key in ids("bounded"):
            with pytest.raises(WorkflowCancelled):
                engine.retrieve_workflow(key).get_result(PATIENCE)
        eventually(lambda: all("end" in judge.times()[key] for key in ids("bounded")))

    for key in ids("nap"):
        judge.demand(key, "begin", "end", NAP_SECONDS)
        told = datetime.fromisoformat(results[key])
        if abs(told - clock.now_utc()) > timedelta(minutes=5):
            judge.faults.append(f"{key}: the time of the body was {told}")
    for key in ids("doze"):
        judge.demand(key, "begin", "end", DOZE_SECONDS)
    for key in ids("early"):
        judge.demand(key, "start", "begin", DELAY_SECONDS)
    for key in ids("bounded"):
        judge.demand(key, "begin", "end", TIMEOUT_SECONDS, BEGIN_SECONDS)
        row = stage.row(key)
        if not row.is_timed_out or (row.completed_at_ms or 0) > (row.deadline_ms or 0) + LATE_SECONDS * 1000:
            judge.faults.append(f"{key}: completed at {row.completed_at_ms}, deadline {row.deadline_ms}")
    judge.faults += [
        f"{key} was taken away and ran {results[key]} times"
        for name in ("doze", "held")
        for key in ids(name)
        if results[key] != 1
    ]
    judge.faults += dead(stage)

    assert judge.faults == []


@pytest.mark.parametrize("url", ["postgres", "sqlite"], indirect=True)
def test_a_lease_lasts_as_long_as_its_process_whatever_the_calendar_says(
    stage: Stage, url: str, spawn: Spawn, judge: Judge
) -> None:
    processes = launch(spawn, url, judge)
    eventually(lambda: all("begin" in judge.times()[key] for key in ids("held")), PATIENCE)
    # Longer than a lease, so that one which was judged by a wrong calendar would have lapsed.
    begun = clock.boottime()
    with make_engine(url, queues=[]) as engine:
        for key in ids("held"):
            assert engine.retrieve_workflow(key).get_result(PATIENCE) == 1
        assert clock.boottime() - begun > LEASE_SECONDS / 2
        assert dead(stage) == []

        for process in processes.values():
            process.kill()

        eventually(lambda: len(dead(stage)) == len(SKEWS), LATE_SECONDS)


@pytest.mark.parametrize("url", ["postgres"], indirect=True)
def test_ticks_and_rates_are_the_databases_too(stage: Stage, url: str, spawn: Spawn, judge: Judge) -> None:
    launch(spawn, url, judge)
    # The kernel's clock at the database's midnight of 1970, by which ticks are compared with what the bodies note.
    epoch = clock.boottime() - clock.now_utc().timestamp()
    with make_engine(url, queues=[]) as engine:
        engine.create_schedule("tick", "tick", "* * * * * *", context=str(judge.path))
        handles = engine.enqueue_many(PACED, "paced", [(str(judge.path),)] * 8)
        for handle in handles:
            handle.get_result(PATIENCE)
        eventually(lambda: len(judge.ticks()) >= TICKS, PATIENCE)
        engine.delete_schedule("tick")
    ticks = judge.ticks()

    for moment, times in ticks.items():
        late = min(times) - epoch - datetime.fromisoformat(moment).timestamp()
        if len(times) != 1 or not -ROUNDING_SECONDS <= late <= LATE_SECONDS:
            judge.faults.append(f"{moment}: ran {len(times)} times, {late:.2f} s late")
    limit, period = RATE
    starts = sorted(stage.row(handle).started_at_ms or 0 for handle in handles)
    judge.faults += [
        f"{limit + 1} starts within {later - earlier} ms"
        for earlier, later in zip(starts, starts[limit:], strict=False)
        if not period * 1000 <= later - earlier <= (period + LATE_SECONDS) * 1000
    ]

    assert judge.faults == []


def dead(stage: Stage) -> list[str]:
    """Return the executors that were declared dead."""
    rows = stage.provider.executors(ExecutorQuery(states=("DEAD",)))
    return [f"{row.executor_id} is dead: {row.why}" for row in rows if row.why == "its lease lapsed"]


def test_the_judge_sees_what_comes_too_early_too_late_or_never(judge: Judge) -> None:
    events = [("fine", 1.0), ("early", 0.2), ("late", 1.0 + THREE_HOURS)]
    lines = [line for name, took in events for line in ([name, "begin", 0.0, 1], [name, "end", took, 1])]
    judge.path.write_text("\n".join(map(json.dumps, [*lines, ["never", "begin", 0.0, 1]])))

    for name in ("fine", "early", "late", "never"):
        judge.demand(name, "begin", "end", 1.0)

    assert [fault.split(":")[0] for fault in judge.faults] == ["early", "late", "never"]
