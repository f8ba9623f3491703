"""Workflows whose step bodies append to a ledger, and planted bugs that the ledger's judge has to see."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import psycopg

import durust
from durust import DurableContext, SyncDurableContext, WorkflowQueue, clock

PLACES = 3
# What is wrong on purpose: `unrecorded` runs a body without recording it, `forgetful` skips one.
PLANTED = os.environ.get("PLANTED", "")

queue = WorkflowQueue("work")


def note(name: str, place: int, seconds: float = 0.0) -> str:
    """Append a line to the ledger, on the disk before anything else happens; then take *seconds*."""
    line = f"{name} {place} {os.getpid()}\n"
    fd = os.open(os.environ["LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(fd, line.encode())
    os.fsync(fd)
    os.close(fd)
    if seconds:
        clock.pause(seconds)
    return line


@durust.workflow
def job(ctx: SyncDurableContext, name: str, seconds: float) -> str:
    for place in range(PLACES):
        if PLANTED == "unrecorded":
            note(name, place, seconds)
        elif not (PLANTED == "forgetful" and place == 1 and name.endswith("7")):
            ctx.step(f"note {place}", note, name, place, seconds)
    return name


@durust.workflow
async def async_job(ctx: DurableContext, name: str, seconds: float) -> str:
    for place in range(PLACES):
        await ctx.step(f"note {place}", note, name, place, seconds)
    return name


@durust.workflow
def gated(ctx: SyncDurableContext, name: str, gate: str) -> str:
    ctx.step("note 0", note, name, 0)
    ctx.step("wait", wait_for_file, gate)
    ctx.step("note 1", note, name, 1)
    ctx.step("note 2", note, name, 2)
    return name


def wait_for_file(path: str) -> None:
    while not Path(path).exists():
        clock.pause(0.02)
    if PLANTED == "unguarded":
        write_unguarded()


def write_unguarded() -> None:
    """Add a step to every workflow without asking who owns it, as nobody may."""
    with psycopg.connect(os.environ["DURUST_DATABASE_URL"]) as connection:
        connection.execute(
            "insert into dbos.operation_outputs (workflow_uuid, function_id, function_name)"
            " select workflow_uuid, 99, 'unguarded' from dbos.workflow_status on conflict do nothing"
        )


@durust.workflow
def deaf(ctx: SyncDurableContext, name: str) -> str:
    ctx.step("note 0", note, name, 0)
    ctx.step("hold", hold_the_interpreter, name)
    return name


def hold_the_interpreter(name: str) -> None:
    """Hold the interpreter's lock in C code, the first time."""
    marker = Path(os.environ["LEDGER"] + ".held")
    if not marker.exists():
        marker.touch()
        ctypes.PyDLL(None).sleep(600)
