"""Fan out: forty pages are fetched, three at a time over all processes, and what they hold is gathered.

    python examples/fan_out.py

The limit is the queue's: `durust up` in other terminals adds workers, and there are still three at a time.
"""

import asyncio

import durust

PAGES = 40
AT_A_TIME = 3

fetches = durust.WorkflowQueue("fetches", global_concurrency=AT_A_TIME)


class Site:
    """Somebody who bears few visitors at a time, and counts them."""

    visitors = visitors_max = 0

    @classmethod
    async def fetch(cls, page: int) -> list[str]:
        cls.visitors += 1
        cls.visitors_max = max(cls.visitors_max, cls.visitors)
        await asyncio.sleep(0.02)
        cls.visitors -= 1
        return [f"word {page}-{number}" for number in range(page)]


@durust.workflow(name="fan_out.count_words")
async def count_words(ctx: durust.DurableContext, page: int) -> int:
    return len(await ctx.step("fetch", Site.fetch, page))


async def main() -> None:
    async with durust.DurableEngine().aio as engine:
        handles = await engine.enqueue_many(fetches, count_words, [(page,) for page in range(PAGES)])
        counts = await asyncio.gather(*handles)
    assert counts == list(range(PAGES)), counts
    assert Site.visitors_max <= AT_A_TIME, Site.visitors_max
    print(f"{len(counts)} pages, {sum(counts)} words, never more than {AT_A_TIME} pages at a time")


if __name__ == "__main__":
    asyncio.run(main())
