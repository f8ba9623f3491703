"""Money that moves once: a transfer between two accounts, whose process is killed in the middle of it again and again.

    python examples/transfer.py

What the function of a transaction writes commits with the record of its step. The program runs itself four times:
killed with half of the money moved, before the commit, right behind it, and left alone.
"""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from typing import Any

import durust

KILLS = ("half_moved=kill", "transaction.commit=kill", "moved=kill")


def execute(connection: Any, sql: str, *values: Any) -> Any:
    # The connection is the driver's own, and so is its way to mark a value.
    return connection.execute(sql.replace("%s", "?") if isinstance(connection, sqlite3.Connection) else sql, values)


def open_accounts(connection: Any, bank: str) -> None:
    execute(connection, "create table if not exists accounts (bank text, name text, cents integer)")
    execute(connection, "insert into accounts values (%s, 'alice', 100), (%s, 'bob', 0)", bank, bank)


def move(connection: Any, bank: str, source: str, target: str, cents: int) -> None:
    for name, change in ((source, -cents), (target, cents)):
        execute(connection, "update accounts set cents = cents + %s where bank = %s and name = %s", change, bank, name)
        durust.failpoint("half_moved")


@durust.workflow(name="transfer")
def transfer(ctx: durust.SyncDurableContext) -> dict[str, int]:
    bank = ctx.workflow_id  # of its own: an older transfer that was killed goes on beside it
    ctx.transaction(open_accounts, bank)
    ctx.transaction(move, bank, "alice", "bob", 40)
    durust.failpoint("moved")
    return ctx.transaction(lambda on: dict(execute(on, "select name, cents from accounts where bank = %s", bank)))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        with durust.DurableEngine() as engine:
            left = engine.start(transfer, options=durust.WorkflowOptions(workflow_id=sys.argv[1]))
        assert left == {"alice": 60, "bob": 40}, left
        print(f"killed 3 times; alice has {left['alice']}, bob has {left['bob']}, and nothing is lost")
    else:
        me = [sys.executable, __file__, f"transfer-{time.time_ns()}"]
        codes = [subprocess.run(me, env={**os.environ, "FAILPOINTS": kill}, check=False).returncode for kill in KILLS]
        assert codes == [-signal.SIGKILL] * 3, codes
        subprocess.run(me, check=True)
