"""What has happened to a supervisor's workers and its database so far: remembered for the plan, and told."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import assert_never

from durust.supervisor import plan as plans
from durust.supervisor.exits import describe
from durust.supervisor.facts import Away, Back, HandedBack, Orphaned, TookOver
from durust.supervisor.member import Member
from durust.supervisor.plan import Death, Past, Wanted

# Deaths per worker that are remembered, more than the backoff counts.
DEATHS_PER_WORKER = 20


class Chronicle:
    """Remembers what the plan asks about the past, counts what a status shows, and says each of it once."""

    def __init__(self, workers: int, say: Callable[[str], None]) -> None:
        self._say = say
        self.past = Past()
        self.died = self.handed_back = 0
        self._deaths: deque[Death] = deque(maxlen=DEATHS_PER_WORKER * workers)
        self._names: dict[str, str] = {}

    def scale(self, workers: int) -> None:
        """Remember the deaths of so many workers from now on."""
        self._deaths = deque(self._deaths, maxlen=DEATHS_PER_WORKER * workers)

    def loaded(self) -> None:
        """Remember that a worker has loaded the application."""
        self.past = replace(self.past, has_loaded=True)

    def came_up(self, member: Member) -> None:
        """Tell of a worker that claims work now."""
        self._say(f"{member.name} is up")
        self.past = replace(self.past, has_come_up=True)

    def did_not_start(self, index: int, error: OSError, now: float) -> None:
        """Tell of a worker that the machine could not start."""
        self._say(f"worker {index} cannot start: {error}")
        self._remember(Death(index=index, at=now, lived_seconds=0.0, returncode=1, line=str(error)))

    def ended(self, member: Member, returncode: int, wanted: Wanted, now: float, *, is_hopeless: bool) -> None:
        """Tell of a worker's end; one that nobody asked for counts as a death."""
        living, name, how = member.living, member.name, describe(returncode)
        self._names[member.executor_id] = name
        if wanted.drain_since is not None:
            if returncode != 0 and living.killed_at is None and not is_hopeless:
                self._say(f"{name} {how}")
            return
        if living.asked_at is not None:
            # It is not held against the next one, which may start at once.
            self._say(f"{name} {how}, as it was asked to" if returncode == 0 else f"{name} {how}")
            return
        self.died += 1
        lived_seconds = now - living.spawned_at
        self._remember(
            Death(index=living.index, at=now, lived_seconds=lived_seconds, returncode=returncode, line=member.line)
        )
        if plans.give_up(wanted, self.past) is None:
            wait = plans.spawn_at(living.index, self.past) - now
            then = f"; the next one starts in {wait:.1f} s" if 0 < wait < float("inf") else ""
            said = f": {member.line}" if member.line else ""
            self._say(f"{name} {how} after {lived_seconds:.1f} s{said}{then}")

    def take(self, fact: HandedBack | TookOver | Orphaned | Away | Back) -> None:
        """Tell of what was found out about the database."""
        match fact:
            case HandedBack(executor_id, workflows):
                name = self._names.pop(executor_id, executor_id)
                self.handed_back += workflows
                if workflows:
                    self._say(f"{name}: {count(workflows, 'workflow')} handed back")
            case TookOver(executors, workflows):
                self._say(f"took over {count(workflows, 'workflow')} of {count(executors, 'dead executor')}")
            case Orphaned(workflows):
                self._say(f"found {count(workflows, 'workflow')} that a dead executor still held: queued again")
            case Away(reason):
                self.past = replace(self.past, is_database_away=True)
                self._say(f"the database does not answer ({' '.join(reason.split())}); work goes on when it does")
            case Back():
                self.past = replace(self.past, is_database_away=False)
                self._say("the database answers again")
            case _:
                assert_never(fact)

    def _remember(self, death: Death) -> None:
        self._deaths.append(death)
        self.past = replace(self.past, deaths=tuple(self._deaths))


def count(number: int, noun: str) -> str:
    """Return a number of things as a sentence has it."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
