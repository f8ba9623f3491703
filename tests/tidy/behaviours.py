"""The numbered behaviours of `behaviours.txt`, and the tests that say by a marker which of them they assert."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

from tests.tidy.sources import Source, sources

LIST = Path(__file__).with_name("behaviours.txt")
MARKER = "pytest.mark.covers"
STATES = {"covered", "partly", "differs", "later"}
# The two of which a test has to show something.
ASSERTED = {"covered", "partly"}
_LINE = re.compile(r"(?P<number>\d+) \| (?P<text>[^|]+?)(?: \| (?P<state>\w+): (?P<reason>[^|]+))?")


@dataclass(frozen=True)
class Behaviour:
    """One line of the list."""

    number: int
    section: str
    text: str
    state: str
    """`covered`, `partly`, `differs` or `later`."""
    reason: str


@dataclass(frozen=True)
class Shown:
    """A test that asserts a behaviour."""

    number: int
    place: str
    test: str

    @property
    def sentence(self) -> str:
        """What its name says."""
        return self.test.removeprefix("test_").replace("_", " ")


def behaviours() -> list[Behaviour]:
    """Return the list. Raises `ValueError` for a line that it cannot read."""
    found: list[Behaviour] = []
    section = ""
    for line in LIST.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            section = line.removeprefix("## ")
        elif line and not line.startswith("#"):
            parts = _LINE.fullmatch(line)
            if parts is None:
                raise ValueError(f"{LIST.name}: {line!r} is not `number | behaviour | state: reason`")
            state, reason = parts["state"] or "covered", parts["reason"] or ""
            found.append(Behaviour(int(parts["number"]), section, parts["text"], state, reason))
    return found


def is_marker(node: ast.AST) -> TypeGuard[ast.Call]:
    """Tell whether a piece of code is the marker."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and ast.unparse(node.func) == MARKER


def markers(source: Source) -> Iterator[tuple[ast.Call, str]]:
    """Return the markers of a file, each with the name of what it decorates."""
    if MARKER not in source.text:
        return
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from ((decorator, node.name) for decorator in node.decorator_list if is_marker(decorator))


def shown() -> list[Shown]:
    """Return what the tests assert, by number and then by place."""
    found = [
        Shown(argument.value, source.place, name)
        for source in sources()
        if source.place.startswith("tests/")
        for marker, name in markers(source)
        for argument in marker.args
        if isinstance(argument, ast.Constant) and isinstance(argument.value, int)
    ]
    return sorted(found, key=lambda one: (one.number, one.place, one.test))


def misplaced() -> list[str]:
    """Return the places of markers that decorate no test, or name something else than numbers."""
    wrong = []
    for source in sources():
        calls = [node for node in ast.walk(source.tree) if is_marker(node)] if MARKER in source.text else []
        right = {
            marker
            for marker, name in markers(source)
            if name.startswith("test_")
            and marker.args
            and all(isinstance(each, ast.Constant) and type(each.value) is int for each in marker.args)
        }
        wrong += [f"{source.place}:{call.lineno}" for call in calls if call not in right]
    return wrong


def unasserted(listed: Sequence[Behaviour], tests: Sequence[Shown]) -> list[str]:
    """Return the lines that need a test and have none."""
    numbers = {one.number for one in tests}
    return [
        f"number {one.number}: no test says @pytest.mark.covers({one.number}); write one, or `later:` or `differs:`"
        for one in listed
        if one.state in ASSERTED and one.number not in numbers
    ]


def unknown(listed: Sequence[Behaviour], tests: Sequence[Shown]) -> list[str]:
    """Return the markers of numbers that are not listed."""
    known = {one.number for one in listed}
    return [f"{one.place}: {one.test} covers {one.number}" for one in tests if one.number not in known]


def overtaken(listed: Sequence[Behaviour], tests: Sequence[Shown]) -> list[str]:
    """Return the lines that say `later` of what a test asserts already."""
    found = {one.number: one for one in tests}
    return [
        f"number {one.number}: {found[one.number].place} covers it, so take `later:` off, or make it `partly:`"
        for one in listed
        if one.state == "later" and one.number in found
    ]


def table() -> str:
    """Draw the list as one table for each section."""
    tests: dict[int, list[str]] = {}
    for one in shown():
        tests.setdefault(one.number, []).append(f"[{one.sentence}](../{one.place})")
    lines: list[str] = []
    section = ""
    for behaviour in behaviours():
        if behaviour.section != section:
            section = behaviour.section
            lines += [*([""] if lines else []), f"## {section}", "", "| | behaviour | tests |", "|---|---|---|"]
        remark = [f"*{behaviour.state}: {behaviour.reason}*"] if behaviour.reason else []
        cell = "<br>".join([*remark, *tests.get(behaviour.number, [])])
        lines.append(f"| {behaviour.number} | {behaviour.text} | {cell} |")
    return "\n".join([*lines, ""])
