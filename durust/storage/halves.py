"""A batch cut in two, for a database that does not take it whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from durust.model.message_writes import RecordSend, SendMessages
from durust.model.publications import Publication
from durust.model.writes import (
    APPLY_ORDER,
    DebounceWorkflow,
    FinishWorkflow,
    Outcome,
    RecordStep,
    StartChild,
    StartWorkflow,
    Write,
)

# Written in well under a second, also beside others. Several values of the largest size took longer together than a
# statement of Postgres may, and a batch that comes too late is sent again for ever; on SQLite nobody else could write.
BATCH_CHARACTERS_MAX = 16 * 1024 * 1024

_RANK = {kind: rank for rank, kind in enumerate(APPLY_ORDER)}


def is_too_large(writes: Sequence[Write]) -> bool:
    """Tell whether the values of several *writes* are more than one transaction should carry."""
    if len(writes) < 2:  # noqa: PLR2004  a lone write is as small as it gets
        return False
    size = 0
    for write in writes:
        if isinstance(write, RecordStep | FinishWorkflow):
            size += len(write.output or write.error or "")
        elif isinstance(write, Publication):
            size += len(write.text or "")
        elif isinstance(write, StartWorkflow):
            size += len(write.inputs or "")
        elif isinstance(write, DebounceWorkflow | StartChild):
            size += len(write.start.inputs or "")
        elif isinstance(write, SendMessages | RecordSend):
            size += sum(len(letter.text) for letter in write.letters)
    return size > BATCH_CHARACTERS_MAX


def by_halves(commit: Callable[[Sequence[Write]], list[Outcome]], writes: Sequence[Write]) -> list[Outcome]:
    """Commit *writes* in two parts and answer their outcomes in their order.

    They are cut in the order in which they are applied, so that what ends a run does not come before its records.
    """
    order = sorted(range(len(writes)), key=lambda index: _RANK[type(writes[index])])
    middle = len(order) // 2
    outcomes = [outcome for part in (order[:middle], order[middle:]) for outcome in commit([writes[i] for i in part])]
    return [outcome for _, outcome in sorted(zip(order, outcomes, strict=True), key=lambda pair: pair[0])]
