"""What `durust up` was asked for, checked before anything is started."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from durust.errors import InvalidArgument
from durust.settings import Settings
from durust.supervisor.pidfile import default_pidfile
from durust.supervisor.wire import WORKERS_MAX

# C code that holds the interpreter lock for a minute is alive; two minutes without a sign are not.
HANG_SECONDS_DEFAULT = 120.0
# A healthy worker on a busy machine may show nothing for a moment; below this each of them would be killed for ever.
HANG_SECONDS_MIN = 1.0
# Five beats fit into a lease, so four may be lost; shorter leases get faster beats.
BEATS_PER_LEASE = 5
ZMQ_OFF_VARIABLE = "DURUST_NO_ZMQ"

_MODULE = re.compile(r"^[^\W\d]\w*(\.[^\W\d]\w*)*(:[^\W\d]\w*(\.[^\W\d]\w*)*)?$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A checked request for workers."""

    modules: tuple[str, ...]
    """What each worker imports, in this order; at most one names an engine, as in `shop.app:engine`."""
    url: str
    is_url_chosen: bool
    """Whether somebody named it; otherwise it is the default."""
    workers: int
    queues: tuple[str, ...] | None
    """The queues to serve; None: all that the application declares."""
    settings: Settings
    overrides: Mapping[str, Any]
    """The settings that were asked for here, which go before those of an application's own engine."""
    hang_seconds: float
    pidfile: Path
    is_migrating: bool
    is_verbose: bool
    has_zmq: bool

    @classmethod
    def read(
        cls,
        modules: Sequence[str],
        *,
        url: str,
        is_url_chosen: bool = True,
        workers: str = "auto",
        app_version: str | None = None,
        slots: int | None = None,
        queues: str | None = None,
        drain_seconds: float | None = None,
        lease_seconds: float | None = None,
        retention_seconds: float | None = None,
        retention_count: int | None = None,
        hang_seconds: float = HANG_SECONDS_DEFAULT,
        pidfile: Path | None = None,
        is_migrating: bool = True,
        is_verbose: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> Config:
        """Check a request as it was typed. Raises `InvalidArgument` for one that cannot be meant."""
        environment = os.environ if environment is None else environment
        if hang_seconds != 0 and not hang_seconds >= HANG_SECONDS_MIN:
            raise InvalidArgument("hang-timeout", hang_seconds, f"must be 0 (never), or {HANG_SECONDS_MIN:g} s or more")
        overrides = {
            name: value
            for name, value in (
                ("app_version", app_version),
                ("slots", slots),
                ("drain_seconds", drain_seconds),
                ("lease_seconds", lease_seconds),
                ("retention_seconds", retention_seconds),
                ("retention_count", retention_count),
            )
            if value is not None
        }
        settings = _settings(environment, overrides)
        if settings.lease_seconds - settings.lease_margin_seconds < 2 * settings.beat_seconds:
            margin, beat = settings.lease_margin_seconds, settings.beat_seconds
            wanted = f"must be longer than its margin of {margin:g} s by two beats of {beat:g} s"
            raise InvalidArgument("lease-seconds", settings.lease_seconds, wanted)
        # Both sides must count with the same leases and deadlines, whatever an application's own engine says.
        shared = ("lease_seconds", "beat_seconds", "drain_seconds")
        overrides |= {name: getattr(settings, name) for name in shared}
        return cls(
            modules=check_modules(modules),
            url=url,
            is_url_chosen=is_url_chosen,
            workers=read_workers(workers),
            queues=_read_queues(queues),
            settings=settings,
            overrides=overrides,
            hang_seconds=hang_seconds,
            pidfile=(pidfile or default_pidfile()).absolute(),
            is_migrating=is_migrating,
            is_verbose=is_verbose,
            has_zmq=environment.get(ZMQ_OFF_VARIABLE, "") in {"", "0"},
        )


def _settings(environment: Mapping[str, str], overrides: Mapping[str, Any]) -> Settings:
    lease_seconds = overrides.get("lease_seconds")
    if lease_seconds is None or lease_seconds <= 0:
        return Settings.load(environment, **overrides)
    # The beat has to fit into a lease that was shortened, before both are checked against each other.
    base = Settings.load({name: text for name, text in environment.items() if name != "DURUST_LEASE_SECONDS"})
    beat_seconds = min(base.beat_seconds, lease_seconds / BEATS_PER_LEASE)
    return replace(base, beat_seconds=beat_seconds, **overrides)


def check_modules(modules: Sequence[str]) -> tuple[str, ...]:
    """Return names of modules that were typed. Raises `InvalidArgument` for what is no such name."""
    if not modules:
        raise InvalidArgument("MODULE", "", "name at least one module, as in `durust up shop.workflows`")
    for module in modules:
        if module.endswith(".py") or "/" in module:
            dotted = module.removesuffix(".py").strip("./").replace("/", ".")
            raise InvalidArgument("MODULE", module, f"write the module's name, not its file: {dotted}")
        if not _MODULE.match(module):
            raise InvalidArgument("MODULE", module, "must be a module's name, as in shop.workflows or shop.app:engine")
    engines = [module for module in modules if ":" in module]
    if len(engines) > 1:
        raise InvalidArgument("MODULE", " ".join(engines), "only one of them may name an engine")
    return tuple(modules)


def read_workers(text: str) -> int:
    """Return a number of workers that was typed, of `auto` one for each core. Raises `InvalidArgument`."""
    if text == "auto":
        return usable_cores()
    try:
        workers = int(text)
    except ValueError:
        workers = 0
    if not 1 <= workers <= WORKERS_MAX:
        raise InvalidArgument("workers", text, f"must be `auto` or a number from 1 to {WORKERS_MAX}")
    return workers


def _read_queues(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise InvalidArgument("queues", text, "name at least one queue, as in a,b; leave it out for all declared ones")
    return names


def usable_cores() -> int:
    """Return how many cores this process may use, which is what one worker each is counted by."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
