"""What `durust workflow` orders: to end, or to go on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import click

from durust.commands.desk import Desk, at_desk
from durust.commands.ids import Done, batches, ids_argument, read_ids
from durust.commands.options import option, output_option
from durust.model.filters import ListFilter
from durust.model.status import CANCELLED, TRANSITIONS, Event, Status


@click.command()
@ids_argument
@option("--children", is_flag=True, help="Also all that they started, what these started, and so on.")
@output_option
@at_desk
def cancel(desk: Desk, ids: tuple[str, ...], children: bool, output: str | None) -> None:
    """Cancel workflows, by their ids or (-) those on standard input; what has ended stays as it is.

    Whoever runs one stops at its next operation, within two seconds.
    """

    def give(able: list[str]) -> None:
        desk.client.cancel_workflow(able, children=children)

    done = _order(desk, ids, give, Event.CANCEL, "cancelled", _CANCELLED, are_all_able=children)
    done.tell(output, "workflow")


@click.command()
@ids_argument
@output_option
@at_desk
def resume(desk: Desk, ids: tuple[str, ...], output: str | None) -> None:
    """Let workflows that were cancelled, set aside or delayed go on, by their ids or (-) those on standard input.

    Each goes on behind its last recorded step.
    """
    _order(desk, ids, desk.client.resume_workflow, Event.RESUME, "resumed", _GOING).tell(output, "workflow")


_CANCELLED = frozenset({CANCELLED})
_GOING = frozenset({Status.ENQUEUED, Status.PENDING})


def _order(
    desk: Desk,
    given: Sequence[str],
    give: Callable[[list[str]], object],
    event: Event,
    verb: str,
    goal: frozenset[Status],
    *,
    are_all_able: bool = False,
) -> Done:
    """Give an order to many, and tell from their rows before and after what it did."""
    done: list[str] = []
    same: list[str] = []
    refused: list[tuple[str, str]] = []
    missing: list[str] = []
    for ids in batches(read_ids(given)):
        before = _states(desk, ids)
        sources = before.values() if are_all_able else TRANSITIONS[event].sources
        able = [one for one in ids if before.get(one) in sources]
        if able:
            give(able)
        after = before | _states(desk, able)
        for one in ids:
            if one not in before:
                missing.append(one)
            elif one in able and _has_moved(event, before[one], after[one]):
                done.append(one)
            elif after[one] in goal:
                same.append(one)
            else:
                refused.append((one, f"it has ended with {after[one]}"))
    return Done(verb, done, missing, refused, same)


def _has_moved(event: Event, before: Status, after: Status) -> bool:
    """Tell whether an order took; what was resumed may have ended since, and what was to be cancelled, before."""
    return after is not before and (event is Event.RESUME or after is TRANSITIONS[event].target)


def _states(desk: Desk, ids: Sequence[str]) -> dict[str, Status]:
    rows = desk.client.list_workflows(ListFilter(workflow_ids=ids, limit=len(ids))) if ids else []
    return {row.workflow_id: row.status for row in rows}
