"""Runs that end, expire or are handed back on Postgres, and the shares of budgets that end with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from durust.model.writes import INTERNAL_QUEUE, EndGrants, ExpireWorkflow, FinishWorkflow, HandBack
from durust.storage import statements
from durust.storage.columns import Params, texts
from durust.storage.links import Call
from durust.storage.postgres_writes.guards import RUNS, chained, id_of, leased, recorded_runs
from durust.storage.postgres_writes.kinds import Kind, all_recorded

SQL = statements.load("postgres")


def finish_workflows(writes: Sequence[FinishWorkflow]) -> Params:
    """Return the columns of ended runs."""
    return chained(writes) | {
        "statuses": texts(write.status for write in writes),
        "outputs": texts(write.output for write in writes),
        "errors": texts(write.error for write in writes),
        "formats": texts(write.serialization for write in writes),
    }


def hand_back_workflows(writes: Sequence[HandBack]) -> Params:
    """Return the columns of runs that are given back."""
    return leased([write.lease for write in writes]) | {"internal": INTERNAL_QUEUE}


def expire_workflows(writes: Sequence[ExpireWorkflow]) -> Params:
    """Return the columns of runs whose time may be over."""
    return leased([write.lease for write in writes])


def end_grants(tokens: Iterable[str]) -> Params:
    """Return the tokens whose shares of a budget end."""
    return {"tokens": texts(tokens)}


def and_end_grants(calls: list[Call], writes: list[Any]) -> list[Call]:
    """Return *calls* and, where the runs have any, what ends their shares of a budget in the same transaction."""
    tokens = [write.lease.token for write in writes if write.lease.has_grant]
    return [*calls, Call(SQL.end_grants, end_grants(tokens), is_hot=True)] if tokens else calls


KINDS: Mapping[type, Kind] = {
    FinishWorkflow: Kind(
        key=id_of,
        calls=lambda writes: and_end_grants(
            [Call(SQL.finish_workflows, finish_workflows(writes), is_hot=True)], writes
        ),
        read=recorded_runs,
        question=RUNS,
    ),
    HandBack: Kind(
        key=id_of,
        calls=lambda writes: and_end_grants(
            [Call(SQL.hand_back_workflows, hand_back_workflows(writes), is_hot=True)], writes
        ),
        read=recorded_runs,
        question=RUNS,
    ),
    EndGrants: Kind(
        calls=lambda writes: [Call(SQL.end_grants, end_grants([token for write in writes for token in write.tokens]))],
        read=all_recorded,
    ),
    ExpireWorkflow: Kind(
        key=id_of,
        calls=lambda writes: [Call(SQL.expire_workflows, expire_workflows(writes), is_hot=True)],
        read=recorded_runs,
        question=RUNS,
    ),
}
