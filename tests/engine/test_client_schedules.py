"""A client keeps schedules of workflows that only its workers know."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from durust import (
    DurableClient,
    InvalidArgument,
    ScheduleConflict,
    ScheduledInput,
    ScheduleNotFound,
    SyncDurableContext,
)
from tests.engine.clients import launch, make_client
from tests.engine.stage import PATIENCE, Stage

# No test is under way at that second.
YEARLY = "0 0 0 29 2 *"


def report(_: SyncDurableContext, tick: ScheduledInput) -> Any:
    return tick.context


@pytest.mark.covers(143, 148, 152)
def test_a_schedule_is_created_shown_paused_triggered_and_deleted(stage: Stage, client: DurableClient) -> None:
    engine = launch(stage, report)

    made = client.create_schedule("yearly", "report", YEARLY, context={"a": 1}, queue="mail")
    client.pause_schedule("yearly")
    run = client.trigger_schedule("yearly")

    assert (made.workflow, made.cron, made.queue, made.is_paused) == ("report", YEARLY, "mail", False)
    assert run.get_result(PATIENCE) == {"a": 1}
    assert [(one.name, one.is_paused) for one in client.list_schedules()] == [("yearly", True)]
    assert engine.get_schedule("yearly") == client.get_schedule("yearly")
    client.resume_schedule("yearly")
    client.delete_schedule("yearly")
    with pytest.raises(ScheduleNotFound):
        client.get_schedule("yearly")


@pytest.mark.covers(146)
def test_ticks_of_the_past_are_run_once(stage: Stage, client: DurableClient) -> None:
    launch(stage, report)
    client.create_schedule("hourly", "report", "0 0 * * * *", context=7)
    begin = datetime(2020, 1, 1, tzinfo=UTC)

    first = client.backfill_schedule("hourly", begin, begin + timedelta(hours=3))
    again = client.backfill_schedule("hourly", begin, begin + timedelta(hours=3))

    assert [handle.get_result(PATIENCE) for handle in first] == [7, 7, 7]
    assert [handle.id for handle in again] == [handle.id for handle in first]
    assert len(stage.rows()) == 3


@pytest.mark.covers(143)
def test_what_cannot_be_meant_is_refused(client: DurableClient) -> None:
    client.create_schedule("yearly", "report", YEARLY)

    with pytest.raises(ScheduleConflict):
        client.create_schedule("yearly", "report", YEARLY)
    with pytest.raises(InvalidArgument):
        client.create_schedule("other", "report", "soon")
    with pytest.raises(InvalidArgument):
        client.create_schedule("other", "", YEARLY)


def test_a_queue_with_partitions_takes_no_schedule(client: DurableClient) -> None:
    client.set_queue("parted", partition_queue=True)

    with pytest.raises(InvalidArgument, match="partition_key"):
        client.create_schedule("yearly", "report", YEARLY, queue="parted")


@pytest.mark.covers(143)
def test_the_awaiting_view_does_the_same(stage: Stage) -> None:
    launch(stage, report)

    async def act() -> None:
        async with make_client(stage).aio as client:
            await client.create_schedule("yearly", "report", YEARLY, context="x")
            await client.pause_schedule("yearly")
            assert await (await client.trigger_schedule("yearly")) == "x"
            assert (await client.get_schedule("yearly")).is_paused
            await client.resume_schedule("yearly")
            begin = datetime(2020, 2, 28, tzinfo=UTC)
            [late] = await client.backfill_schedule("yearly", begin, begin + timedelta(days=2))
            assert await late == "x"
            await client.delete_schedule("yearly")
            assert await client.list_schedules() == []

    asyncio.run(act())
