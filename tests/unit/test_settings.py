"""Settings come from defaults, the environment and arguments, and refuse what cannot be meant."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any

import pytest

from durust.errors import InvalidArgument
from durust.settings import Settings

OTHERS: dict[str, Any] = {
    "app_name": "shop",
    "app_version": "2026-11",
    "slots": 7,
    "beat_seconds": 1.5,
    "lease_seconds": 30.0,
    "lease_margin_seconds": 0.5,
    "sweep_seconds": 0.25,
    "idle_poll_seconds": 0.75,
    "audit_seconds": 5.0,
    "drain_seconds": 60.0,
    "park_after_seconds": 2.5,
    "value_bytes_max": 1024,
    "history_places_max": 50,
    "retention_seconds": 86400.0,
    "retention_count": 1000,
    "serializer": "pickle",
}
# Nothing, and no bound at all, can be meant here.
MAY_BE_ZERO = {"drain_seconds", "retention_seconds", "retention_count"}
MAY_BE_NONE = {"retention_seconds", "retention_count"}
NUMBERS = [name for name, value in OTHERS.items() if isinstance(value, int | float)]


def test_every_setting_has_a_twin_in_the_environment() -> None:
    environment = {f"DURUST_{name.upper()}": str(value) for name, value in OTHERS.items()}

    assert asdict(Settings.load(environment)) == OTHERS
    assert {spec.name for spec in fields(Settings)} == set(OTHERS)


def test_an_empty_environment_leaves_the_defaults() -> None:
    assert Settings.load({}) == Settings()


def test_the_environment_of_the_process_is_read_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DURUST_SLOTS", "7")

    assert Settings.load().slots == 7


def test_an_argument_goes_before_the_environment_and_none_leaves_it() -> None:
    environment = {"DURUST_SLOTS": "7", "DURUST_APP_NAME": "shop"}

    chosen = Settings.load(environment, slots=9, app_name=None)

    assert (chosen.slots, chosen.app_name) == (9, "shop")


def test_an_argument_replaces_a_variable_that_is_out_of_range() -> None:
    assert Settings.load({"DURUST_SLOTS": "0"}, slots=9).slots == 9


@pytest.mark.parametrize("text", ["many", "", "1e", "-1"])
@pytest.mark.parametrize("name", NUMBERS)
def test_a_bad_value_of_the_environment_names_its_variable(name: str, text: str) -> None:
    with pytest.raises(InvalidArgument, match=f"DURUST_{name.upper()}="):
        Settings.load({f"DURUST_{name.upper()}": text})


@pytest.mark.parametrize("text", ["nan", "inf", "-inf"])
@pytest.mark.parametrize("name", [name for name in NUMBERS if isinstance(OTHERS[name], float)])
def test_a_duration_that_is_no_number_is_refused(name: str, text: str) -> None:
    with pytest.raises(InvalidArgument, match=f"DURUST_{name.upper()}="):
        Settings.load({f"DURUST_{name.upper()}": text})


@pytest.mark.parametrize("name", [name for name in NUMBERS if name not in MAY_BE_ZERO])
def test_nothing_is_refused(name: str) -> None:
    setting: dict[str, Any] = {name: 0}

    with pytest.raises(InvalidArgument, match=f"^{name}="):
        Settings(**setting)
    with pytest.raises(InvalidArgument, match=f"DURUST_{name.upper()}="):
        Settings.load({f"DURUST_{name.upper()}": "0"})


@pytest.mark.parametrize("name", sorted(MAY_BE_ZERO))
def test_an_end_may_wait_for_nothing_and_nothing_may_be_kept(name: str) -> None:
    setting: dict[str, Any] = {name: 0}

    assert getattr(Settings(**setting), name) == 0


def test_what_is_kept_for_ever_has_no_number() -> None:
    assert [getattr(Settings(), name) for name in sorted(MAY_BE_NONE)] == [None, None]


@pytest.mark.covers(93)
@pytest.mark.parametrize("value", [-1, float("nan"), float("inf")])
@pytest.mark.parametrize("name", NUMBERS)
def test_a_bad_number_is_refused_by_its_name(name: str, value: float) -> None:
    setting: dict[str, Any] = {name: value}

    with pytest.raises(InvalidArgument, match=f"^{name}="):
        Settings(**setting)


def test_two_beats_fit_into_a_lease() -> None:
    assert Settings(beat_seconds=2.0, lease_seconds=4.0).lease_seconds == 4.0
    with pytest.raises(InvalidArgument, match=r"beat_seconds=2\.0: must be at most half of lease_seconds=3\.9"):
        Settings(beat_seconds=2.0, lease_seconds=3.9)


@pytest.mark.parametrize(("lease", "margin"), [(1.0, 1.0), (1.5, 1.0), (2.0, 5.0)])
def test_a_lease_that_is_never_trusted_for_a_beat_is_refused(lease: float, margin: float) -> None:
    with pytest.raises(InvalidArgument, match=r"longer than its margin of . s by more than a beat of 0\.5 s"):
        Settings(beat_seconds=0.5, lease_seconds=lease, lease_margin_seconds=margin)


@pytest.mark.parametrize("value", ["4", True, None, 1e12])
@pytest.mark.parametrize("name", NUMBERS)
def test_what_is_no_usable_number_is_refused_by_its_name(name: str, value: Any) -> None:
    setting: dict[str, Any] = {name: value}
    if value is None and name in MAY_BE_NONE:
        assert getattr(Settings(**setting), name) is None
        return

    with pytest.raises(InvalidArgument, match=f"^{name}="):
        Settings(**setting)


def test_a_part_of_a_slot_is_refused() -> None:
    slots: Any = 2.5

    with pytest.raises(InvalidArgument, match=r"slots=2\.5: must be a whole number"):
        Settings(slots=slots)


@pytest.mark.parametrize("name", ["", "a\0b", "\udcff", 5])
def test_a_name_that_cannot_be_stored_is_refused(name: Any) -> None:
    with pytest.raises(InvalidArgument, match="app_name="):
        Settings(app_name=name)


@pytest.mark.parametrize("serializer", ["yaml", "", "JSON"])
def test_an_unknown_serializer_is_refused(serializer: str) -> None:
    with pytest.raises(InvalidArgument, match="DURUST_SERIALIZER="):
        Settings.load({"DURUST_SERIALIZER": serializer})
