"""What changes the versions of applications, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StoreVersion:
    """Register a version of an application with what its workflows are, as that of an executor.

    A new one is the latest; one that is known keeps its place. Answers `Recorded`, or `Refused` when another
    application has a version of that name; then only the executor's own workflows are noted.
    """

    version_id: str
    app_name: str
    name: str
    workflows: tuple[tuple[str, str], ...]
    """The names of its workflows, each with the version that its rows carry."""
    executor_id: str


@dataclass(frozen=True, slots=True)
class PromoteVersion:
    """Make a registered version the latest of its application. Answers `Recorded` or `Missing`."""

    app_name: str
    name: str


@dataclass(frozen=True, slots=True)
class AdoptWorkflows:
    """Give unfinished workflows another version, each if it is stranded still. Answers `Adopted`.

    Repeating it is harmless: what carries its version already is not adopted again.
    """

    app_name: str
    names: tuple[str, ...]
    """The workflow names by which rows that name no application belong here."""
    workflow_ids: tuple[str, ...]
    versions: tuple[str, ...]
    """The version that each of them is to carry, at the same index."""


VersionWrite = StoreVersion | PromoteVersion | AdoptWorkflows


def taken(write: StoreVersion, owner: str | None) -> str:
    """Return why a version is refused whose name another application has."""
    return f"version {write.name!r} is one of application {owner!r}, and a name stands for one version of all"
