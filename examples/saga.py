"""A saga: a journey is booked in three places, and when one of them refuses, what was booked before is given back.

    python examples/saga.py

Each booking is a step with a step beside it that undoes it. The undoing stands in `except Exception`: durust leaves a
body that parks or moves to another process by something else, so nothing is undone on the way.
"""

import asyncio
from collections import Counter

import durust

booked: Counter[str] = Counter()


class SoldOutError(Exception):
    pass


async def book(place: str) -> None:
    await asyncio.sleep(0.01)
    if place == "hotel in Ulm":
        raise SoldOutError(place)
    booked[place] += 1


async def give_back(place: str) -> None:
    booked[place] -= 1


@durust.workflow(name="saga.journey")
async def book_journey(ctx: durust.DurableContext, places: list[str]) -> str:
    done: list[str] = []
    try:
        for place in places:
            await ctx.step(f"book {place}", book, place)
            done.append(place)
    except Exception as error:  # noqa: BLE001  whatever went wrong, what was booked is given back
        for place in reversed(done):
            await ctx.step(f"give back {place}", give_back, place)
        return f"nothing, for {error} is sold out"
    return " and ".join(done)


def main() -> None:
    with durust.DurableEngine() as engine:
        assert engine.start(book_journey, ["train", "hotel in Bonn"]) == "train and hotel in Bonn"
        told = engine.start(book_journey, ["train", "car", "hotel in Ulm"])
    assert booked == {"train": 1, "hotel in Bonn": 1, "car": 0}, booked
    print(f"booked {told}")


if __name__ == "__main__":
    main()
