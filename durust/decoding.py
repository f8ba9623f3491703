"""Rows with their values read: each by itself, so that one which cannot be read hides no other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from durust.codec import UNTYPED, Codec, Shape
from durust.engine.registry import Definition
from durust.errors import DurustError
from durust.model.attributes import load_attributes
from durust.model.records import Checkpoint, WorkflowRow
from durust.model.roles import load_roles


@dataclass(frozen=True, slots=True)
class DecodedWorkflow:
    """A workflow with its values. What the list did not load, or what cannot be read, is None here."""

    row: WorkflowRow
    args: tuple[Any, ...] | None
    kwargs: dict[str, Any] | None
    output: Any
    error: Exception | None
    attributes: dict[str, Any]
    authenticated_roles: tuple[str, ...]
    unreadable: Mapping[str, str] = field(default_factory=dict)
    """Why a value cannot be read, by `inputs` or `output`; its text stands in the row."""


@dataclass(frozen=True, slots=True)
class DecodedStep:
    """A recorded step with its value."""

    record: Checkpoint
    output: Any
    error: Exception | None
    unreadable: Mapping[str, str] = field(default_factory=dict)
    """Why the value cannot be read, by `output`; its text stands in the record."""


def decode_workflow(row: WorkflowRow, codec: Codec, definition: Definition | None) -> DecodedWorkflow:
    """Read the values of a row, by the annotations of its workflow where that is known. Never raises."""
    # Without annotations a value is the plain JSON that stands there.
    shape = definition.shape if definition else replace(Shape.unknown(row.name), rest=UNTYPED, named_rest=UNTYPED)
    unreadable: dict[str, str] = {}

    def arguments() -> tuple[tuple[Any, ...], dict[str, Any]]:
        return codec.load_arguments(row.inputs, row.serialization, shape)

    args, kwargs = (None, None) if row.inputs is None else _read("inputs", arguments, unreadable) or (None, None)
    return DecodedWorkflow(
        row=row,
        args=args,
        kwargs=kwargs,
        output=_read("output", lambda: codec.load(row.output, row.serialization, shape.result), unreadable),
        error=None if row.error is None else codec.load_error(row.error, row.serialization),
        attributes=load_attributes(row.attributes),
        authenticated_roles=load_roles(row.authenticated_roles),
        unreadable=unreadable,
    )


def decode_step(record: Checkpoint, codec: Codec) -> DecodedStep:
    """Read the value of a recorded step, as plain JSON. Never raises."""
    unreadable: dict[str, str] = {}
    return DecodedStep(
        record=record,
        output=_read("output", lambda: codec.load(record.output, record.serialization), unreadable),
        error=None if record.error is None else codec.load_error(record.error, record.serialization),
        unreadable=unreadable,
    )


def _read(what: str, load: Callable[[], Any], unreadable: dict[str, str]) -> Any:
    try:
        return load()
    except DurustError as error:
        unreadable[what] = str(error)
    except Exception as error:  # noqa: BLE001  classes of the user's rebuild the value and may raise anything
        unreadable[what] = f"{type(error).__name__}: {error}"
    return None
