"""What the command line says to its user, and to nobody, and when it heeds a signal."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import click
import pytest

from durust.commands.exits import Exit
from durust.storage.provider import StateProvider
from durust.supervisor import cli
from durust.supervisor.arbiter import hear_signals
from durust.supervisor.config import Config
from durust.supervisor.hosting import open_database


def test_a_reader_that_left_is_no_reason_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    gone = os.fdopen(writer, "w", buffering=1)
    monkeypatch.setattr(sys, "stderr", gone)

    cli.say("worker 0 is up")

    with pytest.raises(BrokenPipeError):
        gone.close()


def test_the_help_names_the_variable_of_each_flag() -> None:
    context = click.Context(cli.up)
    for parameter in cli.up.params:
        variables = [parameter.envvar] if isinstance(parameter.envvar, str) else parameter.envvar or []
        assert isinstance(parameter, click.Argument) or variables
        assert all(variable in cli.up.get_help(context) for variable in variables)


def test_a_signal_while_the_database_is_opened_ends_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = Config.read(("shop",), url=f"sqlite:///{tmp_path}/durust.db", pidfile=tmp_path / "up.pid")

    def open_amid_a_signal(config: Config) -> tuple[StateProvider, Config]:
        os.kill(os.getpid(), signal.SIGTERM)
        return open_database(config)

    monkeypatch.setattr(cli, "open_database", open_amid_a_signal)
    # It would end this process, which goes on.
    monkeypatch.setattr(cli, "_force_end", lambda _: None)

    signals = hear_signals()
    try:
        assert cli.supervise(config, signals) == Exit.OK
    finally:
        signals.close()

    said = capsys.readouterr().err
    assert "durust: ended after" in said
    assert "worker 0" not in said
