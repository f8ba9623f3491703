"""What runs here: the claims that this process holds, which the owner audit compares with the database."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from durust.engine.execution import Execution


class Roster:
    """The claims and executions of one engine, by their tokens. Any thread may ask and change it."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._held: set[str] = set()
        self._executions: dict[str, Execution] = {}
        self._bodies: Counter[str] = Counter()
        """How many step bodies of async runs are in a thread."""
        self._left_over: dict[str, Execution] = {}
        """Runs that ended without a write while a step of theirs could not be interrupted."""
        self._is_closed = False

    def reserve(self, token: str) -> None:
        """Enter a claim that is about to be made, so that the audit does not take it for a stranded one."""
        with self._mutex:
            self._held.add(token)

    def forget(self, token: str) -> None:
        """Take out a claim of which nothing is left here."""
        with self._mutex:
            self._held.discard(token)

    def holds(self, token: str) -> bool:
        """Tell whether that claim runs here, or is about to."""
        return token in self._held

    def enter(self, execution: Execution) -> bool:
        """Enter what begins to run; False when nothing may begin any more, and then too it is ended like any other."""
        token = execution.run.lease.token
        with self._mutex:
            self._held.add(token)
            self._executions[token] = execution
            return not self._is_closed

    def close(self) -> None:
        """Let nothing begin any more."""
        with self._mutex:
            self._is_closed = True

    def of(self, token: str) -> Execution | None:
        """Return what runs by that claim."""
        return self._executions.get(token)

    def running(self) -> list[Execution]:
        """Return what runs now."""
        with self._mutex:
            return list(self._executions.values())

    def note_shares(self, tokens: Iterable[str]) -> None:
        """Take in that those claims hold shares of their queue's budget, which their runs have to end."""
        for token in tokens:
            execution = self.of(token)
            if execution is not None and not execution.run.lease.has_grant:
                execution.run.lease = replace(execution.run.lease, has_grant=True)

    def begin_body(self, token: str) -> None:
        """Count a step body that begins in a thread."""
        with self._mutex:
            self._bodies[token] += 1

    def end_body(self, token: str) -> Execution | None:
        """Count one that has stopped; with the last of its run goes what that has left over, which is returned."""
        with self._mutex:
            self._bodies[token] -= 1
            if self._bodies[token]:
                return None
            del self._bodies[token]
            return self._left_over.pop(token, None)

    def end(self, execution: Execution, *, is_written: bool) -> bool:
        """Take out what has ended; True when a body of it that cannot be stopped goes on without a written end."""
        token = execution.run.lease.token
        with self._mutex:
            self._executions.pop(token, None)
            is_left_over = not is_written and token in self._bodies
            if is_left_over:
                self._left_over[token] = execution
        return is_left_over
