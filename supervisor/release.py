"""What dead workers held goes back to its queues at once, beside the beats of the living, which wait for nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from durust import clock
from durust.engine.identity import is_surely_gone
from durust.engine.service import Seconds, Service
from durust.failpoints import failpoint
from durust.model.filters import ExecutorQuery
from durust.model.writes import Released, Retire
from durust.storage.provider import Hint, StateProvider, Writer
from durust.supervisor.facts import Facts, HandedBack, Heard, TookOver


class Releases(Service):
    """Declares executors dead whose process was waited for, and releases their workflows."""

    def __init__(self, provider: StateProvider, facts: Facts) -> None:
        super().__init__("releases")
        self._provider, self._facts = provider, facts
        self._mutex = threading.Lock()
        # Bounded by the deaths of workers, which the plan backs off; none may be forgotten.
        self._dead: dict[str, str] = {}
        self._writer: Writer | None = None
        self._is_first = True

    def retire(self, executor_id: str, why: str) -> None:
        """Release what a dead executor held, as soon as possible."""
        with self._mutex:
            self._dead[executor_id] = why
        self.wake()

    def is_idle(self) -> bool:
        """Tell whether everything that was retired is released."""
        with self._mutex:
            return not self._dead

    def run_once(self) -> Seconds | None:
        """Release what is pending; then wait for the next death."""
        if self._is_first:
            self._recover()
            self._is_first = False
        self._release()
        return None

    def close(self) -> None:
        """Stop, and close the connection."""
        self.stop()
        if self._writer is not None:
            self._writer.close()

    def _connection(self) -> Writer:
        if self._writer is None:
            self._writer = self._provider.writer()
        return self._writer

    def _recover(self) -> None:
        """Release what an earlier supervisor of this host held that was killed with its workers."""
        boot_id = clock.boot_id()
        rows = self._provider.executors(ExecutorQuery(boot_id=boot_id)) if boot_id else []
        gone = tuple(row.executor_id for row in rows if is_surely_gone(row))
        if not gone:
            return
        [outcome] = self._connection().commit([Retire(gone, "its process is gone")])
        if isinstance(outcome, Released):
            self._facts.add(TookOver(len(gone), len(outcome.workflow_ids)))
            self._announce(outcome.queues)

    def _release(self) -> None:
        with self._mutex:
            dead = dict(self._dead)
        # The failpoint leaves this supervisor's dead alone, so that a test sees what then happens: nothing.
        if not dead or failpoint("supervisor.release"):
            return
        outcomes = self._connection().commit([Retire((executor_id,), why) for executor_id, why in dead.items()])
        with self._mutex:
            for executor_id in dead:
                del self._dead[executor_id]
        queues: set[str] = set()
        for executor_id, outcome in zip(dead, outcomes, strict=True):
            if isinstance(outcome, Released):
                queues |= outcome.queues
                self._facts.add(HandedBack(executor_id, len(outcome.workflow_ids)))
        self._announce(queues)

    def _announce(self, queues: Iterable[str]) -> None:
        hints = tuple(Hint("queue", name) for name in sorted(queues))
        if hints:
            # To this host's workers at once, to others through the database.
            self._facts.add(Heard(hints))
            self._provider.announce(hints)
