"""The wheel carries all that durust needs, the supervisor and the SQL included."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.tidy.sources import ROOT, library

# What a build reads; the tree itself stays untouched, because other tests read it meanwhile.
INGREDIENTS = ("pyproject.toml", "README.md", "LICENSE-MIT", "LICENSE-APACHE", "durust", "supervisor")
# A build or an installation takes seconds; a busy machine makes it many.
COMMAND_SECONDS = 100
# Imported by nobody but whoever asks for the extra of the same name.
OPTIONAL = {"durust.sqlalchemy"}

WORKFLOW = """
from pathlib import Path
import durust


@durust.step
def double(number: int) -> int:
    return 2 * number


@durust.workflow
def twice(ctx: durust.SyncDurableContext, number: int) -> int:
    return ctx.step("double", double, ctx.step("double", double, number))


with durust.DurableEngine("sqlite:///wheel.db") as engine:
    print(engine.start(twice, 3), Path(durust.__file__).parents[1])
"""


def run(*command: str | Path, cwd: Path) -> str:
    """Run *command* to its end and return what it printed; what it complains about is part of the failure."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel of this tree, built by way of the source distribution."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    for name in filter(lambda name: (ROOT / name).exists(), INGREDIENTS):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, symlinks=True)
        else:
            shutil.copy(ROOT / name, source)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", built, cwd=source)
    [path] = built.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a fresh environment with the wheel; the libraries that it needs are lent by this one."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder)
    python = folder / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel, cwd=folder)
    # A folder named in a .pth file lends its packages, but not its own .pth files: this tree, installed there by one,
    # stays out of sight.
    [site_packages] = folder.glob("lib/python*/site-packages")
    (site_packages / "lent.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    return folder


def test_the_wheel_brings_the_command(environment: Path, tmp_path: Path) -> None:
    printed = run(environment / "bin" / "durust", "--version", cwd=tmp_path)

    assert importlib.metadata.version("durust") in printed


def test_the_wheel_runs_a_workflow(environment: Path, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(WORKFLOW, encoding="utf-8")

    printed = run(environment / "bin" / "python", "-W", "error", "app.py", cwd=tmp_path)

    [site_packages] = environment.glob("lib/python*/site-packages")
    assert printed.split() == ["12", str(site_packages)]


def test_what_an_extra_is_for_is_imported_by_its_users_alone() -> None:
    importing = [f"{source.place}:{line}" for source in library() for name, line in source.imports if name in OPTIONAL]

    assert importing == []


def test_the_wheel_asks_for_each_library_that_it_imports() -> None:
    wanted = {
        re.split(r"[^\w.-]", line)[0] for line in importlib.metadata.requires("durust") or [] if "extra" not in line
    }
    owners = importlib.metadata.packages_distributions()
    imported = {
        name.split(".")[0] for source in library() if source.module not in OPTIONAL for name, _ in source.imports
    }

    foreign = {owner for name in imported - {"durust"} for owner in owners.get(name, [])}

    assert foreign - wanted == set()
