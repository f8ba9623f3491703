"""What a running workflow bears: the user for whom it runs, his roles, and the attributes by which it is found."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Coroutine, Mapping
from typing import Any

from durust.model.attributes import dump_attributes, load_attributes
from durust.routines.attributes import set_attributes
from durust.routines.effects import Routine, StepEnd
from durust.routines.run import Run


class Bearing:
    """What both colours share."""

    _run: Run

    @property
    def authenticated_user(self) -> str | None:
        """Return the user for whom this workflow runs, as its starter named him."""
        return self._run.authenticated_user

    @property
    def authenticated_roles(self) -> tuple[str, ...]:
        """Return the roles of that user, as the starter named them."""
        return self._run.authenticated_roles

    @property
    def assumed_role(self) -> str | None:
        """Return the role by which this workflow was let in, the first of its `required_roles` that the user has."""
        return self._run.assumed_role

    @property
    def attributes(self) -> dict[str, Any]:
        """Return the attributes as this execution found them, with what it has set since.

        They are not recorded, and anybody may change them: a replay may see others, so nothing durable is to be decided
        by them but in a step.
        """
        return load_attributes(self._run.attributes)


class Bearer(Bearing, ABC):
    """The operations of an `async def` workflow."""

    @abstractmethod
    def _ensure_here(self, asked: str) -> None:
        """Refuse an operation that is asked for elsewhere than in the body. Raises `NotInWorkflow`."""

    @abstractmethod
    def _end(self, place: int, routine: Routine[StepEnd], *, is_wait: bool = False) -> Coroutine[Any, Any, Any]:
        """Carry an operation out and return how it ended, or raise that."""

    def set_attributes(self, attributes: Mapping[str, Any]) -> Coroutine[Any, Any, None]:
        """Give this workflow attributes beside those it has, for lists to find it by; recorded, so it happens once.

        A None takes one away; a nested object is replaced whole. Raises `InvalidArgument` for what JSON cannot carry.
        """
        self._ensure_here("ctx.set_attributes")
        patch = dump_attributes(attributes, may_remove=True)
        place = self._run.take_place()
        return self._end(place, set_attributes(self._run, place, patch))


class SyncBearer(Bearing, ABC):
    """The operations of a `def` workflow."""

    @abstractmethod
    def _ensure_here(self, asked: str) -> None:
        """Refuse an operation that is asked for elsewhere than in the body. Raises `NotInWorkflow`."""

    @abstractmethod
    def _end(self, routine: Routine[StepEnd]) -> Any:
        """Carry an operation out and return how it ended, or raise that."""

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Give this workflow attributes beside those it has, for lists to find it by; recorded, so it happens once.

        A None takes one away; a nested object is replaced whole. Raises `InvalidArgument` for what JSON cannot carry.
        """
        self._ensure_here("ctx.set_attributes")
        patch = dump_attributes(attributes, may_remove=True)
        self._end(set_attributes(self._run, self._run.take_place(), patch))
