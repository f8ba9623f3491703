"""One supervisor a pidfile, and control sockets that only their user can reach."""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path

import pytest

from durust import clock
from durust.errors import InvalidArgument
from durust.supervisor.control import addresses
from durust.supervisor.pidfile import (
    SOCKET_PATH_BYTES_MAX,
    AlreadyRunning,
    NotRunning,
    Pidfile,
    UnsafeFolder,
    cluster_of,
    holder,
    runtime_folder,
)

pytestmark = pytest.mark.usefixtures("runtime")


def test_a_pidfile_names_its_holder(tmp_path: Path) -> None:
    Pidfile.take(tmp_path / "up.pid")

    assert holder(tmp_path / "up.pid") == os.getpid()


def test_a_second_holder_is_refused_by_the_pid_of_the_first(tmp_path: Path) -> None:
    Pidfile.take(tmp_path / "up.pid")

    with pytest.raises(AlreadyRunning, match=f"pid {os.getpid()}.*give this one a --pidfile of its own"):
        Pidfile.take(tmp_path / "up.pid")


def test_somebody_who_asks_for_the_holder_is_not_taken_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asking = os.open(tmp_path / "up.pid", os.O_RDONLY | os.O_CREAT)
    fcntl.flock(asking, fcntl.LOCK_SH)
    monkeypatch.setattr(clock, "pause", lambda _: fcntl.flock(asking, fcntl.LOCK_UN))

    Pidfile.take(tmp_path / "up.pid")

    assert holder(tmp_path / "up.pid") == os.getpid()
    os.close(asking)


def test_a_file_that_is_no_pidfile_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("1 egg\n")

    with pytest.raises(InvalidArgument, match="holds something else than a pid; name a file of its own"):
        Pidfile.take(tmp_path / "notes")

    assert (tmp_path / "notes").read_text() == "1 egg\n"


def test_a_pidfile_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(InvalidArgument, match=r"file/up\.pid': cannot be written \(.*\); name another file"):
        Pidfile.take(tmp_path / "file" / "up.pid")


def test_a_released_pidfile_can_be_taken_again(tmp_path: Path) -> None:
    Pidfile.take(tmp_path / "up.pid").release()

    with pytest.raises(NotRunning):
        holder(tmp_path / "up.pid")
    Pidfile.take(tmp_path / "up.pid").release()


def test_a_pidfile_that_nobody_made_has_no_holder(tmp_path: Path) -> None:
    with pytest.raises(NotRunning, match="durust up"):
        holder(tmp_path / "up.pid")


def test_the_folder_for_sockets_is_closed_to_others(runtime: Path) -> None:
    assert stat.S_IMODE(runtime_folder().stat().st_mode) == 0o700


def test_a_folder_that_was_open_is_closed(runtime: Path) -> None:
    (runtime / "durust").mkdir(mode=0o755)

    assert stat.S_IMODE(runtime_folder().stat().st_mode) == 0o700


def test_a_link_in_the_place_of_the_folder_is_refused(runtime: Path) -> None:
    (runtime / "elsewhere").mkdir()
    (runtime / "durust").symlink_to(runtime / "elsewhere")

    with pytest.raises(UnsafeFolder, match="not a folder"):
        runtime_folder()


def test_a_file_in_the_place_of_the_folder_is_refused(runtime: Path) -> None:
    (runtime / "durust").touch()

    with pytest.raises(UnsafeFolder, match="not a folder"):
        runtime_folder()


def test_a_folder_that_cannot_be_made_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    # Nobody makes folders there, not even root.
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/proc")

    with pytest.raises(UnsafeFolder, match=r"/proc/durust cannot hold control sockets: it cannot be made \(.*\)"):
        runtime_folder()


def test_socket_paths_stay_below_the_kernel_s_limit_in_a_deep_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep))

    for address in addresses(cluster_of(deep / "up.pid")):
        assert len(address.removeprefix("ipc://")) <= SOCKET_PATH_BYTES_MAX


def test_two_pidfiles_have_two_control_planes(tmp_path: Path) -> None:
    assert cluster_of(tmp_path / "one.pid") != cluster_of(tmp_path / "two.pid")
