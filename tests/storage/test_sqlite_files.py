"""Where a SQLite file may stand, and what is said where it may not."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from durust.errors import ProviderMisuse
from durust.model.filters import ListFilter
from durust.storage import sqlite_files
from durust.storage.sqlite import SqliteProvider
from durust.storage.sqlite_links import fault_of
from tests.conformance.builders import make_enqueued
from tests.storage.opened import opened

MOUNTS = r"""/dev/vda / ext4 rw,relatime 0 0
proc /proc proc rw 0 0
server:/home /home nfs4 rw 0 0
/dev/vdb /home/local xfs rw 0 0
//server/share /mnt/with\040space cifs rw 0 0
server: /mnt/twice nfs rw 0 0
tmpfs /mnt/twice tmpfs rw 0 0
host /mnt/remote fuse.sshfs rw 0 0
broken
"""


@pytest.mark.protocol("6.network-refused")
@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/durust.db", None),
        ("/home/me/durust.db", "nfs4"),
        ("/home/local/me/durust.db", None),
        ("/homely/durust.db", None),
        ("/mnt/with space/durust.db", "cifs"),
        ("/mnt/twice/durust.db", None),
        ("/mnt/remote/a/b/durust.db", "fuse.sshfs"),
    ],
)
def test_the_nearest_mount_tells_whether_a_file_is_on_this_host(path: str, kind: str | None) -> None:
    assert sqlite_files.network_kind(MOUNTS, Path(path)) == kind


def test_nothing_is_said_where_the_mounts_are_unknown() -> None:
    assert sqlite_files.network_kind("", Path("/home/durust.db")) is None


@pytest.mark.protocol("6.network-refused")
def test_a_file_on_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"server:/ {tmp_path} nfs4 rw 0 0\n")
    monkeypatch.setattr(sqlite_files, "_MOUNTS", mounts)

    with pytest.raises(ProviderMisuse, match="network file system") as refused:
        SqliteProvider(tmp_path / "durust.db").migrate()

    assert "nfs4" in str(refused.value)
    assert not (tmp_path / "durust.db").exists()


def test_a_relative_path_is_resolved_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    provider = SqliteProvider("durust.db")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    provider.migrate()
    make_enqueued(provider, "a")
    provider.close()

    assert (tmp_path / "durust.db").exists()
    assert provider.name == f"sqlite:///{tmp_path}/durust.db"


def test_a_link_leads_to_the_one_file(tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(tmp_path / "durust.db")

    with opened(tmp_path / "durust.db") as provider, opened(tmp_path / "link.db") as linked:
        make_enqueued(provider, "a")

        assert len(linked.workflows(ListFilter())) == 1


@pytest.mark.parametrize("name", ["with space.db", "100%.db", "what?.db", "#1.db", "ẞ.db"])
def test_a_name_may_hold_any_character(tmp_path: Path, name: str) -> None:
    with opened(tmp_path / name) as provider:
        make_enqueued(provider, "a")

    assert (tmp_path / name).stat().st_size > 0


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProviderMisuse, match="does not exist") as refused:
        SqliteProvider(tmp_path / "nowhere" / "durust.db").migrate()

    assert str(tmp_path / "nowhere") in str(refused.value)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ProviderMisuse, match="is a folder"):
        SqliteProvider(tmp_path).migrate()


def test_sqlites_private_memory_is_refused() -> None:
    with pytest.raises(ProviderMisuse, match="memory://"):
        SqliteProvider(":memory:")


def test_making_a_provider_touches_nothing(tmp_path: Path) -> None:
    provider = SqliteProvider(tmp_path / "durust.db")

    provider.close()

    assert list(tmp_path.iterdir()) == []


def test_a_library_that_is_too_old_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))

    with pytest.raises(ProviderMisuse, match=r"3\.35\.0 or newer"):
        SqliteProvider(tmp_path / "durust.db").migrate()


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        (sqlite3.SQLITE_FULL, "make room where it stands"),
        (sqlite3.SQLITE_READONLY, "its file and its folder have to be writable"),
        (sqlite3.SQLITE_CANTOPEN, "its folder has to be there and to be writable"),
    ],
)
def test_a_file_that_cannot_be_written_names_the_remedy(code: int, remedy: str) -> None:
    error = sqlite3.OperationalError("it failed")
    error.sqlite_errorcode = code

    assert str(fault_of("shop.db", error)) == f"it failed; {remedy}"
