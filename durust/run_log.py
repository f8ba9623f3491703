"""The log of one run: its lines name the run, and those that an earlier execution has written stay out."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import Any

from durust.engine.current import CURRENT
from durust.routines.run import Run


class RunLog(logging.LoggerAdapter[logging.Logger]):
    """Gives each record `workflow_id`, `workflow_name` and `attempt`; keeps silent while the run replays."""

    def __init__(self, logger: logging.Logger, run: Run) -> None:
        super().__init__(logger, {"workflow_id": run.workflow_id, "workflow_name": run.name, "attempt": run.attempts})
        self._run = run

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802  the name that logging has for it
        """Tell whether a line of that level is written now. All methods that write ask this first."""
        activity = CURRENT.get()
        # The function of a step runs only where nothing is recorded of it.
        is_in_step = activity is not None and activity.in_step
        return (is_in_step or not self._run.is_replaying()) and super().isEnabledFor(level)

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Add the run to what the caller gives as `extra`."""
        return msg, {**kwargs, "extra": {**(kwargs.get("extra") or {}), **(self.extra or {})}}
