"""A process to be killed: two releases of a workflow, the second of which has a patch, note their steps in a file."""

from __future__ import annotations

import os
import sys
import threading
from typing import Any

from durust import DurableContext, DurableEngine, SyncDurableContext, WorkflowOptions

RELEASE = os.environ.get("RELEASE", "1")


def note(file: str, workflow: str, step: str) -> str:
    """Append a line to the file, on the disk before anything else happens."""
    fd = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(fd, f"{workflow} {step} {os.getpid()}\n".encode())
    os.fsync(fd)
    os.close(fd)
    return step


def hold(file: str, workflow: str, step: str) -> str:
    """Note the step; in the first release it never ends."""
    note(file, workflow, step)
    if RELEASE == "1":
        threading.Event().wait()
    return step


def blocking(ctx: SyncDurableContext, file: str) -> list[str]:
    """Charge and ship; since the second release there is a check before the charge and a thank-you in the end."""
    done = []
    if RELEASE == "2" and ctx.patch("check"):
        done.append(ctx.step("check", note, file, ctx.workflow_id, "check"))
    done.append(ctx.step("charge", note, file, ctx.workflow_id, "charge"))
    done.append(ctx.step("ship", hold, file, ctx.workflow_id, "ship"))
    if RELEASE == "2" and ctx.patch("thank"):
        done.append(ctx.step("thank", note, file, ctx.workflow_id, "thank"))
    return done


async def awaiting(ctx: DurableContext, file: str) -> list[str]:
    """Do the same."""
    done = []
    if RELEASE == "2" and await ctx.patch("check"):
        done.append(await ctx.step("check", note, file, ctx.workflow_id, "check"))
    done.append(await ctx.step("charge", note, file, ctx.workflow_id, "charge"))
    done.append(await ctx.step("ship", hold, file, ctx.workflow_id, "ship"))
    if RELEASE == "2" and await ctx.patch("thank"):
        done.append(await ctx.step("thank", note, file, ctx.workflow_id, "thank"))
    return done


WORKFLOWS: dict[str, Any] = {"blocking": blocking, "awaiting": awaiting}


def main(url: str, file: str, version: str, *what: str) -> None:
    """Adopt what is stranded, if that is asked for; run a workflow of each colour to its end under an id each."""
    engine = DurableEngine(url, app_version=version)
    for name, function in WORKFLOWS.items():
        engine.register(name, function)
    with engine:
        handles = engine.adopt_stranded() if "adopt" in what else []
        for each in what:
            if each != "adopt":
                handles += [
                    engine.run_workflow(name, file, options=WorkflowOptions(workflow_id=f"{each}-{name}"))
                    for name in WORKFLOWS
                ]
        for handle in handles:
            print(handle.id, *handle.get_result(60), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
