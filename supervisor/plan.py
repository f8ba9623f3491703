"""Every policy of the supervisor as one pure function: what is wanted, what is there, the time; a list of actions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from durust.supervisor.exits import WorkerExit, describe

# A worker that lived this long was healthy, so its death says nothing about the next one.
HEALTHY_SECONDS = 30.0
# The second quick death in a row waits this long; each further one twice as long as the one before.
BACKOFF_SECONDS = 0.5
# A fault that lasts is looked at again twice a minute: cheap for the machine, soon enough for the one who mended it.
BACKOFF_SECONDS_MAX = 30.0
# Once the database answers again, workers come back at most this late, so that work resumes soon.
DATABASE_BACKOFF_SECONDS_MAX = 2.0
# Without one worker that ever came up, this many deaths per worker tell that none will.
HOPELESS_DEATHS_PER_WORKER = 3
# What a worker gets beyond its deadline to close its connections; then it is killed.
GRACE_SECONDS = 2.0
# An order over ZeroMQ arrives in milliseconds or not at all; after this long a signal repeats it.
ORDER_SECONDS = 1.0
# An interpreter that imports a large library on a busy machine shows its first sign of life well within this.
FIRST_SIGN_SECONDS = 60.0
# While workers are replaced one after the other, three quarters of them go on working.
RECYCLED_AT_ONCE_PART = 4
# What a hung worker gets to write its stacks, which a signal handler in C does at once if anything runs at all.
STACKS_SECONDS = 1.0


class State(StrEnum):
    """How far a worker has come, as its own process tells."""

    STARTING = "STARTING"
    REGISTERED = "REGISTERED"
    """Its executor has a lease to renew and may hold work already; whether it can stay is not known yet."""
    LIVE = "LIVE"
    DRAINING = "DRAINING"
    ENDING = "ENDING"
    """It declares itself dead now, so a beat that does not bring it back says nothing."""


_WORKING = frozenset({State.LIVE, State.DRAINING})
_LEASED = _WORKING | {State.REGISTERED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the supervisor was asked for. Instants are those of the caller's monotonic clock."""

    workers: int
    drain_seconds: float
    hang_seconds: float
    """How long a worker may show no progress; 0: for ever."""
    lease_seconds: float
    """How long a worker keeps what it holds without a beat."""
    drain_since: float | None = None
    """Since when it should end in order; None: it should run."""
    quick_since: float | None = None
    """Since when it should end at once; set only together with `drain_since`."""
    recycle_since: float | None = None
    """Workers that were started before this instant are to be replaced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Living:
    """One worker process that has not been waited for yet."""

    index: int
    pid: int
    state: State
    spawned_at: float
    silent_seconds: float = 0.0
    """How long its progress has stood still while the supervisor was looking."""
    is_mute: bool = False
    """It has not shown its first sign of life yet."""
    is_stopped: bool = False
    """Stopped by a signal or a debugger."""
    is_lost: bool = False
    """A beat did not bring its executor back: somebody reaped it."""
    asked_at: float | None = None
    is_asked_by_signal: bool = False
    is_asked_quick: bool = False
    stacks_at: float | None = None
    killed_at: float | None = None

    def is_hung(self, hang_seconds: float) -> bool:
        """Tell whether it has shown no progress for longer than allowed."""
        limit = max(hang_seconds, FIRST_SIGN_SECONDS) if self.is_mute else hang_seconds
        return hang_seconds > 0 and self.silent_seconds > limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """How one worker ended."""

    index: int
    at: float
    lived_seconds: float
    returncode: int
    line: str = ""
    """What the worker itself said about it, if it still could."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What the supervisor remembers."""

    deaths: tuple[Death, ...] = ()
    """The recent ones, oldest first."""
    has_loaded: bool = False
    """A worker has loaded the application once."""
    has_come_up: bool = False
    """A worker has been LIVE once."""
    is_database_away: bool = False


@dataclass(frozen=True, slots=True)
class Spawn:
    """Start a worker at *index*."""

    index: int


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask a worker to end: in order, or (quick) at once; by an order over ZeroMQ, or by a signal."""

    index: int
    quick: bool = False
    by_signal: bool = False


@dataclass(frozen=True, slots=True)
class Stacks:
    """Ask a hung worker for its stacks."""

    index: int


@dataclass(frozen=True, slots=True)
class Kill:
    """Kill a worker with SIGKILL."""

    index: int
    why: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    """End the supervisor with *code* (of the command line), saying *line*."""

    code: int
    line: str


@dataclass(frozen=True, slots=True)
class Finish:
    """Nothing is left to wait for."""


Action = Spawn | Ask | Stacks | Kill | GiveUp | Finish


def plan(wanted: Wanted, living: Sequence[Living], past: Past, now: float) -> list[Action]:
    """Decide what to do now. Pure: equal arguments give equal actions, and nothing is done twice if it is noted."""
    actions: list[Action] = []
    leaving = _leaving(wanted, living)
    for child in living:
        actions.extend(_attend(wanted, child, now, leaves=child.index in leaving))
    if wanted.drain_since is not None:
        return actions if living else [*actions, Finish()]
    if (verdict := give_up(wanted, past)) is not None:
        return [*actions, verdict]
    taken = {child.index for child in living}
    vacant = [index for index in range(wanted.workers) if index not in taken]
    actions.extend(Spawn(index) for index in vacant if now >= spawn_at(index, past))
    return actions


def outdated(wanted: Wanted, living: Sequence[Living]) -> list[int]:
    """Return the indexes of the workers that are still to be replaced by new ones."""
    since = wanted.recycle_since
    return [] if since is None else [child.index for child in living if child.spawned_at < since]


def _leaving(wanted: Wanted, living: Sequence[Living]) -> set[int]:
    """Return the indexes of the workers that are to end in order although the others go on.

    Of those that are to be replaced some leave at once; the next ones only when as many new ones are at work, so that
    code which does not come up stops the replacing by itself.
    """
    asked = {child.index for child in living if child.asked_at is not None}
    surplus = {child.index for child in living if child.index >= wanted.workers}
    at_work = [child for child in living if child.state is State.LIVE and child.index not in asked | surplus]
    absent = wanted.workers - len(at_work)
    may_leave = max(0, max(1, wanted.workers // RECYCLED_AT_ONCE_PART) - absent)
    old = set(outdated(wanted, living))
    return asked | surplus | {child.index for child in [child for child in at_work if child.index in old][:may_leave]}


def beating(wanted: Wanted, living: Sequence[Living]) -> list[int]:
    """Return the indexes of the workers whose leases are to be renewed: not stopped, not hung, not lost, not killed."""
    return [
        child.index
        for child in living
        if child.state in _LEASED
        and not child.is_stopped
        and not child.is_hung(wanted.hang_seconds)
        and not child.is_lost
        and child.killed_at is None
    ]


def spawn_at(index: int, past: Past) -> float:
    """Return the instant from which a worker may start at *index*: at once after a lone death, later after many."""
    deaths = [death for death in past.deaths if death.index == index]
    if not deaths:
        return float("-inf")
    quick = 0
    for death in reversed(deaths):
        if death.lived_seconds >= HEALTHY_SECONDS:
            break
        quick += 1
    last = deaths[-1]
    if last.returncode == WorkerExit.DATABASE:
        # The supervisor's own beats see the database come back; until then a start would only burn the processor.
        return float("inf") if past.is_database_away else last.at + min(DATABASE_BACKOFF_SECONDS_MAX, _backoff(quick))
    return last.at + _backoff(quick)


def _backoff(quick_deaths: int) -> float:
    if quick_deaths < 2:  # noqa: PLR2004  a single death is an accident, two are a pattern
        return 0.0
    # The exponent is bounded before it is used, so that a long night of deaths does not overflow a float.
    return float(min(BACKOFF_SECONDS_MAX, BACKOFF_SECONDS * 2 ** min(quick_deaths - 2, 16)))


def _attend(wanted: Wanted, child: Living, now: float, *, leaves: bool) -> list[Action]:
    if child.killed_at is not None:
        return []
    if child.is_lost and child.state in _WORKING:
        return [Kill(child.index, "its lease was lost")]
    if wanted.hang_seconds > 0 and child.is_stopped and child.silent_seconds > wanted.lease_seconds + GRACE_SECONDS:
        # Nobody beats for it, and on a host of its own nobody else would ever take over what it holds.
        return [Kill(child.index, "it was stopped for longer than its lease")]
    if child.is_hung(wanted.hang_seconds):
        if child.stacks_at is None:
            return [Stacks(child.index)]
        if now >= child.stacks_at + STACKS_SECONDS:
            return [Kill(child.index, f"it showed no progress for {wanted.hang_seconds:g} s")]
        return []
    since = wanted.drain_since
    if since is None and leaves:
        since = now if child.asked_at is None else child.asked_at
    return [] if since is None else _end(wanted, child, since, now)


def _end(wanted: Wanted, child: Living, since: float, now: float) -> list[Action]:
    if child.state is State.STARTING:
        return _end_before_it_begins(wanted, child, now)
    if wanted.quick_since is not None:
        if now >= wanted.quick_since + GRACE_SECONDS:
            return [Kill(child.index, "it did not stop in time")]
        is_told = child.is_asked_quick or child.state is State.ENDING
        return [] if is_told else [Ask(child.index, quick=True, by_signal=True)]
    if now >= since + wanted.drain_seconds + GRACE_SECONDS:
        return [Kill(child.index, f"it did not drain within {wanted.drain_seconds:g} s")]
    if child.state is State.ENDING:
        return []
    if child.asked_at is None:
        return [Ask(child.index)]
    unheard = child.state is not State.DRAINING and not child.is_asked_by_signal
    return [Ask(child.index, by_signal=True)] if unheard and now >= child.asked_at + ORDER_SECONDS else []


def _end_before_it_begins(wanted: Wanted, child: Living, now: float) -> list[Action]:
    # It holds no work yet, as far as is known; and user code that is being imported may not answer for long.
    if wanted.quick_since is not None or (child.asked_at is not None and now >= child.asked_at + GRACE_SECONDS):
        return [Kill(child.index, "it had not begun")]
    return [] if child.asked_at is not None else [Ask(child.index, by_signal=True)]


def give_up(wanted: Wanted, past: Past) -> GiveUp | None:
    """Say whether another worker makes no sense, because no worker ever came up and all would end in the same way."""
    if not past.deaths or past.has_come_up:
        return None
    last = past.deaths[-1]
    match last.returncode:
        case WorkerExit.QUEUE:
            return GiveUp(3, last.line or "a queue that was asked for does not exist")
        case WorkerExit.SCHEMA:
            return GiveUp(1, last.line or "the database's schema does not fit")
        case WorkerExit.APPLICATION if not past.has_loaded:
            return GiveUp(1, last.line or "the application does not load")
        case WorkerExit.DATABASE:
            return None
    faults = [death for death in past.deaths if death.returncode != WorkerExit.DATABASE]
    if len(faults) >= HOPELESS_DEATHS_PER_WORKER * wanted.workers:
        said = last.line or f"the last one {describe(last.returncode)}"
        return GiveUp(1, f"no worker came up in {len(faults)} starts, so there will be no more: {said}")
    return None
