"""In which order what moves an async run on happens: the same in every execution.

What moves a run on are its operations that come back, and the timers of its body. Places are taken in the order of the
calls, so the numbering of a run with several tasks depends on which comes first. Each has a key, (time, place): that of
a finished operation is the time of its completion, that of a sleep its instant, that of a timer counts from what moved
the run on last. They happen in the order of their keys, one at a time, and the next only after the body's tasks have
done all that follows from the last. The keys of operations stand in history, those of timers follow from them, so a
replay does the same, however long it takes.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakSet

from durust import clock
from durust.engine.stillness import Stillness
from durust.engine.timers import RunTimer
from durust.model.waits import SLEEP
from durust.model.writes import Wait
from durust.routines.replay import CameBack, Key, WentOn
from durust.routines.run import Run, Verdict
from durust.telemetry import emit

# How long the tasks of a run get to call their next operations before the run counts as waiting.
SETTLE_SECONDS = 0.005
# So many times within the time after which a wait for others parks it is seen whether it should: by then slots may have
# become scarce.
LOOKS_BEFORE_PARKING = 10
# How long a replay waits for a call that history tells of; then it goes on without the recorded order. Only a body
# whose control flow is not deterministic gets here, perhaps one that waits for the network outside of its steps.
STALLED_SECONDS = 300.0
# Such a body's clock: what took longer than this since the run was moved on was no work of its tasks.
STRAY_SECONDS = 1.0
# Timers of one millisecond come before its operations, in the order in which they were made.
_FIRST_TIMER = -(1 << 31)


class Turn:
    """One operation that was called and has not come back."""

    __slots__ = (
        "future",
        "is_asleep",
        "is_cancelled",
        "is_cut",
        "is_given_up",
        "is_queued",
        "is_ready",
        "is_wait",
        "key",
        "place",
        "task",
        "waits",
        "waits_since",
    )

    def __init__(self, place: int, task: asyncio.Task[Any] | None, *, is_wait: bool) -> None:
        self.place = place
        self.is_wait = is_wait
        """Whether it does nothing but wait."""
        self.task = task
        self.key: Key = (0, place)
        self.is_ready = False
        self.is_asleep = False
        self.is_queued = False
        self.is_cancelled = False
        """Whether the body's own code cancelled the task that waits."""
        self.is_cut = False
        """Whether history says that such a cancellation cut it short: it comes back when it is cancelled again."""
        self.waits: Sequence[Wait] = ()
        """What of others it waits for right now."""
        self.waits_since = 0.0
        self.is_given_up = False
        """Whether it is to be cancelled because the order of the replay was given up."""
        self.future: asyncio.Future[None] | None = None


class Turns:
    """What may move one run on: its operations under way and its body's timers. Belongs to its loop."""

    def __init__(
        self,
        run: Run,
        stillness: Stillness,
        park: Callable[[list[Wait]], None],
        park_after_ms: Callable[[], float],
        patience_ms: Callable[[], float],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._run = run
        self._order: deque[CameBack | WentOn] = deque(run.past.order)
        self._replayed = frozenset(event.place for event in run.past.order if isinstance(event, CameBack))
        self._reached: Key = (run.past.begun_ms, 0)
        self._reached_at = clock.monotonic()
        self._park = park
        self._park_after_ms, self._patience_ms = park_after_ms, patience_ms
        self._turns: dict[int, Turn] = {}
        self._heap: list[tuple[Key, Turn]] = []
        self._timers: list[tuple[Key, RunTimer]] = []
        self._timers_made = 0
        self._main = asyncio.current_task()
        self._has_one_task = True
        self._others: WeakSet[asyncio.Task[Any]] = WeakSet()
        self._stillness = stillness
        self._is_pumping = False
        self._alarm: asyncio.TimerHandle | None = None
        self._settling: asyncio.TimerHandle | None = None
        self._impatience: asyncio.TimerHandle | None = None
        self._stalling: asyncio.TimerHandle | None = None

    def enter(self, place: int, *, is_wait: bool) -> Turn:
        """Begin the operation at *place*."""
        # With the loop in hand, because asking for the running one costs a system call on Python 3.11.
        turn = self._turns[place] = Turn(place, asyncio.current_task(self._loop), is_wait=is_wait)
        if turn.task is not self._main and turn.task is not None:
            self._has_one_task = False
            self._others.add(turn.task)
        return turn

    def leave(self, turn: Turn) -> None:
        """End an operation, whether it came back or was abandoned."""
        self._turns.pop(turn.place, None)
        self._forget(turn.place)
        if self._turns or self._timers:
            self._poke()
            return
        self._heap.clear()
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def commits(self, turn: Turn, not_before_ms: int) -> None:
        """Note that the operation's record is on its way, and that its key will not be before that time."""
        self._queue(turn, not_before_ms)

    def end(self, turn: Turn, *, is_cut: bool) -> bool:
        """Take in that an operation has finished; False when it comes back only when it is its turn: `hand_over`."""
        if turn.is_asleep:
            # Its turn has come already.
            return True
        turn.is_cut = is_cut
        turn.is_ready = turn.is_cancelled or not is_cut
        if self._is_alone(turn):
            self._reach(turn.key)
            return True
        if not turn.is_queued:
            # Answered without a write of its own: from history, or by an error.
            self._queue(turn, 0)
        return False

    async def sleep_until(self, turn: Turn, until_ms: int) -> bool:
        """Return when the instant has come and it is this operation's turn, unless the run parks.

        True when the sleep was cut short before its instant: then it comes back like an operation that has completed.
        """
        if turn.is_cancelled and (until_ms, turn.place) > self._reached:
            self._forget(turn.place)
            return True
        turn.is_asleep = True
        self._queue(turn, until_ms)
        try:
            await self.hand_over(turn)
        except asyncio.CancelledError:
            if self._run.is_closed() or turn.is_given_up:
                raise
            turn.is_cancelled, turn.is_asleep = True, False
            # It comes back when the record of that is written, and not at its instant.
            self._forget(turn.place)
            return True
        return False

    async def wait(self, turn: Turn, stirred: asyncio.Future[None], waits: Sequence[Wait]) -> bool:
        """Return when *stirred* is done, unless the run parks meanwhile; True when the wait was cut short before."""
        if turn.is_cancelled:
            return True
        turn.waits, turn.waits_since = waits, clock.monotonic()
        self._look_later()
        try:
            await stirred
        except asyncio.CancelledError:
            if self._run.is_closed() or turn.is_given_up:
                raise
            turn.is_cancelled = True
            return True
        finally:
            turn.waits = ()
        return False

    def takes_back(self, turn: Turn) -> None:
        """Note that the operation was not recorded after all, because there is nothing to record yet."""
        turn.is_queued = False
        turn.key = (0, turn.place)
        self._poke()

    def tasks(self) -> set[asyncio.Task[object]]:
        """Return the tasks that wait for an operation."""
        return {turn.task for turn in self._turns.values() if turn.task is not None}

    def close(self) -> None:
        """Stop everything; nothing is handed over any more."""
        for timer in (self._alarm, self._settling, self._impatience, self._stalling):
            if timer is not None:
                timer.cancel()
        self._turns.clear()
        self._heap.clear()
        self._timers.clear()
        self._order.clear()
        if self._run.verdict is not Verdict.FINISHED:
            for task in self._others:
                if task.done() and not task.cancelled():
                    # Its body was broken off before it asked for this; the next execution's will. So asyncio does not
                    # complain that nobody did.
                    task.exception()

    # The body's timers

    @property
    def is_open(self) -> bool:
        """Whether the run keeps the time of its body; once it is closed, its unwinding sees the loop's."""
        return not self._run.is_closed()

    def time(self) -> float:
        """Return the run's time in seconds: that of what moved it on last.

        A body that waits for something outside of its operations gets the time that this took on top: it cannot be
        replayed alike, but its timers shall not be over before they begin.
        """
        stray_seconds = clock.monotonic() - self._reached_at
        return self._reached[0] / 1000 + (stray_seconds if stray_seconds > STRAY_SECONDS else 0.0)

    def start_timer(
        self, when: float, callback: Callable[..., Any], args: tuple[Any, ...], context: contextvars.Context | None
    ) -> RunTimer:
        """Have *callback* called when the run is at *when* of its own time, in seconds."""
        key = (round(when * 1000), _FIRST_TIMER + self._timers_made)
        self._timers_made += 1
        timer = RunTimer(key, when, callback, args, self._loop, context)
        heapq.heappush(self._timers, (key, timer))
        self._poke()
        return timer

    def release_timers(self) -> None:
        """Give the timers to the loop, because the run is closed: what unwinds may still wait for them."""
        timers, self._timers = self._timers, []
        for (at_ms, _), timer in timers:
            if not timer.cancelled():
                left_ms = max(0, at_ms - self._run.now_ms())
                contextvars.Context().run(self._loop.call_later, left_ms / 1000, timer.fire)

    def _first_timer(self) -> RunTimer | None:
        while self._timers and self._timers[0][1].cancelled():
            heapq.heappop(self._timers)
        return self._timers[0][1] if self._timers else None

    def _fire(self, timer: RunTimer) -> None:
        heapq.heappop(self._timers)
        self._reach(timer.key)
        timer.fire()
        self._poke()

    # One after the other

    def _queue(self, turn: Turn, at_ms: int) -> None:
        turn.key = (at_ms, turn.place)
        turn.is_queued = True
        heapq.heappush(self._heap, (turn.key, turn))

    def _reach(self, key: Key) -> None:
        self._reached = max(self._reached, key)
        self._reached_at = clock.monotonic()
        self._run.passed = max(self._run.passed, key)

    def _is_alone(self, turn: Turn) -> bool:
        """Tell whether no other order is possible: a body that is one sequence of operations pays nothing for it.

        In a replay answers are there at once, and a task that was just made would not have called anything yet.
        """
        if len(self._turns) > 1 or not self._has_one_task or self._order or self._is_pumping:
            return False
        timer = self._first_timer()
        return timer is None or timer.key > turn.key

    async def hand_over(self, turn: Turn) -> None:
        """Return when it is this operation's turn to come back."""
        while True:
            turn.future = self._loop.create_future()
            self._poke()
            try:
                await turn.future
            except asyncio.CancelledError:
                is_undue = turn.is_asleep and turn.key > self._reached
                if is_undue or turn.is_given_up or self._run.is_closed():
                    raise
                turn.is_cancelled = turn.is_ready = True
            else:
                return

    def _poke(self) -> None:
        """See, when the body's tasks wait again, what comes next."""
        self._is_pumping = True
        self._stillness.ask(self._run, self._go_forward)

    def _go_forward(self) -> None:
        self._is_pumping = False
        match self._next_replayed() if self._order else self._next():
            case RunTimer() as timer:
                self._fire(timer)
            case Turn() as turn if turn.future is not None and not turn.future.done():
                # Noted now and not when its task resumes: others may complete in between, and are later than this.
                self._reach(turn.key)
                turn.future.set_result(None)

    def _next(self) -> Turn | RunTimer | None:
        """Return what comes next, or None when the run has to wait for it."""
        while self._heap and self._is_stale(*self._heap[0]):
            heapq.heappop(self._heap)
        turn = self._heap[0][1] if self._heap else None
        timer = self._first_timer()
        if turn is None and timer is None:
            return None
        if turn is not None and (timer is None or turn.key < timer.key):
            if not turn.is_ready and not turn.is_asleep:
                return None
            return self._when_due(turn)
        return self._when_due(timer) if timer is not None else None

    def _when_due(self, first: Turn | RunTimer) -> Turn | RunTimer | None:
        # Not before its time, so that whatever is called after it also gets a later time.
        left_ms = first.key[0] - self._run.now_ms()
        if left_ms <= 0:
            return first
        self._set_alarm(left_ms)
        if isinstance(first, RunTimer) or first.is_asleep:
            self._consider_parking(left_ms)
        return None

    def _is_stale(self, key: Key, turn: Turn) -> bool:
        return self._turns.get(turn.place) is not turn or turn.key != key

    def _set_alarm(self, left_ms: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = self._loop.call_later(left_ms / 1000, self._poke)

    # Replaying

    def _forget(self, place: int) -> None:
        if place not in self._replayed:
            return
        head = self._order[0] if self._order else None
        if isinstance(head, CameBack) and head.place == place:
            self._order.popleft()
        else:
            self._order = deque(event for event in self._order if isinstance(event, WentOn) or event.place != place)

    def _next_replayed(self) -> Turn | RunTimer | None:
        """Return what came next in an earlier execution, once it is called."""
        while self._order:
            head = self._order[0]
            timer = self._first_timer()
            if timer is not None and timer.key < head.key:
                return timer
            if isinstance(head, CameBack):
                return self._replayed_turn(head)
            self._order.popleft()
            self._go_on(head)
        return self._next()

    def _replayed_turn(self, head: CameBack) -> Turn | None:
        turn = self._turns.get(head.place)
        if turn is not None and (turn.is_ready or turn.is_asleep):
            turn.key = head.key
            return turn
        if self._stalling is None:
            self._stalling = self._loop.call_later(STALLED_SECONDS, self._give_up, head)
        return None

    def _go_on(self, execution: WentOn) -> None:
        """Leap to the time at which another execution went on from here.

        A timer beside a step that was under way gets the time of the outage on top, because the step begins anew. One
        that only sleeps stand beside is an instant, as theirs are.
        """
        self._reach(execution.reached)
        if any(not turn.is_wait for turn in self._turns.values()):
            lost_ms = execution.at_ms - execution.key[0]
            for _, timer in self._timers:
                timer.key = (timer.key[0] + lost_ms, timer.key[1])
            self._timers = [(timer.key, timer) for _, timer in self._timers]
            heapq.heapify(self._timers)

    def _give_up(self, head: CameBack) -> None:
        self._stalling = None
        if self._order and self._order[0] is head:
            emit("replay_out_of_order", workflow=self._run.workflow_id, place=head.place)
            self._order.clear()
            for turn in self._turns.values():
                if turn.is_cut and turn.future is not None:
                    turn.is_given_up = True
                    turn.future.cancel()
        self._poke()

    # Parking

    def _consider_parking(self, left_ms: float) -> None:
        if left_ms <= self._park_after_ms() or not self._all_wait():
            return
        if self._settling is not None:
            self._settling.cancel()
        self._settling = self._loop.call_later(SETTLE_SECONDS, self._park_if_settled)

    def _look_later(self) -> None:
        """See in a while whether the run waits for others only, and has for long enough."""
        if self._impatience is None:
            rhythm_ms = self._park_after_ms() / LOOKS_BEFORE_PARKING
            self._impatience = self._loop.call_later(max(SETTLE_SECONDS, rhythm_ms / 1000), self.look)

    def look(self) -> None:
        """See whether the run should park now, because it waits for others only."""
        if self._impatience is not None:
            self._impatience.cancel()
            self._impatience = None
        if any(turn.waits for turn in self._turns.values()):
            self._park_if_settled()
            if not self._run.is_closed():
                self._look_later()

    def _park_if_settled(self) -> None:
        if not self._all_wait() or self._is_pumping:
            return
        since = max((turn.waits_since for turn in self._turns.values() if turn.waits), default=None)
        if since is not None and (clock.monotonic() - since) * 1000 < self._patience_ms():
            return
        waits = [wait for turn in self._turns.values() for wait in self._waits_of(turn)]
        timer = self._first_timer()
        instants = [wait.until_ms for wait in waits if wait.until_ms is not None]
        if timer is not None:
            instants.append(timer.key[0])
            waits.append(Wait(waits[0].place, SLEEP, until_ms=timer.key[0]))
        if not instants or min(instants) - self._run.now_ms() > self._park_after_ms():
            self._park(sorted(waits, key=lambda wait: wait.place))

    @staticmethod
    def _waits_of(turn: Turn) -> Sequence[Wait]:
        return turn.waits or [Wait(turn.place, SLEEP, until_ms=turn.key[0])]

    def _all_wait(self) -> bool:
        """Tell whether waits are all that the run is at; a body that awaits something else has none."""
        return bool(self._turns) and all(turn.is_asleep or turn.waits for turn in self._turns.values())
