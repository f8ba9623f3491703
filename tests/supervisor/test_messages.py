"""Every message is received once and in order, however often the processes that receive them are killed."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from durust import DurableClient, WorkflowOptions, clock
from durust.model.filters import ListFilter
from durust.model.status import Status
from durust.storage.provider import StateProvider
from tests.supervisor import mail
from tests.support.processes import Spawn, Spawned
from tests.support.waiting import eventually

PROCESSES = 4
KILLS, KILLS_OF_BUG, LINES_OF_BUG = 30, 6, 20
JITTER_SECONDS = 0.1
# Far more than it takes on a machine with nothing else to do.
WORK_SECONDS = 240.0

pytestmark = [pytest.mark.parametrize("url", ["postgres"], indirect=True), pytest.mark.timeout(WORK_SECONDS * 2)]


def deliver(spawn: Spawn, url: str, provider: StateProvider, ledger: Path, kills: int, planted: str) -> None:
    """Let messages be sent and received, kill receivers evenly over that time, and return when nothing moves."""
    env = {"DURUST_DATABASE_URL": url, "LEDGER": str(ledger)}
    seed = clock.random_token()
    print(f"seed {seed}")
    chance = random.Random(seed)
    with DurableClient(url) as client:
        ids = [mail.receiver_id(number) for number in range(mail.RECEIVERS)]
        each = mail.TOTAL // mail.RECEIVERS
        options = [WorkflowOptions(workflow_id=workflow_id) for workflow_id in ids]
        client.enqueue_many("receivers", mail.receive.name, [(each,)] * len(ids), options=options)
        client.enqueue_many("senders", mail.send.name, [(number,) for number in range(mail.SENDERS)])

    def start(role: str, planted: str = planted) -> Spawned:
        return spawn("-m", "tests.supervisor.mail", role, env=env | {"PLANTED": planted})

    def lines() -> int:
        return ledger.read_text().count("\n") if ledger.exists() else 0

    receiving = [start("receivers") for _ in range(PROCESSES)]
    for process in receiving:
        process.wait_for("up")
    start("senders", planted="")
    for kill in range(1, kills + 1):
        # Whoever loses messages never gets to the end.
        due = kill * (LINES_OF_BUG if planted else mail.TOTAL // (kills + 1))
        eventually(lambda due=due: lines() >= due, WORK_SECONDS)  # type: ignore[misc]  # bound to each round
        clock.pause(chance.random() * JITTER_SECONDS)
        receiving.append(start("receivers"))
        receiving.pop(chance.randrange(PROCESSES)).kill()

    if planted:
        # It is slow; the rest is for honest ones.
        for process in receiving:
            process.kill()
        for _ in receiving:
            start("receivers", planted="")

    def is_quiet() -> bool:
        rows = provider.workflows(ListFilter(queues=["senders", "receivers"]))
        ended = {row.status for row in rows if row.workflow_id not in ids} == {Status.SUCCESS}
        waiting = {row.status for row in rows if row.workflow_id in ids} <= {
            Status.SUCCESS,
            Status.DELAYED,
            Status.ERROR,
        }
        return ended and waiting and all(message.is_consumed for one in ids for message in provider.messages(one))

    eventually(is_quiet, WORK_SECONDS)


@pytest.mark.covers(101, 103)
def test_receivers_that_are_killed_thirty_times_get_each_message_once_and_in_order(
    spawn: Spawn, url: str, provider: StateProvider, tmp_path: Path
) -> None:
    ledger = tmp_path / "mail"

    deliver(spawn, url, provider, ledger, KILLS, planted="")

    assert mail.faults(ledger) == []


def test_a_message_that_is_consumed_before_it_is_recorded_is_seen_to_get_lost(
    spawn: Spawn, url: str, provider: StateProvider, tmp_path: Path
) -> None:
    ledger = tmp_path / "mail"

    deliver(spawn, url, provider, ledger, KILLS_OF_BUG, planted="consume first")

    assert mail.faults(ledger) != []
