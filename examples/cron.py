"""A workflow that runs by itself: here every second, until it has run three times.

    python examples/cron.py

A cron has six fields, the second first. Each tick starts one run over all processes: start this program in two
terminals, and each second belongs to one of them.
"""

import queue
from datetime import datetime

import durust

TICKS = 3
seen: queue.SimpleQueue[datetime] = queue.SimpleQueue()


@durust.workflow(name="cron.tell_the_time", schedule="* * * * * *", timezone="Europe/Berlin")
def tell_the_time(ctx: durust.SyncDurableContext, tick: durust.ScheduledInput) -> None:
    ctx.step("tell", print, f"{tick.scheduled_time:%H:%M:%S} in Berlin")
    seen.put(tick.scheduled_time)


def main() -> None:
    with durust.DurableEngine() as engine:
        times = [seen.get(timeout=60) for _ in range(TICKS)]
        engine.delete_schedule("cron.tell_the_time")
    assert times == sorted(set(times)), times
    assert {time.microsecond for time in times} == {0}, times
    print(f"{TICKS} ticks, each of them once")


if __name__ == "__main__":
    main()
