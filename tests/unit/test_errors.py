"""An error travels between processes."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from durust import errors
from durust.errors import DurustError, InvalidArgument

ARGUMENTS: dict[type[DurustError], tuple[Any, ...]] = {
    errors.NotLaunched: ("engine.start",),
    errors.NotInStep: ("ctx.step_key",),
    errors.NotInWorkflow: ("ctx.step",),
    errors.InvalidArgument: ("slots", -1, "must be more than 0"),
    errors.WorkflowNotFound: ("order-1",),
    errors.WorkflowNotRegistered: ("ship", ("send",)),
    errors.WorkflowConflict: ("the id 'order-1'", "ship", "send"),
    errors.NotAuthorized: ("ship", "ann", ("clerk",), ("admin", "boss")),
    errors.WorkflowCancelled: ("order-1",),
    errors.QueueNotFound: ("beds", ()),
    errors.VersionNotFound: ("v9", ("v1",)),
    errors.QueueDeduplicated: ("beds", "one", "order-1"),
    errors.ScheduleNotFound: ("nightly", ("hourly",)),
    errors.ScheduleConflict: ("nightly", "ship", "shop"),
    errors.StepDiverged: ("order-1", 1, "ship", "send"),
    errors.StepRetriesExhausted: ("ship", 2, (ValueError(1), KeyError("two"))),
    errors.StepTimedOut: ("ship", 0.5),
    errors.StepCancelled: ("ship",),
    errors.MaxRecoveryAttemptsExceeded: ("order-1", 3),
    errors.SerializationError: ("result", "it has no form", "annotate it"),
    errors.ProviderUnavailable: ("sqlite://", "it is gone"),
    errors.ProviderMisuse: ("sqlite://", "it forked", "open it anew"),
    errors.SchemaMismatch: ("sqlite://", "100", "125"),
    errors.StreamClosed: ("order-1", "tokens"),
    errors.StreamTimedOut: ("order-1", "tokens", 3, 0.5),
    errors.RemoteError: ("Busy", "try later", 7, {"left": 1}),
}


def test_every_error_is_tried() -> None:
    assert set(ARGUMENTS) == set(DurustError.__subclasses__()) & {
        found for found in vars(errors).values() if isinstance(found, type)
    }


@pytest.mark.parametrize("kind", ARGUMENTS)
def test_an_error_survives_pickling(kind: type[DurustError]) -> None:
    error = kind(*ARGUMENTS[kind])

    again = pickle.loads(pickle.dumps(error))

    assert type(again) is kind
    assert str(again) == str(error)
    assert repr(vars(again)) == repr(vars(error))


def test_a_value_that_cannot_travel_leaves_its_looks() -> None:
    error = InvalidArgument("fn", lambda: 1, "must have a name")

    again = pickle.loads(pickle.dumps(error))

    assert str(again) == str(error)
    assert repr(again.value) == repr(error.value)
