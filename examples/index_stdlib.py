"""An index of Python's own standard library: one queued workflow for each module file, three steps in each.

`make demo` queues all the files, runs this module by `durust up index_stdlib`, and kills workers on the way.
"""

import ast
import hashlib
import json
import os
import sysconfig
from pathlib import Path

import durust

STDLIB = Path(sysconfig.get_path("stdlib"))
BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")
queue = durust.WorkflowQueue("index")


def append(variable: str, line: str) -> None:
    """Append a line, in one write, to the file that an environment variable names."""
    with Path(os.environ.get(variable, os.devnull)).open("ab", buffering=0) as sink:
        sink.write(line.encode() + b"\n")


@durust.step
def read(path: str) -> str:
    append("INDEX_LEDGER", f"read {path}")
    return hashlib.sha256((STDLIB / path).read_bytes()).hexdigest()


@durust.step
def parse(path: str) -> dict[str, int]:
    append("INDEX_LEDGER", f"parse {path}")
    source = (STDLIB / path).read_bytes()
    counts = {"functions": 0, "classes": 0, "lines": len(source.splitlines())}
    try:
        nodes: list[ast.AST] = [ast.parse(source)]
    except (SyntaxError, ValueError):  # some files of the library's tests are broken on purpose
        return counts
    while nodes:
        node = nodes.pop()
        counts["functions"] += isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        counts["classes"] += isinstance(node, ast.ClassDef)
        nodes += [child for block in BLOCKS for child in getattr(node, block, ())]
    return counts


@durust.step
def record(path: str, digest: str, counts: dict[str, int]) -> None:
    append("INDEX_LEDGER", f"record {path}")
    append("INDEX_FILE", json.dumps({"path": path, "sha256": digest, **counts}))


@durust.workflow
def index_file(ctx: durust.SyncDurableContext, path: str) -> dict[str, int]:
    digest, counts = read(path), parse(path)
    record(path, digest, counts)
    return counts
