"""In which order the operations of an async run come back: the same in every execution.

Places are taken in the order of the calls, so the numbering of a run with several tasks depends on which operation
comes back first. Operations are handed over in the order of (completion time, place), one at a time, and the next only
after the run's tasks had time to make their next calls. A replay reads that order from history and keeps to it: also
where the body's own timers cut an operation short, because nothing else comes back before what came back first.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable

from durust.routines.run import Key, Replayed, Run
from durust.telemetry import emit

# Loop rounds between two hand-overs of one run: a task that is woken needs one, a gather or a task group two more for
# each level of nesting, so this covers three levels.
ROUNDS_BETWEEN = 8
# How long the tasks of a run get to call their next operations before the run counts as waiting.
SETTLE_SECONDS = 0.005
# How long a replay waits for a call that history tells of; then it goes on without the recorded order. Longer than the
# timeouts that a body sets by its own clock around a step, which have to pass again; only code whose control flow is
# not deterministic gets here.
STALLED_SECONDS = 300.0


class Turn:
    """One operation that was called and has not come back."""

    __slots__ = (
        "future",
        "is_asleep",
        "is_cancelled",
        "is_cut",
        "is_doomed",
        "is_queued",
        "is_ready",
        "key",
        "place",
        "task",
    )

    def __init__(self, place: int) -> None:
        self.place = place
        self.task = asyncio.current_task()
        self.key: Key = (0, place)
        self.is_ready = False
        self.is_asleep = False
        self.is_queued = False
        self.is_cancelled = False
        """Whether the body's own code cancelled the task that waits."""
        self.is_cut = False
        """Whether history says that such a cancellation cut it short: it comes back when it is cancelled again."""
        self.is_doomed = False
        """Whether the order shows that the cancellation of a sleep did count in an earlier execution."""
        self.future: asyncio.Future[None] | None = None


class Turns:
    """The operations of one run that are under way. Belongs to its loop."""

    def __init__(self, run: Run, park: Callable[[int, list[int]], None], park_after_ms: Callable[[], float]) -> None:
        self._loop = asyncio.get_running_loop()
        self._run = run
        self._order: deque[Replayed] = deque(run.replay)
        self._replayed = frozenset(known.place for known in run.replay)
        self._park = park
        self._park_after_ms = park_after_ms
        self._turns: dict[int, Turn] = {}
        self._heap: list[tuple[Key, Turn]] = []
        self._entered = 0
        self._only_task: asyncio.Task[object] | None = None
        self._has_one_task = True
        self._rounds = 0
        self._is_pumping = False
        self._alarm: asyncio.TimerHandle | None = None
        self._settling: asyncio.TimerHandle | None = None
        self._dooming: asyncio.TimerHandle | None = None
        self._stalling: asyncio.TimerHandle | None = None

    def enter(self, place: int) -> Turn:
        """Begin the operation at *place*."""
        turn = self._turns[place] = Turn(place)
        self._entered = max(self._entered, place)
        if self._only_task is None:
            self._only_task = turn.task
        elif turn.task is not self._only_task:
            self._has_one_task = False
        return turn

    def leave(self, turn: Turn) -> None:
        """End an operation, whether it came back or was abandoned."""
        self._turns.pop(turn.place, None)
        if turn.place in self._replayed:
            self._forget(turn.place)
        if self._turns:
            self._poke()
            return
        self._heap.clear()
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def commits(self, turn: Turn, completed_at_ms: int) -> None:
        """Note that the operation's record is on its way with that completion time."""
        self._queue(turn, completed_at_ms)

    async def deliver(self, turn: Turn, *, is_cut: bool) -> None:
        """Return when it is this finished operation's turn to come back."""
        if turn.is_asleep:
            return
        turn.is_cut = is_cut
        turn.is_ready = turn.is_cancelled or not is_cut
        if self._is_alone(turn):
            self._run.passed = max(self._run.passed, turn.key)
            return
        if not turn.is_queued:
            # Answered without a write of its own: from history, or by an error.
            self._queue(turn, 0)
        await self._hand_over(turn)

    async def sleep_until(self, turn: Turn, until_ms: int) -> None:
        """Return when the instant has come and it is this operation's turn, unless the run parks."""
        turn.is_asleep = True
        self._queue(turn, until_ms)
        await self._hand_over(turn)

    def tasks(self) -> set[asyncio.Task[object]]:
        """Return the tasks that wait for an operation."""
        return {turn.task for turn in self._turns.values() if turn.task is not None}

    def close(self) -> None:
        """Stop all timers; nothing is handed over any more."""
        for timer in (self._alarm, self._settling, self._dooming, self._stalling):
            if timer is not None:
                timer.cancel()
        self._turns.clear()
        self._heap.clear()
        self._order.clear()

    # Handing over

    def _queue(self, turn: Turn, at_ms: int) -> None:
        turn.key = (at_ms, turn.place)
        if not turn.is_queued:
            turn.is_queued = True
            heapq.heappush(self._heap, (turn.key, turn))

    def _is_alone(self, turn: Turn) -> bool:
        """Tell whether the order is plain: a body that is one sequence of operations pays nothing for it."""
        if len(self._turns) > 1 or not self._has_one_task or self._is_pumping or not turn.is_ready:
            return False
        if not self._order:
            return True
        return self._order[0].place == turn.place and not self._is_ahead_of_calls(self._order[0])

    async def _hand_over(self, turn: Turn) -> None:
        while True:
            turn.future = self._loop.create_future()
            self._poke()
            try:
                await turn.future
            except asyncio.CancelledError:
                if turn.is_doomed or not self._is_complete(turn):
                    raise
                turn.is_cancelled = turn.is_ready = True
            else:
                self._run.passed = max(self._run.passed, turn.key)
                return

    def _is_complete(self, turn: Turn) -> bool:
        """Tell whether a cancellation comes too late: a replay will find the operation completed."""
        if self._run.is_closed():
            return False
        return not turn.is_asleep or turn.key[0] <= self._run.now_ms()

    def _poke(self) -> None:
        """See, some rounds from now, whether somebody's turn has come."""
        self._rounds = ROUNDS_BETWEEN
        if not self._is_pumping:
            self._is_pumping = True
            self._loop.call_soon(self._round)

    def _round(self) -> None:
        if self._rounds > 0:
            self._rounds -= 1
            self._loop.call_soon(self._round)
            return
        self._is_pumping = False
        turn = self._next_replayed() if self._order else self._next()
        if turn is not None and turn.future is not None and not turn.future.done():
            turn.future.set_result(None)

    def _next(self) -> Turn | None:
        """Return the operation whose turn it is, or None when the run has to wait for one."""
        while self._heap and self._turns.get(self._heap[0][1].place) is not self._heap[0][1]:
            heapq.heappop(self._heap)
        if not self._heap:
            return None
        (at_ms, _), turn = self._heap[0]
        if not turn.is_ready and not turn.is_asleep:
            return None
        # Not before its time, so that whatever is called after it also gets a later time.
        left_ms = at_ms - self._run.now_ms()
        if left_ms <= 0:
            return turn
        self._set_alarm(left_ms)
        if turn.is_asleep:
            self._consider_parking(left_ms)
        return None

    def _set_alarm(self, left_ms: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = self._loop.call_later(left_ms / 1000, self._poke)

    # Replaying

    def _forget(self, place: int) -> None:
        if self._order and self._order[0].place == place:
            self._order.popleft()
        else:
            self._order = deque(known for known in self._order if known.place != place)

    def _next_replayed(self) -> Turn | None:
        """Return the operation that history has next, once all is called that was called before it came back."""
        head = self._order[0]
        turn = self._turns.get(head.place)
        if turn is not None and head.needs <= self._entered and (turn.is_ready or turn.is_asleep):
            return turn
        if self._dooming is None and self._cancelled_sleeps():
            self._dooming = self._loop.call_later(SETTLE_SECONDS, self._doom, head)
        if self._stalling is None:
            self._stalling = self._loop.call_later(STALLED_SECONDS, self._give_up, head)
        return None

    def _is_ahead_of_calls(self, head: Replayed) -> bool:
        """Tell whether something has still to be called that was called before *head* came back."""
        return head.place not in self._turns or head.needs > self._entered

    def _doom(self, head: Replayed) -> None:
        """Let the cancellations of sleeps through: the call that history has next was made because of them."""
        self._dooming = None
        if self._order and self._order[0] is head and self._is_ahead_of_calls(head):
            self._cancel(self._cancelled_sleeps())
        else:
            self._poke()

    def _cancelled_sleeps(self) -> list[Turn]:
        return [turn for turn in self._turns.values() if turn.is_cancelled and turn.is_asleep]

    def _give_up(self, head: Replayed) -> None:
        self._stalling = None
        if self._order and self._order[0] is head:
            emit("replay_out_of_order", workflow=self._run.workflow_id, place=head.place)
            self._order.clear()
            self._cancel([turn for turn in self._turns.values() if turn.is_cut])
        if self._turns:
            self._poke()

    @staticmethod
    def _cancel(turns: list[Turn]) -> None:
        for turn in turns:
            turn.is_doomed = True
            if turn.future is not None:
                turn.future.cancel()

    # Parking

    def _consider_parking(self, left_ms: float) -> None:
        if left_ms <= self._park_after_ms() or not self._all_asleep():
            return
        if self._settling is not None:
            self._settling.cancel()
        self._settling = self._loop.call_later(SETTLE_SECONDS, self._park_if_settled)

    def _park_if_settled(self) -> None:
        if not self._turns or not self._all_asleep():
            return
        soonest_ms, _ = min(turn.key for turn in self._turns.values())
        if soonest_ms - self._run.now_ms() > self._park_after_ms():
            self._park(soonest_ms, sorted(self._turns))

    def _all_asleep(self) -> bool:
        return all(turn.is_asleep for turn in self._turns.values())
