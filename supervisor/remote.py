"""Orders and questions to a running supervisor, from another process of the same user."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from durust import clock
from durust.commands.exits import Exit
from durust.errors import DurustError
from durust.supervisor.config import ZMQ_OFF_VARIABLE
from durust.supervisor.pidfile import cluster_of, holder
from durust.supervisor.wire import (
    SUPERVISOR,
    Accepted,
    AskDrain,
    AskRecycle,
    AskScale,
    AskStatus,
    Body,
    Declined,
    Post,
    Status,
    WorkerStatus,
)

# A supervisor looks at its socket several times a second, so this is silence.
ANSWER_SECONDS = 3.0
# Far above the pages that the largest supervisor answers.
PAGES_MAX = 200

Answer = TypeVar("Answer", Status, Accepted)


class NoAnswer(DurustError):
    """A supervisor holds the pidfile but does not answer."""

    def __init__(self, pid: int, reason: str) -> None:
        super().__init__(pid, reason)
        self.pid, self.reason = pid, reason

    def __str__(self) -> str:
        return f"the supervisor (pid {self.pid}) cannot be asked: {self.reason}; SIGTERM to that pid drains it"


class OrderDeclined(DurustError):
    """A supervisor cannot follow an order any more."""

    exit_code = Exit.CONFLICT

    def __init__(self, pid: int, reason: str) -> None:
        super().__init__(pid, reason)
        self.pid, self.reason = pid, reason

    def __str__(self) -> str:
        return f"the supervisor (pid {self.pid}) {self.reason}"


@dataclass(frozen=True, slots=True)
class Overview:
    """How a supervisor stands, with all its workers."""

    supervisor: Status
    workers: tuple[WorkerStatus, ...]


class Remote:
    """A conversation with the supervisor that holds *pidfile*.

    Raises `NotRunning` when nobody holds it, `NoAnswer` when ZeroMQ is switched off.
    """

    def __init__(self, pidfile: Path) -> None:
        self._pid = holder(pidfile)
        if os.environ.get(ZMQ_OFF_VARIABLE, "") not in {"", "0"}:
            raise NoAnswer(self._pid, f"{ZMQ_OFF_VARIABLE} is set")
        import zmq

        from durust.supervisor.control import addresses, temper

        self._post = Post(cluster_of(pidfile), f"ctl:{clock.random_token()}")
        self._context = zmq.Context()
        self._dealer = self._context.socket(zmq.DEALER)
        temper(self._dealer)
        self._dealer.setsockopt(zmq.IDENTITY, self._post.me.encode())
        self._dealer.connect(addresses(self._post.cluster)[0])

    def status(self) -> Overview:
        """Return how the supervisor stands. Raises `NoAnswer`."""
        workers: list[WorkerStatus] = []
        for _ in range(PAGES_MAX):
            page = self._ask(AskStatus(len(workers)), Status)
            workers.extend(page.rows)
            if not page.more:
                return Overview(page, tuple(workers))
        raise NoAnswer(self._pid, f"its status has more than {PAGES_MAX} pages")

    def drain(self, *, quick: bool) -> int:
        """Tell the supervisor to end, in order or (quick) at once; return its pid. Raises `NoAnswer`."""
        return self._ask(AskDrain(quick), Accepted).pid

    def scale(self, workers: int) -> int:
        """Tell the supervisor how many workers to keep; return its pid. Raises `NoAnswer`, `OrderDeclined`."""
        return self._ask(AskScale(workers), Accepted).pid

    def recycle(self) -> int:
        """Tell the supervisor to replace its workers; return its pid. Raises `NoAnswer`, `OrderDeclined`."""
        return self._ask(AskRecycle(), Accepted).pid

    def close(self) -> None:
        """End the conversation."""
        self._context.destroy(linger=0)

    def _ask(self, question: Body, kind: type[Answer]) -> Answer:
        self._dealer.send(self._post.seal(SUPERVISOR, question))
        deadline = clock.monotonic() + ANSWER_SECONDS
        while (left := deadline - clock.monotonic()) > 0:
            if self._dealer.poll(int(left * 1000)):
                letter = self._post.open(self._dealer.recv())
                if letter is not None and isinstance(letter.body, kind):
                    return letter.body
                if letter is not None and isinstance(letter.body, Declined):
                    raise OrderDeclined(letter.body.pid, letter.body.line)
        raise NoAnswer(self._pid, f"no answer within {ANSWER_SECONDS:g} s")
