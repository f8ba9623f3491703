"""What durust says about itself: one line of log and one counter for each event."""

from __future__ import annotations

import logging
import threading
from collections import Counter

logger = logging.getLogger("durust")

_lock = threading.Lock()
_counters: Counter[str] = Counter()

# Events that somebody should see without having asked for it; all others are for debugging.
_LOUD = frozenset(
    {"orphans_released", "service_failed", "provider_away", "run_diverged", "hands_back_unowned", "reaped"}
)


def emit(event: str, /, **facts: object) -> None:
    """Count *event* and log it with its facts, loudly if it tells of something that should not happen."""
    with _lock:
        _counters[event] += 1
    level = logging.WARNING if event in _LOUD else logging.DEBUG
    if logger.isEnabledFor(level):
        logger.log(level, "%s %s", event, " ".join(f"{key}={value}" for key, value in facts.items()))


def counters() -> dict[str, int]:
    """Return how often each event happened in this process."""
    with _lock:
        return dict(_counters)
