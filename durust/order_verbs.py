"""What engines and clients offer to end workflows for good, or many at once."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterable
from datetime import datetime

from durust.errors import InvalidArgument
from durust.model.filters import Scope
from durust.orders import Orders


class OrderVerbs(ABC):
    """The verbs that block."""

    @abstractmethod
    def _orders_of(self, asked: str) -> tuple[Orders, Scope]:
        """Return the way of orders into the database, and whose workflows are meant, for the verb that was *asked*."""

    def delete_workflow(self, workflow: str | Iterable[str], *, children: bool = False) -> list[str]:
        """Remove a workflow by its id, or many by theirs; return the ids that were there.

        All that is theirs goes: steps, events, streams, messages, arguments and result. What runs is deleted too: it
        records nothing any more and stops at its next operation. Whoever waits for a result gets `WorkflowNotFound`.
        With *children* the workflows that they started go along, and those that these started. Deleting what is gone
        does nothing.
        """
        return self._orders_of("delete_workflow")[0].delete(workflow, children=children)

    def cancel_workflows_before(self, instant: datetime) -> list[str]:
        """Cancel the unfinished workflows of this application that were made before *instant*; return their ids.

        It is done in batches of a thousand, each a commit of its own. Raises `InvalidArgument` for a datetime without
        a time zone.
        """
        orders, scope = self._orders_of("cancel_workflows_before")
        if not isinstance(instant, datetime) or instant.utcoffset() is None:
            raise InvalidArgument("instant", instant, "must be a datetime with a time zone, as in datetime.now(UTC)")
        return orders.cancel_before(scope, instant)


class AsyncOrderVerbs:
    """The verbs that are awaited."""

    _ordering: OrderVerbs

    async def delete_workflow(self, workflow: str | Iterable[str], *, children: bool = False) -> list[str]:
        """Remove a workflow by its id, or many by theirs, as the blocking twin does."""
        return await asyncio.to_thread(self._ordering.delete_workflow, workflow, children=children)

    async def cancel_workflows_before(self, instant: datetime) -> list[str]:
        """Cancel the unfinished workflows that were made before *instant*, as the blocking twin does."""
        return await asyncio.to_thread(self._ordering.cancel_workflows_before, instant)
