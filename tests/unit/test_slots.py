"""Slots count what runs, in all and for each queue, and are never given out twice."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from durust.engine.slots import Slots


def make_slots(size: int = 3, freed: list[str] | None = None) -> Slots:
    return Slots(size, lambda: (freed if freed is not None else []).append("freed"))


def free(slots: Slots) -> int:
    """Return how many slots are free, without keeping them."""
    reserved = slots.reserve()
    slots.settle(reserved, [])
    return reserved


def test_as_many_are_taken_as_there_are() -> None:
    slots = make_slots(3)

    assert [slots.take(None) for _ in range(5)] == [True, True, True, False, False]


def test_each_queue_is_counted_apart() -> None:
    slots = make_slots(5)

    for queue in ("mail", "mail", None):
        slots.take(queue)

    assert (slots.running("mail"), slots.running(None), slots.running("other")) == (2, 1, 0)


def test_a_slot_that_is_given_back_is_free_again_and_said_to_be() -> None:
    freed: list[str] = []
    slots = make_slots(1, freed)
    slots.take("mail")

    slots.give_back("mail")

    assert freed == ["freed"]
    assert slots.running("mail") == 0
    assert slots.take("mail")


def test_a_reservation_holds_every_free_slot() -> None:
    slots = make_slots(3)
    slots.take(None)

    assert slots.reserve() == 2
    assert not slots.take(None)
    assert slots.reserve() == 0


def test_a_settled_reservation_frees_what_the_claim_did_not_need() -> None:
    slots = make_slots(4)
    slots.take(None)
    reserved = slots.reserve()

    slots.settle(reserved, ["mail", None])

    assert free(slots) == 1
    assert (slots.running("mail"), slots.running(None)) == (1, 2)


def test_a_slot_that_is_given_back_during_a_reservation_is_free_at_once() -> None:
    slots = make_slots(2)
    slots.take("mail")
    reserved = slots.reserve()

    slots.give_back("mail")

    assert slots.take("mail")
    slots.settle(reserved, [])
    assert free(slots) == 1


def test_many_threads_never_hold_more_than_there_are() -> None:
    slots = make_slots(4)
    mutex = threading.Lock()
    held = peak = 0

    def change(by: int) -> None:
        nonlocal held, peak
        with mutex:
            held += by
            peak = max(peak, held)

    def work(number: int) -> None:
        for _ in range(500):
            if number % 2:
                if slots.take(None):
                    change(1)
                    change(-1)
                    slots.give_back(None)
            else:
                reserved = slots.reserve()
                change(reserved)
                kept = min(1, reserved)
                change(kept - reserved)
                slots.settle(reserved, [None] * kept)
                if kept:
                    change(-1)
                    slots.give_back(None)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))

    assert 0 < peak <= 4
    assert (free(slots), slots.running(None)) == (4, 0)
