"""What engines and clients offer to remove workflows that have ended."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from durust.engine.retention import purge_in_batches
from durust.errors import InvalidArgument
from durust.model.filters import PurgeRequest
from durust.model.retry import duration_seconds
from durust.model.sweeps import Purged
from durust.verbs import Verbs


class PurgeVerbs(Verbs):
    """The verbs that block."""

    def purge(
        self, *, older_than: float | timedelta | None = None, keep: int | None = None, includes_exceeded: bool = False
    ) -> Purged:
        """Remove ended workflows of this application with all that belongs to them, and return how many.

        One goes when it ended longer ago than *older_than*, or when *keep* others ended later; of both the one that
        removes more decides. What has not ended stays, a child whose parent has not, and whatever somebody waits for.
        Those that were set aside after too many attempts go only with *includes_exceeded*. It is done in small batches;
        `more` of the answer tells of a bound that left some for the next call.

        Raises `InvalidArgument` when neither *older_than* nor *keep* is given.
        """
        footing = self._footing("purge")
        if older_than is None and keep is None:
            raise InvalidArgument("older_than", older_than, "say how old, or how many to keep")
        request = PurgeRequest(
            scope=footing.scope(),
            ended_before_seconds=None if older_than is None else duration_seconds("older_than", older_than),
            keep_newest=keep,
            includes_exceeded=includes_exceeded,
        )
        return purge_in_batches(footing.provider, request)


class AsyncPurgeVerbs:
    """The verbs that are awaited."""

    _blocking: PurgeVerbs

    async def purge(
        self, *, older_than: float | timedelta | None = None, keep: int | None = None, includes_exceeded: bool = False
    ) -> Purged:
        """Remove ended workflows of this application, as the blocking twin does."""
        return await asyncio.to_thread(
            self._blocking.purge, older_than=older_than, keep=keep, includes_exceeded=includes_exceeded
        )
