"""The socket pair between a supervisor and one worker: the brief goes down, reports come up, its end means "gone".

Unlike ZeroMQ it is always there, nobody else can reach it, and the kernel closes it with the process that held it.
"""

from __future__ import annotations

import socket
import struct

from durust.supervisor.wire import Report, pack_report, unpack_report

# The names of some ten thousand workflows; more of them are a mistake.
MESSAGE_BYTES_MAX = 1 << 20
_HEADER = struct.Struct(">I")
_READ_BYTES = 1 << 16


class Lifeline:
    """One end of the pair. One thread may read it while another writes."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._pending = bytearray()
        self.is_over = False
        """The other side is gone."""

    def fileno(self) -> int:
        """Return the descriptor to poll."""
        return self._end.fileno()

    def send(self, message: Report) -> None:
        """Send *message* whole.

        Raises `OSError` when the other side is gone, `ValueError` for a message that is too large.
        """
        packed = pack_report(message)
        if len(packed) > MESSAGE_BYTES_MAX:
            raise ValueError(f"a message of {len(packed)} bytes does not fit; {MESSAGE_BYTES_MAX} do")
        self._end.sendall(_HEADER.pack(len(packed)) + packed)

    def receive(self) -> Report | None:
        """Wait for one message; None when the other side is gone."""
        while (message := self._next()) is None and not self.is_over:
            self._fill()
        return message

    def drain(self) -> list[Report]:
        """Return the messages that are there, without waiting. Sets `is_over` when the other side is gone."""
        self._end.setblocking(False)
        try:
            while not self.is_over:
                self._fill()
        except BlockingIOError:
            pass
        finally:
            self._end.setblocking(True)
        messages = []
        while (message := self._next()) is not None:
            messages.append(message)
        return messages

    def close(self) -> None:
        """Close this end; the other side sees the end of the file."""
        self._end.close()

    def _fill(self) -> None:
        try:
            chunk = self._end.recv(_READ_BYTES)
        except ConnectionError:
            chunk = b""
        if not chunk:
            self.is_over = True
        self._pending += chunk

    def _next(self) -> Report | None:
        if len(self._pending) < _HEADER.size:
            return None
        (length,) = _HEADER.unpack_from(self._pending)
        if length > MESSAGE_BYTES_MAX:
            # User code wrote to a descriptor that is not its own: nothing after it can be understood.
            self.is_over = True
            self._pending.clear()
            return None
        whole = _HEADER.size + length
        if len(self._pending) < whole:
            return None
        packed = bytes(self._pending[_HEADER.size : whole])
        del self._pending[:whole]
        report = unpack_report(packed)
        if report is None:
            self.is_over = True
        return report


def make_lifeline() -> tuple[Lifeline, socket.socket]:
    """Return the supervisor's end, and the end that a worker inherits."""
    mine, yours = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    return Lifeline(mine), yours


def inherit(fd: int) -> Lifeline:
    """Take over the end that the supervisor passed on, and keep it from this process's own children."""
    end = socket.socket(fileno=fd)
    end.set_inheritable(False)
    return Lifeline(end)
