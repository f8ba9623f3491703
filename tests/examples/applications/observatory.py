"""An observatory: exposures that are raced, timed, gathered and counted, run by `durust up` from its own folder."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import durust
from durust import DurableContext, DurableEngine, StepOptions, SyncDurableContext, WorkflowOptions, WorkflowQueue

NIGHTS = 10
CLOUDED_EVERY = 5

domes = WorkflowQueue("domes", worker_concurrency=4)
desk = WorkflowQueue("desk")


class Clouded(Exception):
    """A night on which nothing is seen."""

    def __init__(self, night: date, cover: float) -> None:
        super().__init__(f"{night}: {cover:.0%} of the sky is covered")
        self.night, self.cover = night, cover


@dataclass(frozen=True)
class Target:
    name: str
    seconds: float


@dataclass
class Frame:
    target: Target
    photons: int
    filters: frozenset[str] = frozenset()


@dataclass
class Night:
    day: date
    targets: list[Target] = field(default_factory=list)
    pause: timedelta = timedelta(seconds=1.2)


TARGETS = [Target("vega", 0.05), Target("deneb", 0.1), Target("m31", 0.02), Target("ceres", 5.0)]


def note(line: str) -> None:
    """Write down what was done to the world: one line that no crash takes back."""
    with Path("observatory.log").open("a", encoding="utf-8") as log:
        log.write(f"{os.getpid()} {line}\n")
        log.flush()
        os.fsync(log.fileno())
    durust.failpoint("noted")


@durust.step
async def ask(day: date, station: str, seconds: float) -> float:
    note(f"ask {day} {station}")
    await asyncio.sleep(seconds)
    return 0.9 if day.day % CLOUDED_EVERY == 0 else 0.125


@durust.step(max_retries=3, base_interval=0.02)
async def expose(day: date, target: Target) -> Frame:
    note(f"expose {day} {target.name}")
    await asyncio.sleep(target.seconds)
    return Frame(target, len(target.name) * day.day, frozenset({"red", "blue"}))


@durust.workflow
async def observe(ctx: DurableContext, night: Night) -> dict[str, Frame | None]:
    stations = [
        asyncio.create_task(ask(night.day, name, pause), name=name) for name, pause in (("east", 0.3), ("west", 0.02))
    ]
    first, _ = await asyncio.wait(stations, return_when=asyncio.FIRST_COMPLETED)
    for station in stations:
        station.cancel()
    [cover] = [station.result() for station in first]
    if cover > 0.5:
        await ctx.step("close dome", note, f"close {night.day}")
        raise Clouded(night.day, cover)

    async def at_most(target: Target) -> Frame | None:
        try:
            async with asyncio.timeout(0.5):
                return await expose(night.day, target)
        except TimeoutError:
            late = f"late {night.day} {target.name}"
            if os.environ.get("PLANTED"):
                # As somebody might write it who forgot that a body runs again.
                note(late)
            else:
                await ctx.step(f"give up {target.name}", note, late)
            return None

    frames = await asyncio.gather(*(at_most(target) for target in night.targets))
    await ctx.sleep(night.pause)
    return {target.name: frame for target, frame in zip(night.targets, frames, strict=True)}


@durust.workflow(name="count-photons")
def count_photons(ctx: SyncDurableContext, day: date, frames: list[Frame]) -> Decimal:
    total = Decimal(0)
    for frame in frames:
        total += ctx.step_with(
            StepOptions(max_retries=2), f"count {frame.target.name}", lambda f=frame: f.photons, type=int
        )
        ctx.sleep(0.05)
    ctx.step("write", note, f"count {day}")
    return total / 2


def main() -> None:
    nights = [Night(date(2026, 3, day), TARGETS) for day in range(1, NIGHTS + 1)]
    with DurableEngine(sys.argv[1], queues=[]) as engine:
        seen = [
            engine.enqueue(domes, observe, night, options=WorkflowOptions(workflow_id=str(night.day)))
            for night in nights
        ]
        print("ordered", flush=True)
        for night, handle in zip(nights, seen, strict=True):
            try:
                frames = handle.get_result(90)
            except Clouded as sky:
                print(night.day, type(sky).__name__, sky.cover, sky.night == night.day)
                continue
            kept = [frame for frame in frames.values() if frame is not None]
            photons = engine.enqueue(desk, count_photons, night.day, kept).get_result(60)
            print(
                night.day,
                [name for name, frame in frames.items() if frame is None],
                photons,
                kept[0].filters == {"red", "blue"},
            )


if __name__ == "__main__":
    main()
