"""What a list, a count or a look asks for, as the parameters of Postgres's statements."""

from __future__ import annotations

from durust.model.counts import CountQuery, StepQuery
from durust.model.filters import ExecutorQuery, ListFilter
from durust.model.standing import AHEAD_MAX, StandingRequest
from durust.storage import listing
from durust.storage.columns import Params, any_of, texts


def list_workflows(query: ListFilter) -> Params:
    """Return the parameters of a list; a filter that is not set is NULL."""
    return listing.conditions(query, any_of) | listing.page(query)


def count_workflows(query: CountQuery) -> Params:
    """Return the parameters of a count."""
    return listing.conditions(query.filter, any_of) | listing.groups(query) | {"by": texts(query.by)}


def count_steps(query: StepQuery) -> Params:
    """Return the parameters of a count of steps."""
    return listing.steps(query, any_of)


def standing(request: StandingRequest) -> Params:
    """Return the parameters of the question how things stand for a workflow."""
    return {
        "id": request.workflow_id,
        "span": request.span_ms,
        "partition_span": request.partition_span_ms,
        "bound": AHEAD_MAX,
    }


def list_executors(query: ExecutorQuery) -> Params:
    """Return the parameters of a list of executors."""
    return {
        "ids": any_of(query.executor_ids),
        "boot": query.boot_id,
        "supervisor": query.supervisor_id,
        "states": texts(query.states),
    }
