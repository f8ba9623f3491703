"""A rate limit: fifteen letters are sent, five in each second at most, however many workers there are.

    python examples/rate_limited.py

The second slides: whenever it begins, no more than five letters leave within it. The database counts, by its own clock.
"""

import durust

LETTERS = 15
LIMIT, PERIOD = 5, 1.0

letters = durust.WorkflowQueue("letters", rate_limiter=durust.RateLimiter(limit=LIMIT, period=PERIOD))


@durust.workflow(name="rate_limited.send")
def send(ctx: durust.SyncDurableContext, to: str) -> str:
    return ctx.step("send", lambda: f"dear {to}")


def main() -> None:
    with durust.DurableEngine() as engine:
        handles = engine.enqueue_many(letters, send, [(f"reader {number}",) for number in range(LETTERS)])
        assert [handle.get_result(timeout=60) for handle in handles] == [f"dear reader {n}" for n in range(LETTERS)]
        rows = engine.list_workflows(durust.ListFilter(workflow_ids=[handle.id for handle in handles]))
    sent = sorted(row.started_at_ms or 0 for row in rows)
    for first, one_too_many in zip(sent, sent[LIMIT:], strict=False):
        assert one_too_many - first >= PERIOD * 1000, sent
    for number, at in enumerate(sent):
        print(f"letter {number + 1:2} left after {(at - sent[0]) / 1000:.2f} s")


if __name__ == "__main__":
    main()
