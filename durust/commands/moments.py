"""Instants as people type them."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import click

from durust.commands.durations import SECONDS

_AGO = re.compile(r"^(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[smhdw])$")


class Moment(click.ParamType["datetime | float"]):
    """An instant: how long ago, as in 90s, 15m, 12h, 30d, 2w, or ISO 8601 with its offset, as in 2026-03-01T09:00Z."""

    name = "MOMENT"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime | float:
        """Return an instant, or the seconds since."""
        if isinstance(value, datetime | float):
            return value
        text = str(value).strip()
        if found := _AGO.match(text):
            return float(found["number"]) * SECONDS[found["unit"]]
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            self.fail(
                f"{text!r} is no instant; write 90s, 12h or 30d for so long ago, or 2026-03-01T09:00Z", param, ctx
            )
        if moment.tzinfo is None:
            # A day alone takes no zone.
            whole = text if len(text) > len("2026-03-01") else f"{text}T00:00"
            self.fail(f"{text!r} names no zone; write {whole}Z for UTC, or an offset as in {whole}+02:00", param, ctx)
        return moment


class Calendar(Moment):
    """An instant in ISO 8601 with its offset."""

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Return an instant."""
        moment = super().convert(value, param, ctx)
        if isinstance(moment, float):
            self.fail(f"{value!r} is no instant; write 2026-03-01T09:00Z", param, ctx)
        return moment


def moment_at(moment: datetime | float, now_ms: int) -> datetime:
    """Return an instant that was typed, by the time that is handed in."""
    if isinstance(moment, datetime):
        return moment
    # So long ago that no calendar has it is before everything.
    return datetime.fromtimestamp(max(0.0, now_ms / 1000 - moment), UTC)
