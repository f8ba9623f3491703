"""Tells when the tasks of a body have done all that follows from the last thing that happened to it."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable

from durust.engine.current import CURRENT
from durust.routines.run import Run

# So many rounds of the loop the body's tasks may go on before the next thing happens all the same: far more than any
# nesting of gathers and groups takes to pass a result on, and a body that polls in a circle must not wait for itself.
ROUNDS_MAX = 64


class Stillness:
    """Looks once a round of its loop, for all runs that asked: what is ready to run, and whose it is."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._ready = getattr(loop, "_ready", None)
        self._call_soon = loop.call_soon
        # Empty, so that what is called in it belongs to no body.
        self._context = contextvars.Context()
        self._asked: dict[Run, tuple[Callable[[], None], int]] = {}
        self._is_looking = False

    def ask(self, run: Run, answer: Callable[[], None]) -> None:
        """Have *answer* called, in no body's context, when nothing of the run's body is about to run."""
        rounds = self._asked[run][1] if run in self._asked else 0
        # Where nothing shows, each new thing has to be given its time; elsewhere a body could go on asking for ever.
        self._asked[run] = (answer, 0 if self._ready is None else rounds)
        if not self._is_looking:
            self._is_looking = True
            self._call_soon(self._look, context=self._context)

    def _look(self) -> None:
        asked, self._asked = self._asked, {}
        stirring = self._stirring()
        still = []
        for run, (answer, rounds) in asked.items():
            if rounds < ROUNDS_MAX and (stirring is None or run in stirring):
                self._asked[run] = (answer, rounds + 1)
            else:
                still.append(answer)
        self._is_looking = bool(self._asked)
        if self._is_looking:
            self._call_soon(self._look, context=self._context)
        for answer in still:
            answer()

    def _stirring(self) -> set[Run] | None:
        """Return the runs of which something is about to run; None where the loop does not show that."""
        if self._ready is None:
            return None
        stirring = set()
        for handle in self._ready:
            activity = handle._context.get(CURRENT)  # noqa: SLF001  there is no other way to see what waits to run
            if activity is not None and not activity.in_step:
                stirring.add(activity.run)
        return stirring
