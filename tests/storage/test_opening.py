"""A URL opens the provider that it names, and one that cannot be meant is refused."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from durust.errors import InvalidArgument
from durust.storage.memory import InMemoryProvider
from durust.storage.opening import open_provider
from durust.storage.postgres import PostgresProvider
from durust.storage.sqlite import SqliteProvider


@pytest.mark.parametrize("scheme", ["postgresql", "postgres"])
def test_a_server_is_opened_without_connecting(scheme: str) -> None:
    provider = open_provider(f"{scheme}://me:secret@nowhere/db")

    assert isinstance(provider, PostgresProvider)
    assert provider.name == f"{scheme}://me:***@nowhere/db"


def test_a_file_is_opened_by_a_relative_or_an_absolute_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    for url in ("sqlite:///here.db", f"sqlite:///{tmp_path}/there.db"):
        provider = open_provider(url)
        assert isinstance(provider, SqliteProvider)
        provider.migrate()
        provider.close()

    assert {"here.db", "there.db"} <= {path.name for path in tmp_path.iterdir()}


def test_memory_is_opened() -> None:
    assert isinstance(open_provider("memory://"), InMemoryProvider)


def test_a_provider_is_taken_as_it_is() -> None:
    provider = InMemoryProvider()

    assert open_provider(provider) is provider


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return a folder that the server's account can reach, unlike pytest's own when root runs the tests."""
    path = Path(tempfile.mkdtemp(prefix="durust-embedded-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


def test_an_embedded_server_starts_and_ends_with_its_provider(folder: Path) -> None:
    provider = open_provider(f"embedded://{folder}")
    provider.migrate()
    assert (folder / "data" / "postmaster.pid").exists()
    provider.close()

    assert not (folder / "data" / "postmaster.pid").exists()


@pytest.mark.parametrize(
    ("variables", "name"),
    [
        ({"DURUST_DATABASE_URL": "postgresql://one/", "DATABASE_URL": "postgresql://two/"}, "postgresql://one/"),
        ({"DURUST_DATABASE_URL": "", "DATABASE_URL": "postgresql://two/"}, "postgresql://two/"),
    ],
)
def test_without_an_argument_the_environment_decides(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], name: str
) -> None:
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)

    assert open_provider().name == name


def test_without_any_choice_it_is_a_file_beside_the_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("DURUST_DATABASE_URL", raising=False)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.chdir(tmp_path)

    assert isinstance(open_provider(), SqliteProvider)


@pytest.mark.parametrize("url", ["mysql://host/db", "postgresql+psycopg://host/db", "durust.db", "://", "redis://h"])
def test_another_scheme_is_refused_with_the_ones_there_are(url: str) -> None:
    with pytest.raises(InvalidArgument, match=r"postgresql://, .*sqlite:///, .*embedded://"):
        open_provider(url)


@pytest.mark.parametrize("url", ["postgresql://host:99999/db", "postgresql:///db?port=0"])
def test_a_port_that_does_not_exist_is_refused(url: str) -> None:
    with pytest.raises(InvalidArgument, match="is no port; the default one is 5432"):
        open_provider(url)


def test_a_refused_url_does_not_show_its_password() -> None:
    with pytest.raises(InvalidArgument) as refused:
        open_provider("mysql://me:secret@host/db")

    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("url", ["sqlite://durust.db", "sqlite:durust.db", "sqlite:///", "embedded://folder"])
def test_a_path_in_the_wrong_place_is_refused_with_the_right_form(url: str) -> None:
    with pytest.raises(InvalidArgument, match=r"///"):
        open_provider(url)
