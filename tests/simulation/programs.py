"""Random async workflows: steps, sleeps and everything that asyncio offers to run several of them at once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from durust import DurableContext

# Deep enough that races stand in task groups in timeouts; a deeper tree only takes longer.
DEPTH_MAX = 4
CHILDREN_MAX = 4
# From well below a commit's time to well above it, so that either may come first; a sleep of the upper half parks.
SECONDS_MAX = 0.1
# How many parts have none below them, how many of those are no step, and how many of the steps fail,
# or are a patch.
LEAF_SHARE, FAILING_SHARE, PATCH_SHARE = 0.25, 0.15, 0.15


class Broken(Exception):
    """A step's own error."""


class Act:
    """One execution of a program: what its parts need, and what they asked for."""

    def __init__(self, ctx: DurableContext, begin: Callable[[str], None]) -> None:
        self.ctx = ctx
        self.asked: set[str] = set()
        self._begin = begin

    def step(self, name: str, seconds: float = 0.0, *, fails: bool = False) -> Coroutine[Any, Any, str]:
        """Call a step; each name stands for one step of the program."""

        async def body() -> str:
            self._begin(name)
            await asyncio.sleep(seconds)
            if fails:
                raise Broken(name)
            return name

        self.asked.add(name)
        return self.ctx.step(name, body)


class Part(Protocol):
    """A part of a program."""

    @property
    def name(self) -> str:
        """Return what nothing else in the program is called."""

    async def play(self, act: Act) -> None:
        """Do it. Raises `Broken` where a step of it does and it has no answer to that."""


@dataclass(frozen=True)
class Step:
    name: str
    seconds: float
    fails: bool

    async def play(self, act: Act) -> None:
        await act.step(self.name, self.seconds, fails=self.fails)


@dataclass(frozen=True)
class Sleep:
    name: str
    seconds: float

    async def play(self, act: Act) -> None:
        await act.ctx.sleep(self.seconds)


@dataclass(frozen=True)
class Patch:
    """A patch that every execution has, so that none goes the old way."""

    name: str

    async def play(self, act: Act) -> None:
        if await act.ctx.patch(self.name):
            await act.step(f"{self.name}.new")
        else:
            await act.step(f"{self.name}.old")
            raise AssertionError(self.name)


@dataclass(frozen=True)
class Idle:
    """A pause that is no operation."""

    name: str
    seconds: float

    async def play(self, act: Act) -> None:
        await asyncio.sleep(self.seconds)


@dataclass(frozen=True)
class InTurn:
    """One after the other; an error is answered by a step."""

    name: str
    parts: Sequence[Part]

    async def play(self, act: Act) -> None:
        for part in self.parts:
            try:
                await part.play(act)
            except Broken:
                await act.step(f"{self.name}.mend.{part.name}")


@dataclass(frozen=True)
class Gather:
    """All at once; an error leaves the others running."""

    name: str
    parts: Sequence[Part]

    async def play(self, act: Act) -> None:
        await asyncio.gather(*(part.play(act) for part in self.parts))


@dataclass(frozen=True)
class CalledFirst:
    """All called at once, and awaited one after the other, the last one first."""

    name: str
    count: int
    seconds: float

    async def play(self, act: Act) -> None:
        calls = [act.step(f"{self.name}.{number}", self.seconds) for number in range(self.count)]
        try:
            for call in reversed(calls):
                await call
        finally:
            for call in calls:
                call.close()


@dataclass(frozen=True)
class Group:
    """All at once; an error ends the others, and is answered by a step."""

    name: str
    parts: Sequence[Part]

    async def play(self, act: Act) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for part in self.parts:
                    group.create_task(part.play(act))
        except* Broken as errors:
            named = "-".join(sorted(map(str, errors.exceptions)))
            await act.step(f"{self.name}.broken.{named}")


@dataclass(frozen=True)
class Hurry:
    """One part that is cut short by a timer of the program's own, which a step answers."""

    name: str
    part: Part
    seconds: float
    by_wait_for: bool

    async def play(self, act: Act) -> None:
        try:
            if self.by_wait_for:
                await asyncio.wait_for(self.part.play(act), self.seconds)
            else:
                async with asyncio.timeout(self.seconds):
                    await self.part.play(act)
        except TimeoutError:
            await act.step(f"{self.name}.late", self.seconds)


@dataclass(frozen=True)
class Race:
    """The first to end decides how it goes on; the others are cancelled, or waited for."""

    name: str
    parts: Sequence[Part]
    seconds: float | None
    cancels: bool

    async def play(self, act: Act) -> None:
        tasks = [asyncio.create_task(part.play(act), name=part.name) for part in self.parts]
        done, _ = await asyncio.wait(tasks, timeout=self.seconds, return_when=asyncio.FIRST_COMPLETED)
        await act.step(f"{self.name}.won.{'-'.join(sorted(task.get_name() for task in done))}", (self.seconds or 0) / 2)
        if self.cancels:
            # In an order of the program's own: that of a set is not the same in the next process.
            for task in tasks:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@dataclass(frozen=True)
class InOrder:
    """All at once, and a step after each, named by who came."""

    name: str
    parts: Sequence[Part]

    async def play(self, act: Act) -> None:
        async def named(part: Part) -> str:
            try:
                await part.play(act)
            except Broken:
                return f"{part.name}.broken"
            return part.name

        tasks: list[Awaitable[str]] = [asyncio.create_task(named(part)) for part in self.parts]
        for first in asyncio.as_completed(tasks):
            await act.step(f"{self.name}.next.{await first}")


def make_program(chance: random.Random, *, timers: bool) -> Part:
    """Return a random program, with or without timers of its own."""
    maker = _Maker(chance, timers=timers)
    return InTurn("p", [maker.make(f"p{number}", DEPTH_MAX) for number in range(1, 4)])


class _Maker:
    def __init__(self, chance: random.Random, *, timers: bool) -> None:
        self._chance, self._timers = chance, timers

    def make(self, name: str, depth: int, *, in_timeout: bool = False) -> Part:
        chance = self._chance
        seconds = chance.choice([0.0, 0.001, chance.uniform(0, SECONDS_MAX)])
        if depth == 0 or chance.random() < LEAF_SHARE:
            return self._leaf(name, seconds)
        kinds = ["gather", "race", "in order", "called first", "in turn"]
        kinds += ["hurry", "hurry"] if self._timers else []
        # Python 3.11 counts a cancellation too many when a group ends with an error, which breaks a timeout around it.
        kinds += [] if in_timeout else ["group"]
        kind = chance.choice(kinds)
        in_timeout = in_timeout or kind == "hurry"
        parts = [
            self.make(f"{name}.{number}", depth - 1, in_timeout=in_timeout)
            for number in range(chance.randint(2, CHILDREN_MAX))
        ]
        match kind:
            case "gather":
                return Gather(name, parts)
            case "group":
                return Group(name, parts)
            case "hurry":
                return Hurry(name, parts[0], chance.uniform(0, SECONDS_MAX), by_wait_for=chance.random() < 0.5)
            case "race":
                timer = chance.uniform(0, SECONDS_MAX) if self._timers and chance.random() < 0.5 else None
                return Race(name, parts, timer, cancels=chance.random() < 0.5)
            case "in order":
                return InOrder(name, parts)
            case "called first":
                return CalledFirst(name, len(parts), seconds)
            case _:
                return InTurn(name, parts)

    def _leaf(self, name: str, seconds: float) -> Part:
        chance = self._chance
        if chance.random() < LEAF_SHARE:
            return Idle(name, seconds) if self._timers and chance.random() < 0.5 else Sleep(name, seconds)
        if chance.random() < PATCH_SHARE:
            return Patch(name)
        return Step(name, seconds, fails=chance.random() < FAILING_SHARE)
