"""One body for both colours: a generator that yields its operations, painted as a `def` or an `async def` workflow."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

COLOURS = ("sync", "async")

Paint = Callable[[Callable[..., Any]], Callable[..., Any]]


def paint_sync(script: Callable[..., Any]) -> Callable[..., Any]:
    """Return *script* as a `def` workflow: each operation has blocked by the time it is yielded."""

    @functools.wraps(script)
    def painted(*args: Any, **kwargs: Any) -> Any:
        body = script(*args, **kwargs)
        reply = None
        while True:
            try:
                reply = body.send(reply)
            except StopIteration as stop:
                return stop.value

    return painted


def paint_async(script: Callable[..., Any]) -> Callable[..., Any]:
    """Return *script* as an `async def` workflow: each operation is awaited when it is yielded."""

    @functools.wraps(script)
    async def painted(*args: Any, **kwargs: Any) -> Any:
        body = script(*args, **kwargs)
        try:
            operation = body.send(None)
            while True:
                try:
                    reply = await operation
                except BaseException as error:  # noqa: BLE001  it is the script that takes it
                    operation = body.throw(error)
                else:
                    operation = body.send(reply)
        except StopIteration as stop:
            return stop.value

    return painted


PAINTS: dict[str, Paint] = {"sync": paint_sync, "async": paint_async}
