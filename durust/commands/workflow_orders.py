"""What `durust workflow` orders: to end, to go on, to begin anew from a step, to be gone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from durust.commands.desk import Desk, at_desk
from durust.commands.durations import Duration
from durust.commands.ids import Done, batches, ids_argument, read_ids
from durust.commands.options import list_output_option, option, output_option
from durust.commands.output import say_json, wants_json
from durust.errors import InvalidArgument
from durust.model.filters import ListFilter
from durust.model.records import WorkflowRow
from durust.model.status import CANCELLED, TRANSITIONS, Event, Status

_GOING = frozenset({Status.ENQUEUED, Status.PENDING})

children_option = option("--children", is_flag=True, help="Also all that they started, what these started, and so on.")


@click.command()
@ids_argument
@children_option
@output_option
@at_desk
def cancel(desk: Desk, ids: tuple[str, ...], children: bool, output: str | None) -> None:
    """Cancel workflows, by their ids or (-) those on standard input; what has ended stays as it is.

    Whoever runs one stops at its next operation, within two seconds.
    """
    told = Done("cancelled")
    for some in batches(read_ids(ids)):
        told.done += desk.client.cancel_workflow(some, children=children)
        _tell_rest(desk, told, some, frozenset({CANCELLED}))
    told.tell(output, "workflow")


@click.command()
@ids_argument
@option("--queue", metavar="NAME", help="Where they are to wait; by default each where it was.")
@output_option
@at_desk
def resume(desk: Desk, ids: tuple[str, ...], queue: str | None, output: str | None) -> None:
    """Let workflows that were cancelled, set aside or delayed go on, by their ids or (-) those on standard input.

    Each goes on behind its last recorded step.
    """
    told = Done("resumed")
    for some in batches(read_ids(ids)):
        before = _states(desk, some)
        able = [one for one in before if before[one] in TRANSITIONS[Event.RESUME].sources]
        desk.client.resume_workflow(able, queue=queue)
        after = _states(desk, able)
        told.done += [one for one in able if after.get(one) not in {before[one], None}]
        _tell_rest(desk, told, some, _GOING)
    told.tell(output, "workflow")


@click.command()
@ids_argument
@option(
    "--step", type=click.IntRange(min=1), metavar="N", help="The step to begin with; by default the one that failed."
)
@option("--id", metavar="ID", help="The fork's own id, of one workflow.")
@option("--queue", metavar="NAME", help="Where it is to wait; by default the internal queue.")
@option("--partition", metavar="KEY", help="Its partition key on that queue.")
@option("--version", metavar="NAME", help="The version of the code that is to run it; by default the same.")
@option("--timeout", type=Duration(), help="How long it may run, as in 90s or 2h; by default for ever.")
@list_output_option
@at_desk
def fork(
    desk: Desk,
    ids: tuple[str, ...],
    step: int | None,
    id: str | None,
    queue: str | None,
    partition: str | None,
    version: str | None,
    timeout: float | None,
    output: str | None,
) -> None:
    """Start new workflows that have what others recorded before a step, and do the rest anew; print their ids.

    The sources stay as they are. They are named by their ids, or (-) on standard input.
    """
    changes: dict[str, Any] = {
        "queue": queue,
        "partition_key": partition,
        "app_version": version,
        "timeout": timeout,
    }
    told = Done("forked")
    forks: list[str] = []
    given = read_ids(ids)
    if id is not None and len(given) != 1:
        raise InvalidArgument("id", id, "cannot be the id of several forks: fork one by one")
    for some in batches(given):
        before = _states(desk, some)
        if id is not None and before:
            made = [desk.client.fork_workflow(some[0], step, workflow_id=id, **changes)]
        else:
            made = desk.client.fork_workflow(list(before), step, **changes)
        forks += [handle.id for handle in made]
        told.done += [row.forked_from or "" for row in _rows(desk, [handle.id for handle in made])]
        _tell_rest(desk, told, some, frozenset(), "it is {} and has not failed, so say --step")
    if output == "ids":
        for each in forks:
            click.echo(each)
    elif wants_json(output):
        say_json(
            {"forked": told.done, "workflows": forks, "refused": dict(told.refused), "missing": list(told.missing)}
        )
    else:
        click.echo(f"{len(forks)} fork{'s'[: len(forks) != 1]} queued: {', '.join(forks) or 'none'}")
    told.warn("workflow")


@click.command()
@ids_argument
@children_option
@output_option
@at_desk
def delete(desk: Desk, ids: tuple[str, ...], children: bool, output: str | None) -> None:
    """Remove workflows with all that is theirs, by their ids or (-) those on standard input.

    What runs is removed too: it records nothing any more and stops at its next operation.
    """
    told = Done("deleted")
    for some in batches(read_ids(ids)):
        told.done += desk.client.delete_workflow(some, children=children)
        told.missing += [one for one in some if one not in told.done]
    told.tell(output, "workflow")


def _tell_rest(
    desk: Desk, told: Done, ids: Sequence[str], goal: frozenset[Status], why: str = "it has ended with {}"
) -> None:
    """Note, of the ids that an order did not change, why it did not."""
    done = set(told.done)
    left = [one for one in ids if one not in done]
    # As they are now, because one may have ended meanwhile, or gone.
    states = _states(desk, left)
    for one in left:
        if one not in states:
            told.missing.append(one)
        elif states[one] in goal:
            told.same.append(one)
        else:
            told.refused.append((one, why.format(states[one])))


def _states(desk: Desk, ids: Sequence[str]) -> dict[str, Status]:
    found = {row.workflow_id: row.status for row in _rows(desk, ids)}
    return {one: found[one] for one in ids if one in found}


def _rows(desk: Desk, ids: Sequence[str]) -> list[WorkflowRow]:
    rows = desk.client.list_workflows(ListFilter(workflow_ids=ids, limit=len(ids))) if ids else []
    found = {row.workflow_id: row for row in rows}
    return [found[one] for one in ids if one in found]
