"""What `durust up` is asked for is checked before anything starts."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from durust.errors import InvalidArgument
from durust.supervisor.config import Config, usable_cores


def read(*modules: str, environment: dict[str, str] | None = None, **asked: Any) -> Config:
    return Config.read(
        modules or ("shop",),
        **{"url": "sqlite:///x.db", "pidfile": Path("/tmp/x.pid"), **asked},
        environment=environment or {},
    )


def test_the_defaults_are_one_worker_per_core_and_all_queues() -> None:
    config = read()

    assert config.workers == usable_cores()
    assert config.queues is None
    assert (config.settings.lease_seconds, config.settings.beat_seconds) == (10.0, 2.0)


@pytest.mark.parametrize(
    ("modules", "said"),
    [
        (["shop.py"], "not its file: shop"),
        (["shop/app.py"], "not its file: shop.app"),
        (["./shop.py"], "not its file: shop"),
        (["shop-app"], "must be a module's name"),
        (["shop:"], "must be a module's name"),
        (["a:engine", "b:engine"], "only one of them"),
    ],
)
def test_a_module_that_cannot_be_meant_is_refused_with_a_remedy(modules: list[str], said: str) -> None:
    with pytest.raises(InvalidArgument, match=said):
        read(*modules)


@pytest.mark.parametrize("module", ["shop", "shop.app", "shop.app:engine", "shop:main.engine", "läden"])
def test_a_module_may_name_an_engine(module: str) -> None:
    assert read(module).modules == (module,)


@pytest.mark.parametrize("workers", ["0", "-1", "two", "1025", "1.5"])
def test_a_number_of_workers_that_cannot_be_meant_is_refused(workers: str) -> None:
    with pytest.raises(InvalidArgument, match="workers"):
        read(workers=workers)


def test_queues_are_a_list_without_repeats() -> None:
    assert read(queues="b, a,b,").queues == ("b", "a")


def test_an_empty_list_of_queues_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="at least one queue"):
        read(queues=" ,")


def test_a_shorter_lease_gets_faster_beats() -> None:
    settings = read(lease_seconds=2.0).settings

    assert (settings.lease_seconds, settings.beat_seconds) == (2.0, 0.4)


def test_a_lease_that_no_worker_could_trust_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="longer than its margin of 1 s by two beats"):
        read(lease_seconds=1.3)
    with pytest.raises(InvalidArgument, match="longer than its margin of 1 s by more than a beat"):
        read(lease_seconds=1.0)


def test_workers_are_told_the_times_that_the_supervisor_counts_with() -> None:
    config = read(slots=7, lease_seconds=3.0)

    assert config.overrides == {
        "slots": 7,
        "lease_seconds": 3.0,
        "beat_seconds": pytest.approx(0.6),
        "drain_seconds": 30.0,
    }


@pytest.mark.parametrize(
    "asked",
    [
        {"lease_seconds": 0.0},
        {"slots": -1},
        {"drain_seconds": -5.0},
        {"hang_seconds": -1.0},
        {"hang_seconds": math.nan},
        {"hang_seconds": 0.5},
    ],
)
def test_negative_times_and_numbers_are_refused(asked: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        read(**asked)


@pytest.mark.parametrize(("value", "has_zmq"), [("", True), ("0", True), ("1", False)])
def test_zeromq_can_be_switched_off(value: str, *, has_zmq: bool) -> None:
    assert read(environment={"DURUST_NO_ZMQ": value}).has_zmq is has_zmq
