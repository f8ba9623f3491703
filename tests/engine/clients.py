"""Clients beside the engines of a stage."""

from __future__ import annotations

from typing import Any

from durust import DurableClient, DurableEngine, Settings, WorkflowQueue
from tests.engine.stage import QUICK, Stage


def make_client(stage: Stage, **settings: Any) -> DurableClient:
    """Return a client of the stage's database, to be closed by its test; in memory it shares the stage's provider."""
    database = stage.provider if stage.url.startswith("memory:") else stage.url
    return DurableClient(database, settings=Settings(**{**QUICK, **settings}))


def launch(stage: Stage, *workflows: Any, queue: str = "mail", **settings: Any) -> DurableEngine:
    """Return a launched engine that knows *workflows* by the names of their functions, and serves *queue*."""
    engine = stage.make_engine(**settings)
    for workflow in workflows:
        engine.register(workflow.__name__, workflow)
    engine.register_queue(WorkflowQueue(queue))
    engine.launch()
    return engine
