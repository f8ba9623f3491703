"""A name stands for one workflow, and its version for what that workflow's body does."""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from durust import DurableEngine, step, workflow
from durust.engine.registry import Definition, Registry
from durust.errors import InvalidArgument, WorkflowConflict, WorkflowNotRegistered
from durust.model.queues import QueueDefinition
from tests.support.processes import Spawn

Load = Callable[..., Any]

BODY = """
def ship(ctx, item):
    parts = [item, "box"]
    return parts
"""


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Return `load(source, module=name)`, which imports a module anew and returns its `ship`."""
    made = 0

    def load(source: str, module: str = "shop") -> Any:
        nonlocal made
        made += 1
        path = tmp_path / f"shop_{made}.py"
        path.write_text(source)
        spec = importlib.util.spec_from_file_location(module, path)
        assert spec is not None
        assert spec.loader is not None
        loaded = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(loaded)
        return loaded.ship

    return load


def version(fn: Callable[..., Any], name: str = "ship") -> str:
    return Definition(name, fn).version


def ship(_: Any, item: str) -> str:
    return item


def other(_: Any, item: str) -> str:
    return item * 2


@pytest.mark.covers(19)
def test_the_same_function_may_be_registered_again() -> None:
    registry = Registry()
    registry.add(Definition("ship", ship))

    again = registry.add(Definition("ship", ship, max_recovery_attempts=3))

    assert registry.get("ship") is again


@pytest.mark.covers(19)
def test_the_same_code_of_another_module_may_be_registered_again(load: Load) -> None:
    registry = Registry()
    registry.add(Definition("ship", load(BODY, module="__main__")))

    registry.add(Definition("ship", load(BODY, module="shop")))

    assert registry.names() == ["ship"]


@pytest.mark.covers(19)
def test_other_code_under_a_taken_name_is_a_conflict_that_names_both() -> None:
    registry = Registry()
    first = registry.add(Definition("ship", ship))

    with pytest.raises(WorkflowConflict, match=r"'ship'.*test_registry\.other.*test_registry\.ship"):
        registry.add(Definition("ship", other))

    assert registry.get("ship") is first


def test_equal_code_of_another_function_is_a_conflict(load: Load) -> None:
    registry = Registry()
    registry.add(Definition("ship", load(BODY)))

    with pytest.raises(WorkflowConflict):
        registry.add(Definition("ship", load(BODY.replace("def ship", "def send") + "\nship = send\n")))


def test_a_name_of_the_base_is_taken_too() -> None:
    base = Registry()
    base.add(Definition("ship", ship))
    registry = Registry(base)

    with pytest.raises(WorkflowConflict):
        registry.add(Definition("ship", other))

    assert registry.get("ship").fn is ship


def test_of_many_threads_with_different_code_one_gets_the_name() -> None:
    registry = Registry()
    functions = [ship, other] * 16

    def add(fn: Callable[..., Any]) -> bool:
        try:
            registry.add(Definition("ship", fn))
        except WorkflowConflict:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        added = list(pool.map(add, functions))

    winner = registry.get("ship").fn
    assert added == [fn is winner for fn in functions]


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    registry = Registry()
    registry.add(Definition("ship", ship))
    registry.add(Definition("bill", other))

    with pytest.raises(WorkflowNotRegistered, match=r"'shop'.*bill, ship"):
        registry.get("shop")


def test_a_queue_that_is_declared_again_has_its_new_limit_and_hides_the_base() -> None:
    base = Registry()
    base.add_queue(QueueDefinition("mail", worker_concurrency=1))
    base.add_queue(QueueDefinition("other", worker_concurrency=1))
    registry = Registry(base)
    registry.add_queue(QueueDefinition("mail", worker_concurrency=2))

    registry.add_queue(QueueDefinition("mail", worker_concurrency=3))

    assert {name: queue.worker_concurrency for name, queue in registry.queues().items()} == {"mail": 3, "other": 1}
    assert base.queues()["mail"].worker_concurrency == 1


@pytest.mark.covers(166)
@pytest.mark.parametrize(
    "changed",
    [
        BODY.replace('"box"', '"bag"'),
        BODY.replace("return parts", "return parts[0]"),
        BODY.replace("item):", "item, count=1):"),
        BODY.replace("def ship", "async def ship"),
    ],
)
def test_a_change_of_the_code_changes_the_version(load: Load, changed: str) -> None:
    assert version(load(changed)) != version(load(BODY))


@pytest.mark.covers(166)
@pytest.mark.parametrize(
    "changed",
    [
        BODY,
        "import sys\n\n\n" + BODY,
        BODY.replace("    return", "\n    # What goes to the customer.\n    return"),
        BODY.replace('[item, "box"]', "[\n        item,\n        'box',\n    ]"),
        BODY.replace("def ship", "def keep(fn): return fn\n\n@keep\ndef ship"),
    ],
    ids=["nothing", "its place", "a comment", "its layout", "a decorator"],
)
def test_a_change_of_what_does_not_run_keeps_the_version(load: Load, changed: str) -> None:
    assert version(load(changed, module="again")) == version(load(BODY))


def test_another_name_is_another_version() -> None:
    assert version(ship, "ship") != version(ship, "send")


HIDDEN = """
from durust import DurableEngine, step, workflow
from durust.engine.registry import Definition
namespace = {}
exec("def ship(ctx, item): return item in {'one', 'two', 'three', 'four'} and (lambda: {'five', 'six'})()", namespace)
print(Definition("ship", namespace["ship"]).version)
"""


@pytest.mark.covers(166)
def test_the_version_of_code_without_source_is_the_same_in_every_process(spawn: Spawn) -> None:
    processes = [spawn("-c", HIDDEN, env={"PYTHONHASHSEED": str(seed)}) for seed in (1, 2, 3)]

    assert [process.wait() for process in processes] == [0, 0, 0]
    assert len({process.stdout for process in processes}) == 1


def test_code_without_source_changes_its_version_with_its_body() -> None:
    def compiled(body: str) -> Any:
        namespace: dict[str, Any] = {}
        exec(f"def ship(ctx): return {body}", namespace)
        return namespace["ship"]

    bodies = ["1", "2", "ctx.one", "ctx.two", "(lambda: 1)()", "(lambda: 2)()", "'a' in {'b'}", "'a' in {'c'}"]

    assert len({version(compiled(body)) for body in bodies}) == len(bodies)
    assert [version(compiled(body)) for body in bodies] == [version(compiled(body)) for body in bodies]


def test_the_parameter_options_is_reserved() -> None:
    def ship(_: Any, options: str) -> None: ...

    with pytest.raises(InvalidArgument, match="`options` is reserved"):
        Definition("ship", ship)


def test_a_workflow_without_a_context_is_refused() -> None:
    def nothing() -> None: ...

    def named(*, ctx: Any) -> None: ...

    def any_number(*_: Any) -> None: ...

    for fn in (nothing, named, any_number):
        with pytest.raises(InvalidArgument, match="first parameter of a workflow is its context"):
            Definition("ship", fn)


@pytest.mark.parametrize("name", ["", "a\0b", "x" * 513, 5])
def test_a_name_that_cannot_be_stored_is_refused(name: Any) -> None:
    with pytest.raises(InvalidArgument, match="workflow name"):
        Definition(name, ship)


@pytest.mark.parametrize("cap", [-1, True, 1.5, "3"])
def test_a_cap_that_cannot_be_meant_is_refused(cap: Any) -> None:
    with pytest.raises(InvalidArgument, match="max_recovery_attempts"):
        Definition("ship", ship, max_recovery_attempts=cap)


def test_both_colours_are_told_apart() -> None:
    async def awaited(_: Any) -> None: ...

    assert Definition("ship", awaited).is_async
    assert not Definition("ship", ship).is_async


def test_what_is_no_function_of_one_result_is_refused() -> None:
    def numbers(_: Any) -> Iterator[int]:
        yield 1

    async def later(_: Any) -> AsyncIterator[int]:
        yield 1

    for fn in (numbers, later):
        with pytest.raises(InvalidArgument, match="is a generator, and a workflow returns one result"):
            Definition("ship", fn)
    text: Any = "ship"
    with pytest.raises(InvalidArgument, match="must be a function"):
        Definition("ship", text)


def test_an_unknown_serializer_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="serializer='xml'"):
        Definition("ship", ship, serializer="xml")


@pytest.mark.parametrize("decorate", [step, workflow])
def test_a_decorator_says_what_it_decorates(decorate: Any) -> None:
    for wrong in ("ship", step(ship), classmethod(ship)):
        with pytest.raises(InvalidArgument, match=r"decorates a function; its options are given by name, as in name='"):
            decorate(wrong)
    with pytest.raises(InvalidArgument, match="must not be empty"):
        decorate(name="")(ship)


def test_a_decorated_workflow_keeps_its_options_under_another_name() -> None:
    decorated = workflow(name="registry.kept", max_recovery_attempts=3, serializer="pickle")(ship)
    engine = DurableEngine("memory://")

    same = engine.register("ship", decorated).definition
    other = engine.register("ship too", decorated, serializer="json").definition

    assert (same.max_recovery_attempts, same.serializer) == (3, "pickle")
    assert (other.max_recovery_attempts, other.serializer) == (3, "json")
