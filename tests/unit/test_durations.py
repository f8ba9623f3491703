"""Durations as people type them."""

from __future__ import annotations

import click
import pytest

from durust.commands.durations import Duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("90", 90.0),
        ("90s", 90.0),
        ("1.5m", 90.0),
        (" 2h ", 7200.0),
        ("30d", 2_592_000.0),
        ("1 w", 604_800.0),
    ],
)
def test_a_duration_is_a_number_with_a_unit(text: str, seconds: float) -> None:
    assert Duration().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-1d", "1y", "d", "1e3", "30 d d"])
def test_what_is_no_duration_is_refused_by_name(text: str) -> None:
    with pytest.raises(click.BadParameter, match="no duration"):
        Duration().convert(text, None, None)
