"""What engines and clients tell of workflows beside their lists: their steps, their counts, their values."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import overload

from durust.codec import Codec
from durust.decoding import DecodedStep, DecodedWorkflow, decode_step, decode_workflow
from durust.engine.registry import Definition
from durust.errors import InvalidArgument, WorkflowNotFound
from durust.explaining import account_of
from durust.model.counts import CountQuery, StepCount, StepQuery, WorkflowCount
from durust.model.criteria import check_count
from durust.model.filters import LIST_LIMIT_DEFAULT, ListFilter, Scope
from durust.model.names import check_name
from durust.model.reasons import Reason
from durust.model.records import Checkpoint, WorkflowRow
from durust.model.retry import duration_seconds
from durust.storage.provider import StateProvider


class CensusVerbs(ABC):
    """The verbs that block."""

    @abstractmethod
    def _read_from(self, asked: str) -> tuple[StateProvider, Scope]:
        """Return the database and whose rows are meant by default, for the verb that was *asked*."""

    @abstractmethod
    def _codec_of(self, workflow: str | None) -> tuple[Codec, Definition | None]:
        """Return how the values of a workflow are read, and what is known of it here."""

    def list_steps(
        self, workflow_id: str, *, limit: int | None = None, offset: int = 0, newest_first: bool = False
    ) -> list[Checkpoint]:
        """List the recorded steps of a workflow by their places, with their errors and the children they started.

        Raises `WorkflowNotFound`, and `InvalidArgument` for a limit or an offset below zero.
        """
        provider, _ = self._read_from("list_steps")
        check_count("offset", offset)
        if limit is not None:
            check_count("limit", limit)
        if not provider.workflows(ListFilter(workflow_ids=[check_name("workflow_id", workflow_id)])):
            raise WorkflowNotFound(workflow_id)
        steps = provider.history([workflow_id]).get(workflow_id, ())
        ordered = sorted(steps, key=lambda record: record.place, reverse=newest_first)
        return ordered[offset:] if limit is None else ordered[offset : offset + limit]

    def explain_workflow(self, workflow_id: str) -> Reason:
        """Say in one sentence why a workflow does not run, or where it does. Raises `WorkflowNotFound`.

        `code` is a word for programs, such as `queue_paused` or `waits_for_message`, and `sentence` is for people.
        """
        provider, _ = self._read_from("explain_workflow")
        return account_of(provider, workflow_id).reason

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
        provider, scope = self._read_from("count_workflows")
        bucket_ms = None if bucket is None else round(duration_seconds("bucket", bucket) * 1000)
        return provider.counts(CountQuery(query or ListFilter(scope=scope), by, bucket_ms))  # type: ignore[arg-type]  # one name is made a tuple

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
        provider, scope = self._read_from("count_steps")
        return provider.step_counts(
            StepQuery(
                scope=scope,
                names=names,  # type: ignore[arg-type]  # one name is made a tuple
                completed_from=completed_from,
                completed_before=completed_before,
                limit=limit,
            )
        )

    @overload
    def decode(self, row: WorkflowRow) -> DecodedWorkflow: ...
    @overload
    def decode(self, row: Checkpoint) -> DecodedStep: ...
    def decode(self, row: WorkflowRow | Checkpoint) -> DecodedWorkflow | DecodedStep:
        """Read the values of a listed workflow or step, which a list holds as the database does.

        Never raises for a value: one that cannot be read is None, and `unreadable` says why.
        """
        match row:
            case WorkflowRow():
                return decode_workflow(row, *self._codec_of(row.name))
            case Checkpoint():
                return decode_step(row, self._codec_of(None)[0])
        raise InvalidArgument("row", row, "must be a WorkflowRow of a list, or a Checkpoint of its steps")


class AsyncCensusVerbs:
    """The verbs that are awaited."""

    _census: CensusVerbs

    async def list_steps(
        self, workflow_id: str, *, limit: int | None = None, offset: int = 0, newest_first: bool = False
    ) -> list[Checkpoint]:
        """List the recorded steps of a workflow by their places, as the blocking twin does."""
        return await asyncio.to_thread(
            self._census.list_steps, workflow_id, limit=limit, offset=offset, newest_first=newest_first
        )

    async def explain_workflow(self, workflow_id: str) -> Reason:
        """Say in one sentence why a workflow does not run, or where it does, as the blocking twin does."""
        return await asyncio.to_thread(self._census.explain_workflow, workflow_id)

    async def count_workflows(
        self,
        query: ListFilter | None = None,
        *,
        by: str | Sequence[str] = ("status",),
        bucket: float | timedelta | None = None,
    ) -> list[WorkflowCount]:
        """Count workflows by fields that they have in common, as the blocking twin does."""
        return await asyncio.to_thread(self._census.count_workflows, query, by=by, bucket=bucket)

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
            self._census.count_steps,
            names=names,
            completed_from=completed_from,
            completed_before=completed_before,
            limit=limit,
        )

    @overload
    def decode(self, row: WorkflowRow) -> DecodedWorkflow: ...
    @overload
    def decode(self, row: Checkpoint) -> DecodedStep: ...
    def decode(self, row: WorkflowRow | Checkpoint) -> DecodedWorkflow | DecodedStep:
        """Read the values of a listed workflow or step, as the blocking twin does; there is nothing to await."""
        return self._census.decode(row)
