"""In which order the operations of an async run come back: the same in every execution.

Places are taken in the order of the calls, so the numbering of a run with several tasks depends on which operation
comes back first. Completion times are recorded so that they never go back; operations are handed over in the order of
(completion time, place), one at a time, and the next only after the run's tasks had time to make their next calls. A
replay reads that order from history and keeps to it.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Sequence

from durust.telemetry import emit

# Loop rounds between two hand-overs of one run: a task that is woken needs one, a gather or a task group two more for
# each level of nesting, so this covers three levels.
ROUNDS_BETWEEN = 8
# How long a replay waits for a record that nobody asks for; then it goes on without it. Only code whose control flow
# is not deterministic gets here.
STALLED_SECONDS = 5.0
# How long the tasks of a run get to call their next operations before the run counts as waiting.
SETTLE_SECONDS = 0.005

Key = tuple[int, int]


class Turn:
    """One operation that was called and has not come back."""

    __slots__ = ("future", "is_asleep", "is_queued", "is_ready", "key", "place", "task")

    def __init__(self, place: int) -> None:
        self.place = place
        self.task = asyncio.current_task()
        self.key: Key | None = None
        self.is_ready = False
        self.is_asleep = False
        self.is_queued = False
        self.future: asyncio.Future[None] | None = None


class Turns:
    """The operations of one run that are under way. Belongs to its loop."""

    def __init__(
        self,
        replay: Sequence[int],
        now_ms: Callable[[], int],
        park: Callable[[int, list[int]], None],
        park_after_ms: Callable[[], float],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._replay = deque(replay)
        self._replayed = frozenset(replay)
        self._now_ms = now_ms
        self._park = park
        self._park_after_ms = park_after_ms
        self._turns: dict[int, Turn] = {}
        self._heap: list[tuple[Key, Turn]] = []
        self._rounds = 0
        self._pumping = False
        self._alarm: asyncio.TimerHandle | None = None
        self._stall: asyncio.TimerHandle | None = None
        self._settling: asyncio.TimerHandle | None = None

    def enter(self, place: int) -> Turn:
        """Begin the operation at *place*."""
        turn = self._turns[place] = Turn(place)
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

    async def deliver(self, turn: Turn) -> None:
        """Return when it is this finished operation's turn to come back."""
        if turn.is_asleep:
            return
        turn.is_ready = True
        if not self._replay and len(self._turns) == 1:
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
        for timer in (self._alarm, self._stall, self._settling):
            if timer is not None:
                timer.cancel()
        self._turns.clear()
        self._heap.clear()
        self._replay.clear()

    def _queue(self, turn: Turn, at_ms: int) -> None:
        turn.key = (at_ms, turn.place)
        if not turn.is_queued:
            turn.is_queued = True
            heapq.heappush(self._heap, (turn.key, turn))

    async def _hand_over(self, turn: Turn) -> None:
        turn.future = self._loop.create_future()
        self._poke()
        await turn.future

    def _forget(self, place: int) -> None:
        try:
            self._replay.remove(place)
        except ValueError:
            return

    def _poke(self) -> None:
        """See, some rounds from now, whether somebody's turn has come."""
        self._rounds = ROUNDS_BETWEEN
        if not self._pumping:
            self._pumping = True
            self._loop.call_soon(self._round)

    def _round(self) -> None:
        if self._rounds > 0:
            self._rounds -= 1
            self._loop.call_soon(self._round)
            return
        self._pumping = False
        turn = self._next()
        if turn is None or turn.future is None or turn.future.done():
            return
        turn.future.set_result(None)

    def _next(self) -> Turn | None:
        """Return the operation whose turn it is, or None when the run has to wait for one."""
        if self._replay:
            turn = self._turns.get(self._replay[0])
            if turn is not None and (turn.is_ready or turn.is_asleep):
                return turn
            if turn is None and self._stall is None:
                self._stall = self._loop.call_later(STALLED_SECONDS, self._skip, self._replay[0])
            return None
        while self._heap and self._turns.get(self._heap[0][1].place) is not self._heap[0][1]:
            heapq.heappop(self._heap)
        if not self._heap:
            return None
        (at_ms, _), turn = self._heap[0]
        if turn.is_ready:
            return turn
        if turn.is_asleep:
            left_ms = at_ms - self._now_ms()
            if left_ms <= 0:
                return turn
            self._set_alarm(left_ms)
            self._consider_parking(left_ms)
        return None

    def _set_alarm(self, left_ms: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = self._loop.call_later(left_ms / 1000, self._poke)

    def _consider_parking(self, left_ms: float) -> None:
        if left_ms <= self._park_after_ms() or not self._all_asleep():
            return
        if self._settling is not None:
            self._settling.cancel()
        self._settling = self._loop.call_later(SETTLE_SECONDS, self._park_if_settled)

    def _park_if_settled(self) -> None:
        if not self._turns or not self._all_asleep():
            return
        soonest = min(turn.key for turn in self._turns.values() if turn.key is not None)
        if soonest[0] - self._now_ms() > self._park_after_ms():
            self._park(soonest[0], sorted(self._turns))

    def _all_asleep(self) -> bool:
        return all(turn.is_asleep for turn in self._turns.values())

    def _skip(self, place: int) -> None:
        self._stall = None
        if self._replay and self._replay[0] == place and place not in self._turns:
            emit("replay_skipped", place=place)
            self._replay.popleft()
        if self._turns:
            self._poke()
