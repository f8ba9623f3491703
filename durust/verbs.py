"""What the verbs of engines and clients stand on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol

from durust.codec import Codec
from durust.engine.journal import Journal
from durust.handle import Source, WorkflowHandle
from durust.model.filters import Scope
from durust.model.options import WorkflowOptions
from durust.model.queues import QueueDefinition
from durust.settings import Settings
from durust.storage.provider import Hint


class Footing(Source, Protocol):
    """A way into the database: an engine that runs, or a client's outpost."""

    @property
    def journal(self) -> Journal:
        """Return what commits writes."""

    @property
    def settings(self) -> Settings:
        """Return what the engine or the client was told."""

    def scope(self) -> Scope:
        """Return whose workflows are meant where nothing else is said."""

    def tell(self, hints: Sequence[Hint]) -> None:
        """Tell everybody that something changed."""


class Verbs(ABC):
    """The base of all verbs that block; what they do differs between an engine and a client by this alone."""

    @abstractmethod
    def _footing(self, asked: str) -> Footing:
        """Return the way into the database, for the verb that was *asked*. Raises `NotLaunched`."""

    @abstractmethod
    def _run_of(self, workflow_id: str, workflow: str, type_: Any = None) -> WorkflowHandle[Any]:
        """Return a handle to a run of a workflow, whose result is rebuilt as *type_* or as its annotation says."""

    @abstractmethod
    def _queue_for(self, queue: str | QueueDefinition, options: Sequence[WorkflowOptions]) -> str:
        """Return the name of a queue that takes starts with *options*. Raises `QueueNotFound`, `InvalidArgument`."""


def plain_codec(settings: Settings) -> Codec:
    """Return how values are written and read that no workflow's own choice is known for."""
    return Codec(settings.serializer, settings.value_bytes_max)
