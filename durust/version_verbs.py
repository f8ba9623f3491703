"""What engines and clients offer about the versions of an application's code."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from durust.engine.versions import (
    adopt_stranded,
    heir,
    latest_version,
    list_stranded,
    list_versions,
    set_latest_version,
)
from durust.handle import WorkflowHandle
from durust.model.records import VersionRow, WorkflowRow
from durust.model.writes import INTERNAL_QUEUE
from durust.storage.provider import Hint, StateProvider
from durust.telemetry import logger
from durust.verbs import Footing, Verbs


class VersionVerbs(Verbs):
    """The verbs that block."""

    @abstractmethod
    def _own_versions(self) -> Mapping[str, str] | None:
        """Return the version of each workflow that is registered here; None where no code is."""

    def list_versions(self) -> list[VersionRow]:
        """List the registered versions of this application, the latest first.

        A new version is the latest when an engine of it launches for the first time, and again when it is promoted.
        """
        return list_versions(*_registered(self._footing("list_versions")))

    def latest_version(self) -> VersionRow | None:
        """Return the version of this application that was promoted last.

        It tells people and tools what to go on with, and gates nothing: an executor takes work of its own version and
        work without one, whether it is the latest or not.
        """
        return latest_version(*_registered(self._footing("latest_version")))

    def set_latest_version(self, name: str) -> None:
        """Promote a registered version, as after a deploy that was taken back. Raises `VersionNotFound`."""
        set_latest_version(*_registered(self._footing("set_latest_version")), name)

    def list_stranded(self) -> list[WorkflowRow]:
        """List unfinished workflows that wait for a version of their code which no living executor has."""
        footing = self._footing("list_stranded")
        return list_stranded(footing.provider, footing.scope())

    def adopt_stranded(
        self, ids: Sequence[str] | None = None, *, version: str | None = None
    ) -> list[WorkflowHandle[Any]]:
        """Let other code go on with stranded workflows, with *ids* only with these; return their handles.

        It is the code of the registered *version*; without one an engine's own, and of a client, which has none, the
        latest. Their histories were written by other code. Where this code asks for other steps, such a run ends with
        `StepDiverged`; `ctx.patch` tells the two apart. A workflow whose name that code does not know stays as it is,
        and a line of the log says so.

        Raises `WorkflowNotFound` for an id that is not there, and `VersionNotFound`.
        """
        footing = self._footing("adopt_stranded")
        heirs = self._own_versions() if version is None else None
        if heirs is None:
            heirs = dict(heir(footing.provider, footing.settings.app_name, version).workflows)
        adoption = adopt_stranded(footing.provider, footing.scope(), heirs, ids)
        if adoption.left:
            names = ", ".join(sorted({row.name for row in adoption.left}))
            logger.warning("stranded workflows that cannot be adopted here, where nobody registered them: %s", names)
        footing.tell(
            [Hint("queue", queue) for queue in sorted({row.queue or INTERNAL_QUEUE for row in adoption.adopted})]
        )
        return [self._run_of(row.workflow_id, row.name) for row in adoption.adopted]


class AsyncVersionVerbs:
    """The verbs that are awaited."""

    _blocking: VersionVerbs

    async def list_versions(self) -> list[VersionRow]:
        """List the registered versions of this application, the latest first."""
        return await asyncio.to_thread(self._blocking.list_versions)

    async def latest_version(self) -> VersionRow | None:
        """Return the version of this application that was promoted last, as the blocking twin does."""
        return await asyncio.to_thread(self._blocking.latest_version)

    async def set_latest_version(self, name: str) -> None:
        """Promote a registered version. Raises `VersionNotFound`."""
        await asyncio.to_thread(self._blocking.set_latest_version, name)

    async def list_stranded(self) -> list[WorkflowRow]:
        """List unfinished workflows that wait for a version of their code which no living executor has."""
        return await asyncio.to_thread(self._blocking.list_stranded)

    async def adopt_stranded(
        self, ids: Sequence[str] | None = None, *, version: str | None = None
    ) -> list[WorkflowHandle[Any]]:
        """Let other code go on with stranded workflows, as the blocking twin does."""
        return await asyncio.to_thread(self._blocking.adopt_stranded, ids, version=version)


def _registered(footing: Footing) -> tuple[StateProvider, str]:
    return footing.provider, footing.settings.app_name
