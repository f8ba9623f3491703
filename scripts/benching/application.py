"""What the benchmarks run: workflows whose steps do nothing, in both colours."""

import durust

QUEUE = durust.WorkflowQueue("bench")


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


COLOURS = {"async": steps_async, "sync": steps_sync}
