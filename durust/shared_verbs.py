"""All the verbs that engines and clients have in common."""

from __future__ import annotations

from typing import TypeVar

from durust.archive_verbs import ArchiveVerbs, AsyncArchiveVerbs
from durust.attribute_verbs import AsyncAttributeVerbs, AttributeVerbs
from durust.census_verbs import AsyncCensusVerbs, CensusVerbs
from durust.fork_verbs import AsyncForkVerbs, ForkVerbs
from durust.lookup_verbs import AsyncLookupVerbs, LookupVerbs
from durust.message_verbs import AsyncMessageVerbs, MessageVerbs
from durust.order_verbs import AsyncOrderVerbs, OrderVerbs
from durust.purge_verbs import AsyncPurgeVerbs, PurgeVerbs
from durust.queue_verbs import AsyncQueueVerbs, QueueVerbs
from durust.reading_verbs import AsyncReadingVerbs, ReadingVerbs
from durust.schedule_verbs import AsyncScheduleVerbs, ScheduleVerbs
from durust.version_verbs import AsyncVersionVerbs, VersionVerbs

# What names a workflow: a text, and for an engine also its function.
N = TypeVar("N")


class SharedVerbs(
    ArchiveVerbs,
    AttributeVerbs,
    CensusVerbs,
    ForkVerbs,
    LookupVerbs,
    MessageVerbs,
    OrderVerbs,
    PurgeVerbs,
    QueueVerbs,
    ReadingVerbs,
    ScheduleVerbs[N],
    VersionVerbs,
):
    """The verbs that block."""


class AsyncSharedVerbs(
    AsyncArchiveVerbs,
    AsyncAttributeVerbs,
    AsyncCensusVerbs,
    AsyncForkVerbs,
    AsyncLookupVerbs,
    AsyncMessageVerbs,
    AsyncOrderVerbs,
    AsyncPurgeVerbs,
    AsyncQueueVerbs,
    AsyncReadingVerbs,
    AsyncScheduleVerbs[N],
    AsyncVersionVerbs,
):
    """The verbs that are awaited."""

    _blocking: SharedVerbs[N]
