"""What one start of a workflow asks for beside its arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from durust.errors import InvalidArgument
from durust.model.attributes import dump_attributes, load_attributes
from durust.model.names import check_name
from durust.model.retry import duration_seconds
from durust.model.roles import check_roles, dump_roles

# The column is a 32-bit integer in the canonical schema.
PRIORITY_MAX = 2**31 - 1
# Its milliseconds fit into every database.
TIMEOUT_SECONDS_MAX = timedelta.max.total_seconds()
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowOptions:
    """How to start one workflow.

    `workflow_id` names the run (default: a fresh, time-ordered id); the same id never runs twice. `priority`: lower
    goes first, 0 is the default and the highest. `dedup_id` admits one workflow of that id to its queue until it ends;
    another one raises `QueueDeduplicated`, or with `on_duplicate="return"` answers the handle of the one that holds it.
    `delay` (seconds or a timedelta) keeps it from being claimed before. `timeout` (likewise) is how long it may take
    from its first start on, crashes and waits included, and `deadline` the instant at which it must have ended; then it
    is cancelled; a child has to end before its parent has to, unless `inherits_deadline=False`. `partition_key` says to
    which partition of a partitioned queue it belongs. `app_version` pins it to executors of that version. `attributes`
    is a small JSON object by which lists find the workflow. `authenticated_user` and `authenticated_roles` say for whom
    it runs; it keeps them over every recovery.

    Raises `InvalidArgument` for values that cannot be meant.
    """

    workflow_id: str | None = None
    priority: int = 0
    dedup_id: str | None = None
    on_duplicate: Literal["raise", "return"] = "raise"
    delay: float | timedelta = 0.0
    timeout: float | timedelta | None = None
    deadline: datetime | None = None
    partition_key: str | None = None
    app_version: str | None = None
    attributes: Mapping[str, Any] | None = None
    authenticated_user: str | None = None
    authenticated_roles: Sequence[str] = ()
    inherits_deadline: bool = True

    def __post_init__(self) -> None:
        """Check each field."""
        for name in ("workflow_id", "dedup_id", "partition_key", "app_version", "authenticated_user"):
            if (value := getattr(self, name)) is not None:
                check_name(name, value)
        if (
            isinstance(self.priority, bool)
            or not isinstance(self.priority, int)
            or not 0 <= self.priority <= PRIORITY_MAX
        ):
            raise InvalidArgument("priority", self.priority, f"must be an integer from 0 (first) to {PRIORITY_MAX}")
        if self.on_duplicate not in {"raise", "return"}:
            raise InvalidArgument("on_duplicate", self.on_duplicate, "must be 'raise' or 'return'")
        if self.on_duplicate == "return" and self.dedup_id is None:
            raise InvalidArgument("on_duplicate", self.on_duplicate, "needs a dedup_id, whose holder it asks for")
        object.__setattr__(self, "authenticated_roles", check_roles("authenticated_roles", self.authenticated_roles))
        if self.attributes is not None:
            # A copy, because whoever made the options may go on with his own.
            object.__setattr__(self, "attributes", load_attributes(dump_attributes(self.attributes)))
        duration_seconds("delay", self.delay)
        if self.timeout is not None:
            seconds = duration_seconds("timeout", self.timeout)
            if seconds == 0:
                raise InvalidArgument("timeout", self.timeout, "must be longer than nothing")
            if seconds > TIMEOUT_SECONDS_MAX:
                raise InvalidArgument("timeout", self.timeout, "must be no longer than timedelta.max")
        if self.deadline is not None:
            if not isinstance(self.deadline, datetime) or self.deadline.utcoffset() is None:
                raise InvalidArgument(
                    "deadline", self.deadline, "must be a datetime with a time zone, as in datetime.now(UTC)"
                )
            if self.timeout is not None:
                raise InvalidArgument("deadline", self.deadline, "and timeout exclude each other; give one of them")

    @property
    def attributes_text(self) -> str | None:
        """Return the attributes as a row holds them; None for none."""
        return dump_attributes(self.attributes) if self.attributes else None

    @property
    def roles_text(self) -> str | None:
        """Return the roles as a row holds them; None for none."""
        return dump_roles(self.authenticated_roles)

    @property
    def delay_seconds(self) -> float:
        """Return the delay in seconds."""
        return duration_seconds("delay", self.delay)

    @property
    def timeout_ms(self) -> int | None:
        """Return the timeout in milliseconds."""
        # At least one, because a timeout that is shorter is still none that has passed.
        return None if self.timeout is None else max(1, round(duration_seconds("timeout", self.timeout) * 1000))

    @property
    def deadline_ms(self) -> int | None:
        """Return the deadline in epoch milliseconds."""
        return None if self.deadline is None else (self.deadline - _EPOCH) // timedelta(milliseconds=1)
