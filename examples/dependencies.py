"""A build of tasks that need each other: each runs once, as soon as all that it needs is done.

    python examples/dependencies.py

Every task is a workflow whose id is made of the build and its name. Whoever needs it starts it: the first one does, the
others find it there and wait for the same result. With one slot this works as well: who waits gives its slot back.
"""

import asyncio
import uuid

import durust

NEEDS = {
    "app": ["library", "pictures"],
    "library": ["compiler"],
    "pictures": ["painter"],
    "painter": ["compiler"],
    "compiler": [],
}
built: list[tuple[str, str]] = []


@durust.workflow(name="dependencies.task")
async def make(ctx: durust.DurableContext, build: str, name: str) -> int:
    """Return how many tasks had to come before this one, on the longest way to it."""
    handles = [
        await ctx.start_workflow(make, build, need, options=durust.WorkflowOptions(workflow_id=f"{build}/{need}"))
        for need in NEEDS[name]
    ]
    depths = await asyncio.gather(*(handle.get_result() for handle in handles))
    await ctx.step("build", built.append, (build, name))
    return 1 + max(depths, default=0)


def main() -> None:
    build = f"build-{uuid.uuid4()}"
    with durust.DurableEngine(slots=1) as engine:
        depth = engine.start(make, build, "app", options=durust.WorkflowOptions(workflow_id=f"{build}/app"))
    # An older build that was killed goes on beside it, and counts for itself.
    order = [name for whose, name in built if whose == build]
    assert sorted(order) == sorted(NEEDS), order
    assert all(order.index(need) < order.index(name) for name, needs in NEEDS.items() for need in needs), order
    print(f"{len(order)} tasks, each built once, {depth} one after the other")


if __name__ == "__main__":
    main()
