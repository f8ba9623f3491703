"""A newsroom: stories per outlet on a partitioned queue, asked for by a client, bounded in time, run by `durust up`."""

from __future__ import annotations

import asyncio
import os
import sys
import uuid
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import durust
from durust import DurableClient, DurableContext, StepOptions, SyncDurableContext, WorkflowOptions, WorkflowQueue

OUTLETS = ["gazette", "herald", "tribune"]
STORIES_EACH = 4

desk = WorkflowQueue("desk", partition_queue=True, partition_concurrency=2, global_concurrency=5)
press = WorkflowQueue("press", rate_limiter=durust.RateLimiter(limit=6, period=0.5))


class Retracted(Exception):
    """A story that turned out to be wrong."""

    def __init__(self, story: str, reason: str) -> None:
        super().__init__(f"{story} was retracted: {reason}")
        self.story, self.reason = story, reason


@dataclass(frozen=True)
class Story:
    outlet: str
    number: int
    sources: tuple[str, ...] = ("wire", "witness", "archive")

    @property
    def name(self) -> str:
        return f"{self.outlet}-{self.number}"


@dataclass
class Article:
    story: Story
    edition: uuid.UUID
    written: datetime
    quotes: list[str]


def note(line: str) -> None:
    """Write down what was done to the world: one line that no crash takes back."""
    with Path("newsroom.log").open("a", encoding="utf-8") as log:
        log.write(f"{os.getpid()} {line}\n")
        log.flush()
        os.fsync(log.fileno())
    durust.failpoint("noted")


async def fetch(story: Story, source: str) -> str:
    note(f"fetch {story.name} {source}")
    await asyncio.sleep(10 if source == "archive" and story.number == 1 else 0.02)
    return f"{source} on {story.name}"


@durust.workflow
async def cover(ctx: DurableContext, story: Story) -> Article:
    edition = uuid.uuid4() if os.environ.get("PLANTED") else await ctx.uuid()

    async def quote(source: str) -> str | None:
        try:
            return await ctx.step_with(StepOptions(timeout=0.3), f"fetch {source}", fetch, story, source)
        except durust.StepTimedOut:
            return None

    quotes = await asyncio.gather(*(quote(source) for source in story.sources))
    if story.number == 2:
        await ctx.step("retract", note, f"retract {story.name}")
        raise Retracted(story.name, "nobody saw it")
    await ctx.step("print", note, f"print {story.name} {edition}")
    await ctx.sleep(1.2)
    return Article(story, edition, await ctx.now(), [said for said in quotes if said])


@durust.workflow(name="lay-out")
def lay_out(ctx: SyncDurableContext, article: Article) -> int:
    ctx.step("lay out", note, f"layout {article.story.name} {article.edition}")
    return len(article.quotes)


@durust.workflow
async def front_page(ctx: DurableContext, headline: str) -> str:
    await ctx.step("set", note, f"front {headline}")
    return headline


@durust.workflow
async def interview(ctx: DurableContext) -> None:
    await ctx.sleep(600)


def main() -> None:
    stories = [Story(outlet, number) for number in range(1, STORIES_EACH + 1) for outlet in OUTLETS]
    options = [WorkflowOptions(workflow_id=story.name, partition_key=story.outlet) for story in stories]
    with DurableClient(sys.argv[1]) as client:
        covered = client.enqueue_many(desk, "cover", [(story,) for story in stories], options=options)
        late = client.enqueue(press, "interview", options=WorkflowOptions(workflow_id="interview", timeout=2.5))
        call = durust.debounce("front_page", key="today", period=0.5, limit=5)
        fronts = [client.enqueue(press, call, headline) for headline in ("war", "peace", "weather")]
        print("ordered", flush=True)
        layouts = []
        for story, handle in zip(stories, covered, strict=True):
            try:
                article = client.retrieve_workflow(handle.id, type=Article).get_result(60)
            except Retracted as wrong:
                print(story.name, type(wrong).__name__, wrong.reason)
                continue
            assert article.written.tzinfo is not None
            layouts.append((story, client.enqueue(press, "lay-out", article)))
        for story, handle in layouts:
            print(story.name, handle.get_result(60), "quotes")
        try:
            late.get_result(60)
        except durust.WorkflowTimedOut:
            print("the interview timed out")
        print({front.id for front in fronts} == {fronts[0].id}, fronts[0].get_result(60))


if __name__ == "__main__":
    main()
