"""What engines and clients count."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

from durust.model.counts import CountQuery, StepCount, StepQuery, WorkflowCount
from durust.model.filters import LIST_LIMIT_DEFAULT, ListFilter, filter_of
from durust.model.retry import duration_seconds
from durust.verbs import Verbs


class CensusVerbs(Verbs):
    """The verbs that block."""

    def count_workflows(
        self,
        query: ListFilter | None = None,
        *,
        by: str | Sequence[str] = ("status",),
        bucket: float | timedelta | None = None,
    ) -> list[WorkflowCount]:
        """Count workflows by fields that they have in common, and by their time of creation in spans of *bucket*.

        *by* names `status`, `name`, `queue`, `executor_id`, `app_name`, `app_version`, or nothing at all. What is
        counted is what `list_workflows` would list; the limit and the offset of *query* cut a page out of the groups,
        which come by their time, in it the largest first. How long those took that have ended stands beside each count.
        Spans begin at whole multiples of *bucket* since 1970. Raises `InvalidArgument`.
        """
        footing = self._footing("count_workflows")
        bucket_ms = None if bucket is None else round(duration_seconds("bucket", bucket) * 1000)
        return footing.provider.counts(CountQuery(filter_of(query, footing.scope), by, bucket_ms))  # type: ignore[arg-type]  # one name is made a tuple

    def count_steps(
        self,
        *,
        names: str | Sequence[str] | None = None,
        completed_from: datetime | None = None,
        completed_before: datetime | None = None,
        limit: int = LIST_LIMIT_DEFAULT,
    ) -> list[StepCount]:
        """Count the steps of this application that were completed in a window of time, by their name.

        The most frequent come first. For workflows say
        `count_workflows(ListFilter(completed_from=..., completed_before=...), by="name")`. Raises `InvalidArgument`.
        """
        footing = self._footing("count_steps")
        return footing.provider.step_counts(
            StepQuery(
                scope=footing.scope(),
                names=names,  # type: ignore[arg-type]  # one name is made a tuple
                completed_from=completed_from,
                completed_before=completed_before,
                limit=limit,
            )
        )


class AsyncCensusVerbs:
    """The verbs that are awaited."""

    _blocking: CensusVerbs

    async def count_workflows(
        self,
        query: ListFilter | None = None,
        *,
        by: str | Sequence[str] = ("status",),
        bucket: float | timedelta | None = None,
    ) -> list[WorkflowCount]:
        """Count workflows by fields that they have in common, as the blocking twin does."""
        return await asyncio.to_thread(self._blocking.count_workflows, query, by=by, bucket=bucket)

    async def count_steps(
        self,
        *,
        names: str | Sequence[str] | None = None,
        completed_from: datetime | None = None,
        completed_before: datetime | None = None,
        limit: int = LIST_LIMIT_DEFAULT,
    ) -> list[StepCount]:
        """Count the steps that were completed in a window of time, as the blocking twin does."""
        return await asyncio.to_thread(
            self._blocking.count_steps,
            names=names,
            completed_from=completed_from,
            completed_before=completed_before,
            limit=limit,
        )
