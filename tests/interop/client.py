"""The official client on a database: `python -m tests.interop.client URL`; its methods are called by their names."""

from __future__ import annotations

import sys
from typing import Any

from dbos import DBOSClient, WorkflowSerializationFormat

from tests.interop.answering import converse

# It asks once a second unless it is told another rhythm.
POLL_SECONDS = 0.05
PORTABLE = WorkflowSerializationFormat.PORTABLE

client = DBOSClient(system_database_url=sys.argv[1])


def answer(call: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """Call a method of the client, in the portable form where there is a choice."""
    match call:
        case "enqueue":
            return client.enqueue({"serialization_type": PORTABLE, **kwargs.pop("options")}, *args, **kwargs)
        case "get_result":
            return client.retrieve_workflow(*args).get_result(polling_interval_sec=POLL_SECONDS)
        case "get_status":
            return client.retrieve_workflow(*args).get_status()
        case "list_queues":
            return [queue.name for queue in client.list_queues()]
        case "send":
            return client.send(*args, serialization_type=PORTABLE, **kwargs)
        case _:
            return getattr(client, call)(*args, **kwargs)


converse(answer)
