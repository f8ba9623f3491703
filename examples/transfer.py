"""Money that moves once: a transfer between two accounts, whose process is killed in the middle of it again and again.

    python examples/transfer.py

What the function of a transaction writes commits together with the record of its step. The program runs itself four
times: killed with half of the money moved, killed before the commit, killed right behind it, and left alone.
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


def open_accounts(connection: Any) -> None:
    execute(connection, "create table if not exists accounts (name text primary key, cents integer)")
    execute(connection, "delete from accounts")
    execute(connection, "insert into accounts values ('alice', 100), ('bob', 0)")


def move(connection: Any, source: str, target: str, cents: int) -> None:
    execute(connection, "update accounts set cents = cents - %s where name = %s", cents, source)
    durust.failpoint("half_moved")
    execute(connection, "update accounts set cents = cents + %s where name = %s", cents, target)


@durust.workflow(name="transfer")
def transfer(ctx: durust.SyncDurableContext) -> dict[str, int]:
    ctx.transaction(open_accounts)
    ctx.transaction(move, "alice", "bob", 40)
    durust.failpoint("moved")
    return ctx.transaction(lambda connection: dict(connection.execute("select name, cents from accounts").fetchall()))


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
