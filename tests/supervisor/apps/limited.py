"""Workflows on queues with budgets, whose bodies write down when they begin and end; and a miscounted budget."""

from __future__ import annotations

import os
from dataclasses import replace

import durust
from durust import RateLimiter, SyncDurableContext, WorkflowQueue, clock
from durust.storage.batch import SQL

CONCURRENCY = 3
STARTS, PERIOD_SECONDS = 50, 1.0

narrow = WorkflowQueue("narrow", global_concurrency=CONCURRENCY)
paced = WorkflowQueue("paced", rate_limiter=RateLimiter(STARTS, PERIOD_SECONDS))

# What is wrong on purpose: each worker counts its own shares alone.
if os.environ.get("PLANTED") == "selfish":
    counted = "and e.state <> 'DEAD'\n     where g.queue"
    assert SQL.claim_budgeted.sql.count(counted) == 1
    selfish = counted.replace("'DEAD'", "'DEAD' and e.executor_id = %(executor)s")
    SQL.__dict__["claim_budgeted"] = replace(SQL.claim_budgeted, sql=SQL.claim_budgeted.sql.replace(counted, selfish))


def note(name: str, what: str) -> None:
    """Append a line with the seconds of the kernel's clock, the same for all processes."""
    line = f"{name} {what} {clock.boottime():.6f} {os.getpid()}\n"
    fd = os.open(os.environ["LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(fd, line.encode())
    os.fsync(fd)
    os.close(fd)


@durust.workflow
def visit(_: SyncDurableContext, name: str, seconds: float) -> str:
    note(name, "begins")
    clock.pause(seconds)
    note(name, "ends")
    return name
