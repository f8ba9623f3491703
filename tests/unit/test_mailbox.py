"""Hints and orders reach a worker, progress reaches the supervisor, and what is lost is made up for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from durust import clock
from durust.storage.provider import Hint
from durust.supervisor.control import Control
from durust.supervisor.ear import Deaf, open_ear
from durust.supervisor.mailbox import Mailbox
from durust.supervisor.wire import Drain, Letter, Progress
from tests.support.waiting import eventually

CLUSTER = "c" * 16
ME = "du:worker"
PROGRESS = Progress("LIVE", 1, 2, 3, 4)


class Desk:
    """A supervisor's control plane and one worker's mailbox, connected."""

    def __init__(self) -> None:
        self.control = Control(CLUSTER)
        self.box = Mailbox(CLUSTER, ME, self.control.orders, self.control.hints)
        self.orders: list[Drain] = []
        self.box.open(lambda: PROGRESS, self.orders.append)

    def letter(self) -> Letter:
        """Wait for the next letter to the supervisor."""
        letters: list[Letter] = []

        def come() -> bool:
            self.control.poll([], 0.01)
            letters.extend(self.control.letters())
            return bool(letters)

        eventually(come)
        return letters[0]

    def hear(self, *said: Hint) -> list[Hint]:
        """Say hints until the worker's subscription has reached the publisher and some were heard."""
        heard: list[Hint] = []

        def come() -> bool:
            self.control.hint(said)
            heard.extend(self.box.wait(0.05))
            return bool(heard)

        eventually(come)
        return heard


@pytest.fixture
def desk(runtime: Path) -> Iterator[Desk]:
    made = Desk()
    yield made
    made.box.shut()
    made.control.close()


def test_a_worker_tells_its_progress_under_its_own_name(desk: Desk) -> None:
    letter = desk.letter()

    assert (letter.sender, letter.body) == (ME, PROGRESS)


def test_an_order_reaches_the_worker_it_is_for(desk: Desk) -> None:
    desk.letter()

    assert desk.control.say(ME, Drain(7.0))

    eventually(lambda: desk.orders == [Drain(7.0)])


def test_an_order_to_whoever_is_not_connected_is_told_to_be_lost(desk: Desk) -> None:
    assert not desk.control.say("du:nobody", Drain(7.0))


def test_hints_reach_whoever_waits(desk: Desk) -> None:
    assert Hint("queue", "work") in desk.hear(Hint("queue", "work"))


def test_a_gap_in_the_hints_is_heard_as_anything(desk: Desk) -> None:
    desk.hear(Hint("queue", "work"))
    desk.box.wait(0.2)
    # A frame that never reached this worker.
    desk.control._post._sequence += 1

    desk.control.hint([Hint("queue", "work")])

    assert desk.box.wait(5.0) == [Hint("queue", "work"), Hint("any")]


def test_hints_that_do_not_fit_into_a_frame_are_said_as_anything(desk: Desk) -> None:
    heard = desk.hear(*(Hint("queue", f"q{number}") for number in range(100)))

    assert set(heard) == {Hint("any")}


def test_a_long_hint_is_left_out_and_breaks_nothing(desk: Desk) -> None:
    desk.hear(Hint("queue", "work"))

    desk.control.hint([Hint("workflow", "ä" * 5000)])

    assert Hint("queue", "work") in desk.hear(Hint("queue", "work"))


def test_whoever_waits_can_be_woken_without_a_hint(desk: Desk) -> None:
    begun = clock.monotonic()
    desk.box.wake()

    assert desk.box.wait(5.0) == []
    assert clock.monotonic() - begun < 1


def test_a_closed_control_plane_leaves_no_socket_behind(runtime: Path) -> None:
    Control(CLUSTER).close()

    assert list((runtime / "durust").iterdir()) == []


def test_what_a_killed_supervisor_left_does_not_hinder_the_next(runtime: Path) -> None:
    (runtime / "durust").mkdir()
    (runtime / "durust" / f"{CLUSTER}.orders").touch()

    Control(CLUSTER).close()


def test_without_zeromq_there_is_a_deaf_ear() -> None:
    ear = open_ear(CLUSTER, has_zmq=False)

    assert isinstance(ear, Deaf)
    assert not ear.say(ME, Drain(1.0))
    assert ear.letters() == []
