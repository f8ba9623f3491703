"""What the benchmarks run: workflows whose steps do nothing, in both colours."""

import durust
from durust import clock

QUEUE = durust.WorkflowQueue("bench")
# Long enough for whoever reads to wait again.
REST_SECONDS = 0.05


async def nothing_async(place: int) -> int:
    """Do nothing, awaited."""
    return place


def nothing_sync(place: int) -> int:
    """Do nothing."""
    return place


@durust.workflow(name="async")
async def steps_async(ctx: durust.DurableContext, count: int) -> int:
    """Take *count* steps, one after the other."""
    for place in range(count):
        await ctx.step("nothing", nothing_async, place)
    return count


@durust.workflow(name="sync")
def steps_sync(ctx: durust.SyncDurableContext, count: int) -> int:
    """Take *count* steps, one after the other."""
    for place in range(count):
        ctx.step("nothing", nothing_sync, place)
    return count


@durust.workflow(name="publish async")
async def publish_async(ctx: durust.DurableContext, kind: str, count: int) -> None:
    """Publish *count* times, with a rest before each, what time it is."""
    for _ in range(count):
        await ctx.sleep(REST_SECONDS)
        if kind == "event":
            await ctx.set_event("said", clock.perf())
        else:
            await ctx.write_stream("said", clock.perf())


@durust.workflow(name="publish sync")
def publish_sync(ctx: durust.SyncDurableContext, kind: str, count: int) -> None:
    """Publish *count* times, with a rest before each, what time it is."""
    for _ in range(count):
        ctx.sleep(REST_SECONDS)
        if kind == "event":
            ctx.set_event("said", clock.perf())
        else:
            ctx.write_stream("said", clock.perf())


@durust.workflow(name="receive async")
async def receive_async(ctx: durust.DurableContext, count: int) -> list[float]:
    """Receive *count* messages that say what time it was, and return how many milliseconds each took."""
    # In this order: what time it is is asked for when the message is there.
    return [-(await ctx.recv() - clock.perf()) * 1000 for _ in range(count)]


@durust.workflow(name="receive sync")
def receive_sync(ctx: durust.SyncDurableContext, count: int) -> list[float]:
    """Receive *count* messages that say what time it was, and return how many milliseconds each took."""
    return [-(ctx.recv() - clock.perf()) * 1000 for _ in range(count)]


RECEIVERS = {"async": receive_async, "sync": receive_sync}
PUBLISHERS = {"async": publish_async, "sync": publish_sync}
COLOURS = {"async": steps_async, "sync": steps_sync}
