"""Engines on one database, and the ways in which a test lets them die."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any
from unittest import mock

import durust.engine.engine
from durust import DurableEngine, Settings, WorkflowHandle
from durust.engine.engine import Engine
from durust.model.filters import ListFilter
from durust.model.records import Checkpoint, WorkflowRow
from durust.model.writes import Outcome, Retire, Write
from durust.storage.provider import StateProvider
from tests.conformance.conftest import open_provider
from tests.support.line import Line
from tests.support.waiting import eventually

# Long enough for a machine with more processes than cores.
PATIENCE = 30.0
# What dies hands nothing back, so it need not be waited for whether its runs unwind: they cannot reach the database.
DEATH_SECONDS = 0.05
QUICK: dict[str, Any] = {
    "beat_seconds": 0.5,
    # Longer than any pause of a busy machine, so that a lease lapses only where a test wants it.
    "lease_seconds": 30.0,
    "sweep_seconds": 0.1,
    "idle_poll_seconds": 0.1,
    "audit_seconds": 0.2,
    "drain_seconds": 5.0,
    "park_after_seconds": 0.2,
    "slots": 20,
}


class Stage:
    """One database, a provider to look at it with, and the engines that a test launched on it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.provider = open_provider(url)
        self._engines: list[DurableEngine] = []
        self._lines: list[Line] = []

    def make_line(self) -> Line:
        """Return a provider of its own for one engine; engines in memory share one."""
        line = Line(self.provider if self.url.startswith("memory:") else open_provider(self.url))
        self._lines.append(line)
        return line

    def make_engine(self, line: StateProvider | None = None, *, slots: int = 20, **settings: Any) -> DurableEngine:
        """Return an engine that was not launched, with quick settings."""
        chosen = Settings(**{**QUICK, "slots": slots, **settings})
        engine = DurableEngine(line or self.make_line(), settings=chosen)
        self._engines.append(engine)
        return engine

    def launch(self, *workflows: Callable[..., Any], **settings: Any) -> DurableEngine:
        """Return a launched engine that knows *workflows* by the names of their functions."""
        engine = self.make_engine(**settings)
        for workflow in workflows:
            engine.register(workflow.__name__, workflow)
        engine.launch()
        return engine

    def line_of(self, engine: DurableEngine) -> Line:
        """Return the line on which an engine reaches the database."""
        line = engine._database
        assert isinstance(line, Line)
        return line

    def crash(self, engine: DurableEngine) -> None:
        """Let an engine die: nothing of it reaches the database any more, and its work goes back to the queues."""
        executor = engine.executor_id
        self.line_of(engine).cut()
        with mock.patch.object(durust.engine.engine, "UNWIND_SECONDS", DEATH_SECONDS):
            engine.close(0)
        self.retire(executor)

    def retire(self, executor_id: str) -> None:
        """Declare an executor dead, as another host does when its lease has ended."""
        self.commit(Retire((executor_id,), "its lease lapsed"))

    def commit(self, *writes: Write) -> list[Outcome]:
        """Commit writes as somebody else would."""
        writer = self.provider.writer()
        try:
            return writer.commit(writes)
        finally:
            writer.close()

    def row(self, workflow: str | WorkflowHandle[Any]) -> WorkflowRow:
        """Read a workflow's row, with its values."""
        workflow_id = workflow if isinstance(workflow, str) else workflow.id
        [row] = self.provider.workflows(ListFilter(workflow_ids=[workflow_id], load_input=True, load_output=True))
        return row

    def rows(self, **query: Any) -> list[WorkflowRow]:
        """List workflows."""
        return self.provider.workflows(ListFilter(**query))

    def history(self, workflow: str | WorkflowHandle[Any]) -> dict[int, Checkpoint]:
        """Read a workflow's records by their places."""
        workflow_id = workflow if isinstance(workflow, str) else workflow.id
        return {record.place: record for record in self.provider.history([workflow_id]).get(workflow_id, ())}

    def names(self, workflow: str | WorkflowHandle[Any]) -> dict[int, str]:
        """Read the names of a workflow's records by their places."""
        return {place: record.name for place, record in sorted(self.history(workflow).items())}

    def close(self) -> None:
        """Close everything, at once."""
        for line in self._lines:
            line.mend()
        for engine in self._engines:
            engine.close(0)
        for line in self._lines:
            if line.behind is not self.provider:
                line.close()
        self.provider.close()


def parts(engine: DurableEngine) -> Engine:
    """Return the parts of a launched engine."""
    assert engine._engine is not None
    return engine._engine


def own_threads() -> list[str]:
    """Return the names of the engine's threads that live."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("durust-")]


def wait_until_no_threads() -> None:
    """Wait until every thread of every engine has ended."""
    eventually(lambda: own_threads() == [])
