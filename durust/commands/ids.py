"""The ids, or names, that a command is given: one by one, or on standard input; and what it did with each of them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import click

from durust.commands.exits import Exit
from durust.commands.output import say_json, wants_json, warn

T = TypeVar("T")

# Ids of one commit, and of one read of what they stand for.
BATCH = 500
# A line of an error names this many at most.
NAMED_MAX = 10

ids_argument = click.argument("ids", nargs=-1, required=True, metavar="ID... | -")
names_argument = click.argument("names", nargs=-1, required=True, metavar="NAME... | -")


def read_ids(given: Sequence[str]) -> list[str]:
    """Return the ids that were given, each once; `-` stands for the lines of standard input."""
    ids: list[str] = []
    for one in given:
        ids += [line.strip() for line in sys.stdin if line.strip()] if one == "-" else [one]
    return list(dict.fromkeys(ids))


def each(
    given: Sequence[str],
    give: Callable[[str], None],
    verb: str,
    *,
    absent: type[Exception],
    is_so: Callable[[str], bool] = lambda _: False,
) -> Done:
    """Call *give* with each name that was given; *absent* is what it raises for one that there is not."""
    told = Done(verb)
    for name in read_ids(given):
        try:
            was_so = is_so(name)
            give(name)
        except absent:
            told.missing.append(name)
        else:
            (told.same if was_so else told.done).append(name)
    return told


def batches(ids: Sequence[T]) -> Iterator[Sequence[T]]:
    """Return *ids* in parts that one commit takes."""
    return (ids[first : first + BATCH] for first in range(0, len(ids), BATCH))


@dataclass(slots=True)
class Done:
    """What a command did with the ids that it was given."""

    verb: str
    """As in `cancelled`: it names the ids of whom it is true now."""
    done: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    """There are none such."""
    refused: list[tuple[str, str]] = field(default_factory=list)
    """Ids that it cannot be done to, each with the reason."""
    same: list[str] = field(default_factory=list)
    """It was true of them before."""

    def tell(self, output: str | None, noun: str) -> None:
        """Show what was done, and what was not."""
        if wants_json(output):
            say_json(
                {
                    self.verb: self.done,
                    "unchanged": self.same,
                    "refused": dict(self.refused),
                    "missing": self.missing,
                }
            )
        else:
            click.echo(f"{len(self.done)} {noun}{'s'[: len(self.done) != 1]} {self.verb}")
        self.warn(noun)

    def warn(self, noun: str) -> None:
        """Tell of what was not done, and raise the exit code of a command that did nothing."""
        if self.same:
            warn(f"unchanged, because they are so already: {named(self.same)}")
        for one, why in self.refused[:NAMED_MAX]:
            warn(f"{one} is left as it is: {why}")
        if len(self.refused) > NAMED_MAX:
            warn(f"and {len(self.refused) - NAMED_MAX} others are left as they are")
        if self.missing:
            warn(f"there is no {noun} {named(self.missing)}")
        if not self.done and not self.same and (self.refused or self.missing):
            raise click.exceptions.Exit(Exit.CONFLICT if self.refused else Exit.NOT_FOUND)


def named(ids: Iterable[str]) -> str:
    """Return ids as a sentence names them, the first of many."""
    listed = [repr(one) for one in ids]
    more = len(listed) - NAMED_MAX
    return ", ".join(listed[:NAMED_MAX]) + (f" and {more} more" if more > 0 else "")
