"""Versions of applications on Postgres, and what waits for one that nobody runs any more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from durust.model.writes import (
    INTERNAL_QUEUE,
    Adopted,
    AdoptWorkflows,
    Missing,
    PromoteVersion,
    Refused,
    StoreVersion,
    taken,
)
from durust.storage import statements
from durust.storage.columns import Params, texts
from durust.storage.links import Call
from durust.storage.postgres_writes.kinds import Answers, Group, Kind, Results
from durust.storage.retries import RECORDED

SQL = statements.load("postgres")


def store_versions(writes: Sequence[StoreVersion]) -> Params:
    """Return the columns of versions, and of what they are made of."""
    parts = {
        (write.app_name, write.name, workflow): version for write in writes for workflow, version in write.workflows
    }
    return {
        "ids": texts(write.version_id for write in writes),
        "apps": texts(write.app_name for write in writes),
        "names": texts(write.name for write in writes),
        "executors": texts(write.executor_id for write in writes),
        "part_apps": texts(app for app, _, _ in parts),
        "part_names": texts(name for _, name, _ in parts),
        "workflows": texts(workflow for _, _, workflow in parts),
        "versions": texts(parts.values()),
    }


def promote_version(write: PromoteVersion) -> Params:
    """Return the parameters of one promotion."""
    return {"app": write.app_name, "name": write.name}


def adopt_workflows(write: AdoptWorkflows) -> Params:
    """Return the columns of one adoption."""
    return {
        "ids": texts(write.workflow_ids),
        "versions": texts(write.versions),
        "app": write.app_name,
        "names": texts(write.names),
        "internal": INTERNAL_QUEUE,
    }


def _stored_versions(found: Group, results: Results) -> Answers:
    """Answer by who owns the name; of one that somebody stores right now nothing comes back, so it is sent again."""
    owners: dict[str, str | None] = dict(results[0])
    return {
        index: RECORDED if owners[write.name] == write.app_name else Refused(taken(write, owners[write.name]))
        for index, write in found
        if write.name in owners
    }


def _promoted(found: Group, results: Results) -> Answers:
    return {index: RECORDED if rows else Missing() for (index, _), rows in zip(found, results, strict=True)}


def _adopted(found: Group, results: Results) -> Answers:
    return {
        index: Adopted(tuple(sorted(row[0] for row in rows)), frozenset(row[1] for row in rows))
        for (index, _), rows in zip(found, results, strict=True)
    }


KINDS: Mapping[type, Kind] = {
    StoreVersion: Kind(
        key=lambda write: write.name,
        calls=lambda writes: [Call(SQL.store_versions, store_versions(writes))],
        read=_stored_versions,
    ),
    PromoteVersion: Kind(
        calls=lambda writes: [Call(SQL.promote_versions, promote_version(write)) for write in writes], read=_promoted
    ),
    AdoptWorkflows: Kind(
        calls=lambda writes: [Call(SQL.adopt_workflows, adopt_workflows(write)) for write in writes], read=_adopted
    ),
}
