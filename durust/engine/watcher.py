"""Waits for workflows to end, for everybody at once: one query a round for all that are waited for."""

from __future__ import annotations

import threading
from concurrent.futures import Future

from durust import clock
from durust.engine.service import Seconds, Service
from durust.errors import ProviderUnavailable, WorkflowNotFound
from durust.model.filters import ListFilter
from durust.model.records import WorkflowRow
from durust.model.waits import Ending
from durust.model.writes import FinishWorkflow
from durust.storage.provider import StateProvider

# The first look after somebody began to wait; each further one waits twice as long, up to the idle poll.
FIRST_LOOK_SECONDS = 0.005
# A look is followed by a rest of this many times its length, so that all looks take a quarter of one connection at
# most, and by one of a millisecond at least, in which the hints of one batch of endings gather.
REST_FACTOR = 3
REST_SECONDS_MIN = 0.001
# One query asks for this many ids at most.
IDS_MAX = 1000


class Watcher(Service):
    """Completes a future for each workflow that is waited for."""

    def __init__(self, provider: StateProvider, slowest_seconds: float) -> None:
        super().__init__("watcher")
        self._provider, self._slowest = provider, slowest_seconds
        self._mutex = threading.Lock()
        self._awaited: dict[str, list[Future[Ending]]] = {}
        self._pace = FIRST_LOOK_SECONDS
        self._is_closed = False

    def watch(self, workflow_id: str) -> Future[Ending]:
        """Return a future of the workflow's ending. It fails with `WorkflowNotFound` when there is no such row."""
        future: Future[Ending] = Future()
        with self._mutex:
            if self._is_closed:
                future.set_exception(_closed())
                return future
            self._awaited.setdefault(workflow_id, []).append(future)
            self._pace = FIRST_LOOK_SECONDS
        self.wake()
        return future

    def abandon(self, workflow_id: str, future: Future[Ending]) -> None:
        """Stop waiting."""
        with self._mutex:
            futures = self._awaited.get(workflow_id, [])
            if future in futures:
                futures.remove(future)
            if not futures:
                self._awaited.pop(workflow_id, None)

    def hint(self) -> None:
        """Look soon: some workflow ended somewhere."""
        if self._awaited:
            self._pace = FIRST_LOOK_SECONDS
            self.wake()

    def finished(self, write: FinishWorkflow) -> None:
        """Take in the end of a workflow that ran in this process."""
        if write.lease.workflow_id in self._awaited:
            self._settle(write.lease.workflow_id, Ending(write.status, write.output, write.error, write.serialization))

    def run_once(self) -> Seconds | None:
        """Ask once for all that are waited for."""
        with self._mutex:
            ids = list(self._awaited)
        if not ids:
            return None
        begun = clock.monotonic()
        for start in range(0, len(ids), IDS_MAX):
            self._look(ids[start : start + IDS_MAX])
        took = clock.monotonic() - begun
        self._pace = min(self._pace * 2, self._slowest)
        # A hint must not cut this rest short, or a stream of endings would keep the database busy with questions.
        rest = max(REST_SECONDS_MIN, took * REST_FACTOR)
        clock.pause(rest)
        return max(0.0, self._pace - rest)

    def stop(self) -> None:
        """Stop, and fail what is still waited for."""
        super().stop()
        with self._mutex:
            self._is_closed = True
            left, self._awaited = self._awaited, {}
        for futures in left.values():
            for future in futures:
                _complete(future, _closed())

    def _look(self, ids: list[str]) -> None:
        rows = {
            row.workflow_id: row
            for row in self._provider.workflows(ListFilter(workflow_ids=ids, load_output=True, limit=len(ids)))
        }
        for workflow_id in ids:
            row = rows.get(workflow_id)
            if row is None:
                self._settle(workflow_id, WorkflowNotFound(workflow_id))
            elif row.status.is_terminal:
                self._settle(workflow_id, ending_of(row))

    def _settle(self, workflow_id: str, answer: Ending | Exception) -> None:
        with self._mutex:
            futures = self._awaited.pop(workflow_id, [])
        for future in futures:
            _complete(future, answer)


def ending_of(row: WorkflowRow) -> Ending:
    """Return how a terminal row ended."""
    return Ending(row.status, row.output, row.error, row.serialization, row.is_timed_out)


def _complete(future: Future[Ending], answer: Ending | Exception) -> None:
    if not future.set_running_or_notify_cancel():
        return
    if isinstance(answer, Exception):
        future.set_exception(answer)
    else:
        future.set_result(answer)


def _closed() -> ProviderUnavailable:
    return ProviderUnavailable("the engine", "it was closed while a result was waited for")
