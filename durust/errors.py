"""What can go wrong, one class for each remedy."""

from __future__ import annotations

from typing import Any

# Values of these travel as they are.
_PLAIN = (bool, int, float, str, bytes, type(None))
# As arguments nest; what holds itself has no end.
_PLAIN_DEPTH = 8


def _is_plain(value: Any, depth: int = _PLAIN_DEPTH) -> bool:
    if isinstance(value, dict):
        return depth > 0 and all(_is_plain(part, depth - 1) for item in value.items() for part in item)
    if isinstance(value, list | tuple | set | frozenset):
        return depth > 0 and all(_is_plain(part, depth - 1) for part in value)
    return type(value) in _PLAIN


class DurustError(Exception):
    """The root of every error that durust raises for its users to catch."""


class NotLaunched(DurustError):
    """The engine was used before `launch()` or after `close()`."""

    def __init__(self, asked: str) -> None:
        super().__init__(asked)
        self.asked = asked

    def __str__(self) -> str:
        return f"{self.asked}: the engine is not running; call engine.launch() first, or use `with DurableEngine(...)`"


class NotInWorkflow(DurustError):
    """A durable operation was asked for where no workflow of this thread or task is running."""

    def __init__(self, asked: str) -> None:
        super().__init__(asked)
        self.asked = asked

    def __str__(self) -> str:
        return f"{self.asked} works only in the body of a running workflow, in the thread or task that runs it"


class NotInStep(DurustError):
    """What only the function of a step can ask was asked elsewhere."""

    def __init__(self, asked: str) -> None:
        super().__init__(asked)
        self.asked = asked

    def __str__(self) -> str:
        return f"{self.asked} names the step whose function asks for it, and no step's function is running here"


class Shown:
    """A value of another process, of which only its looks are left."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


class InvalidArgument(DurustError, ValueError):
    """An argument has a value that cannot be meant."""

    def __init__(self, name: str, value: Any, wanted: str) -> None:
        super().__init__(name, value, wanted)
        self.name, self.value, self.wanted = name, value, wanted

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle anything but plain values as what it looks like: a function or an engine does not travel."""
        value = self.value if _is_plain(self.value) else Shown(repr(self.value))
        return type(self), (self.name, value, self.wanted)

    def __str__(self) -> str:
        return f"{self.name}={self.value!r}: {self.wanted}"


class WorkflowNotFound(DurustError):
    """No workflow of that id is in the database."""

    def __init__(self, workflow_id: str) -> None:
        super().__init__(workflow_id)
        self.workflow_id = workflow_id

    def __str__(self) -> str:
        return f"there is no workflow {self.workflow_id!r} in this database"


class WorkflowNotRegistered(DurustError):
    """No workflow of that name is registered in this process."""

    def __init__(self, name: str, known: tuple[str, ...] = ()) -> None:
        super().__init__(name, known)
        self.name, self.known = name, known

    def __str__(self) -> str:
        known = ", ".join(self.known) or "none"
        return (
            f"no workflow is registered as {self.name!r}; decorate it with @durust.workflow or import its module "
            f"(registered: {known})"
        )


class WorkflowConflict(DurustError):
    """The id, or the name, already stands for another workflow."""

    def __init__(self, subject: str, asked: str, existing: str) -> None:
        super().__init__(subject, asked, existing)
        self.subject, self.asked, self.existing = subject, asked, existing

    def __str__(self) -> str:
        return f"{self.subject} is taken: asked for {self.asked}, but it already stands for {self.existing}"


class NotAuthorized(DurustError):
    """The workflow demands a role that the user for whom it is started does not have."""

    def __init__(self, workflow: str, user: str | None, roles: tuple[str, ...], required: tuple[str, ...]) -> None:
        super().__init__(workflow, user, roles, required)
        self.workflow, self.user, self.roles, self.required = workflow, user, tuple(roles), tuple(required)

    def __str__(self) -> str:
        held = ", ".join(self.roles) or "no role"
        return (
            f"workflow {self.workflow!r} demands one of the roles {', '.join(self.required)}, and "
            f"{'nobody' if self.user is None else repr(self.user)} has {held}; start it with "
            "WorkflowOptions(authenticated_user=..., authenticated_roles=[...])"
        )


class WorkflowCancelled(DurustError):
    """The workflow was cancelled, so it has no result."""

    def __init__(self, workflow_id: str) -> None:
        super().__init__(workflow_id)
        self.workflow_id = workflow_id

    def __str__(self) -> str:
        return f"workflow {self.workflow_id} was cancelled"


class WorkflowTimedOut(WorkflowCancelled):
    """The workflow was cancelled because its deadline had passed."""

    def __str__(self) -> str:
        return f"workflow {self.workflow_id} did not end before its deadline, so it was cancelled"


class QueueNotFound(DurustError):
    """The queue is neither declared in this process nor stored in the database."""

    def __init__(self, name: str, known: tuple[str, ...] = ()) -> None:
        super().__init__(name, known)
        self.name, self.known = name, known

    def __str__(self) -> str:
        known = ", ".join(self.known) or "none"
        return f"there is no queue {self.name!r}; declare it with WorkflowQueue({self.name!r}) (declared: {known})"


class ScheduleNotFound(DurustError):
    """No schedule of that name belongs to the application."""

    def __init__(self, name: str, known: tuple[str, ...] = ()) -> None:
        super().__init__(name, known)
        self.name, self.known = name, known

    def __str__(self) -> str:
        return f"there is no schedule {self.name!r} (there are: {', '.join(self.known) or 'none'})"


class ScheduleConflict(DurustError):
    """The name already stands for another schedule."""

    def __init__(self, name: str, workflow: str, app_name: str) -> None:
        super().__init__(name, workflow, app_name)
        self.name, self.workflow, self.app_name = name, workflow, app_name

    def __str__(self) -> str:
        return (
            f"the schedule name {self.name!r} is taken, by one of workflow {self.workflow!r} in application "
            f"{self.app_name!r}; choose another name, or delete that one first"
        )


class VersionNotFound(DurustError):
    """No version of that name is registered for the application."""

    def __init__(self, name: str, known: tuple[str, ...] = ()) -> None:
        super().__init__(name, known)
        self.name, self.known = name, known

    def __str__(self) -> str:
        known = ", ".join(self.known) or "none"
        return f"there is no version {self.name!r}; an engine registers its own when it launches (registered: {known})"


class QueueDeduplicated(DurustError):
    """Another workflow on the queue already holds the deduplication id."""

    def __init__(self, queue: str, dedup_id: str, holder_id: str) -> None:
        super().__init__(queue, dedup_id, holder_id)
        self.queue, self.dedup_id, self.holder_id = queue, dedup_id, holder_id

    def __str__(self) -> str:
        return f"queue {self.queue!r} already holds {self.dedup_id!r}, as workflow {self.holder_id}"


class StepDiverged(DurustError):
    """The workflow asked for a step that its history does not hold at that place."""

    def __init__(self, workflow_id: str, place: int, asked: str, recorded: str) -> None:
        super().__init__(workflow_id, place, asked, recorded)
        self.workflow_id, self.place = workflow_id, place
        self.asked, self.recorded = asked, recorded

    def __str__(self) -> str:
        return (
            f"step {self.place} of {self.workflow_id}: the code asked for {self.asked!r}, "
            f"history has {self.recorded!r}; control flow must be deterministic, and a changed body needs a new version"
        )


class StepRetriesExhausted(DurustError):
    """Each attempt that a step was allowed has failed."""

    def __init__(self, name: str, attempts: int, errors: tuple[Exception, ...]) -> None:
        super().__init__(name, attempts, errors)
        self.name, self.attempts, self.errors = name, attempts, tuple(errors)

    def __str__(self) -> str:
        last = f"{type(self.errors[-1]).__name__}: {self.errors[-1]}" if self.errors else "unknown"
        return f"step {self.name!r} failed in all {self.attempts} attempts; the last error was {last}"


class StepTimedOut(DurustError):
    """An attempt of a step took longer than the step's timeout, so it was cancelled."""

    def __init__(self, name: str, seconds: float) -> None:
        super().__init__(name, seconds)
        self.name, self.seconds = name, seconds

    def __str__(self) -> str:
        return f"step {self.name!r} did not end within {self.seconds} s"


class StepCancelled(DurustError):
    """The step was cut short: the task that waited for it was cancelled, as by a timeout of the workflow's body.

    It stands in the step's record; the body itself saw the cancellation, and sees it again in each replay.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"step {self.name!r} was cut short by the workflow's own code"


class StreamClosed(DurustError):
    """A value was written behind the end of a stream, and is not in it."""

    def __init__(self, workflow_id: str, key: str) -> None:
        super().__init__(workflow_id, key)
        self.workflow_id, self.key = workflow_id, key

    def __str__(self) -> str:
        return f"stream {self.key!r} of workflow {self.workflow_id} was closed before this value"


class StreamTimedOut(DurustError, TimeoutError):
    """A stream brought no further value for as long as its reader would wait."""

    def __init__(self, workflow_id: str, key: str, offset: int, seconds: float) -> None:
        super().__init__()
        # What `OSError`, the base of a `TimeoutError`, would make of them is something else.
        self.args = (workflow_id, key, offset, seconds)
        self.workflow_id, self.key, self.offset, self.seconds = workflow_id, key, offset, seconds

    def __str__(self) -> str:
        return (
            f"stream {self.key!r} of workflow {self.workflow_id} brought no value at offset {self.offset} within "
            f"{self.seconds} s"
        )


class MaxRecoveryAttemptsExceeded(DurustError):
    """The workflow was started again more often than its cap allows, so it was set aside."""

    def __init__(self, workflow_id: str, attempts: int) -> None:
        super().__init__(workflow_id, attempts)
        self.workflow_id, self.attempts = workflow_id, attempts

    def __str__(self) -> str:
        return f"workflow {self.workflow_id} was set aside after {self.attempts} attempts that did not end"


class SerializationError(DurustError):
    """A value cannot be written so that it reads back the same, or text cannot be read."""

    def __init__(self, path: str, reason: str, remedy: str) -> None:
        super().__init__(path, reason, remedy)
        self.path, self.reason, self.remedy = path, reason, remedy

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}; {self.remedy}"


class ProviderUnavailable(DurustError):
    """The database cannot be reached, or went away. Nothing is lost; the work goes on when it answers."""

    def __init__(self, provider: str, reason: str) -> None:
        super().__init__(provider, reason)
        self.provider, self.reason = provider, reason

    def __str__(self) -> str:
        return f"{self.provider} does not answer: {self.reason}"


class ProviderMisuse(DurustError):
    """The provider cannot be used in this way: a network file system, a fork, several processes on memory."""

    def __init__(self, provider: str, reason: str, remedy: str) -> None:
        super().__init__(provider, reason, remedy)
        self.provider, self.reason, self.remedy = provider, reason, remedy

    def __str__(self) -> str:
        return f"{self.provider}: {self.reason}; {self.remedy}"


class SchemaMismatch(DurustError):
    """The database holds tables that durust cannot serve, so it was left untouched."""

    def __init__(self, database: str, found: str, wanted: str) -> None:
        super().__init__(database, found, wanted)
        self.database, self.found, self.wanted = database, found, wanted

    def __str__(self) -> str:
        return (
            f"the schema of {self.database} does not fit: found {self.found}, wanted {self.wanted}; nothing was changed"
        )


class RemoteError(DurustError):
    """An error recorded elsewhere whose class cannot be rebuilt here."""

    def __init__(self, name: str, message: str, code: int | str | None = None, data: Any = None) -> None:
        super().__init__(name, message, code, data)
        self.name, self.message, self.code, self.data = name, message, code, data

    def __str__(self) -> str:
        return f"{self.name}: {self.message}"


class Unwind(BaseException):
    """Leaves a run whose lease is lost, that parks or that is handed back. Never an outcome of the workflow.

    It derives from `BaseException` so that `except Exception` in a workflow's body lets it pass. The engine judges a
    run by its mark, not by this type, because user code can still swallow or wrap it.
    """
