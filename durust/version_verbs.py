"""What engines offer about the versions of their code."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from durust.engine.engine import Engine
from durust.engine.versions import adopt_stranded, latest_version, list_stranded, list_versions, set_latest_version
from durust.handle import WorkflowHandle
from durust.model.records import VersionRow, WorkflowRow
from durust.starter import Starter
from durust.storage.provider import StateProvider
from durust.telemetry import logger


class VersionVerbs(ABC):
    """The verbs that block."""

    @abstractmethod
    def _live(self, asked: str) -> Engine:
        """Return the engine that runs, for the verb that was *asked*. Raises `NotLaunched`."""

    def list_versions(self) -> list[VersionRow]:
        """List the registered versions of this application, the latest first.

        A new version is the latest when an engine of it launches for the first time, and again when it is promoted.
        """
        return list_versions(*_registered(self._live("list_versions")))

    def latest_version(self) -> VersionRow | None:
        """Return the version of this application that was promoted last.

        It tells people and tools what to go on with, and gates nothing: an executor takes work of its own version and
        work without one, whether it is the latest or not.
        """
        return latest_version(*_registered(self._live("latest_version")))

    def set_latest_version(self, name: str) -> None:
        """Promote a registered version, as after a deploy that was taken back. Raises `VersionNotFound`."""
        set_latest_version(*_registered(self._live("set_latest_version")), name)

    def list_stranded(self) -> list[WorkflowRow]:
        """List unfinished workflows that wait for a version of their code which no living executor has."""
        engine = self._live("list_stranded")
        return list_stranded(engine.provider, engine.scope())

    def adopt_stranded(self, ids: Sequence[str] | None = None) -> list[WorkflowHandle[Any]]:
        """Let this engine's code go on with stranded workflows, with *ids* only with these; return their handles.

        Their histories were written by other code. Where this code asks for other steps, such a run ends with
        `StepDiverged`; `ctx.patch` tells the two apart. A workflow whose name is not registered here stays as it is,
        and a line of the log says so.

        Raises `WorkflowNotFound` for an id that is not there.
        """
        engine = self._live("adopt_stranded")
        adoption = adopt_stranded(engine.provider, engine.scope(), dict(engine.versions.workflows()), ids)
        if adoption.left:
            names = ", ".join(sorted({row.name for row in adoption.left}))
            logger.warning("stranded workflows that cannot be adopted here, where nobody registered them: %s", names)
        engine.claimer.wake()
        starter = Starter(engine)
        return [starter.handle(row.workflow_id, engine.registry.find(row.name)) for row in adoption.adopted]


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

    async def adopt_stranded(self, ids: Sequence[str] | None = None) -> list[WorkflowHandle[Any]]:
        """Let this engine's code go on with stranded workflows, as the blocking twin does."""
        return await asyncio.to_thread(self._blocking.adopt_stranded, ids)


def _registered(engine: Engine) -> tuple[StateProvider, str]:
    return engine.provider, engine.settings.app_name
