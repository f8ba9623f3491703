"""Durations as people type them."""

from __future__ import annotations

import re

import click

SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}

_DURATION = re.compile(r"^(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[smhdw]?)$")


class Duration(click.ParamType[float]):
    """A duration such as `90s`, `15m`, `12h`, `30d`, `2w`; a number without a unit is seconds."""

    name = "DURATION"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, int | float):
            return float(value)
        found = _DURATION.match(str(value).strip())
        if found is None:
            self.fail(f"{value!r} is no duration; write 90s, 15m, 12h, 30d or 2w", param, ctx)
        return float(found["number"]) * SECONDS[found["unit"] or "s"]
