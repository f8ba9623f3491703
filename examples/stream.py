"""A stream that outlives its writer: the worker is killed in the middle, and the reader gets each word once.

    python examples/stream.py

The program is the reader. It starts a worker that dies while it writes, then another one that goes on. What was written
is not written again, and the loop that reads goes on as if nothing had happened.
"""

import os
import signal
import subprocess
import sys

import durust

WORDS = ["what", "was", "written", "stays", "written", "and", "whoever", "goes", "on", "writes", "the", "rest"]
LAST = "and"  # of the worker that dies
durust.WorkflowQueue("stream.talks")


def think(word: str) -> str:
    if os.environ.get("DIES_AFTER") == LAST and word == WORDS[WORDS.index(LAST) + 1]:
        os.kill(os.getpid(), signal.SIGKILL)
    return word


@durust.workflow(name="stream.talk")
async def talk(ctx: durust.DurableContext, words: list[str]) -> int:
    for word in words:
        await ctx.write_stream("words", await ctx.step("think", think, word))
    await ctx.close_stream("words")
    return len(words)


def make_worker(last: str = "") -> subprocess.Popen[bytes]:
    command = [sys.executable, __file__, "work"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, env={**os.environ, "DIES_AFTER": last})


def main() -> None:
    with durust.DurableEngine(queues=()) as engine:
        handle = engine.enqueue("stream.talks", talk, WORDS)
        workers, heard = [make_worker(LAST)], []
        for word in engine.read_stream(handle.id, "words", timeout=60, type=str):
            heard.append(word)
            if word == LAST:
                assert workers[0].wait() == -signal.SIGKILL
                workers.append(make_worker())
        assert (heard, handle.get_result(timeout=60)) == (WORDS, len(WORDS))
    workers[1].communicate()
    print(f"{len(heard)} words, each of them once, from {len(workers)} workers")


if __name__ == "__main__":
    if sys.argv[1:] == ["work"]:
        with durust.DurableEngine():
            sys.stdin.read()
    else:
        main()
