"""Forks: new workflows that begin with what another one recorded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from durust import clock
from durust.admission import COMMIT_SECONDS
from durust.engine.current import in_body
from durust.engine.journal import Journal
from durust.errors import InvalidArgument, ProviderUnavailable, WorkflowConflict, WorkflowNotFound
from durust.model.filters import ListFilter
from durust.model.names import check_name
from durust.model.records import Checkpoint, WorkflowRow
from durust.model.status import CANCELLED, ERROR, MAX_RECOVERY_ATTEMPTS_EXCEEDED
from durust.model.writes import Existing, ForkWorkflow, Missing, Outcome, Recorded, Refused
from durust.routines.replay import CUT_NAME
from durust.storage.provider import StateProvider

# The column of a step's number has 32 bits.
_PLACE_MAX = 2**31 - 1
_FAILED = frozenset({ERROR, CANCELLED, MAX_RECOVERY_ATTEMPTS_EXCEEDED})


@dataclass(frozen=True, slots=True)
class ForkOptions:
    """What is to be other in a fork than in its source. The values have been checked."""

    app_version: str | None = None
    queue: str | None = None
    partition_key: str | None = None
    timeout_ms: int | None = None
    children: tuple[tuple[str, str], ...] = field(default=())


class Forks:
    """The way of forks into the database."""

    def __init__(self, provider: StateProvider, journal: Journal) -> None:
        self._provider, self._journal = provider, journal

    def fork(self, source: str, start_step: int | None, workflow_id: str | None, options: ForkOptions) -> WorkflowRow:
        """Fork one workflow and return the row of its fork. Raises what the verbs tell of."""
        place = _checked(start_step)
        if place is None:
            place = self._failing([source]).get(source)
            if place is None:
                self._refuse_unfailed(source)
        write = _write(source, workflow_id or clock.ordered_id(), place or 1, options)
        [outcome] = self._journal.commit_all([write], COMMIT_SECONDS)
        self._demand(write, outcome)
        return self._rows([write.fork_id])[0]

    def fork_many(self, sources: Iterable[str], start_step: int | None, options: ForkOptions) -> list[WorkflowRow]:
        """Fork many workflows in few commits; return the rows of the forks, in order.

        A source that is gone, or that has no failed step where one is asked for, is passed by.
        """
        place = _checked(start_step)
        ids = list(dict.fromkeys(check_name("workflow_id", source) for source in sources))
        places = dict.fromkeys(ids, place) if place is not None else self._failing(ids)
        writes = [
            _write(source, clock.ordered_id(), at, options) for source in ids if (at := places.get(source)) is not None
        ]
        outcomes: Sequence[Outcome] = self._journal.commit_all(writes, COMMIT_SECONDS)
        made = []
        for write, outcome in zip(writes, outcomes, strict=True):
            if not isinstance(outcome, Missing):
                self._demand(write, outcome)
                made.append(write.fork_id)
        return self._rows(made)

    def _demand(self, write: ForkWorkflow, outcome: Outcome) -> None:
        match outcome:
            case Recorded():
                return
            case Existing(row) if row.forked_from == write.workflow_id:
                # As a start of an id that is there already leads to that workflow.
                return
            case Existing(row):
                raise WorkflowConflict(
                    f"the workflow id {write.fork_id!r}", f"a fork of {write.workflow_id!r}", row.name
                )
            case Missing():
                raise WorkflowNotFound(write.workflow_id)
            case Refused(reason):
                raise InvalidArgument("workflow_id", write.workflow_id, f"the database refused the fork: {reason}")
            case _:
                raise ProviderUnavailable(self._provider.name, f"an unexpected answer to a fork: {outcome}")

    def _failing(self, ids: Sequence[str]) -> dict[str, int]:
        """Return the place at which each of the workflows failed, for those that did."""
        if not ids:
            return {}
        query = ListFilter(workflow_ids=ids, load_output=True, limit=len(ids))
        failed = [row for row in self._provider.workflows(query) if row.status in _FAILED]
        histories = self._provider.history([row.workflow_id for row in failed])
        return {row.workflow_id: failing_place(row, histories[row.workflow_id]) for row in failed}

    def _refuse_unfailed(self, source: str) -> None:
        rows = self._rows([source])
        if not rows:
            raise WorkflowNotFound(source)
        raise InvalidArgument(
            "start_step", None, f"workflow {source!r} is {rows[0].status} and has not failed: say at which step"
        )

    def _rows(self, ids: Sequence[str]) -> list[WorkflowRow]:
        rows = self._provider.workflows(ListFilter(workflow_ids=ids, limit=len(ids))) if ids else []
        found = {row.workflow_id: row for row in rows}
        return [found[workflow_id] for workflow_id in ids if workflow_id in found]


def failing_place(row: WorkflowRow, history: Sequence[Checkpoint]) -> int:
    """Return the place of the step that made the workflow fail.

    That is the last one with the workflow's own error, or else the last one with any; where no step failed it is the
    place behind the last record.
    """
    failed = [record for record in history if record.error is not None and record.name != CUT_NAME]
    guilty = [record.place for record in failed if record.error == row.error] or [record.place for record in failed]
    return max(guilty) if guilty else max((record.place for record in history), default=0) + 1


def replaced(children: Mapping[str, str] | None) -> tuple[tuple[str, str], ...]:
    """Return the children that others stand for. Raises `InvalidArgument` for what are no ids."""
    if children is None:
        return ()
    if not isinstance(children, Mapping):
        raise InvalidArgument(
            "replacement_children", children, "must say which workflow stands for which child, as in {old.id: new.id}"
        )
    return tuple(
        (check_name("replacement_children", old), check_name("replacement_children", new))
        for old, new in children.items()
    )


def demand_outside(asked: str) -> None:
    """Refuse what a replay would do again. Raises `InvalidArgument` in a workflow's body."""
    activity = in_body()
    if activity is not None:
        raise InvalidArgument(
            "workflow",
            activity.run.workflow_id,
            f"a workflow's body runs again after a crash, and would {asked} again: do it in a step",
        )


def _checked(start_step: int | None) -> int | None:
    if start_step is None:
        return None
    if isinstance(start_step, bool) or not isinstance(start_step, int) or not 1 <= start_step <= _PLACE_MAX:
        raise InvalidArgument("start_step", start_step, "must be a step's number, from 1 on, as list_steps shows it")
    return start_step


def _write(source: str, fork_id: str, place: int, options: ForkOptions) -> ForkWorkflow:
    return ForkWorkflow(
        workflow_id=check_name("workflow_id", source),
        fork_id=fork_id,
        start_place=place,
        creator=clock.token(),
        app_version=options.app_version,
        queue=options.queue,
        partition_key=options.partition_key,
        timeout_ms=options.timeout_ms,
        children=options.children,
    )
