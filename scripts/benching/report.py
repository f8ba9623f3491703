"""The table: for people on a terminal, or in Markdown for the documentation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

HEADINGS = ("database", "what", "colour", "durust", "", "ceiling", "of the ceiling", "records a commit")


@dataclass(frozen=True, slots=True)
class Result:
    """One line of the table."""

    database: str
    what: str
    colour: str
    durust: float
    ceiling: float
    ratio: float
    """How much of the ceiling durust reaches: the median over rounds that measured both, one after the other."""
    unit: str
    manner: str
    extra: str = ""
    records_a_commit: float | None = None

    def cells(self) -> tuple[str, ...]:
        """Return the line's texts."""
        form = ",.0f" if self.unit.endswith("/s") else ".2f"
        return (
            self.database,
            self.what,
            self.colour,
            f"{self.durust:{form}} {self.unit}",
            self.extra,
            f"{self.ceiling:{form}} {self.unit}",
            f"{self.ratio:.2f}",
            "" if self.records_a_commit is None else f"{self.records_a_commit:.0f}",
        )


def print_table(results: Sequence[Result]) -> None:
    """Show the table on a terminal."""
    table = Table(*HEADINGS, title="durust beside bare batched SQL")
    for result in results:
        table.add_row(*result.cells())
    Console().print(table)
    for line in manners(results):
        print(line)


def print_markdown(results: Sequence[Result]) -> None:
    """Print the table for the documentation."""
    print(f"| {' | '.join(HEADINGS)} |")
    print(f"|{'---|' * len(HEADINGS)}")
    for result in results:
        print(f"| {' | '.join(result.cells())} |")
    print()
    for line in manners(results):
        print(f"- {line}")


def manners(results: Sequence[Result]) -> list[str]:
    """Return how each ceiling was reached, one line for each."""
    lines = (f"{result.database}, {result.what}, {result.colour}: ceiling by {result.manner}" for result in results)
    return list(dict.fromkeys(lines))
