"""Commits queued starts and says which workflow stands for each of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from durust import clock
from durust.engine.journal import Journal
from durust.errors import InvalidArgument, ProviderUnavailable, QueueDeduplicated, WorkflowConflict
from durust.model.filters import ListFilter
from durust.model.options import WorkflowOptions
from durust.model.writes import (
    INTERNAL_QUEUE,
    DebounceWorkflow,
    Duplicate,
    Existing,
    Outcome,
    Recorded,
    Refused,
    StartWorkflow,
)
from durust.storage.provider import StateProvider
from durust.telemetry import emit

# How long a start waits for its commit while the database is away; then the caller hears of it.
COMMIT_SECONDS = 30.0
# A holder of a deduplication id that ends between the answer and the look at it makes room for the start, which is then
# sent again; so many that each end just then is an id that is never free and never held.
HOLDERS_MAX = 20
# Between two such rounds: a holder that ends is gone from the next look on.
PAUSE_SECONDS = 0.005
NO_OPTIONS = WorkflowOptions()


class Admission:
    """The way of queued starts into the database."""

    def __init__(self, provider: StateProvider, journal: Journal) -> None:
        self._provider, self._journal = provider, journal

    def admit(self, writes: Sequence[StartWorkflow], options: Sequence[WorkflowOptions]) -> list[str]:
        """Commit *writes*, made with *options*, in few commits; return the id of the workflow that stands for each.

        Raises `WorkflowConflict`, `QueueDeduplicated`, `InvalidArgument` and `ProviderUnavailable`; what was committed
        before an error stays.
        """
        ids = [write.workflow_id for write in writes]
        outcomes = self._journal.commit_all(writes, COMMIT_SECONDS)
        held = {
            index: outcome.workflow_id
            for index, outcome in enumerate(outcomes)
            if isinstance(outcome, Duplicate) and options[index].on_duplicate == "return"
        }
        for index, (write, outcome) in enumerate(zip(writes, outcomes, strict=True)):
            if index not in held:
                demand_started(self._provider.name, write, outcome)
        for index, holder in self._attach({index: (writes[index], holder) for index, holder in held.items()}).items():
            ids[index] = holder
        return ids

    def debounce(self, write: DebounceWorkflow) -> str:
        """Commit a debounced start and return the id of the run that it leads to. Raises like `admit`."""
        start = write.start
        outcome = self._journal.commit(write, COMMIT_SECONDS)
        if isinstance(outcome, Duplicate):
            raise WorkflowConflict(
                f"the deduplication id {start.dedup_id!r} on queue {start.queue or INTERNAL_QUEUE!r}",
                f"debounced calls of {start.name!r}",
                f"workflow {outcome.workflow_id}, which does not wait for them; use another key",
            )
        demand_started(self._provider.name, start, outcome)
        return (outcome.workflow_id if isinstance(outcome, Recorded) else None) or start.workflow_id

    def _attach(self, held: Mapping[int, tuple[StartWorkflow, str]]) -> dict[int, str]:
        """Return who holds the deduplication id of each start, or the start itself where its holder has gone."""
        attached: dict[int, str] = {}
        rounds = 0
        while held and rounds < HOLDERS_MAX:
            rounds += 1
            holders = {holder for _, holder in held.values()}
            query = ListFilter(workflow_ids=list(holders), limit=len(holders))
            rows = {row.workflow_id: row for row in self._provider.workflows(query)}
            left = {}
            for index, (write, holder) in held.items():
                row = rows.get(holder)
                if row is None or (row.queue, row.dedup_id) != (write.queue, write.dedup_id):
                    left[index] = (write, holder)
                elif row.name != write.name:
                    raise WorkflowConflict(f"the deduplication id {write.dedup_id!r}", write.name, row.name)
                else:
                    attached[index] = holder
            held = self._again(left, attached)
        for write, holder in held.values():
            raise QueueDeduplicated(write.queue or "", write.dedup_id or "", holder)
        return attached

    def _again(
        self, left: Mapping[int, tuple[StartWorkflow, str]], attached: dict[int, str]
    ) -> dict[int, tuple[StartWorkflow, str]]:
        """Send starts again whose holder has gone; return those that met another one."""
        if not left:
            return {}
        clock.pause(PAUSE_SECONDS)
        still = {}
        outcomes = self._journal.commit_all([write for write, _ in left.values()], COMMIT_SECONDS)
        for (index, (write, _)), outcome in zip(left.items(), outcomes, strict=True):
            if isinstance(outcome, Duplicate):
                still[index] = (write, outcome.workflow_id)
            else:
                demand_started(self._provider.name, write, outcome)
                attached[index] = write.workflow_id
        return still


def demand_started(provider: str, write: StartWorkflow, outcome: Outcome) -> None:
    """Raise what the answer to a start says, unless a workflow of its id and name stands now."""
    match outcome:
        case Recorded():
            return
        case Existing(row):
            if row.name != write.name:
                raise WorkflowConflict(f"the workflow id {write.workflow_id!r}", write.name, row.name)
            if write.queue is not None and row.queue not in {write.queue, None}:
                emit("started_on_another_queue", workflow=row.workflow_id, asked=write.queue, existing=row.queue)
        case Duplicate(holder):
            raise QueueDeduplicated(write.queue or "", write.dedup_id or "", holder)
        case Refused(reason):
            raise InvalidArgument("workflow", write.workflow_id, f"the database refused it: {reason}")
        case _:
            raise ProviderUnavailable(provider, f"an unexpected answer to a start: {outcome}")


def checked(options: Any) -> WorkflowOptions:
    """Return *options*, or the default ones. Raises `InvalidArgument` for anything else."""
    if options is None:
        return NO_OPTIONS
    if not isinstance(options, WorkflowOptions):
        raise InvalidArgument("options", options, "must be a WorkflowOptions, as in options=WorkflowOptions(delay=5)")
    return options


def calls_of(arguments: Iterable[Any]) -> list[tuple[Any, ...]]:
    """Return the arguments of many calls, a tuple for each. Raises `InvalidArgument` for what is no tuple or list."""
    calls = list(arguments)
    for call in calls:
        if not isinstance(call, tuple | list):
            # A text would be taken for as many arguments as it has letters.
            raise InvalidArgument("arguments", call, "must be tuples, one for each call, as in [('a',), ('b',)]")
    return [tuple(call) for call in calls]


def one_by_one(options: Any, count: int) -> list[WorkflowOptions]:
    """Return an entry of *options* for each of *count* calls. Raises `InvalidArgument` when there are more or fewer."""
    if options is None:
        return [NO_OPTIONS] * count
    chosen = [checked(option) for option in options]
    if len(chosen) != count:
        raise InvalidArgument("options", len(chosen), f"must have one entry for each of the {count} argument tuples")
    return chosen
