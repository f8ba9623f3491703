"""What executors say of themselves, and what is said of them, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RegisterExecutor:
    """Enter an executor as LIVE with a first lease. Answers `Recorded`; a repeated one changes nothing."""

    executor_id: str
    supervisor_id: str
    host: str
    boot_id: str
    pid_ns: str
    pid: int
    pid_started: float
    app_name: str
    app_version: str | None
    ttl_seconds: float


@dataclass(frozen=True, slots=True)
class Beat:
    """Renew the leases of executors that are not DEAD. Answers `Alive` with the ids that were renewed."""

    executor_ids: tuple[str, ...]
    ttl_seconds: float


@dataclass(frozen=True, slots=True)
class DrainExecutor:
    """Stop an executor from claiming: LIVE becomes DRAINING.

    Answers `Recorded`, or `Missing` when it is DEAD or unknown.
    """

    executor_id: str


@dataclass(frozen=True, slots=True)
class Retire:
    """Declare executors DEAD, then, in a later statement, release what they hold. Answers `Released`.

    Repeating it is harmless: it releases what is still held. Attempts stay counted.
    """

    executor_ids: tuple[str, ...]
    why: str
