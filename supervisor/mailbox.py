"""A worker's side of ZeroMQ: it hears hints and orders, and tells its progress.

Without ZeroMQ it hears nothing, and everything works.

One thread owns both sockets. Everything that is heard is handed on: hints to whoever waits for them, orders to a
callback. The process never waits for this thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

from durust.storage.listening import LocalListener
from durust.storage.provider import Hint
from durust.supervisor.wire import SUPERVISOR, Drain, Hints, Letter, Post, Progress
from durust.telemetry import emit

# How often a worker tells its progress: a person watches it, and the shared page says the same.
TELL_SECONDS = 0.5


class Mailbox(LocalListener):
    """A subscription to hints that the supervisor feeds; it also delivers the supervisor's orders."""

    def __init__(self, cluster: str, me: str, orders: str, hints: str) -> None:
        super().__init__(_nobody)
        self._post = Post(cluster, me)
        self._orders, self._hint_address = orders, hints
        self._is_closing = threading.Event()
        self._last_hint = 0

    def open(self, progress: Callable[[], Progress], on_drain: Callable[[Drain], None]) -> None:
        """Start to hear; *progress* is told to the supervisor regularly, *on_drain* is called in this box's thread."""
        thread = threading.Thread(target=self._listen, args=(progress, on_drain), name="durust-mailbox", daemon=True)
        thread.start()

    def shut(self) -> None:
        """Stop to hear. Nobody waits for the sockets."""
        self._is_closing.set()

    def _listen(self, progress: Callable[[], Progress], on_drain: Callable[[Drain], None]) -> None:
        # Only here, so that a worker without ZeroMQ never loads it, and the context is made after the process started.
        import zmq

        from durust.supervisor.control import temper

        context = zmq.Context()
        dealer, subscriber = context.socket(zmq.DEALER), context.socket(zmq.SUB)
        try:
            for made in (dealer, subscriber):
                temper(made)
            dealer.setsockopt(zmq.IDENTITY, self._post.me.encode())
            dealer.connect(self._orders)
            subscriber.setsockopt(zmq.SUBSCRIBE, b"")
            subscriber.connect(self._hint_address)
            poller = zmq.Poller()
            poller.register(dealer, zmq.POLLIN)
            poller.register(subscriber, zmq.POLLIN)
            told: Progress | None = None
            while not self._is_closing.is_set():
                for made, _ in poller.poll(int(TELL_SECONDS * 1000)):
                    self._take(self._post.open(made.recv()), on_drain)
                now = progress()
                if now != told:
                    told = now
                    with suppress(zmq.Again):
                        dealer.send(self._post.seal(SUPERVISOR, now), zmq.NOBLOCK)
        except zmq.ZMQError as error:
            # Without hints and orders everything still works: the polls, the page and signals stand behind them.
            emit("mailbox_lost", error=error)
        finally:
            context.destroy(linger=0)

    def _take(self, letter: Letter | None, on_drain: Callable[[Drain], None]) -> None:
        if letter is None:
            emit("frame_dropped")
            return
        match letter.body:
            case Hints(hints):
                heard = [Hint(hint.kind, hint.key) for hint in hints]
                if letter.sequence != self._last_hint + 1:
                    # Some were lost in between, and nobody knows what they said.
                    heard.append(Hint("any"))
                self._last_hint = letter.sequence
                self.hear(heard)
            case Drain() as order:
                on_drain(order)
            case _:
                emit("frame_dropped", kind=type(letter.body).__name__)


def _nobody(_listener: LocalListener) -> None:
    """Nobody keeps a list of mailboxes."""
