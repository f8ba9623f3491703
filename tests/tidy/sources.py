"""The modules of durust as syntax trees, and what each of them imports."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Where Python source stands. durust/supervisor is a link to supervisor, which is read once and under its import name.
FOLDERS = ("durust", "supervisor", "tests", "scripts", "examples")


@dataclass(frozen=True)
class Source:
    """One Python file."""

    path: Path

    @property
    def place(self) -> str:
        """Where it stands in the repository."""
        return self.path.relative_to(ROOT).as_posix()

    @property
    def module(self) -> str:
        """The name it is imported by."""
        parts = list(self.path.relative_to(ROOT).with_suffix("").parts)
        if parts[0] == "supervisor":
            parts.insert(0, "durust")
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    @cached_property
    def text(self) -> str:
        """What is written in it."""
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        """What is written in it, parsed."""
        return ast.parse(self.text, self.place)

    @cached_property
    def imports(self) -> list[tuple[str, int]]:
        """Every name that an import reaches for, with its line; in functions and for type checkers as well."""
        found = []
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found += [(alias.name, node.lineno) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                origin = self._origin(node)
                found += [(f"{origin}.{alias.name}", node.lineno) for alias in node.names]
        return found

    def _origin(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        package = self.module.split(".")
        climbed = node.level - (self.path.name == "__init__.py")
        return ".".join([*package[: len(package) - climbed], *filter(None, [node.module])])


@cache
def sources() -> tuple[Source, ...]:
    """Return every Python file of the repository once."""
    paths = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
    return tuple(Source(path) for path in paths if (ROOT / "durust" / "supervisor") not in path.parents)


@cache
def library() -> tuple[Source, ...]:
    """Return the files that make up the package."""
    return tuple(source for source in sources() if source.module.split(".")[0] == "durust")


@cache
def module_names() -> frozenset[str]:
    """Return the names of all modules of the package."""
    return frozenset(source.module for source in library())


def imported_module(name: str) -> str | None:
    """Return the module of the package that the imported *name* is or stands in, or None for another library's."""
    while name:
        if name in module_names():
            return name
        name = name.rpartition(".")[0]
    return None
