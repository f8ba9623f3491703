"""Which workflows and queues this process knows."""

from __future__ import annotations

import ast
import hashlib
import inspect
import textwrap
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import CodeType
from typing import Any

from durust.codec import UNTYPED, Shape
from durust.errors import InvalidArgument, NotAuthorized, WorkflowConflict, WorkflowNotRegistered
from durust.model.names import check_name
from durust.model.queues import QueueDefinition
from durust.model.roles import assume, check_roles
from durust.model.schedules import ScheduleDefinition, check_schedule_name

# The field's default: enough for any number of crashes that are not the workflow's own fault.
MAX_RECOVERY_ATTEMPTS_DEFAULT = 100
# 64 bits of the hash: versions are compared among a handful, and read by people.
VERSION_HEX_DIGITS = 16


@dataclass(frozen=True)
class Definition:
    """A registered workflow: its function, and what durust has to know of it."""

    name: str
    fn: Callable[..., Any]
    max_recovery_attempts: int = MAX_RECOVERY_ATTEMPTS_DEFAULT
    serializer: str | None = None
    schedule: ScheduleDefinition | None = None
    required_roles: Sequence[str] = ()
    """Of these the user for whom it runs must have one."""
    is_async: bool = field(init=False)

    def __post_init__(self) -> None:
        """Check the name and the signature."""
        check_name("workflow name", self.name)
        if not callable(self.fn):
            raise InvalidArgument(
                "workflow", self.fn, "must be a function; options are given by name, as in name='...'"
            )
        if inspect.isgeneratorfunction(self.fn) or inspect.isasyncgenfunction(self.fn):
            raise InvalidArgument("workflow", self.name, "is a generator, and a workflow returns one result")
        if self.serializer not in {None, "json", "pickle"}:
            raise InvalidArgument("serializer", self.serializer, "must be 'json' or 'pickle'")
        object.__setattr__(self, "required_roles", check_roles("required_roles", self.required_roles))
        object.__setattr__(self, "is_async", inspect.iscoroutinefunction(self.fn))
        parameters = list(inspect.signature(self.fn).parameters.values())
        if not parameters or parameters[0].kind not in {
            inspect.Parameter.POSITIONAL_ONLY,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
        }:
            raise InvalidArgument(
                "workflow",
                self.name,
                "the first parameter of a workflow is its context, as in `def f(ctx: DurableContext, ...)`",
            )
        if any(parameter.name == "options" for parameter in parameters):
            raise InvalidArgument(
                "workflow", self.name, "`options` is reserved for WorkflowOptions; rename the parameter"
            )
        if (
            isinstance(self.max_recovery_attempts, bool)
            or not isinstance(self.max_recovery_attempts, int)
            or self.max_recovery_attempts < 0
        ):
            raise InvalidArgument(
                "max_recovery_attempts", self.max_recovery_attempts, "must be an integer of 0 or more"
            )
        if self.schedule is not None:
            check_schedule_name(self.name)
            self.demand_tick()

    def demand_tick(self) -> None:
        """Check that a schedule can run it. Raises `InvalidArgument` unless it takes one `ScheduledInput`.

        One that demands a role is refused as well, because a schedule names nobody who could have it.
        """
        if self.required_roles:
            raise InvalidArgument(
                "required_roles", self.required_roles, "are demanded of a user, and a schedule has none"
            )
        # Not the shape that is kept: while the module loads not each of the other annotations can be resolved.
        shape = Shape.of(self.fn, skip_first=True)
        wanted = "a schedule calls it with one argument, so write `def f(ctx, tick: ScheduledInput)`"
        try:
            shape.bind((None,), {})
        except TypeError as error:
            raise InvalidArgument("workflow", self.name, f"{wanted}: {error}") from None
        if shape.positional(0)[1] is UNTYPED:
            raise InvalidArgument("workflow", self.name, f"{wanted}: without the annotation it would get plain JSON")

    def admit(self, user: str | None, roles: Sequence[str]) -> str | None:
        """Return the role by which a user may run it; None where it demands none. Raises `NotAuthorized`."""
        role = assume(self.required_roles, roles)
        if self.required_roles and role is None:
            raise NotAuthorized(self.name, user, tuple(roles), tuple(self.required_roles))
        return role

    @cached_property
    def shape(self) -> Shape:
        """Return what the function's annotations say."""
        return Shape.of(self.fn, skip_first=True)

    @cached_property
    def version(self) -> str:
        """Return a hash of the workflow's name and own code: the same on every machine that has this source."""
        return hashlib.sha256(f"{self.name}\n{_code_text(self.fn)}".encode()).hexdigest()[:VERSION_HEX_DIGITS]


def _code_text(fn: Callable[..., Any]) -> str:
    """Return the function's source without its comments and layout, or its byte code where there is no source."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(fn)))
    except (OSError, TypeError, SyntaxError):
        code = getattr(fn, "__code__", None)
        return _byte_code_text(code) if code is not None else repr(type(fn))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            # The decorators say how it is registered, not what it does.
            node.decorator_list = []
    return ast.dump(tree)


def _byte_code_text(code: CodeType) -> str:
    constants = [_constant_text(item) for item in code.co_consts]
    return f"{code.co_code.hex()} {constants} {code.co_names}"


def _constant_text(constant: object) -> str:
    if isinstance(constant, CodeType):
        return _byte_code_text(constant)
    if isinstance(constant, frozenset):
        # Its order differs from process to process.
        return repr(sorted(map(_constant_text, constant)))
    return repr(constant)


def _same_code(one: Definition, other: Definition) -> bool:
    # A script is one module as `__main__` and another one when it is imported, with equal code.
    return one.fn is other.fn or (one.fn.__qualname__ == other.fn.__qualname__ and one.version == other.version)


class Registry:
    """Workflows and queues by name. May be filled from any thread."""

    def __init__(self, base: Registry | None = None) -> None:
        self._base = base
        self._mutex = threading.Lock()
        self._workflows: dict[str, Definition] = {}
        self._queues: dict[str, QueueDefinition] = {}

    def add(self, definition: Definition) -> Definition:
        """Register a workflow. Raises `WorkflowConflict` when the name stands for other code."""
        with self._mutex:
            existing = self._find(definition.name)
            if existing is not None and not _same_code(existing, definition):
                raise WorkflowConflict(
                    f"the workflow name {definition.name!r}", _where(definition.fn), _where(existing.fn)
                )
            self._workflows[definition.name] = definition
        return definition

    def add_queue(self, queue: QueueDefinition) -> QueueDefinition:
        """Declare a queue; declaring it again replaces its limits."""
        with self._mutex:
            self._queues[queue.name] = queue
        return queue

    def find(self, name: str) -> Definition | None:
        """Return the workflow of that name, or None."""
        return self._find(name)

    def get(self, name: str) -> Definition:
        """Return the workflow of that name. Raises `WorkflowNotRegistered`."""
        found = self._find(name)
        if found is None:
            raise WorkflowNotRegistered(name, tuple(sorted(self.names())))
        return found

    def definitions(self) -> list[Definition]:
        """Return all workflows."""
        return [self.get(name) for name in self.names()]

    def names(self) -> list[str]:
        """Return all workflow names."""
        inherited = self._base.names() if self._base is not None else []
        return list(dict.fromkeys([*inherited, *self._workflows]))

    def queues(self) -> dict[str, QueueDefinition]:
        """Return all declared queues by name."""
        inherited = self._base.queues() if self._base is not None else {}
        return {**inherited, **self._queues}

    def _find(self, name: str) -> Definition | None:
        found = self._workflows.get(name)
        return self._base.find(name) if found is None and self._base is not None else found


def _where(fn: Callable[..., Any]) -> str:
    return f"{fn.__module__}.{fn.__qualname__}"


REGISTRY = Registry()
"""What decorators and declarations of this process registered; every engine sees it."""


def workflow_names() -> Iterable[str]:
    """Return the names of all decorated workflows of this process."""
    return REGISTRY.names()


def queue_names() -> Iterable[str]:
    """Return the names of all queues that were declared in this process."""
    return REGISTRY.queues()
