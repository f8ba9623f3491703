"""What engines and clients say of attributes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from durust.admission import COMMIT_SECONDS
from durust.errors import InvalidArgument, ProviderUnavailable, WorkflowNotFound
from durust.model.attribute_writes import SetAttributes
from durust.model.attributes import dump_attributes
from durust.model.names import check_name
from durust.model.writes import Missing, Recorded, Refused
from durust.verbs import Verbs


class AttributeVerbs(Verbs):
    """The verbs that block."""

    def set_attributes(self, workflow_id: str, attributes: Mapping[str, Any]) -> None:
        """Give a workflow attributes beside those it has, for lists to find it by, whether it runs or has ended.

        A None takes one away; a nested object is replaced whole. Raises `WorkflowNotFound`, and `InvalidArgument` for
        what JSON cannot carry.
        """
        write = SetAttributes(check_name("workflow_id", workflow_id), dump_attributes(attributes, may_remove=True))
        match self._footing("set_attributes").journal.commit(write, COMMIT_SECONDS):
            case Recorded():
                return
            case Missing():
                raise WorkflowNotFound(workflow_id)
            case Refused(reason):
                raise InvalidArgument("attributes", attributes, f"the database refused them: {reason}")
            case outcome:
                raise ProviderUnavailable("the database", f"an unexpected answer to attributes: {outcome}")


class AsyncAttributeVerbs:
    """The verbs that are awaited."""

    _blocking: AttributeVerbs

    async def set_attributes(self, workflow_id: str, attributes: Mapping[str, Any]) -> None:
        """Give a workflow attributes beside those it has, as the blocking twin does."""
        await asyncio.to_thread(self._blocking.set_attributes, workflow_id, attributes)
