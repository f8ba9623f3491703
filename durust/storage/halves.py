"""A batch cut in two, for a database that does not take it whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from durust.model.writes import APPLY_ORDER, Outcome, Write

_RANK = {kind: rank for rank, kind in enumerate(APPLY_ORDER)}


def by_halves(commit: Callable[[Sequence[Write]], list[Outcome]], writes: Sequence[Write]) -> list[Outcome]:
    """Commit *writes* in two parts and answer their outcomes in their order.

    They are cut in the order in which they are applied, so that what ends a run does not come before its records.
    """
    order = sorted(range(len(writes)), key=lambda index: _RANK[type(writes[index])])
    middle = len(order) // 2
    outcomes = [outcome for part in (order[:middle], order[middle:]) for outcome in commit([writes[i] for i in part])]
    return [outcome for _, outcome in sorted(zip(order, outcomes, strict=True), key=lambda pair: pair[0])]
