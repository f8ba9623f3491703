"""What runs inside a step: its function, marked as a step's, and for so long as it may."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from durust.engine.current import CURRENT, Activity
from durust.errors import StepTimedOut
from durust.model.attempts import StepStatus


def in_step(
    fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], status: StepStatus, *first: Any
) -> Any:
    """Run the plain function of a step, in which no operation of the workflow may be asked for."""
    token = CURRENT.set(_as_step(status))
    try:
        result = fn(*first, *args, **kwargs)
    finally:
        CURRENT.reset(token)
    # A plain function may answer an awaitable, such as a lambda around an async step: its body runs when it is awaited.
    return _await_in_step(result, status) if inspect.isawaitable(result) else result


async def in_step_async(
    fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], status: StepStatus
) -> Any:
    """Run the async function of a step."""
    token = CURRENT.set(_as_step(status))
    try:
        return await fn(*args, **kwargs)
    finally:
        CURRENT.reset(token)


async def _await_in_step(awaitable: Awaitable[Any], status: StepStatus) -> Any:
    token = CURRENT.set(_as_step(status))
    try:
        return await awaitable
    finally:
        CURRENT.reset(token)


async def bounded(name: str, seconds: float, body: Callable[[StepStatus], Awaitable[Any]], status: StepStatus) -> Any:
    """Run the async function of a step for so many seconds at most. Raises `StepTimedOut`."""
    bound = asyncio.timeout(seconds)
    try:
        async with bound:
            return await body(status)
    except TimeoutError:
        # A body may also raise one of its own.
        if bound.expired():
            raise StepTimedOut(name, seconds) from None
        raise


def _as_step(status: StepStatus) -> Activity | None:
    activity = CURRENT.get()
    return None if activity is None else Activity(activity.run, activity.context, status)
