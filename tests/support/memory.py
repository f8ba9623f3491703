"""Where the files of tests lie: in memory where the machine has a folder for that, as disks are what tests wait for."""

from __future__ import annotations

import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

# Linux has it, and containers often make it too small.
IN_MEMORY = Path("/dev/shm")
# The server with its databases and the files of the largest tests take a third of it.
FREE_BYTES_MIN = 3 * 2**30


@cache
def quick_folder() -> Path:
    """Return the folder for what a run writes: in memory if possible, as tests kill processes and never the machine.

    The server's programs may be copied beside its data, so the folder has to be one where programs can be run.
    """
    fits = (
        os.access(IN_MEMORY, os.W_OK)
        and shutil.disk_usage(IN_MEMORY).free >= FREE_BYTES_MIN
        and not os.statvfs(IN_MEMORY).f_flag & os.ST_NOEXEC
    )
    return IN_MEMORY if fits else Path(tempfile.gettempdir())
