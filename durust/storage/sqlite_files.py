"""The file of a SQLite database: where it stands, and whether a database may stand there."""

from __future__ import annotations

import re
from pathlib import Path

from durust.errors import ProviderMisuse

# Their locks, or their shared memory, do not hold between hosts, and SQLite corrupts what it cannot lock.
NETWORK_KINDS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "ceph", "glusterfs", "lustre", "beegfs", "gpfs", "ocfs2"}
    | {"fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.s3fs", "fuse.rclone", "fuse.gcsfuse", "davfs", "fuse.davfs2"}
)
_MOUNTS = Path("/proc/mounts")
_ESCAPE = re.compile(r"\\([0-7]{3})")


def locate(path: str | Path) -> Path:
    """Return where *path* leads, now: a later change of the working folder does not move the database.

    Raises `ProviderMisuse` for the name of SQLite's private memory.
    """
    if str(path) == ":memory:":
        raise ProviderMisuse("sqlite://", "a database in memory is seen by one connection only", "use memory://")
    return Path(path).expanduser().resolve()


def demand_folder(name: str, path: Path) -> None:
    """Raise `ProviderMisuse` unless the folder of *path* exists and is on this host."""
    if not path.parent.is_dir():
        raise ProviderMisuse(name, f"the folder {path.parent} does not exist", "create it, or choose another path")
    if path.is_dir():
        raise ProviderMisuse(name, "the path is a folder", "name a file in it")
    kind = network_kind(_read_mounts(), path)
    if kind is not None:
        raise ProviderMisuse(
            name, f"{path.parent} is on a network file system ({kind})", "use a local folder, or Postgres"
        )


def _read_mounts() -> str:
    try:
        return _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        # Not every system tells.
        return ""


def network_kind(mounts: str, path: Path) -> str | None:
    """Return the kind of the network file system that holds *path*, or None when it is not known to be on one.

    *mounts* is the text of `/proc/mounts`, where the last of several mounts on one folder counts.
    """
    found, depth = None, -1
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:  # noqa: PLR2004  device, folder, kind
            continue
        folder = Path(_ESCAPE.sub(lambda escape: chr(int(escape[1], 8)), fields[1]))
        if len(folder.parts) >= depth and path.is_relative_to(folder):
            found, depth = fields[2], len(folder.parts)
    return found if found in NETWORK_KINDS else None


def size(path: Path) -> int:
    """Return the size of a file, 0 when there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return 0
