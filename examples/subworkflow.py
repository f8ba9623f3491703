"""A report is made of chapters, and each chapter is a workflow of its own that any worker may run.

    python examples/subworkflow.py

The parent starts all chapters, takes the one that is ready first, then the others; were this process killed on the way,
the next one would find the chapters that were started, and those that are written would not be written again.
"""

import asyncio

import durust

CHAPTERS = ["rivers", "woods", "towns"]


@durust.workflow(name="subworkflow.chapter")
async def write_chapter(ctx: durust.DurableContext, title: str) -> str:
    words = await ctx.step("gather", gather, title)
    return await ctx.step("write", lambda: f"{title}: {' '.join(words)}")


async def gather(title: str) -> list[str]:
    await asyncio.sleep(0.01)
    return [f"{title}-{number}" for number in range(3)]


@durust.workflow(name="subworkflow.report")
async def write_report(ctx: durust.DurableContext) -> list[str]:
    handles = [await ctx.start_workflow(write_chapter, title) for title in CHAPTERS]
    first = await ctx.wait_first(handles)
    await ctx.step("tell", print, "the first chapter is", first.id)
    return [await handle for handle in handles]


def main() -> None:
    with durust.DurableEngine() as engine:
        handle = engine.run_workflow(write_report)
        report = handle.get_result(timeout=60)
        assert [chapter.split(":")[0] for chapter in report] == CHAPTERS, report
        children = [step.child_id for step in engine.list_steps(handle.id) if step.name == "subworkflow.chapter"]
        assert children == [f"{handle.id}-{place}" for place in (1, 2, 3)], children
        print(f"{len(report)} chapters, each a workflow of its own")


if __name__ == "__main__":
    main()
