"""Finds out, without the supervisor's help, that this worker's executor was declared dead."""

from __future__ import annotations

from collections.abc import Callable

from durust.engine.service import Seconds, Service
from durust.engine.supervision import LeaseKeeper
from durust.model.filters import ExecutorQuery
from durust.storage.provider import StateProvider


class Fence(Service):
    """Asks the database about the executor while its lease is not trusted, and only then.

    The supervisor kills a worker whose beat does not bring it back; but a supervisor may be stopped, or wait for the
    database on a path that the worker does not need.
    """

    def __init__(
        self,
        provider: StateProvider,
        executor_id: str,
        lease: LeaseKeeper,
        look_seconds: float,
        on_dead: Callable[[], None],
    ) -> None:
        super().__init__("fence")
        self._query = ExecutorQuery(executor_ids=(executor_id,), states=("DEAD",))
        self._provider, self._lease = provider, lease
        self._look_seconds, self._on_dead = look_seconds, on_dead

    def run_once(self) -> Seconds | None:
        """Look once; None once the executor was found dead."""
        if self._lease.trusted() or not self._provider.executors(self._query):
            return self._look_seconds
        self._on_dead()
        return None
