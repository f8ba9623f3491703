"""The other end of a conversation: a request in JSON on each line of the input, an answer on each line of the output.

Run by the official library's interpreter, which knows nothing of durust.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import os
import sys
from collections.abc import Callable
from typing import Any


def converse(answer: Callable[[str, list[Any], dict[str, Any]], Any]) -> None:
    """Answer each request until the input ends; an error is an answer too."""
    with os.fdopen(os.dup(1), "w") as out:
        # Whatever the library prints is not meant for whoever asks.
        os.dup2(2, 1)
        for line in sys.stdin:
            call, args, kwargs = json.loads(line)
            try:
                said = {"value": plain(answer(call, args, kwargs))}
            except BaseException as error:  # noqa: BLE001  some of the library's errors are no `Exception`
                said = {"raised": plain(error)}
            print(json.dumps(said), file=out, flush=True)


def plain(value: Any) -> Any:
    """Return *value* as JSON can carry it: a handle as its id, an object as its fields."""
    if hasattr(value, "get_workflow_id"):
        return value.get_workflow_id()
    if isinstance(value, BaseException):
        fields = {name: plain(getattr(value, name, None)) for name in ("name", "code", "data")}
        return {"type": type(value).__name__, "message": str(value), **fields}
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple) or inspect.isgenerator(value):
        return [plain(item) for item in value]
    if dataclasses.is_dataclass(value) or type(value).__name__ == "WorkflowStatus":
        return plain(vars(value))
    return value if value is None or isinstance(value, str | int | float | bool) else repr(value)
