"""The one place that reads time and makes ids: everything else is handed both."""

from __future__ import annotations

import os
import secrets
import threading
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

# Crockford's base 32: 26 of these carry 130 bits, so ids never collide and survive being read aloud.
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_EXECUTOR_CHARACTERS = 26


# How wrong this process's calendar is made, for tests of what must not depend on it; what counts durations is not
# touched. Read once, because a clock that jumps is another matter.
_SKEW_NS = round(float(os.environ.get("DURUST_CLOCK_SKEW_SECONDS", "0")) * 1e9)


def _calendar_ns() -> int:
    return time.time_ns() + _SKEW_NS


def now_ms() -> int:
    """Return this host's calendar time in epoch milliseconds. Nothing that is safe may depend on it."""
    return _calendar_ns() // 1_000_000


def now_utc() -> datetime:
    """Return this host's calendar time as an aware `datetime` in UTC."""
    return datetime.now(UTC) + timedelta(microseconds=_SKEW_NS // 1000)


# Not wrapped, because each step asks it several times.
monotonic = time.monotonic
"""Return seconds that never go back, for durations within one process."""


def boottime() -> float:
    """Return seconds since the kernel booted, suspended time included: one value for all processes of a host."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def perf() -> float:
    """Return the finest monotonic seconds, for benchmarks."""
    return time.perf_counter()


def pause(seconds: float) -> None:
    """Block this thread for *seconds*."""
    time.sleep(seconds)


def jitter() -> float:
    """Return a random float in [0, 1), to keep many processes out of step."""
    return secrets.randbelow(1 << 53) / (1 << 53)


class _Ordered:
    """Time-ordered ids: UUID version 7 with a counter, so ids of one process sort in the order they were made."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def next(self) -> str:
        # RFC 9562, section 6.2, method 3: the 12 bits behind the milliseconds hold sub-millisecond time. A tick that
        # does not pass the last one is pushed past it, so the order holds within the process whatever the clock does.
        tick = _calendar_ns() * 4096 // 1_000_000
        with self._lock:
            tick = self._last = max(tick, self._last + 1)
        high = (tick >> 12 << 16) | 0x7000 | (tick & 0xFFF)
        low = (secrets.randbits(62)) | (0b10 << 62)
        text = f"{high:016x}{low:016x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


_ordered = _Ordered()


def ordered_id() -> str:
    """Return a fresh id (UUID version 7, RFC 9562) that sorts after every id this process made before."""
    return _ordered.next()


def random_uuid() -> uuid.UUID:
    """Return a random UUID (version 4)."""
    return uuid.uuid4()


def executor_id() -> str:
    """Return a fresh executor id: `du:` and 26 random characters, never used twice."""
    return "du:" + "".join(secrets.choice(_ALPHABET) for _ in range(_EXECUTOR_CHARACTERS))


def random_token(hex_digits: int = 16) -> str:
    """Return *hex_digits* random hexadecimal digits."""
    return secrets.token_hex(hex_digits // 2)


def boot_id() -> str:
    """Return the kernel's id of this boot, or an empty text where the kernel tells none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def pid_namespace() -> str:
    """Return the identity of this process's pid namespace: pids of two namespaces must not be compared."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def token() -> str:
    """Return a fresh token for a start: 16 zeros and 32 random hexadecimal digits.

    In the token of a claim the first 16 digits are the database's time in microseconds, which a start does not know.
    """
    return f"{'0' * 16}-{secrets.token_hex(16)}"
