"""A workflow that runs each second and notes for which one."""

from __future__ import annotations

import os

import durust
from durust import ScheduledInput, SyncDurableContext


def note(name: str) -> str:
    """Append a line to the ledger, on the disk before anything else happens."""
    fd = os.open(os.environ["LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(fd, f"{name} 0 {os.getpid()}\n".encode())
    os.fsync(fd)
    os.close(fd)
    return name


@durust.workflow(name="ticking", schedule="* * * * * *", catch_up=bool(os.environ.get("CATCH_UP")))
def ticking(ctx: SyncDurableContext, tick: ScheduledInput) -> str:
    return ctx.step("note", note, tick.scheduled_time.isoformat())
