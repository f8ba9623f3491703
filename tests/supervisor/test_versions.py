"""`durust version` looks after versions and needs none of the user's code; `durust up` may be told its version."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from durust.model.status import Status
from durust.model.writes import StoreVersion
from durust.storage.provider import StateProvider
from tests.conformance.builders import NAME, commit, make_enqueued, make_executor, row_of
from tests.supervisor.apps import steps
from tests.supervisor.conftest import StartUp, count, enqueue_one
from tests.support.processes import Spawned
from tests.support.waiting import eventually

Durust = Callable[..., Spawned]


def make_version(provider: StateProvider, name: str, by: str = "nobody", **workflows: str) -> None:
    """Register a version."""
    commit(provider, StoreVersion(f"id of {name}", "durust", name, tuple(workflows.items()), by))


def make_deploy(provider: StateProvider) -> None:
    """Leave two workflows behind that began before a deploy."""
    make_version(provider, "release 1", ship="v1")
    make_executor(provider, "first")
    make_version(provider, "release 2", by="first", ship="v2")
    make_enqueued(provider, "a", name=NAME, app_version="v1")
    make_enqueued(provider, "b", name="gone", app_version="v1")
    make_enqueued(provider, "c", name=NAME, app_version="v2")


def answer(command: Spawned) -> object:
    assert command.wait() == 0, command.stderr
    return json.loads(command.stdout)


@pytest.mark.covers(167)
def test_versions_are_listed_the_latest_first(durust: Durust, url: str, provider: StateProvider) -> None:
    make_deploy(provider)

    listed = answer(durust("version", "list", "--db", url))

    assert isinstance(listed, list)
    assert [(row["version"], row["latest"], row["executors"], row["workflows"]) for row in listed] == [
        ("release 2", True, 1, 1),
        ("release 1", False, 0, 1),
    ]


def test_what_is_stranded_is_listed_and_adopted_by_the_latest_version(
    durust: Durust, url: str, provider: StateProvider
) -> None:
    make_deploy(provider)
    listed = durust("version", "stranded", "--db", url, "-o", "ids")
    assert (listed.wait(), listed.stdout.split()) == (0, ["a", "b"])

    adopted = durust("version", "adopt", "--db", url)

    assert answer(adopted) == {"version": "release 2", "adopted": ["a"], "left": ["b"]}
    assert "no workflow of their names: gone" in adopted.stderr
    assert [row_of(provider, name).app_version for name in "abc"] == ["v2", "v1", "v2"]


def test_one_may_be_adopted_by_a_version_of_choice(durust: Durust, url: str, provider: StateProvider) -> None:
    make_deploy(provider)
    make_version(provider, "release 3", ship="v3")

    adopted = answer(durust("version", "adopt", "a", "--to", "release 2", "--db", url))

    assert adopted == {"version": "release 2", "adopted": ["a"], "left": []}
    assert row_of(provider, "a").app_version == "v2"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["c"], 4, "not adopted: c; what is not stranded"),
        (["unknown"], 3, "there is no workflow 'unknown'"),
        (["--to", "release 9"], 3, "there is no version 'release 9'"),
        (["--app-name", "other"], 3, "no version of application 'other' is registered in this database"),
    ],
)
def test_what_cannot_be_adopted_has_an_exit_code(
    durust: Durust, url: str, provider: StateProvider, arguments: list[str], code: int, said: str
) -> None:
    make_deploy(provider)

    refused = durust("version", "adopt", *arguments, "--db", url)

    assert refused.wait() == code
    assert said in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.covers(88)
def test_workers_have_the_version_that_the_supervisor_was_told(
    up: StartUp, durust: Durust, url: str, provider: StateProvider
) -> None:
    up("steps", "--workers", "1", "--app-version", "release 7", url=url)

    workflow_id = enqueue_one(provider, steps.job, 0.0)

    eventually(lambda: count(provider, Status.SUCCESS) == 1)
    assert row_of(provider, workflow_id).app_version == "release 7"
    [row] = provider.versions("durust", 10)
    assert (row.name, dict(row.workflows)[steps.job.name]) == ("release 7", "release 7")
