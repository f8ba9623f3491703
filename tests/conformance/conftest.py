"""The providers under test, and a door behind the seam for states that it does not let anybody make."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from durust.model.records import ScheduleRow
from durust.storage.memory import InMemoryProvider
from durust.storage.postgres import PostgresProvider
from durust.storage.provider import StateProvider
from durust.storage.sqlite import SqliteProvider
from tests.conformance.belongings import Belongings
from tests.support.databases import MakeMigrated

PROVIDERS = ["memory", "sqlite", "postgres"]
SHARED = ["sqlite", "postgres"]
"""The kinds that several processes can use, for `@pytest.mark.parametrize("url", SHARED, indirect=True)`."""

_FIELDS = {
    "application_name": "app_name",
    "completed_at": "completed_at_ms",
    "created_at": "created_at_ms",
    "delay_until_epoch_ms": "delay_until_ms",
    "parent_workflow_id": "parent_id",
    "workflow_deadline_epoch_ms": "deadline_ms",
}

Rewrite = Callable[..., None]
"""`rewrite(workflow_id, column=value)` changes a column of a workflow behind the provider's back."""

ForeignSchedule = Callable[..., None]
"""`foreign_schedule(name, column=value)` leaves a schedule as another library makes it, under the id `theirs`."""


@pytest.fixture(params=PROVIDERS)
def url(request: pytest.FixtureRequest, make_migrated: MakeMigrated) -> str:
    """Return the address of a migrated database of one kind."""
    return make_migrated(request.param)


@pytest.fixture
def provider(url: str) -> Iterator[StateProvider]:
    """Return a provider on a migrated database, closed after the test."""
    with closing(open_provider(url)) as opened:
        yield opened


def open_provider(url: str) -> StateProvider:
    """Return a provider on the database at *url*."""
    if url.startswith("memory:"):
        return InMemoryProvider()
    if url.startswith("sqlite:"):
        return SqliteProvider(url.removeprefix("sqlite:///"))
    return PostgresProvider(url)


@pytest.fixture
def rewrite(url: str, provider: StateProvider) -> Rewrite:
    """Return `rewrite`, for what another library, a bug or the passing of time could leave behind."""
    return rewriter(url, provider)


def rewriter(url: str, provider: StateProvider) -> Rewrite:
    """Return `rewrite` for a provider on the database at *url*."""

    def change(workflow_id: str, **columns: Any) -> None:
        [(column, value)] = columns.items()
        if isinstance(provider, InMemoryProvider):
            rows = provider._tables.workflows
            rows[workflow_id] = replace(rows[workflow_id], **{_FIELDS.get(column, column): value})
        elif url.startswith("sqlite:"):
            with closing(sqlite3.connect(url.removeprefix("sqlite:///"), timeout=10)) as connection, connection:
                connection.execute(
                    f"update workflow_status set {column} = ? where workflow_uuid = ?", (value, workflow_id)
                )
        else:
            with psycopg.connect(url) as database:
                database.execute(
                    f"update dbos.workflow_status set {column} = %s where workflow_uuid = %s".encode(),
                    (value, workflow_id),
                )

    return change


@pytest.fixture
def belongings(url: str, provider: StateProvider) -> Belongings:
    """Return a door to what belongs to workflows."""
    return Belongings(url, provider)


@pytest.fixture
def foreign_schedule(url: str, provider: StateProvider) -> ForeignSchedule:
    """Return `foreign_schedule`."""
    return schedule_maker(url, provider)


def schedule_maker(url: str, provider: StateProvider) -> ForeignSchedule:
    """Return `foreign_schedule` for a provider on the database at *url*."""

    def make(name: str, **columns: Any) -> None:
        values: dict[str, Any] = {
            "schedule_id": "theirs",
            "schedule_name": name,
            "workflow_name": "ship",
            "schedule": "0 0 3 * * *",
            "status": "ACTIVE",
            "context": "null",
            "automatic_backfill": False,
            "cron_timezone": None,
            "queue_name": None,
            "application_name": None,
            "last_fired_at": None,
        } | columns
        columns_of = ", ".join(values)
        if isinstance(provider, InMemoryProvider):
            provider._tables.schedules[name] = ScheduleRow(
                schedule_id=values["schedule_id"],
                name=name,
                workflow=values["workflow_name"],
                cron=values["schedule"],
                zone=values["cron_timezone"],
                context=values["context"],
                status=values["status"],
                catch_up=values["automatic_backfill"],
                queue=values["queue_name"],
                app_name=values["application_name"],
                last_fired_at=values["last_fired_at"],
            )
        elif url.startswith("sqlite:"):
            with closing(sqlite3.connect(url.removeprefix("sqlite:///"), timeout=10)) as connection, connection:
                marks = ", ".join("?" * len(values))
                connection.execute(
                    f"insert into workflow_schedules ({columns_of}) values ({marks})", tuple(values.values())
                )
        else:
            with psycopg.connect(url) as database:
                marks = ", ".join(["%s"] * len(values))
                database.execute(
                    f"insert into dbos.workflow_schedules ({columns_of}) values ({marks})".encode(),
                    tuple(values.values()),
                )

    return make
