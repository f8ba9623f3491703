"""One worker as its supervisor knows it: its process, how it does, and what it was asked."""

from __future__ import annotations

import signal
from dataclasses import dataclass, replace

from durust import clock
from durust.supervisor.child import Child
from durust.supervisor.ear import Ear
from durust.supervisor.plan import Living, State
from durust.supervisor.vitals import Counts
from durust.supervisor.wire import Drain, WorkerStatus


@dataclass(slots=True)
class Member:
    """One worker: its process, what is known of it, and what it said."""

    child: Child
    executor_id: str
    living: Living
    progress: int = 0
    line: str = ""

    @property
    def name(self) -> str:
        """Return what people know it by."""
        return f"worker {self.living.index} (pid {self.living.pid})"

    def look(self, counts: Counts, elapsed: float) -> bool:
        """Take in what its page tells *elapsed* seconds after the last look; tell whether it has just come up."""
        has_come_up = counts.state is State.LIVE and self.living.state is not State.LIVE
        stands_still = counts.progress == self.progress
        self.progress = counts.progress
        self.living = replace(
            self.living,
            state=counts.state,
            silent_seconds=self.living.silent_seconds + elapsed if stands_still else 0.0,
            is_mute=counts.progress == 0,
            is_stopped=self.child.is_stopped(),
        )
        return has_come_up

    def ask(self, ear: Ear, seconds: float, *, quick: bool, by_signal: bool, now: float) -> None:
        """Ask it to end within so many seconds, by a message, or by a signal where none is heard."""
        heard = not by_signal and ear.say(self.executor_id, Drain(seconds))
        if not heard:
            self.child.send(signal.SIGINT if quick else signal.SIGTERM)
        self.living = replace(
            self.living,
            asked_at=now,
            is_asked_by_signal=self.living.is_asked_by_signal or not heard,
            is_asked_quick=quick,
        )

    def show_stacks(self, now: float) -> None:
        """Let it write where its threads are."""
        self.child.send(signal.SIGUSR1)
        self.living = replace(self.living, stacks_at=now)

    def kill(self, now: float) -> None:
        """End it at once."""
        self.child.kill()
        self.living = replace(self.living, killed_at=now)

    def status(self, counts: Counts) -> WorkerStatus:
        """Return what `durust ctl status` shows of it."""
        living = self.living
        return WorkerStatus(
            index=living.index,
            executor_id=self.executor_id,
            pid=living.pid,
            state="STOPPED" if living.is_stopped else living.state,
            running=counts.running,
            done=counts.done,
            failed=counts.failed,
            steps=counts.steps,
            up_seconds=round(clock.monotonic() - living.spawned_at, 1),
            silent_seconds=round(living.silent_seconds, 1),
        )
