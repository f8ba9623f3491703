"""The versions of applications in memory, and the work that waits for one that nobody has."""

from __future__ import annotations

from dataclasses import replace

from durust.model.filters import Scope
from durust.model.records import VersionRow, WorkflowRow
from durust.model.status import DELAYED, ENQUEUED
from durust.model.writes import (
    INTERNAL_QUEUE,
    Adopted,
    AdoptWorkflows,
    Missing,
    Outcome,
    PromoteVersion,
    Recorded,
    Refused,
    StoreVersion,
    taken,
)
from durust.storage.memory_tables import Kinds, Tables, Version, is_in


def store_version(tables: Tables, write: StoreVersion) -> Outcome:
    """Register a version, as that of an executor."""
    tables.version_workflows.setdefault((write.app_name, write.name), {}).update(write.workflows)
    if tables.state(write.executor_id) in {"LIVE", "DRAINING"}:
        executor = tables.executors[write.executor_id]
        executor.row = replace(executor.row, app_version=write.name)
    new = Version(write.app_name, write.name, _promotion(tables, write.app_name), tables.now_ms)
    owner = tables.versions.setdefault(write.name, new).app_name
    return Recorded() if owner == write.app_name else Refused(taken(write, owner))


def promote(tables: Tables, write: PromoteVersion) -> Outcome:
    """Make a version the latest of its application."""
    version = tables.versions.get(write.name)
    if version is None or version.app_name != write.app_name:
        return Missing()
    version.promoted_at_ms = _promotion(tables, write.app_name)
    return Recorded()


def _promotion(tables: Tables, app_name: str) -> int:
    """Return the time of a promotion: later than every other one of the application, whatever the clock did."""
    others = (other.promoted_at_ms + 1 for other in tables.versions.values() if other.app_name == app_name)
    return max(tables.now_ms, *others, 0)


def adopt(tables: Tables, write: AdoptWorkflows) -> Outcome:
    """Give workflows another version, each if it is stranded still."""
    scope = Scope(write.app_name, write.names)
    adopted = []
    for key, version in sorted(dict(zip(write.workflow_ids, write.versions, strict=True)).items()):
        row = tables.workflows.get(key)
        if row is not None and is_in(scope, row) and is_stranded(tables, row) and row.app_version != version:
            adopted.append(replace(row, app_version=version, updated_at_ms=tables.now_ms))
    tables.workflows |= {row.workflow_id: row for row in adopted}
    queues = frozenset(row.queue or INTERNAL_QUEUE for row in adopted)
    return Adopted(tuple(row.workflow_id for row in adopted), queues)


def is_stranded(tables: Tables, row: WorkflowRow) -> bool:
    """Tell whether a row waits for a version that no LIVE executor has."""
    if row.status not in {ENQUEUED, DELAYED} or row.app_version is None:
        return False
    served = (
        tables.version_workflows.get((one.app_name, one.app_version or ""), {}).get(row.name)
        for one in (executor.row for executor in tables.executors.values())
        if one.state == "LIVE" and row.app_name in {None, one.app_name}
    )
    return row.app_version not in served


def listed(tables: Tables, app_name: str, limit: int) -> list[VersionRow]:
    """Return the versions of an application as a reader sees them, the latest first."""
    mine = [version for version in tables.versions.values() if version.app_name == app_name]
    mine.sort(key=lambda version: (version.promoted_at_ms, version.created_at_ms, version.name), reverse=True)
    living = [executor.row for executor in tables.executors.values() if executor.row.state == "LIVE"]
    return [
        VersionRow(
            name=version.name,
            promoted_at_ms=version.promoted_at_ms,
            created_at_ms=version.created_at_ms,
            executors=sum((row.app_name, row.app_version) == (app_name, version.name) for row in living),
            workflows=tuple(sorted(tables.version_workflows.get((app_name, version.name), {}).items())),
        )
        for version in mine[:limit]
    ]


KINDS: Kinds = {
    StoreVersion: store_version,
    PromoteVersion: promote,
    AdoptWorkflows: adopt,
}
