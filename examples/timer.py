"""A timer that outlives its process: the one that set it is killed, and another one keeps it.

    python examples/timer.py

The program runs itself twice. The first run starts a workflow and is killed while that sleeps; the second one finds the
workflow asleep and lets it go on when its time has come. What was slept while nobody ran counts too.
"""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

import durust

SECONDS = 3.0


@dataclass
class Moment:
    pid: int
    at: float


def look() -> Moment:
    return Moment(os.getpid(), time.time())


@durust.workflow(name="timer.remind")
def remind(ctx: durust.SyncDurableContext, seconds: float) -> list[Moment]:
    asked = ctx.step("asked", look)
    ctx.sleep(seconds)
    return [asked, ctx.step("reminded", look)]


def live(workflow_id: str, *, dies: bool) -> None:
    with durust.DurableEngine() as engine:
        handle = engine.run_workflow(remind, SECONDS, options=durust.WorkflowOptions(workflow_id=workflow_id))
        while dies:
            if len(engine.list_steps(workflow_id)) == 2:  # asked, and when to wake
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(0.05)
        asked, reminded = handle.get_result(timeout=60)
    slept = reminded.at - asked.at
    assert slept >= SECONDS, slept
    assert asked.pid != reminded.pid
    print(f"process {asked.pid} asked and was killed; process {reminded.pid} reminded, {slept:.1f} s later")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        live(sys.argv[2], dies=sys.argv[1] == "dies")
    else:
        reminder = f"reminder-{time.time_ns()}"
        runs = [[sys.executable, __file__, how, reminder] for how in ("dies", "lives")]
        codes = [subprocess.run(run, check=False).returncode for run in runs]
        assert codes == [-signal.SIGKILL, 0], codes
