"""The judge of what ran: a list that step bodies append to, and durust knows nothing of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Bodies(list[str]):
    """The step bodies that ran, in the order in which they began."""

    def body(self, name: str, answer: Any = None) -> Callable[[], Any]:
        """Return a step body that notes its run here and returns *answer*."""

        def run() -> Any:
            self.append(name)
            return answer

        return run
