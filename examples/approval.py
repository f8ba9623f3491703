"""An expense that waits for somebody's approval, for as long as that takes, and is turned down when nobody answers.

    python examples/approval.py

The workflow waits for a message with a timeout; a client of another program, here a thread of the same one, sends it.
"""

from dataclasses import dataclass

import durust

PATIENCE_SECONDS = 2.0


@dataclass
class Decision:
    by: str
    is_granted: bool


@durust.workflow(name="approval.expense")
def expense(ctx: durust.SyncDurableContext, cents: int) -> str:
    ctx.step("ask the boss", lambda: f"may I spend {cents}?")
    decision = ctx.recv("decision", timeout=PATIENCE_SECONDS, type=Decision)
    if decision is None:
        return "nobody answered"
    return ctx.step("book", lambda: f"{'granted' if decision.is_granted else 'refused'} by {decision.by}")


def main() -> None:
    with durust.DurableEngine() as engine, durust.DurableClient() as boss:
        asked = engine.run_workflow(expense, 1999)
        ignored = engine.run_workflow(expense, 1)
        for _ in range(2):  # as a program does that did not hear the answer; it arrives once
            boss.send(asked.id, Decision("ada", is_granted=True), "decision", idempotency_key="expense-1999")
        results = [handle.get_result(timeout=60) for handle in (asked, ignored)]
        assert results == ["granted by ada", "nobody answered"], results
        assert len(boss.list_messages(asked.id)) == 1
        print(f"one {results[0]}; the other: {results[1]}")


if __name__ == "__main__":
    main()
