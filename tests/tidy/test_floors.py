"""Imports go downward through the floors, and nowhere in a circle."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from graphlib import CycleError, TopologicalSorter

from tests.tidy.sources import Source, imported_module, library


class Floor(IntEnum):
    """The floors, from the bottom; a module imports from its own or a lower one."""

    GROUND = 0
    MODEL = 1
    MIDDLE = 2
    ENGINE = 3
    SURFACE = 4
    SUPERVISOR = 5


PACKAGES = {
    "durust.model": Floor.MODEL,
    "durust.routines": Floor.MIDDLE,
    "durust.storage": Floor.MIDDLE,
    "durust.engine": Floor.ENGINE,
    "durust.commands": Floor.SURFACE,
    "durust.supervisor": Floor.SUPERVISOR,
    # The command line by another name.
    "durust.__main__": Floor.SUPERVISOR,
}
# Modules that stand directly in durust/ and are not ground.
SURFACE = {
    "durust",
    "durust.admission",
    "durust.attribute_verbs",
    "durust.bearer",
    "durust.census_verbs",
    "durust.client",
    "durust.base_context",
    "durust.context",
    "durust.step_bodies",
    "durust.sync_context",
    "durust.debouncing",
    "durust.decoding",
    "durust.decorators",
    "durust.delays",
    "durust.durable",
    "durust.explaining",
    "durust.handle",
    "durust.mailbox",
    "durust.message_verbs",
    "durust.nursery",
    "durust.orders",
    "durust.parent",
    "durust.post",
    "durust.publisher",
    "durust.queue",
    "durust.queue_verbs",
    "durust.fork_verbs",
    "durust.forks",
    "durust.archives",
    "durust.archive_verbs",
    "durust.lending_verbs",
    "durust.lookup_verbs",
    "durust.order_verbs",
    "durust.purge_verbs",
    "durust.registration",
    "durust.shared_verbs",
    "durust.start_verbs",
    "durust.verbs",
    "durust.version_verbs",
    "durust.queues",
    "durust.reader",
    "durust.reading_verbs",
    "durust.run_handle",
    "durust.run_log",
    "durust.schedule_verbs",
    "durust.schedules",
    "durust.starter",
    "durust.sqlalchemy",
    "durust.subscriber",
    "durust.testing",
    "durust.transactions",
}
STRANGERS = {"durust.routines", "durust.storage"}


def package(module: str) -> str:
    """Return the package below durust that *module* is or belongs to, or durust itself."""
    return ".".join(module.split(".")[:2]) if module.count(".") > 1 or module in PACKAGES else "durust"


def floor(module: str) -> Floor:
    """Return the floor that *module* stands on."""
    return Floor.SURFACE if module in SURFACE else PACKAGES.get(package(module), Floor.GROUND)


def edges(source: Source) -> Iterator[tuple[str, int]]:
    """Return the other modules of the package that *source* imports, each with the line."""
    for name, line in source.imports:
        module = imported_module(name)
        if module is not None and module != source.module:
            yield module, line


def test_the_floors_are_there() -> None:
    packages = {source.module for source in library() if source.path.name == "__init__.py"}

    assert {"durust", "durust.model", "durust.routines", "durust.storage", "durust.engine"} <= packages


def test_a_module_imports_from_its_own_floor_or_below() -> None:
    upward = [
        f"{source.place}:{line} on floor {floor(source.module).name} imports {module} of {floor(module).name}"
        for source in library()
        for module, line in edges(source)
        if floor(module) > floor(source.module)
    ]

    assert upward == []


def test_routines_and_storage_are_strangers() -> None:
    met = [
        f"{source.place}:{line} imports {module}"
        for source in library()
        for module, line in edges(source)
        if {package(source.module), package(module)} == STRANGERS
    ]

    assert met == []


def test_no_imports_go_in_a_circle() -> None:
    graph = {source.module: {module for module, _ in edges(source)} for source in library()}

    try:
        circle = []
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle = error.args[1]

    assert circle == []
