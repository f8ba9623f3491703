"""Ids are fresh and sort as they were made; durations never run backwards."""

from __future__ import annotations

import re
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, timedelta
from itertools import chain

import pytest

from durust import clock
from tests.support.processes import Spawn

COUNT = 20_000


def test_ordered_ids_sort_in_the_order_of_their_making() -> None:
    ids = [clock.ordered_id() for _ in range(COUNT)]

    assert ids == sorted(ids)
    assert len(set(ids)) == COUNT


def test_ordered_ids_of_several_threads_sort_in_the_order_of_their_making() -> None:
    def make(_: int) -> list[str]:
        return [clock.ordered_id() for _ in range(COUNT // 8)]

    before = clock.ordered_id()
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(make, range(8)))
    after = clock.ordered_id()

    assert all(ids == sorted(ids) for ids in made)
    assert len(set(chain.from_iterable(made))) == COUNT
    assert before < min(chain.from_iterable(made))
    assert max(chain.from_iterable(made)) < after


def test_an_ordered_id_is_a_uuid_of_version_7_that_tells_its_time() -> None:
    made_at = clock.now_ms()

    parsed = uuid.UUID(clock.ordered_id())

    assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)
    assert abs((parsed.int >> 80) - made_at) < 60_000


def test_ordered_ids_keep_their_order_when_the_clock_is_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time_ns()
    ticks = chain([now, now - 3_600_000_000_000, now - 1], (now for _ in range(9000)))
    monkeypatch.setattr(time, "time_ns", lambda: next(ticks))

    ids = [clock.ordered_id() for _ in range(9000)]

    assert ids == sorted(set(ids))
    assert all(uuid.UUID(one).version == 7 for one in ids)


@pytest.mark.covers(65)
def test_executor_ids_have_their_form_and_never_repeat() -> None:
    ids = [clock.executor_id() for _ in range(COUNT)]

    assert len(set(ids)) == COUNT
    assert all(re.fullmatch(r"du:[0-9a-hjkmnp-tv-z]{26}", one) for one in ids)


@pytest.mark.covers(65)
def test_processes_that_start_alike_make_other_ids(spawn: Spawn) -> None:
    program = (
        "import random; random.seed(1)\nfrom durust import clock\n"
        "print(clock.executor_id(), clock.ordered_id(), clock.token(), clock.random_token())"
    )

    processes = [spawn("-c", program, env={"PYTHONHASHSEED": "1"}) for _ in range(2)]

    assert [process.wait() for process in processes] == [0, 0]
    ids = [one for process in processes for one in process.stdout.split()]
    assert len(set(ids)) == 8


def test_tokens_never_repeat_and_have_their_form() -> None:
    tokens = {clock.token() for _ in range(COUNT)}

    assert len(tokens) == COUNT
    assert all(re.fullmatch(r"0{16}-[0-9a-f]{32}", token) for token in tokens)


@pytest.mark.parametrize("digits", [2, 16, 32])
def test_a_random_token_has_the_digits_that_were_asked_for(digits: int) -> None:
    assert re.fullmatch(rf"[0-9a-f]{{{digits}}}", clock.random_token(digits))


def test_jitter_lies_between_nothing_and_one() -> None:
    dice = [clock.jitter() for _ in range(COUNT)]

    assert all(0 <= one < 1 for one in dice)
    assert 0.4 < sum(dice) / COUNT < 0.6


@pytest.mark.parametrize("read", [clock.monotonic, clock.boottime, clock.perf])
def test_durations_never_run_backwards(read: object) -> None:
    assert callable(read)
    readings = [read() for _ in range(COUNT)]

    assert readings == sorted(readings)


def test_the_calendar_is_in_utc_and_agrees_with_its_milliseconds() -> None:
    now = clock.now_utc()

    assert now.tzinfo is UTC
    assert abs(now.timestamp() * 1000 - clock.now_ms()) < timedelta(minutes=1) / timedelta(milliseconds=1)


def test_a_pause_lasts_at_least_as_long_as_asked() -> None:
    begun = clock.monotonic()

    clock.pause(0.01)

    assert clock.monotonic() - begun >= 0.01


def test_the_boot_and_the_pid_namespace_are_the_same_for_every_process(spawn: Spawn) -> None:
    process = spawn("-c", "from durust import clock; print(clock.boot_id(), clock.pid_namespace())")

    assert process.wait() == 0
    assert process.stdout.split() == [clock.boot_id(), clock.pid_namespace()]
