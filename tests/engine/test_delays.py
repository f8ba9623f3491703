"""A delay is changed by an engine or a client, both ways, until the workflow has run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from durust import (
    DurableClient,
    InvalidArgument,
    Status,
    SyncDurableContext,
    WorkflowNotFound,
    WorkflowOptions,
)
from tests.engine.clients import launch
from tests.engine.stage import PATIENCE, Stage
from tests.support.waiting import eventually

SetDelay = Callable[[str, float | timedelta], None]
LONG = WorkflowOptions(delay=600)


def double(_: SyncDurableContext, number: int) -> int:
    return 2 * number


def nap(ctx: SyncDurableContext, seconds: float) -> str:
    ctx.sleep(seconds)
    return "awake"


@pytest.fixture(params=["engine", "client", "engine.aio", "client.aio"])
def set_delay(request: pytest.FixtureRequest, stage: Stage, client: DurableClient) -> SetDelay:
    """Return each of the ways to set a delay in turn; an engine that runs the workflows is there anyhow."""
    engine = launch(stage, double, nap)
    which, _, view = request.param.partition(".")
    chosen: Any = engine if which == "engine" else client
    if not view:
        return chosen.set_delay  # type: ignore[no-any-return]  # of either
    return lambda workflow_id, delay: asyncio.run(chosen.aio.set_delay(workflow_id, delay))


@pytest.mark.covers(86)
def test_a_delay_is_shortened_and_taken_away(client: DurableClient, set_delay: SetDelay) -> None:
    handles = [client.enqueue("mail", "double", number, options=LONG) for number in range(2)]

    set_delay(handles[0].id, 0)
    set_delay(handles[1].id, timedelta(milliseconds=300))

    assert [handle.get_result(PATIENCE) for handle in handles] == [0, 2]
    row = handles[1].get_status()
    assert (row.started_at_ms or 0) - row.created_at_ms >= 300


@pytest.mark.covers(86)
def test_a_delay_is_lengthened(stage: Stage, client: DurableClient, set_delay: SetDelay) -> None:
    handle = client.enqueue("mail", "double", 1, options=WorkflowOptions(delay=60))

    set_delay(handle.id, 3600)

    row = stage.row(handle)
    assert row.status is Status.DELAYED
    assert (row.delay_until_ms or 0) - row.created_at_ms >= 3_600_000


@pytest.mark.covers(86)
@pytest.mark.parametrize("delay", [-1, float("nan"), "soon", None, timedelta(seconds=-1)])
def test_a_delay_that_cannot_be_meant_is_refused(client: DurableClient, set_delay: SetDelay, delay: Any) -> None:
    handle = client.enqueue("mail", "double", 1, options=LONG)

    with pytest.raises(InvalidArgument, match=r"^delay="):
        set_delay(handle.id, delay)


@pytest.mark.covers(86)
def test_a_delay_of_nobody_is_an_error_that_names_him(set_delay: SetDelay) -> None:
    with pytest.raises(WorkflowNotFound, match="'nobody'"):
        set_delay("nobody", 1)


@pytest.mark.covers(86)
def test_what_has_run_is_not_delayed_and_a_parked_run_wakes_at_its_own_instant(
    client: DurableClient, set_delay: SetDelay
) -> None:
    ended = client.enqueue("mail", "double", 1)
    asleep = client.enqueue("mail", "nap", 1.5)
    ended.get_result(PATIENCE)
    eventually(lambda: asleep.get_status().status is Status.DELAYED)

    with pytest.raises(InvalidArgument, match="is SUCCESS"):
        set_delay(ended.id, 5)
    with pytest.raises(InvalidArgument, match="is parked in a wait of its own"):
        set_delay(asleep.id, 3600)

    assert asleep.get_result(PATIENCE) == "awake"
