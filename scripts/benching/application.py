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


PUBLISHERS = {"async": publish_async, "sync": publish_sync}
COLOURS = {"async": steps_async, "sync": steps_sync}
