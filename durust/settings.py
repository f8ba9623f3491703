"""The numbers and choices that a deployment may change, with the reason for each default."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from durust.errors import InvalidArgument

# Thirty years, or a gigabyte: beyond every number that is meant, within every column and timer.
NUMBER_MAX = 1e9
# An orderly end may wait for nothing.
_MAY_BE_ZERO = frozenset({"drain_seconds", "retention_seconds", "retention_count"})
# Of those that are off by default, what they are when somebody sets them.
_KINDS: dict[str, type[Any]] = {"retention_seconds": float, "retention_count": int, "app_version": str}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every tunable of an engine; each has the environment variable `DURUST_<NAME>` as its twin."""

    app_name: str = "durust"
    """Whose rows these are, in a database that several applications share."""
    app_version: str | None = None
    """The version of all workflows; None: each has that of its own code, and the application that of all of them."""
    slots: int = 100
    """Workflows that one process runs at once; a sync one takes a thread, so hundreds rather than thousands."""
    beat_seconds: float = 2.0
    """Five beats fit into a lease, so four may be lost."""
    lease_seconds: float = 10.0
    """How long a dead host's work stays with it; much longer than a pause of the collector or the database."""
    lease_margin_seconds: float = 1.0
    """A process stops trusting its lease this long before it ends, to cover the way to the database and back."""
    sweep_seconds: float = 2.0
    """Bounds how late a delayed row, or a dead executor, is noticed when no process is woken for it."""
    idle_poll_seconds: float = 1.0
    """How late queued work is found when every hint is lost."""
    audit_seconds: float = 15.0
    """How late rows that a lost answer stranded under this executor are handed back."""
    drain_seconds: float = 30.0
    """How long an orderly end waits for running work; the usual grace of process managers."""
    park_after_seconds: float = 1.0
    """Shorter waits cost less than unwinding and replaying."""
    value_bytes_max: int = 64 * 1024 * 1024
    """Far above sensible records, far below the 1 GB at which Postgres refuses a value."""
    history_places_max: int = 100_000
    """A run with more steps replays for longer than a lease lasts; split it."""
    retention_seconds: float | None = None
    """How long a workflow is kept after its end; None keeps it for ever."""
    retention_count: int | None = None
    """How many ended workflows are kept at most; None keeps all. Of both settings the one that removes more decides."""
    serializer: str = "json"
    """`json`, or `pickle` in a database that only trusted programs write to."""

    def __post_init__(self) -> None:
        """Raise `InvalidArgument` for a value that cannot be meant."""
        if not _is_storable(self.app_name):
            raise InvalidArgument("app_name", self.app_name, "must be a text that a database can store, and not empty")
        if self.app_version is not None and not _is_storable(self.app_version):
            raise InvalidArgument(
                "app_version", self.app_version, "must be a text that a database can store, and not empty"
            )
        for spec in fields(self):
            kind, value = _KINDS.get(spec.name, type(spec.default)), getattr(self, spec.name)
            if kind in {int, float} and (value is not None or spec.default is not None):
                _check_number(spec.name, value, kind)
        if self.beat_seconds * 2 > self.lease_seconds:
            raise InvalidArgument(
                "beat_seconds", self.beat_seconds, f"must be at most half of lease_seconds={self.lease_seconds}"
            )
        if self.lease_seconds - self.lease_margin_seconds <= self.beat_seconds:
            # A lease that is trusted for no longer than a beat lapses before each beat, or is never trusted at all.
            margin, beat = self.lease_margin_seconds, self.beat_seconds
            wanted = f"must be longer than its margin of {margin:g} s by more than a beat of {beat:g} s"
            raise InvalidArgument("lease_seconds", self.lease_seconds, wanted)
        if self.serializer not in {"json", "pickle"}:
            raise InvalidArgument("serializer", self.serializer, "must be 'json' or 'pickle'")

    @classmethod
    def load(cls, environment: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
        """Return the defaults, changed by `DURUST_...` variables, changed by *overrides* that are not None.

        Raises `InvalidArgument`, by the variable's name where the value came from one.
        """
        environment = os.environ if environment is None else environment
        given = {name: value for name, value in overrides.items() if value is not None}
        read: dict[str, Any] = {}
        for spec in fields(cls):
            text = environment.get(_variable(spec.name))
            if text is not None:
                read[spec.name] = _read(spec.name, text, _KINDS.get(spec.name, type(spec.default)))
        try:
            return replace(cls(), **{**read, **given})
        except InvalidArgument as error:
            if error.name in read and error.name not in given:
                raise InvalidArgument(_variable(error.name), error.value, error.wanted) from None
            raise


def _check_number(name: str, value: Any, kind: type[Any]) -> None:
    is_whole = kind is int
    if isinstance(value, bool) or not isinstance(value, int if is_whole else int | float):
        raise InvalidArgument(name, value, "must be a whole number" if is_whole else "must be a number")
    if name in _MAY_BE_ZERO and value == 0:
        return
    if not 0 < value <= NUMBER_MAX:
        raise InvalidArgument(name, value, f"must be more than 0 and at most {NUMBER_MAX:g}")


def _is_storable(text: Any) -> bool:
    return isinstance(text, str) and text != "" and all(c != "\0" and not "\ud800" <= c <= "\udfff" for c in text)


def _variable(name: str) -> str:
    return f"DURUST_{name.upper()}"


def _read(name: str, text: str, kind: type[Any]) -> Any:
    try:
        return kind(text)
    except ValueError:
        raise InvalidArgument(_variable(name), text, f"must be a value of type {kind.__name__}") from None
