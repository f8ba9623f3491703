"""The supervisor's loop: hear, reap, plan, act."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from typing import assert_never

from durust import clock
from durust.commands.exits import Exit
from durust.model.filters import Scope
from durust.storage.provider import Hint, StateProvider
from durust.supervisor import plan as plans
from durust.supervisor.child import Child
from durust.supervisor.chronicle import Chronicle, count
from durust.supervisor.config import Config
from durust.supervisor.database import Database
from durust.supervisor.ear import open_ear
from durust.supervisor.exits import describe
from durust.supervisor.facts import Heard, Lost
from durust.supervisor.member import Member
from durust.supervisor.pidfile import cluster_of
from durust.supervisor.plan import Living, State, Wanted
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
    Failed,
    Letter,
    Loaded,
    Status,
)

# The loop looks at its workers this often when nothing happens: what only the page tells is seen this late.
TICK_SECONDS = 0.25
# What wakes the loop more often, such as hints, does not make it look at its workers more often than this.
LOOK_SECONDS_MIN = 0.1
# A supervisor that was itself stopped must not take the time it slept for its workers' silence.
LOOK_SECONDS_MAX = 1.0
# How long the last release may take at the end; what it did not do is done by others when the leases end.
RELEASE_SECONDS = 2.0
# A drain tells how far it is this often: who waits sees it move, and a log of it stays short.
TELL_SECONDS = 5.0


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
        self._chronicle = Chronicle(config.workers, say)
        self._members: dict[int, Member] = {}
        self._code: int | None = None
        self._stops = 0
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
            match fact:
                case Heard():
                    hints.extend(fact.hints)
                case Lost(executor_ids):
                    for member in self._members.values():
                        if member.executor_id in executor_ids:
                            member.living = replace(member.living, is_lost=True)
                case _:
                    self._chronicle.take(fact)
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
                    self._chronicle.loaded()
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
        self._chronicle.scale(workers)

    def _recycle(self) -> None:
        self._say(f"replacing {count(len(self._members), 'worker')}, some at a time")
        self._wanted = replace(self._wanted, recycle_since=clock.monotonic())

    def _status(self, offset: int) -> Status:
        members = sorted(self._members.items())
        page = members[offset : offset + STATUS_ROWS_MAX]
        return Status(
            supervisor_id=self._id,
            pid=os.getpid(),
            state=self._state(),
            workers=self._wanted.workers,
            deaths=self._chronicle.died,
            handed_back=self._chronicle.handed_back,
            dropped=self._ear.dropped,
            is_database_away=self._chronicle.past.is_database_away,
            rows=tuple(member.status(self._page.counts(index)) for index, member in page),
            more=offset + len(page) < len(members),
        )

    def _state(self) -> str:
        if self._wanted.drain_since is not None:
            return "DRAINING"
        return "RUNNING" if self._wanted.recycle_since is None else "RECYCLING"

    # Reap

    def _reap(self, now: float) -> None:
        for index, member in list(self._members.items()):
            returncode = member.child.poll()
            if returncode is not None:
                self._take_reports(member)
                member.child.close()
                del self._members[index]
                # Also after an orderly end: it may not have got as far as saying that it is dead, and repeating it is
                # harmless.
                self._database.retire(member.executor_id, describe(returncode))
                is_hopeless = self._code is not None
                self._chronicle.ended(member, returncode, self._wanted, now, is_hopeless=is_hopeless)

    # Look

    def _look(self, now: float) -> None:
        if now < self._looked_at + LOOK_SECONDS_MIN:
            return
        elapsed = min(now - self._looked_at, LOOK_SECONDS_MAX)
        self._looked_at = now
        for index, member in self._members.items():
            if member.look(self._page.counts(index), elapsed):
                self._chronicle.came_up(member)

    # Act

    def _act(self, now: float) -> int | None:
        if self._is_recycled():
            self._say("all workers are new")
            self._wanted = replace(self._wanted, recycle_since=None)
        for action in plans.plan(self._wanted, self._living(), self._chronicle.past, now):
            match action:
                case plans.Spawn(index):
                    self._spawn(index, now)
                case plans.Ask(index, quick, by_signal):
                    seconds = 0.0 if quick else self._wanted.drain_seconds
                    self._members[index].ask(self._ear, seconds, quick=quick, by_signal=by_signal, now=now)
                case plans.Stacks(index):
                    member = self._members[index]
                    self._say(f"{member.name} shows no progress; its stacks:")
                    member.show_stacks(now)
                case plans.Kill(index, why):
                    member = self._members[index]
                    if self._code is None:
                        # The line that gave everything up says enough.
                        self._say(f"{member.name} is killed: {why}")
                    member.kill(now)
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
            self._chronicle.did_not_start(index, error, now)
            return
        living = Living(index=index, pid=child.pid, state=State.STARTING, spawned_at=now)
        self._members[index] = Member(child, executor_id, living)

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
