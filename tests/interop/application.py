"""An application of the official library: `python -m tests.interop.application URL [NAME]`."""

from __future__ import annotations

import os
import sys
import uuid
from datetime import datetime
from typing import Any

from dbos import DBOS, SetEnqueueOptions, SetWorkflowID, WorkflowSerializationFormat, _migration

from tests.interop.answering import converse

URL = sys.argv[1]
NAME = sys.argv[2] if len(sys.argv) > 2 else "theirs"
QUEUE = "their-queue"

DBOS(
    config={
        "name": NAME,
        "system_database_url": URL,
        "application_version": "their-version",
        # What it recovers at its start are the workflows of this executor.
        "executor_id": os.environ.get("EXECUTOR", "local"),
        "scheduler_polling_interval_sec": 0.1,
        "notification_listener_polling_interval_sec": 0.05,
    }
)


def token() -> str:
    return uuid.uuid4().hex


def their_draw(count: int) -> list[str]:
    return [STEP() for _ in range(count)]


def their_nap(seconds: float) -> str:
    DBOS.sleep(seconds)
    return "awake"


def their_refusal(card: str) -> None:
    raise ValueError(f"card {card} was declined", 42)


def their_hearing() -> object:
    return DBOS.recv("control", timeout_seconds=60)


def their_telling(destination: str, message: object) -> None:
    DBOS.send(destination, message, topic="control", serialization_type=WorkflowSerializationFormat.PORTABLE)


def their_publishing(count: int) -> None:
    for number in range(1, count + 1):
        DBOS.set_event("progress", {"done": number}, serialization_type=WorkflowSerializationFormat.PORTABLE)
        DBOS.write_stream("numbers", number, serialization_type=WorkflowSerializationFormat.PORTABLE)
    DBOS.close_stream("numbers")


def their_watching(workflow_id: str) -> list[object]:
    progress = DBOS.get_event(workflow_id, "progress", timeout_seconds=60)
    return [progress, list(DBOS.read_stream(workflow_id, "numbers"))]


def add(one: int, other: int = 0) -> str:
    """Do something else than the workflow of this name that durust's workers know."""
    return f"theirs: {one + other}"


def ticked(at: datetime, context: object) -> str:
    return "ticked"


tick = DBOS.workflow(name="ticked")(ticked)
STEP = DBOS.step()(token)
BODIES = (their_draw, their_nap, their_refusal, their_hearing, their_telling, their_publishing, their_watching, add)
WORKFLOWS = {body.__name__: DBOS.workflow()(body) for body in BODIES}


def answer(call: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """Launch the application, run its workflows, or look at what it has done."""
    match call:
        case "migrate":
            # As a release has left it that ended with an earlier version, where one is named.
            [newest] = args
            wanted = _migration.get_dbos_migrations
            _migration.get_dbos_migrations = lambda *given, **named: wanted(*given, **named)[:newest]
            del _migration.sqlite_migrations[newest or len(_migration.sqlite_migrations) :]
            return DBOS.migrate(URL)
        case "launch":
            DBOS.launch()
            DBOS.register_queue(QUEUE, polling_interval_sec=0.05)
            return None
        case "start":
            workflow_id, name, *arguments = args
            with SetWorkflowID(workflow_id):
                return DBOS.start_workflow(WORKFLOWS[name], *arguments)
        case "enqueue":
            workflow_id, name, *arguments = args
            with SetWorkflowID(workflow_id):
                return DBOS.retrieve_queue(QUEUE).enqueue(WORKFLOWS[name], *arguments)
        case "enqueue_delayed":
            workflow_id, name, seconds = args
            with SetWorkflowID(workflow_id), SetEnqueueOptions(delay_seconds=seconds):
                return DBOS.retrieve_queue(QUEUE).enqueue(WORKFLOWS[name], 1)
        case "tick":
            # Each second, so that it is due by the time anybody looks.
            return DBOS.create_schedule(schedule_name=args[0], workflow_fn=tick, schedule="* * * * * *")
        case "get_result":
            return DBOS.retrieve_workflow(*args).get_result(polling_interval_sec=0.05)
        case "destroy":
            return DBOS.destroy()
        case _:
            return getattr(DBOS, call)(*args, **kwargs)


converse(answer)
