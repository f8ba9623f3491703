"""The file that one supervisor holds locked, and the folder and names of its control sockets."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import stat
import tempfile
from pathlib import Path

from durust import clock
from durust.errors import DurustError, InvalidArgument

# Sixteen hexadecimal digits name the few supervisors of one user on one host.
_HASH_DIGITS = 16
# The kernel's limit for the path of a socket is 108 bytes with the NUL that ends it; macOS has 104.
SOCKET_PATH_BYTES_MAX = 103
# Whoever asks for the holder locks the file too, for microseconds; a holder keeps it for longer than all tries take.
_LOCK_TRIES = 10
_LOCK_PAUSE_SECONDS = 0.02
# What a pidfile may hold, and more bytes than that has.
_PID = re.compile(rb"\d*\n?")
_PID_BYTES_MAX = 32
_SUFFIX_LENGTH = len("/") + _HASH_DIGITS + len(".orders")


class AlreadyRunning(DurustError):
    """Another supervisor holds the pidfile."""

    exit_code = 4
    """A conflict, to the command line."""

    def __init__(self, path: str, pid: int | None) -> None:
        super().__init__(path, pid)
        self.path, self.pid = path, pid

    def __str__(self) -> str:
        holder = f"pid {self.pid}" if self.pid else "pid unknown"
        return f"a supervisor ({holder}) already holds {self.path}; stop it, or give this one a --pidfile of its own"


class NotRunning(DurustError):
    """No supervisor holds the pidfile."""

    exit_code = 3
    """Not found, to the command line."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return f"no supervisor holds {self.path}; call this in the folder where `durust up` runs, or name its --pidfile"


class UnsafeFolder(DurustError):
    """The folder for control sockets could be used by others."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        remedy = "remove it, or set XDG_RUNTIME_DIR to a folder of yours"
        return f"{self.path} cannot hold control sockets: {self.reason}; {remedy}"


class Pidfile:
    """A lock on a file, held until the process ends however it ends."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self._fd = fd

    @classmethod
    def take(cls, path: Path) -> Pidfile:
        """Lock *path* and write this process's pid into it.

        Raises `AlreadyRunning` when another holds it, `InvalidArgument` when it cannot be written or holds something
        else than a pid.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            wanted = f"cannot be written ({error.strerror}); name another file with --pidfile"
            raise InvalidArgument("pidfile", str(path), wanted) from error
        try:
            if not _lock(fd):
                raise AlreadyRunning(str(path), _read_pid(path))
            if not _PID.fullmatch(os.pread(fd, _PID_BYTES_MAX, 0)):
                raise InvalidArgument("pidfile", str(path), "holds something else than a pid; name a file of its own")
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        except BaseException:
            os.close(fd)
            raise
        return cls(path, fd)

    def release(self) -> None:
        """Empty the file and let go of it. It is not removed: another could have opened it already."""
        os.ftruncate(self._fd, 0)
        os.close(self._fd)


def holder(path: Path) -> int:
    """Return the pid of the supervisor that holds *path*. Raises `NotRunning` when nobody does."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError:
        raise NotRunning(str(path)) from None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read_pid(path) or 0
    finally:
        os.close(fd)
    raise NotRunning(str(path))


def default_pidfile() -> Path:
    """Return the pidfile of the supervisor of the current folder."""
    return runtime_folder() / f"{_digest(Path.cwd())}.pid"


def cluster_of(pidfile: Path) -> str:
    """Return the name of the control plane that belongs to *pidfile*."""
    return _digest(pidfile)


def runtime_folder() -> Path:
    """Make and return the folder for control sockets, which only this user may enter. Raises `UnsafeFolder`."""
    wanted = os.environ.get("XDG_RUNTIME_DIR")
    folder = Path(wanted) / "durust" if wanted and Path(wanted).is_dir() else None
    if folder is None or len(os.fsencode(folder)) + _SUFFIX_LENGTH > SOCKET_PATH_BYTES_MAX:
        # The system's folder, not TMPDIR: that one may be long, and `durust ctl` may run with another.
        shared = "/tmp" if Path("/tmp").is_dir() else tempfile.gettempdir()  # noqa: S108  made 0700 and checked below
        folder = Path(shared) / f"durust-{os.geteuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except FileExistsError:
        raise UnsafeFolder(str(folder), "it is not a folder") from None
    except OSError as error:
        raise UnsafeFolder(str(folder), f"it cannot be made ({error.strerror})") from error
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise UnsafeFolder(str(folder), "it is not a folder")
    if found.st_uid != os.geteuid():
        raise UnsafeFolder(str(folder), "it belongs to another user")
    if stat.S_IMODE(found.st_mode) & 0o077:
        folder.chmod(0o700)
    return folder


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:_HASH_DIGITS]


def _lock(fd: int) -> bool:
    for _ in range(_LOCK_TRIES):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            clock.pause(_LOCK_PAUSE_SECONDS)
        else:
            return True
    return False


def _read_pid(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
