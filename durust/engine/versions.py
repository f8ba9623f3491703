"""Which version the code of this process has, which versions are registered, and what waits for one that nobody has."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

from durust.engine.registry import VERSION_HEX_DIGITS, Definition, Registry
from durust.errors import InvalidArgument, VersionNotFound, WorkflowNotFound
from durust.model.filters import LIST_LIMIT_DEFAULT, VERSIONS_LIMIT_DEFAULT, ListFilter, Scope
from durust.model.names import check_name
from durust.model.records import VersionRow, WorkflowRow
from durust.model.writes import Adopted, AdoptWorkflows, Missing, Outcome, PromoteVersion, VersionWrite
from durust.storage.provider import Hint, StateProvider

# Pages of a list, each adopted at once: a million workflows. Whoever has more adopts again.
ADOPT_PAGES_MAX = 1000


class Versions:
    """The versions of what is registered here, by hash or as somebody chose."""

    def __init__(self, registry: Registry, app_name: str, chosen: str | None) -> None:
        self._registry, self._app_name, self._chosen = registry, app_name, chosen

    def of(self, definition: Definition) -> str:
        """Return the version that rows of a workflow carry."""
        return self._chosen or definition.version

    def workflows(self) -> tuple[tuple[str, str], ...]:
        """Return the names of the registered workflows, each with its version."""
        return tuple(sorted((one.name, self.of(one)) for one in self._registry.definitions()))

    def application(self) -> str:
        """Return the version of the application: the chosen one, or a hash of its name and of what is registered."""
        if self._chosen is not None:
            return self._chosen
        text = "\n".join([self._app_name, *(f"{name}\t{version}" for name, version in self.workflows())])
        return hashlib.sha256(text.encode()).hexdigest()[:VERSION_HEX_DIGITS]


@dataclass(frozen=True, slots=True)
class Adoption:
    """What an adoption did."""

    adopted: tuple[WorkflowRow, ...]
    left: tuple[WorkflowRow, ...]
    """Stranded still, because the version that adopts knows no workflow of their names; the first of them."""


def list_versions(provider: StateProvider, app_name: str) -> list[VersionRow]:
    """Return the registered versions of an application, the latest first."""
    return provider.versions(app_name, VERSIONS_LIMIT_DEFAULT)


def latest_version(provider: StateProvider, app_name: str) -> VersionRow | None:
    """Return the version that was promoted last, None where none is registered."""
    return next(iter(provider.versions(app_name, 1)), None)


def heir(provider: StateProvider, app_name: str, name: str | None) -> VersionRow:
    """Return the version of that name, the latest where it has none. Raises `VersionNotFound`."""
    known = list_versions(provider, app_name)
    for row in known:
        if name in {None, row.name}:
            return row
    raise VersionNotFound(name or "latest", tuple(row.name for row in known))


def set_latest_version(provider: StateProvider, app_name: str, name: str) -> None:
    """Promote a registered version. Raises `VersionNotFound`."""
    check_name("version", name)
    if isinstance(_commit(provider, PromoteVersion(app_name, name)), Missing):
        raise VersionNotFound(name, tuple(version.name for version in list_versions(provider, app_name)))


def list_stranded(provider: StateProvider, scope: Scope, ids: Sequence[str] | None = None) -> list[WorkflowRow]:
    """Return unfinished workflows that wait for a version which no LIVE executor has, the oldest first; one page."""
    return provider.workflows(ListFilter(workflow_ids=ids, scope=scope, is_stranded=True))


def adopt_stranded(
    provider: StateProvider, scope: Scope, versions: Mapping[str, str], ids: Sequence[str] | None = None
) -> Adoption:
    """Give stranded workflows the version that *versions* has for their names; with *ids* only these.

    What is not stranded any more is left alone: somebody runs it. Raises `WorkflowNotFound` for an id that is not
    there.
    """
    if ids is not None:
        _demand_there(provider, ids)
    adopted: list[WorkflowRow] = []
    query = ListFilter(workflow_ids=ids, names=list(versions), scope=scope, is_stranded=True)
    for _ in range(ADOPT_PAGES_MAX):
        page = provider.workflows(query)
        done = _adopt(provider, scope, page, versions)
        adopted += [row for row in page if row.workflow_id in done]
        # A row that somebody holds right now is left to him, and would come again for ever.
        if len(page) < LIST_LIMIT_DEFAULT or not done:
            break
    left = [row for row in list_stranded(provider, scope, ids) if row.name not in versions]
    return Adoption(tuple(adopted), tuple(left))


def _adopt(
    provider: StateProvider, scope: Scope, rows: Sequence[WorkflowRow], versions: Mapping[str, str]
) -> frozenset[str]:
    if not rows:
        return frozenset()
    targets = tuple(versions[row.name] for row in rows)
    write = AdoptWorkflows(scope.app_name, scope.names, tuple(row.workflow_id for row in rows), targets)
    outcome = _commit(provider, write)
    if not isinstance(outcome, Adopted):
        raise InvalidArgument("workflows", scope.app_name, f"cannot be adopted: {outcome}")
    provider.announce([Hint("queue", queue) for queue in sorted(outcome.queues)])
    return frozenset(outcome.workflow_ids)


def _demand_there(provider: StateProvider, ids: Sequence[str]) -> None:
    if isinstance(ids, str):
        raise InvalidArgument("ids", ids, "must be a sequence of ids, as in ['order-1']")
    wanted = [check_name("workflow_id", workflow_id) for workflow_id in ids]
    there = {row.workflow_id for row in provider.workflows(ListFilter(workflow_ids=wanted, limit=len(wanted)))}
    for workflow_id in wanted:
        if workflow_id not in there:
            raise WorkflowNotFound(workflow_id)


def _commit(provider: StateProvider, write: VersionWrite) -> Outcome:
    with closing(provider.writer()) as writer:
        return writer.commit([write])[0]
