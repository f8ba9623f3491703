"""Several processes share one SQLite file: each workflow goes to one of them, and a death leaves nothing half done."""

from __future__ import annotations

import multiprocessing
import os
import signal
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from durust.errors import ProviderMisuse
from durust.model.filters import ListFilter
from durust.model.status import Status
from durust.model.writes import Recorded
from durust.storage.sqlite import SqliteProvider
from tests.conformance.builders import (
    commit,
    commit_one,
    executor,
    history,
    make_claimed,
    make_enqueued,
    make_executor,
    record_step,
    row_of,
    start,
    sweep,
    want,
)
from tests.storage.opened import ask, opened
from tests.support.processes import Spawn

PROCESSES, WORKFLOWS = 4, 400
WORKER = ("-m", "tests.storage.sqlite_worker")


@pytest.mark.covers(63)
def test_four_processes_run_four_hundred_workflows_once_each(tmp_path: Path, spawn: Spawn) -> None:
    path, ledger = tmp_path / "durust.db", tmp_path / "ledger"
    with opened(path) as provider:
        ids = [f"run {number:03}" for number in range(WORKFLOWS)]
        commit(provider, *(start(workflow_id) for workflow_id in ids))

        workers = [spawn(*WORKER, str(path), f"du:{number}", str(ledger)) for number in range(PROCESSES)]
        codes = [worker.wait(90) for worker in workers]

        lines = [line.rsplit(" ", 1) for line in ledger.read_text().splitlines()]
        assert codes == [0] * PROCESSES, [worker.stderr for worker in workers]
        assert Counter(workflow_id for workflow_id, _ in lines) == Counter(ids)
        assert len({name for _, name in lines}) > 1
        done = provider.workflows(ListFilter(statuses=[Status.SUCCESS]))
        assert len(done) == WORKFLOWS
        assert {len(steps) for steps in provider.history(ids).values()} == {1}


def test_a_process_that_is_killed_leaves_nothing_half_done(tmp_path: Path, spawn: Spawn) -> None:
    path, ledger = tmp_path / "durust.db", tmp_path / "ledger"
    with opened(path) as provider:
        make_enqueued(provider, "a")

        worker = spawn(*WORKER, str(path), "du:1", str(ledger), env={"FAILPOINTS": "sql.store_outputs.before=kill"})
        code = worker.wait()

        row = row_of(provider, "a")
        assert code == -signal.SIGKILL
        assert (row.status, row.output, row.executor_id) == (Status.PENDING, None, "du:1")
        assert [step.place for step in history(provider, "a")] == [1]


@pytest.mark.parametrize(
    ("boundary", "is_done"), [("sql.finish_workflows.before", False), ("sql.finish_workflows.after", True)]
)
def test_a_statement_that_writes_has_a_boundary_on_each_side_of_its_commit(
    tmp_path: Path, spawn: Spawn, boundary: str, *, is_done: bool
) -> None:
    path, ledger = tmp_path / "durust.db", tmp_path / "ledger"
    with opened(path) as provider:
        make_enqueued(provider, "a")

        worker = spawn(*WORKER, str(path), "du:1", str(ledger), env={"FAILPOINTS": f"{boundary}=kill"})
        worker.wait()

        assert row_of(provider, "a").status is (Status.SUCCESS if is_done else Status.PENDING)


@pytest.mark.protocol("6.lease-time")
def test_a_lease_of_another_boot_is_over(tmp_path: Path) -> None:
    path = tmp_path / "durust.db"
    with opened(path) as provider:
        make_enqueued(provider, "a")
        make_claimed(provider, "b", by="du:1")
        ask(path, "update durust_leases set boot_id = 'an earlier one', lease_until = 1e12")

        claims = provider.claim(want("du:1"))
        left = executor(provider, "du:1").lease_seconds_left
        swept = sweep(provider)

        assert (claims, left < 0) == ([], True)
        assert (swept.reaped, swept.released) == (("du:1",), 1)


@pytest.mark.protocol("6.fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_is_refused_and_harms_nobody(tmp_path: Path) -> None:
    path = tmp_path / "durust.db"
    with opened(path) as provider, closing(provider.writer()) as writer:
        claimed = make_claimed(provider, "a")
        writer.commit([record_step(claimed)])
        attempts: dict[str, Callable[[], object]] = {
            "the same provider": lambda: provider.workflows(ListFilter()),
            "the same writer": lambda: writer.commit([record_step(claimed, 2)]),
            "a provider of its own": lambda: SqliteProvider(path).workflows(ListFilter()),
        }

        refused = {name: in_a_fork(attempt) for name, attempt in attempts.items()}

        assert refused == dict.fromkeys(attempts, True)
        assert writer.commit([record_step(claimed, 3)]) == [Recorded()]
        assert [step.place for step in history(provider, "a")] == [1, 3]


def in_a_fork(attempt: Callable[[], object]) -> bool:
    """Tell whether *attempt* raises `ProviderMisuse` in a forked process."""
    pid = os.fork()
    if pid == 0:
        try:
            attempt()
            os._exit(1)
        except ProviderMisuse:
            os._exit(0)
        except BaseException:  # noqa: BLE001  the child must not return into the test
            traceback.print_exc()
            os._exit(2)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status) == 0


def test_a_spawned_process_opens_its_own(tmp_path: Path) -> None:
    path = tmp_path / "durust.db"
    with opened(path) as provider:
        make_executor(provider, "first")

        child = multiprocessing.get_context("spawn").Process(target=enqueue, args=(str(path),))
        child.start()
        child.join(60)

        assert child.exitcode == 0
        assert row_of(provider, "from the child").status is Status.ENQUEUED


def enqueue(path: str) -> None:
    provider = SqliteProvider(path)
    assert isinstance(commit_one(provider, start("from the child")), Recorded)
    provider.close()
