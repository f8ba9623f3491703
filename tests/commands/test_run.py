"""`durust run`: one workflow, here or by the workers, and its result."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from durust.model.status import Status
from durust.model.writes import INTERNAL_QUEUE
from durust.storage.provider import StateProvider
from tests.commands.conftest import Answer, Durust
from tests.conformance.builders import row_of
from tests.support.processes import Spawn

PROGRAM = """
from dataclasses import dataclass
import durust

@dataclass
class Order:
    customer: str
    cents: int

@durust.workflow
def buy(ctx: durust.SyncDurableContext, order: Order, times: int = 1) -> Order:
    if order.cents < 0:
        raise ValueError("a price below zero")
    ctx.sleep(0.01)
    return Order(order.customer, order.cents * times)

engine = durust.DurableEngine(app_name="named", queues=[])
"""
# Any engine of the application serves the internal queue.
WORKER = """
import threading
import durust, shop
with durust.DurableEngine(queues=[]):
    threading.Event().wait()
"""
SLOW = """
import durust

@durust.workflow
async def wait(ctx: durust.DurableContext) -> None:
    print("inside", flush=True)
    await ctx.sleep(0.5)
    await ctx.step("hang", hang)

async def hang() -> None:
    import asyncio
    await asyncio.Event().wait()
"""
# Whoever runs the tests in the background has interrupts ignored, and a process inherits that.
COMMAND = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from durust.supervisor.cli import main; main()
"""
ORDER = {"customer": "ada", "cents": 3}


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Return the folder of an application."""
    (tmp_path / "shop.py").write_text(PROGRAM)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "cents"), [(json.dumps([ORDER, 2]), 6), (json.dumps({"order": ORDER}), 3)], ids=["list", "object"]
)
def test_a_workflow_is_run_here(spawn: Spawn, shop: Path, url: str, arguments: str, cents: int) -> None:
    ran = spawn("-c", COMMAND, "run", "buy", arguments, "--app", "shop", cwd=shop)

    assert ran.wait() == 0, ran.stderr
    assert json.loads(ran.stdout) == {"customer": "ada", "cents": cents}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (['[{"customer": "ada", "cents": -1}]', "--id", "buy-1"], 1, "workflow 'buy-1' failed at "),
        (["[3]"], 2, "ARGS='[3]': do not fit: argument 'order' of buy: Order wanted"),
        (["[]"], 2, "ARGS='[]': workflow 'buy': buy(order, times): missing a required argument: 'order'"),
    ],
)
def test_a_run_that_fails_is_told_in_one_line(
    spawn: Spawn, shop: Path, arguments: list[str], code: int, said: str
) -> None:
    ran = spawn("-c", COMMAND, "run", "buy", *arguments, "--app", "shop", "--db", "sqlite:///own.db", cwd=shop)

    assert ran.wait() == code, ran.stderr
    assert said in ran.stderr
    assert (ran.stdout, "Traceback" in ran.stderr) == ("", False)


def test_an_id_that_has_ended_prints_its_result_again(spawn: Spawn, shop: Path, provider: StateProvider) -> None:
    command = ("-c", COMMAND, "run", "buy", json.dumps([ORDER]), "--app", "shop:engine", "--id", "buy-1")

    first = spawn(*command, cwd=shop)
    assert first.wait() == 0, first.stderr
    again = spawn(*command, cwd=shop)

    assert again.wait() == 0, again.stderr
    assert json.loads(first.stdout) == json.loads(again.stdout) == ORDER
    assert (row_of(provider, "buy-1").app_name, row_of(provider, "buy-1").status) == ("named", Status.SUCCESS)


def test_what_is_left_to_the_workers_prints_its_id(durust: Durust, provider: StateProvider) -> None:
    told = durust("run", "buy", "-", "--detach", "--id", "buy-1", "--timeout", "1h", stdin=json.dumps([ORDER]))
    queued = durust("run", "buy", "--detach", "--queue", "mail", "--id", "buy-2")

    row = row_of(provider, "buy-1")
    assert (told.exit_code, told.stdout) == (0, "buy-1\n")
    assert (row.status, row.queue, row.timeout_ms) == (Status.ENQUEUED, INTERNAL_QUEUE, 3_600_000)
    assert (row_of(provider, "buy-2").queue, queued.stdout) == ("mail", "buy-2\n")
    assert queued.stderr == "durust: no worker has declared queue 'mail' so far; 'buy-2' waits for one that does\n"


def test_what_is_said_of_its_user_stands_in_its_row(durust: Durust, provider: StateProvider) -> None:
    said = ["--user", "ada", "--role", "clerk", "--role", "boss", "--attribute", "shop=north", "--attribute", "size=4"]

    durust("run", "buy", "--detach", "--id", "buy-1", *said)
    refused = durust("run", "buy", "--detach", "--attribute", "north")

    row = row_of(provider, "buy-1")
    assert row.authenticated_user == "ada"
    assert json.loads(row.authenticated_roles or "") == ["clerk", "boss"]
    assert json.loads(row.attributes or "") == {"shop": "north", "size": 4}
    assert (refused.exit_code, "must be NAME=JSON" in refused.stderr) == (2, True)


def test_an_interrupted_run_is_handed_back_at_once(spawn: Spawn, tmp_path: Path, provider: StateProvider) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    running = spawn("-c", COMMAND, "run", "wait", "--app", "slow", "--id", "a", cwd=tmp_path)
    running.wait_for("inside")

    running.send(signal.SIGINT)

    assert running.wait() == 130
    assert "workflow 'a' goes on where a worker takes it up" in running.stderr
    assert len(running.stderr.splitlines()) == 1
    assert (row_of(provider, "a").status, row_of(provider, "a").attempts) == (Status.ENQUEUED, 0)


def test_an_id_that_another_workflow_has_is_a_conflict(durust: Durust, provider: StateProvider) -> None:
    durust("run", "buy", "--detach", "--id", "buy-1")

    refused = durust("run", "sell", "--detach", "--id", "buy-1")

    assert refused.exit_code == 4
    assert "buy-1" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 2, "say either --app MODULE, to run it here"),
        (["--app", "shop", "--queue", "mail"], 2, "say either --app MODULE, to run it here"),
        (["ada", "--detach"], 2, "must be JSON, quoted for the shell"),
        (["--app", "no_such_module"], 1, "there is no module 'no_such_module'"),
        (["--app", "shop.py"], 2, "write the module's name, not its file: shop"),
        (["--app", ".shop"], 2, "must be a module's name"),
        (["--app", ""], 2, "must be a module's name"),
        (["[NaN]", "--detach"], 2, "ARGS='[NaN]': must be JSON"),
        (["[" * 100_000, "--detach"], 2, "must be JSON"),
        (["--app", "json"], 3, "no workflow is registered as 'buy'"),
        (["--detach", "--id", "a\0b"], 2, "must not contain NUL"),
    ],
)
def test_what_cannot_be_run_is_told_in_one_line(
    durust: Durust, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, said: str
) -> None:
    monkeypatch.setenv("DURUST_DATABASE_URL", f"sqlite:///{tmp_path}/durust.db")

    refused = durust("run", "buy", *arguments)

    assert refused.exit_code == code
    assert said in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_workflow_that_waits_for_workers_is_waited_for(
    answer: Answer, durust: Durust, spawn: Spawn, shop: Path, provider: StateProvider
) -> None:
    durust("run", "buy", json.dumps([ORDER, 3]), "--detach", "--id", "buy-1")
    worker = spawn("-c", WORKER, cwd=shop)

    assert answer("run", "buy", json.dumps([ORDER, 3]), "--queue", INTERNAL_QUEUE, "--id", "buy-1")["cents"] == 9
    worker.kill()
