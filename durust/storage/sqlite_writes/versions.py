"""The versions of applications on SQLite, and the work that waits for one that nobody has."""

from __future__ import annotations

from durust.model.filters import Scope
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
from durust.storage.links import Param
from durust.storage.sqlite_filters import scope
from durust.storage.sqlite_statements import SQL, Kinds, Transaction


def store_version(transaction: Transaction, write: StoreVersion) -> Outcome:
    """Register a version, as that of an executor."""
    values: dict[str, Param] = {
        "id": write.version_id,
        "app": write.app_name,
        "name": write.name,
        "executor": write.executor_id,
    }
    transaction.change(SQL.store_versions, values)
    for workflow, version in write.workflows:
        transaction.change(SQL.store_version_workflows, values | {"workflow": workflow, "version": version})
    transaction.change(SQL.serve_versions, values)
    [(owner,)] = transaction.rows(SQL.find_version_owner, values)
    return Recorded() if owner == write.app_name else Refused(taken(write, owner))


def promote(transaction: Transaction, write: PromoteVersion) -> Outcome:
    """Make a version the latest of its application."""
    changed = transaction.change(SQL.promote_versions, {"app": write.app_name, "name": write.name})
    return Recorded() if changed else Missing()


def adopt(transaction: Transaction, write: AdoptWorkflows) -> Outcome:
    """Give workflows another version, each if it is stranded still."""
    mine = scope(Scope(write.app_name, write.names)) | {"internal": INTERNAL_QUEUE}
    adopted = [
        row
        for workflow_id, version in zip(write.workflow_ids, write.versions, strict=True)
        for row in transaction.rows(SQL.adopt_workflows, mine | {"id": workflow_id, "version": version})
    ]
    return Adopted(tuple(sorted(row[0] for row in adopted)), frozenset(row[1] for row in adopted))


KINDS: Kinds = {
    StoreVersion: store_version,
    PromoteVersion: promote,
    AdoptWorkflows: adopt,
}
