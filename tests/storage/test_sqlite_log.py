"""The write-ahead log: what is durable, who waits, and who may copy the log into the database."""

from __future__ import annotations

import fcntl
import logging
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from durust.errors import ProviderUnavailable, SchemaMismatch
from durust.model.filters import ListFilter
from durust.model.writes import Outcome, Recorded, Write
from durust.storage import halves, sqlite_batch, sqlite_links, sqlite_log
from durust.storage.links import Call, Transient
from durust.storage.provider import Hint
from durust.storage.sqlite import SqliteProvider
from durust.storage.sqlite_statements import Transaction
from tests.conformance.builders import commit, history, make_claimed, make_enqueued, record_step, sweep
from tests.storage.opened import ask, opened


def pragma(provider: SqliteProvider, name: str) -> object:
    """Return a setting of one of the provider's own connections."""
    with provider._pool.lend() as link:
        return link._pragma(name)


def hold_lock(path: Path) -> sqlite3.Connection:
    """Return a connection that holds the write lock."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("begin immediate")
    return other


@pytest.mark.protocol("6.wal", "6.synchronous")
def test_a_commit_outlives_a_loss_of_power_unless_less_is_asked_for(tmp_path: Path) -> None:
    with opened(tmp_path / "durust.db") as provider:
        relaxed = SqliteProvider(tmp_path / "durust.db", synchronous="NORMAL")

        assert (pragma(provider, "journal_mode"), pragma(provider, "synchronous")) == ("wal", 2)
        assert pragma(relaxed, "synchronous") == 1
        relaxed.close()


@pytest.mark.protocol("6.wal-bug")
@pytest.mark.parametrize(
    ("version", "is_affected"),
    [((3, 35, 0), True), ((3, 51, 2), True), ((3, 51, 3), False), ((3, 52, 0), False), ((4, 0, 0), False)],
)
def test_versions_up_to_3_51_2_need_care(version: tuple[int, ...], *, is_affected: bool) -> None:
    assert sqlite_links.needs_care(version) is is_affected


@pytest.fixture
def affected(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the library pass for one with the bug, and the log for a long one."""
    monkeypatch.setattr(sqlite_links, "VERSION_SAFE", (99, 0, 0))
    monkeypatch.setattr(sqlite_log, "CHECKPOINT_BYTES", 50_000)


@pytest.mark.protocol("6.wal-bug")
@pytest.mark.usefixtures("affected")
def test_an_affected_library_copies_nothing_by_itself_and_maps_nothing(tmp_path: Path) -> None:
    with opened(tmp_path / "durust.db") as provider:
        assert (pragma(provider, "wal_autocheckpoint"), pragma(provider, "mmap_size")) == (0, 0)


@pytest.mark.protocol("6.wal-bug")
def test_a_library_without_the_bug_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_links, "VERSION_SAFE", (3, 0, 0))

    with opened(tmp_path / "durust.db") as provider:
        assert pragma(provider, "wal_autocheckpoint") == 1000


@pytest.mark.protocol("6.wal-bug")
@pytest.mark.usefixtures("affected")
def test_the_bug_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sqlite_links._tell_of_version.cache_clear()

    with caplog.at_level(logging.INFO, "durust"):
        for name in ("one.db", "two.db"):
            with opened(tmp_path / name) as provider:
                make_enqueued(provider)

    assert len([message for message in caplog.messages if "has a bug" in message]) == 1


def grow_log(provider: SqliteProvider, path: Path) -> int:
    claimed = make_claimed(provider)
    commit(provider, *(record_step(claimed, place, output="x" * 1000) for place in range(1, 201)))
    return Path(f"{path}-wal").stat().st_size


def frames(path: Path) -> bytes:
    """Return the database file without its log."""
    return path.read_bytes()


@pytest.mark.protocol("6.wal-bug")
@pytest.mark.usefixtures("affected")
def test_a_sweep_copies_a_long_log_so_that_it_is_used_again(tmp_path: Path) -> None:
    path = tmp_path / "durust.db"
    with opened(path) as provider:
        grown = grow_log(provider, path)
        before = frames(path)
        sweep(provider)
        after = frames(path)

        sizes = []
        for _ in range(5):
            grow_log(provider, path)
            sweep(provider)
            sizes.append(Path(f"{path}-wal").stat().st_size)

        assert before != after
        assert max(sizes) < 3 * grown


@pytest.mark.protocol("6.wal-bug")
@pytest.mark.usefixtures("affected")
@pytest.mark.parametrize("held", ["the file lock", "the write lock"])
def test_nobody_copies_while_another_copies_or_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: str
) -> None:
    monkeypatch.setattr(sqlite_links, "BUSY_SECONDS", 0.05)
    path = tmp_path / "durust.db"
    with opened(path) as provider, Path(f"{path}-checkpoint").open("w") as lock:
        grow_log(provider, path)
        before = frames(path)

        if held == "the file lock":
            fcntl.flock(lock, fcntl.LOCK_EX)
            provider._copy_log()
        else:
            with closing(hold_lock(path)):
                provider._copy_log()

        assert frames(path) == before


@pytest.mark.protocol("6.wal-bug")
@pytest.mark.usefixtures("affected")
def test_the_write_lock_is_held_while_the_log_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "durust.db"
    refusals = []
    with opened(path) as provider:
        grow_log(provider, path)
        run = sqlite_links.SqliteLink.run

        def look(link: sqlite_links.SqliteLink, calls: list[Call]) -> object:
            if calls[0].statement.name == "checkpoint":
                with closing(sqlite3.connect(path, timeout=0)) as other, pytest.raises(sqlite3.OperationalError) as no:
                    other.execute("begin immediate")
                refusals.append(str(no.value))
            return run(link, calls)

        monkeypatch.setattr(sqlite_links.SqliteLink, "run", look)
        provider._copy_log()

    assert refusals == ["database is locked"]


@pytest.mark.protocol("6.busy")
def test_a_writer_waits_for_another_and_then_says_that_the_database_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_links, "BUSY_SECONDS", 0.05)
    path = tmp_path / "durust.db"
    with opened(path) as provider:
        claimed = make_claimed(provider, "a")
        with closing(provider.writer()) as writer:
            with closing(hold_lock(path)), pytest.raises(ProviderUnavailable, match="locked"):
                writer.commit([record_step(claimed)])

            again = writer.commit([record_step(claimed)])

    assert again == [Recorded()]


def test_the_library_waits_ten_seconds() -> None:
    assert sqlite_links.BUSY_SECONDS == 10


@pytest.mark.protocol("6.wal")
def test_a_reader_does_not_wait_for_a_writer(tmp_path: Path) -> None:
    path = tmp_path / "durust.db"
    with opened(path) as provider:
        make_enqueued(provider, "a")

        with closing(hold_lock(path)) as other:
            other.execute("delete from workflow_status")
            seen = provider.workflows(ListFilter())

    assert [row.workflow_id for row in seen] == ["a"]


def test_values_that_are_too_large_together_let_others_write_in_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(halves, "BATCH_CHARACTERS_MAX", 10_000)
    with opened(tmp_path / "durust.db") as provider:
        runs = [make_claimed(provider, name) for name in "abc"]
        apply, sizes = sqlite_batch.commit, []

        def count(transaction: Transaction, writes: Sequence[Write]) -> list[Outcome]:
            sizes.append(len(writes))
            return apply(transaction, writes)

        monkeypatch.setattr(sqlite_batch, "commit", count)
        outcomes = commit(provider, *(record_step(run, output=f'"{"x" * 6_000}"') for run in runs))

    assert outcomes == [Recorded()] * 3
    assert sizes == [1] * 3


@pytest.mark.protocol("6.retry")
@pytest.mark.parametrize("what", ["read", "write"])
def test_a_statement_that_is_turned_away_is_sent_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    with opened(tmp_path / "durust.db") as provider:
        claimed = make_claimed(provider, "a")
        execute, refusals = sqlite_links.SqliteLink._execute, iter([True, True])

        def refuse_twice(link: sqlite_links.SqliteLink, *rest: object) -> sqlite3.Cursor:
            if next(refusals, False):
                raise Transient("database is locked")
            return execute(link, *rest)  # type: ignore[arg-type]  # passed on as they came

        monkeypatch.setattr(sqlite_links.SqliteLink, "_execute", refuse_twice)
        answer = history(provider, "a") if what == "read" else commit(provider, record_step(claimed))

    assert answer == ([] if what == "read" else [Recorded()])


def test_a_full_disk_loses_nothing_and_is_over_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path / "durust.db") as provider:
        claimed = make_claimed(provider, "a")
        large = record_step(claimed, 2, output="x" * 1_000_000)
        configure = sqlite_links.SqliteLink._configure

        def configure_small(link: sqlite_links.SqliteLink, synchronous: str) -> None:
            configure(link, synchronous)
            link._pragma("max_page_count=1")

        with closing(provider.writer()) as writer:
            with monkeypatch.context() as small:
                small.setattr(sqlite_links.SqliteLink, "_configure", configure_small)
                with pytest.raises(ProviderUnavailable, match="full"):
                    writer.commit([record_step(claimed, 1), large])
            seen = history(provider, "a")

            again = writer.commit([record_step(claimed, 1), large])

    assert (seen, again) == ([], [Recorded(), Recorded()])


def test_after_closing_the_database_is_away(tmp_path: Path) -> None:
    with opened(tmp_path / "durust.db") as provider:
        make_enqueued(provider, "a")
    provider.close()

    with pytest.raises(ProviderUnavailable, match="closed"):
        provider.workflows(ListFilter())


def test_a_file_that_vanished_is_no_new_one(tmp_path: Path) -> None:
    path = tmp_path / "durust.db"
    with opened(path) as provider:
        make_enqueued(provider, "a")
    path.unlink()

    with pytest.raises(SchemaMismatch, match="no file"):
        SqliteProvider(path).workflows(ListFilter())

    assert not path.exists()


@pytest.mark.protocol("6.data-version")
def test_a_listener_outlives_a_database_that_is_away(tmp_path: Path) -> None:
    path = tmp_path / "durust.db"
    with opened(path) as provider:
        listener = provider.listen()
        listener._drop()  # type: ignore[attr-defined]  # as after a fault
        path.rename(tmp_path / "away.db")
        assert listener.wait(0.05) == []

        (tmp_path / "away.db").rename(path)

        assert listener.wait(5) == [Hint("any")]
        listener.close()


def test_nothing_is_left_beside_a_file_that_everybody_closed(tmp_path: Path) -> None:
    path = tmp_path / "durust.db"
    with opened(path) as provider:
        make_enqueued(provider, "a")

    assert [entry.name for entry in tmp_path.iterdir()] == ["durust.db"]
    assert ask(path, "select workflow_uuid from workflow_status") == [("a",)]
