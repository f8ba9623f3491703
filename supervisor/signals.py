"""Signals as facts to look at: a handler sets a flag and writes a byte, nothing else."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterable
from types import FrameType

_READ_BYTES = 4096


class Signals:
    """Counts the signals that came in, and makes a poller wake up for each. For the main thread only.

    What is ignored stays ignored; signals that are not named keep what they did.
    """

    def __init__(self, counted: Iterable[signal.Signals], ignored: Iterable[signal.Signals] = ()) -> None:
        self.counts: Counter[int] = Counter()
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        self._wakeup_before = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        self._before = {number: signal.signal(number, self._note) for number in counted}
        self._before.update({number: signal.signal(number, signal.SIG_IGN) for number in ignored})

    def fileno(self) -> int:
        """Return the descriptor that becomes readable with each signal, and with each `wake`."""
        return self._reader

    def wake(self) -> None:
        """Make the poller wake up, from any thread."""
        try:
            os.write(self._writer, b"\0")
        except (BlockingIOError, OSError):
            # A full pipe wakes as well as one byte more; a closed one has nobody left to wake.
            return

    def clear(self) -> None:
        """Take the bytes out, so that the descriptor becomes readable only with the next signal."""
        try:
            while os.read(self._reader, _READ_BYTES):
                pass
        except BlockingIOError:
            return

    def silence(self) -> None:
        """Ignore from now on what was counted, in a process that is about to end."""
        for number in self._before:
            signal.signal(number, signal.SIG_IGN)

    def close(self) -> None:
        """Put everything back as it was."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup_before)
        reader, writer, self._reader, self._writer = self._reader, self._writer, -1, -1
        os.close(reader)
        os.close(writer)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.counts[number] += 1
