"""Workers come and go with their supervisor, and the control socket believes nobody."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import zmq

from durust.codec import Codec
from durust.model.writes import StartWorkflow, StoreQueue
from durust.storage.opening import open_provider
from durust.supervisor.control import addresses
from durust.supervisor.pidfile import cluster_of
from tests.supervisor.apps import steps
from tests.supervisor.conftest import StartUp
from tests.support.processes import Spawned
from tests.support.waiting import eventually

Durust = Callable[..., Spawned]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/durust.db"


@pytest.mark.parametrize("no_zmq", ["0", "1"])
def test_workers_die_with_a_supervisor_that_is_killed(up: StartUp, url: str, no_zmq: str) -> None:
    supervisor = up("steps", "--workers", "2", url=url, env={"DURUST_NO_ZMQ": no_zmq})
    supervisor.wait_until_up(2)
    workers = supervisor.workers()

    supervisor.process.kill()

    gone, alive = psutil.wait_procs(workers, timeout=2)
    assert (len(gone), alive) == (2, [])


def test_workers_that_are_just_starting_die_with_their_supervisor_too(up: StartUp, url: str) -> None:
    supervisor = up("steps", "--workers", "2", url=url)
    workers = eventually(lambda: found if len(found := supervisor.workers()) == 2 else [])

    supervisor.process.kill()

    gone, alive = psutil.wait_procs(workers, timeout=10)
    assert (len(gone), alive) == (2, [])


def test_a_worker_that_is_killed_is_started_again_at_once(up: StartUp, url: str) -> None:
    supervisor = up("steps", "--workers", "1", url=url)
    supervisor.wait_until_up(1)
    [victim] = supervisor.workers()

    victim.kill()

    supervisor.wait_until_up(2)
    assert f"worker 0 (pid {victim.pid}) was killed by SIGKILL" in supervisor.said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_an_idle_supervisor_in_order(up: StartUp, url: str, number: signal.Signals) -> None:
    supervisor = up("steps", "--workers", "2", url=url)
    supervisor.wait_until_up(2)

    supervisor.signal(number)

    assert supervisor.process.wait() == 0
    assert "killed" not in supervisor.said


def test_signals_that_do_not_stop_coming_leave_the_end_as_it_is(up: StartUp, url: str) -> None:
    supervisor = up("steps", "--workers", "1", url=url)
    supervisor.wait_until_up(1)

    def has_ended_under_signals() -> bool:
        supervisor.signal(signal.SIGTERM)
        return not supervisor.process.running

    eventually(has_ended_under_signals)

    assert supervisor.process.wait() == 0


def test_a_hangup_is_ignored(up: StartUp, url: str) -> None:
    supervisor = up("steps", "--workers", "1", url=url)
    supervisor.wait_until_up(1)

    supervisor.signal(signal.SIGHUP)

    assert supervisor.overview().supervisor.state == "RUNNING"


def test_a_worker_runs_an_engine_of_the_application_s_own_on_the_supervisor_s_database(up: StartUp, url: str) -> None:
    supervisor = up("engined:engine", "--workers", "1", url=url)

    supervisor.wait_until_up(1)

    assert not (Path(__file__).parent / "apps" / "never-opened.db").exists()


def test_a_queue_that_is_only_stored_can_be_served(up: StartUp, url: str) -> None:
    provider = open_provider(url)
    provider.migrate()
    writer = provider.writer()
    writer.commit([StoreQueue("stored", None, "durust")])
    writer.close()
    provider.close()

    supervisor = up("steps", "--workers", "1", "--queues", "stored", url=url)

    supervisor.wait_until_up(1)


@pytest.mark.covers(54)
def test_runs_that_wait_for_another_version_are_told_of_once(up: StartUp, url: str) -> None:
    provider = open_provider(url)
    provider.migrate()
    writer = provider.writer()
    encoded = Codec().dump_arguments(steps.job.definition.shape, ("old", 0.0), {})
    old = StartWorkflow("old", steps.job.name, encoded.text, encoded.serialization, "old", "durust", app_version="old")
    writer.commit([old])
    writer.close()
    provider.close()

    supervisor = up("steps", "--workers", "2", url=url)

    supervisor.wait_until_up(2)
    assert supervisor.said.count("another version of their code began, which nobody runs now: 1, namely old (job)") == 1


@pytest.mark.parametrize("form", [("-o", "json"), ()], ids=["json", "no terminal"])
def test_the_status_names_each_worker(up: StartUp, durust: Durust, url: str, form: tuple[str, ...]) -> None:
    supervisor = up("steps", "--workers", "2", url=url)
    supervisor.wait_until_up(2)

    asked = durust("ctl", "status", *form, "--pidfile", str(supervisor.pidfile))

    assert asked.wait() == 0
    told = json.loads(asked.stdout)
    assert (told["pid"], told["state"], told["wanted"]) == (supervisor.pid, "RUNNING", 2)
    assert {worker["pid"] for worker in told["workers"]} == {worker.pid for worker in supervisor.workers()}
    assert {worker["state"] for worker in told["workers"]} == {"LIVE"}


@pytest.mark.parametrize("order", ["drain", "stop"])
def test_an_order_over_the_socket_ends_the_supervisor(up: StartUp, durust: Durust, url: str, order: str) -> None:
    supervisor = up("steps", "--workers", "1", url=url)
    supervisor.wait_until_up(1)

    asked = durust("ctl", order, "--pidfile", str(supervisor.pidfile))

    assert asked.wait() == 0
    assert supervisor.process.wait() == 0


def test_without_zeromq_a_question_names_the_signal_to_send(up: StartUp, durust: Durust, url: str) -> None:
    supervisor = up("steps", "--workers", "1", url=url, env={"DURUST_NO_ZMQ": "1"})
    supervisor.wait_until_up(1)

    asked = durust("ctl", "drain", "--pidfile", str(supervisor.pidfile), env={"DURUST_NO_ZMQ": "1"})

    assert asked.wait() == 1
    assert f"(pid {supervisor.pid}) cannot be asked" in asked.stderr


def test_zeromq_is_not_even_loaded_when_it_is_switched_off(up: StartUp, url: str) -> None:
    supervisor = up("steps", "--workers", "1", url=url, env={"DURUST_NO_ZMQ": "1"})
    supervisor.wait_until_up(1)
    processes = [psutil.Process(supervisor.pid), *supervisor.workers()]

    mapped = [entry.path for process in processes for entry in process.memory_maps()]

    assert [path for path in mapped if "zmq" in path] == []


def test_blobs_on_the_control_socket_are_dropped_and_counted(up: StartUp, url: str) -> None:
    supervisor = up("steps", "--workers", "1", url=url)
    supervisor.wait_until_up(1)
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.setsockopt(zmq.LINGER, 2000)
        socket.connect(addresses(cluster_of(supervisor.pidfile))[0])

        for length in range(200):
            socket.send_multipart([os.urandom(length)] * (1 + length % 3))

        dropped = eventually(lambda: found if (found := supervisor.overview().supervisor.dropped) >= 200 else 0)

    assert dropped == 200
    assert supervisor.overview().supervisor.state == "RUNNING"
    assert supervisor.process.running


def test_a_message_that_is_too_large_cuts_its_sender_off_and_nobody_else(up: StartUp, url: str) -> None:
    supervisor = up("steps", "--workers", "1", url=url)
    supervisor.wait_until_up(1)
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        socket.connect(addresses(cluster_of(supervisor.pidfile))[0])

        socket.send(b"x" * (1 << 20))

        assert supervisor.overview().supervisor.state == "RUNNING"
        assert supervisor.overview().supervisor.dropped == 0
