"""Senders and receivers as processes, the file to which receivers append what they got, and its judge."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg

import durust
from durust import clock
from durust.model.message_writes import RECEIVE_NAME, ReceiveMessage
from durust.model.writes import Outcome, Recorded, RecordStep, Write
from durust.storage.postgres import PostgresProvider

SENDERS, RECEIVERS, ROUNDS = 50, 10, 4
TOTAL = SENDERS * RECEIVERS * ROUNDS
# Spreads the messages over the time in which receivers are killed.
PACE_SECONDS = 0.2
# The planted bug's gap between the consumption of a message and its record: long beside all else that a receiver does,
# so that hardly a kill comes at another moment.
GAP_SECONDS = 0.15

senders, receivers = durust.WorkflowQueue("senders"), durust.WorkflowQueue("receivers")


def note(receiver: str, number: int, message: list[int]) -> None:
    """Append what was received, and force it to the disk."""
    line = f"{receiver} {number} {message[0]} {message[1]}\n"
    file = os.open(os.environ["LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(file, line.encode())
        os.fsync(file)
    finally:
        os.close(file)


@durust.workflow(max_recovery_attempts=1000)
async def receive(ctx: durust.DurableContext, total: int) -> None:
    for number in range(total):
        message = await ctx.recv(type=list[int])
        await ctx.step("note", note, ctx.workflow_id, number, message)


@durust.workflow
async def send(ctx: durust.DurableContext, sender: int) -> None:
    for number in range(ROUNDS):
        for receiver in range(RECEIVERS):
            await ctx.send(receiver_id((sender + receiver) % RECEIVERS), [sender, number])
            await ctx.sleep(PACE_SECONDS)


def receiver_id(number: int) -> str:
    """Return the id of a receiver."""
    return f"receiver-{number}"


def faults(path: Path) -> list[str]:
    """Return what must never happen: a message that got lost, or was received twice or before an earlier one.

    A line may stand there again where a process died before its step was recorded; then it says the same.
    """
    found = []
    got: dict[str, dict[int, tuple[int, int]]] = {receiver_id(number): {} for number in range(RECEIVERS)}
    for line in path.read_text().splitlines():
        receiver, *numbers = line.split()
        number, *message = map(int, numbers)
        before = got[receiver].setdefault(number, (message[0], message[1]))
        if before != tuple(message):
            found.append(f"{receiver} received {before} and then {tuple(message)} as its number {number}")
    for receiver, by_number in got.items():
        inbox = [message for _, message in sorted(by_number.items())]
        for sender in range(SENDERS):
            received = [number for by, number in inbox if by == sender]
            if received != list(range(ROUNDS)):
                found.append(f"{receiver} received {received} of sender {sender}")
    return found


def consume_first() -> None:
    """Plant a bug: a message is consumed in a transaction of its own, and recorded in the next."""
    commit = PostgresProvider.writer

    def writer(self: PostgresProvider) -> Any:
        behind = commit(self)
        honest = behind.commit

        def commit_apart(writes: Sequence[Write]) -> list[Outcome]:
            apart = [_apart(write) if isinstance(write, ReceiveMessage) else write for write in writes]
            return [
                replace(outcome, output=mine.output, serialization=mine.serialization)
                if isinstance(mine, RecordStep) and isinstance(outcome, Recorded) and mine is not asked
                else outcome
                for asked, mine, outcome in zip(writes, apart, honest(apart), strict=True)
            ]

        behind.commit = commit_apart  # type: ignore[method-assign]  # that is the bug
        return behind

    PostgresProvider.writer = writer  # type: ignore[method-assign]  # that is the bug


def _apart(write: ReceiveMessage) -> Write:
    with psycopg.connect(os.environ["DURUST_DATABASE_URL"], autocommit=True) as connection:
        row = connection.execute(
            "update dbos.notifications set consumed = true where message_uuid = ("
            " select message_uuid from dbos.notifications where destination_uuid = %s and not consumed"
            " order by durust_seq limit 1) returning message, serialization",
            [write.lease.workflow_id],
        ).fetchone()
    if row is None:
        return write
    clock.pause(GAP_SECONDS)
    times = (write.started_at_ms, write.completed_at_ms)
    return RecordStep(write.lease, write.after, write.place, RECEIVE_NAME, row[0], None, row[1], *times)


def main(role: str) -> None:
    """Serve one of the queues until this process is killed."""
    if os.environ.get("PLANTED"):
        consume_first()
    with durust.DurableEngine(queues=(role,)):
        print("up", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
