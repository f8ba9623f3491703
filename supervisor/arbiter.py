"""The supervisor's loop: hear, reap, plan, act."""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import assert_never

from durust import clock
from durust.commands.exits import Exit
from durust.model.filters import Scope
from durust.storage.provider import Hint, StateProvider
from durust.supervisor import plan as plans
from durust.supervisor.child import Child
from durust.supervisor.config import Config
from durust.supervisor.database import Database
from durust.supervisor.ear import open_ear
from durust.supervisor.exits import describe
from durust.supervisor.facts import Away, Back, HandedBack, Heard, Lost, News, Orphaned, TookOver
from durust.supervisor.pidfile import cluster_of
from durust.supervisor.plan import Death, Living, Past, State, Wanted
from durust.supervisor.signals import Signals
from durust.supervisor.vitals import Page
from durust.supervisor.wire import (
    STATUS_ROWS_MAX,
    WORKERS_MAX,
    Accepted,
    AskDrain,
    AskRecycle,
    AskScale,
    AskStatus,
    Brief,
    Declined,
    Drain,
    Failed,
    Letter,
    Loaded,
    Status,
    WorkerStatus,
)

# The loop looks at its workers this often when nothing happens: what only the page tells is seen this late.
TICK_SECONDS = 0.25
# What wakes the loop more often, such as hints, does not make it look at its workers more often than this.
LOOK_SECONDS_MIN = 0.1
# A supervisor that was itself stopped must not take the time it slept for its workers' silence.
LOOK_SECONDS_MAX = 1.0
# How long the last release may take at the end; what it did not do is done by others when the leases end.
RELEASE_SECONDS = 2.0
# Deaths per worker that are remembered, more than the backoff counts.
DEATHS_PER_WORKER = 20
# A drain tells how far it is this often.
TELL_SECONDS = 1.0


@dataclass(slots=True)
class Member:
    """One worker: its process, what is known of it, and what it said."""

    child: Child
    executor_id: str
    living: Living
    progress: int = 0
    line: str = ""


class Arbiter:
    """Keeps the wanted number of workers running until it is told to end."""

    def __init__(self, config: Config, provider: StateProvider, say: Callable[[str], None], signals: Signals) -> None:
        self._config, self._say, self._signals = config, say, signals
        settings = config.settings
        self._id = f"su:{clock.random_token(26)}"
        self._wanted = Wanted(
            workers=config.workers,
            drain_seconds=settings.drain_seconds,
            hang_seconds=config.hang_seconds,
            lease_seconds=settings.lease_seconds,
        )
        self._past = Past()
        self._deaths: deque[Death] = deque(maxlen=DEATHS_PER_WORKER * config.workers)
        self._members: dict[int, Member] = {}
        self._names: dict[str, str] = {}
        self._code: int | None = None
        self._died = self._handed_back = self._stops = 0
        self._looked_at = clock.monotonic()
        self._told_at = self._idle_since = 0.0
        # For as many as there may ever be, because each worker inherits it: a slot that nobody uses costs nothing.
        self._page = Page.make(WORKERS_MAX)
        self._ear = open_ear(cluster_of(config.pidfile), has_zmq=config.has_zmq)
        self._database = Database(provider, self._id, settings, self._page, self._signals.wake)

    def run(self) -> int:
        """Run until drained, stopped or beyond hope; return the exit code of the command line."""
        self._database.start()
        while (code := self._turn()) is None:
            pass
        return code

    def close(self) -> None:
        """Kill what still runs, stop all threads, close all sockets; the signals are their owner's."""
        for member in self._members.values():
            member.child.kill()
            member.child.close()
        self._ear.close()
        self._database.close()

    def _turn(self) -> int | None:
        self._hear()
        now = clock.monotonic()
        self._reap(now)
        self._look(now)
        code = self._act(now)
        self._database.enlist(
            {self._members[index].executor_id: index for index in plans.beating(self._wanted, self._living())}
        )
        self._tell(now)
        return code

    def _living(self) -> list[Living]:
        return [member.living for member in self._members.values()]

    # Hear

    def _hear(self) -> None:
        descriptors = [self._signals.fileno()]
        for member in self._members.values():
            if (ending := member.child.fileno()) is not None:
                descriptors.append(ending)
            if not member.child.lifeline.is_over:
                descriptors.append(member.child.lifeline.fileno())
        ready = self._ear.poll(descriptors, TICK_SECONDS)
        self._signals.clear()
        stops = stops_asked(self._signals)
        for _ in range(stops - self._stops):
            self._end(quick=self._wanted.drain_since is not None)
        self._stops = stops
        for member in self._members.values():
            if not member.child.lifeline.is_over and member.child.lifeline.fileno() in ready:
                self._take_reports(member)
        for letter in self._ear.letters():
            self._take_letter(letter)
        hints: list[Hint] = []
        for fact in self._database.facts():
            if isinstance(fact, Heard):
                hints.extend(fact.hints)
            else:
                self._take_fact(fact)
        if hints:
            self._ear.hint(hints)

    def _end(self, *, quick: bool) -> None:
        now = clock.monotonic()
        if self._wanted.drain_since is None:
            self._wanted = replace(self._wanted, drain_since=now)
            running = sum(self._page.counts(index).running for index in self._members)
            grace = "at once" if quick else f"within {self._wanted.drain_seconds:g} s"
            self._say(f"ending {grace}: {running} running")
        elif quick and self._wanted.quick_since is None:
            self._say("ending at once")
        if quick and self._wanted.quick_since is None:
            self._wanted = replace(self._wanted, quick_since=now)

    def _take_reports(self, member: Member) -> None:
        for report in member.child.lifeline.drain():
            match report:
                case Loaded(app_name, names):
                    self._past = replace(self._past, has_loaded=True)
                    self._database.sweep(Scope(app_name, names))
                case Failed(line, traceback):
                    member.line = line
                    if self._config.is_verbose and traceback:
                        self._say(traceback.rstrip())
                case Brief():
                    # Only this side gives briefs.
                    continue
                case _:
                    assert_never(report)

    def _take_letter(self, letter: Letter) -> None:
        match letter.body:
            case AskStatus(offset):
                self._ear.say(letter.sender, self._status(offset))
            case AskDrain(quick):
                self._ear.say(letter.sender, Accepted(self._id, os.getpid()))
                self._end(quick=quick)
            case AskScale() | AskRecycle() if self._wanted.drain_since is not None:
                self._ear.say(letter.sender, Declined(os.getpid(), "is ending, and starts no workers any more"))
            case AskScale(workers):
                self._ear.say(letter.sender, Accepted(self._id, os.getpid()))
                self._scale(workers)
            case AskRecycle():
                self._ear.say(letter.sender, Accepted(self._id, os.getpid()))
                self._recycle()
            case _:
                # A worker's progress: it has made this loop look at the page, which is what it is for.
                return

    def _scale(self, workers: int) -> None:
        if workers == self._wanted.workers:
            return
        self._say(f"{workers} worker{'s'[: workers != 1]} from now on, instead of {self._wanted.workers}")
        self._wanted = replace(self._wanted, workers=workers)
        self._deaths = deque(self._deaths, maxlen=DEATHS_PER_WORKER * workers)

    def _recycle(self) -> None:
        self._say(f"replacing {_count(len(self._members), 'worker')}, some at a time")
        self._wanted = replace(self._wanted, recycle_since=clock.monotonic())

    def _take_fact(self, fact: News) -> None:
        match fact:
            case Lost(executor_ids):
                for member in self._members.values():
                    if member.executor_id in executor_ids:
                        member.living = replace(member.living, is_lost=True)
            case HandedBack(executor_id, workflows):
                name = self._names.pop(executor_id, executor_id)
                self._handed_back += workflows
                if workflows:
                    self._say(f"{name}: {_count(workflows, 'workflow')} handed back")
            case TookOver(executors, workflows):
                self._say(f"took over {_count(workflows, 'workflow')} of {_count(executors, 'dead executor')}")
            case Orphaned(workflows):
                self._say(f"found {_count(workflows, 'workflow')} that a dead executor still held: queued again")
            case Away(reason):
                self._past = replace(self._past, is_database_away=True)
                self._say(f"the database does not answer ({' '.join(reason.split())}); work goes on when it does")
            case Back():
                self._past = replace(self._past, is_database_away=False)
                self._say("the database answers again")
            case _:
                assert_never(fact)

    def _status(self, offset: int) -> Status:
        members = sorted(self._members.items())
        page = members[offset : offset + STATUS_ROWS_MAX]
        return Status(
            supervisor_id=self._id,
            pid=os.getpid(),
            state=self._state(),
            workers=self._wanted.workers,
            deaths=self._died,
            handed_back=self._handed_back,
            dropped=self._ear.dropped,
            is_database_away=self._past.is_database_away,
            rows=tuple(self._worker_status(index, member) for index, member in page),
            more=offset + len(page) < len(members),
        )

    def _state(self) -> str:
        if self._wanted.drain_since is not None:
            return "DRAINING"
        return "RUNNING" if self._wanted.recycle_since is None else "RECYCLING"

    def _worker_status(self, index: int, member: Member) -> WorkerStatus:
        counts, living = self._page.counts(index), member.living
        return WorkerStatus(
            index=index,
            executor_id=member.executor_id,
            pid=living.pid,
            state="STOPPED" if living.is_stopped else living.state,
            running=counts.running,
            done=counts.done,
            failed=counts.failed,
            steps=counts.steps,
            up_seconds=round(clock.monotonic() - living.spawned_at, 1),
            silent_seconds=round(living.silent_seconds, 1),
        )

    # Reap

    def _reap(self, now: float) -> None:
        for index, member in list(self._members.items()):
            returncode = member.child.poll()
            if returncode is not None:
                self._take_reports(member)
                member.child.close()
                del self._members[index]
                self._bury(member, returncode, now)

    def _bury(self, member: Member, returncode: int, now: float) -> None:
        living = member.living
        how = describe(returncode)
        name = f"worker {living.index} (pid {living.pid})"
        self._names[member.executor_id] = name
        # Also after an orderly end: it may not have got as far as saying that it is dead, and repeating it is harmless.
        self._database.retire(member.executor_id, how)
        if self._wanted.drain_since is not None:
            if returncode != 0 and living.killed_at is None and self._code is None:
                self._say(f"{name} {how}")
            return
        if living.asked_at is not None:
            # It is not held against the next one, which may start at once.
            self._say(f"{name} {how}, as it was asked to" if returncode == 0 else f"{name} {how}")
            return
        self._died += 1
        lived_seconds = now - living.spawned_at
        self._remember(
            Death(index=living.index, at=now, lived_seconds=lived_seconds, returncode=returncode, line=member.line)
        )
        if plans.give_up(self._wanted, self._past) is None:
            wait = plans.spawn_at(living.index, self._past) - now
            then = f"; the next one starts in {wait:.1f} s" if 0 < wait < float("inf") else ""
            said = f": {member.line}" if member.line else ""
            self._say(f"{name} {how} after {lived_seconds:.1f} s{said}{then}")

    def _remember(self, death: Death) -> None:
        self._deaths.append(death)
        self._past = replace(self._past, deaths=tuple(self._deaths))

    # Look

    def _look(self, now: float) -> None:
        if now < self._looked_at + LOOK_SECONDS_MIN:
            return
        elapsed = min(now - self._looked_at, LOOK_SECONDS_MAX)
        self._looked_at = now
        for index, member in self._members.items():
            counts = self._page.counts(index)
            stands_still = counts.progress == member.progress
            member.progress = counts.progress
            if counts.state is State.LIVE and member.living.state is not State.LIVE:
                self._say(f"worker {index} (pid {member.living.pid}) is up")
                self._past = replace(self._past, has_come_up=True)
            member.living = replace(
                member.living,
                state=counts.state,
                silent_seconds=member.living.silent_seconds + elapsed if stands_still else 0.0,
                is_mute=counts.progress == 0,
                is_stopped=member.child.is_stopped(),
            )

    # Act

    def _act(self, now: float) -> int | None:
        if self._is_recycled():
            self._say("all workers are new")
            self._wanted = replace(self._wanted, recycle_since=None)
        for action in plans.plan(self._wanted, self._living(), self._past, now):
            match action:
                case plans.Spawn(index):
                    self._spawn(index, now)
                case plans.Ask(index, quick, by_signal):
                    self._ask(self._members[index], quick=quick, by_signal=by_signal, now=now)
                case plans.Stacks(index):
                    member = self._members[index]
                    self._say(f"worker {index} (pid {member.living.pid}) shows no progress; its stacks:")
                    member.child.send(signal.SIGUSR1)
                    member.living = replace(member.living, stacks_at=now)
                case plans.Kill(index, why):
                    member = self._members[index]
                    if self._code is None:
                        # The line that gave everything up says enough.
                        self._say(f"worker {index} (pid {member.living.pid}) is killed: {why}")
                    member.child.kill()
                    member.living = replace(member.living, killed_at=now)
                case plans.GiveUp(code, line):
                    self._say(line)
                    self._code = code
                    self._wanted = replace(self._wanted, drain_since=now, quick_since=now)
                case plans.Finish():
                    return self._finish(now)
                case _:
                    assert_never(action)
        return None

    def _is_recycled(self) -> bool:
        if self._wanted.recycle_since is None or self._wanted.drain_since is not None:
            return False
        living = self._living()
        is_complete = sum(child.state is State.LIVE for child in living) >= self._wanted.workers
        return is_complete and not plans.outdated(self._wanted, living)

    def _spawn(self, index: int, now: float) -> None:
        executor_id = clock.executor_id()
        self._page.clear(index)
        config = self._config
        brief = Brief(
            index=index,
            executor_id=executor_id,
            supervisor_id=self._id,
            modules=config.modules,
            url=config.url,
            is_url_chosen=config.is_url_chosen,
            queues=config.queues,
            settings=dict(config.overrides),
            verbose=config.is_verbose,
            cluster=cluster_of(config.pidfile),
            orders=self._ear.orders,
            hints=self._ear.hints,
        )
        try:
            child = Child.spawn(brief, self._page.fd)
        except OSError as error:
            # The machine is short of processes or memory; the other workers go on, and this one is tried again.
            self._say(f"worker {index} cannot start: {error}")
            self._remember(Death(index=index, at=now, lived_seconds=0.0, returncode=1, line=str(error)))
            return
        living = Living(index=index, pid=child.pid, state=State.STARTING, spawned_at=now)
        self._members[index] = Member(child, executor_id, living)

    def _ask(self, member: Member, *, quick: bool, by_signal: bool, now: float) -> None:
        seconds = 0.0 if quick else self._wanted.drain_seconds
        heard = not by_signal and self._ear.say(member.executor_id, Drain(seconds))
        if not heard:
            member.child.send(signal.SIGINT if quick else signal.SIGTERM)
        member.living = replace(
            member.living,
            asked_at=now,
            is_asked_by_signal=member.living.is_asked_by_signal or not heard,
            is_asked_quick=quick,
        )

    def _finish(self, now: float) -> int | None:
        self._idle_since = self._idle_since or now
        late = now >= self._idle_since + RELEASE_SECONDS
        if not self._database.is_idle():
            if not late:
                return None
            self._say("some workflows could not be handed back now; others take them over when their leases end")
        took = now - (self._wanted.drain_since or now)
        if self._code is not None:
            return self._code
        self._say(f"ended after {took:.1f} s")
        return Exit.OK if self._database.is_idle() else Exit.UNREACHABLE

    def _tell(self, now: float) -> None:
        if self._wanted.drain_since is None or not self._members or now < self._told_at + TELL_SECONDS:
            return
        if self._told_at:
            running = sum(self._page.counts(index).running for index in self._members)
            left = max(0.0, self._wanted.drain_since + self._wanted.drain_seconds - now)
            what = f"draining: {running} running, {left:.0f} s left"
            self._say(what if self._wanted.quick_since is None else f"handing back: {running} running")
        self._told_at = now


def hear_signals() -> Signals:
    """Count, from now on, the signals that a supervisor acts on."""
    return Signals((signal.SIGTERM, signal.SIGINT, signal.SIGCHLD), ignored=(signal.SIGHUP,))


def stops_asked(signals: Signals) -> int:
    """Return how often a signal has asked for the end."""
    return signals.counts[signal.SIGTERM] + signals.counts[signal.SIGINT]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
