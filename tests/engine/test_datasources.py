"""A second database keeps a witness beside what a function wrote there, so it happens exactly once there too."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from durust import Datasource, InvalidArgument, ProviderMisuse, TransactionOptions, WorkflowOptions, clock
from durust.embedded import Server
from durust.model.records import Lease
from durust.model.writes import RecordStep
from durust.storage.links import Lost
from durust.storage.transactions import Witnessed
from tests.engine.clients import connect
from tests.engine.colours import Paint
from tests.engine.lines import MAKE_LINES, note, notes
from tests.engine.stage import PATIENCE, Stage
from tests.support.waiting import eventually

ONE = WorkflowOptions(workflow_id="one")
KINDS = ("sqlite", "postgres")
each_kind = pytest.mark.parametrize("elsewhere", KINDS, indirect=True)
# The state stands in memory, which has no transactions of its own, unless both databases matter.
state_in_memory = pytest.mark.parametrize("url", ["memory"], indirect=True)


@pytest.fixture
def elsewhere(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Return the address of the application's own database, with a table for notes."""
    server: Server | None = None
    name = f"application_{clock.random_token()}"
    url = f"sqlite:///{tmp_path}/{name}.db"
    if request.param == "postgres":
        server = request.getfixturevalue("server")
        url = server.create_database(name)
    with closing(connect(url)) as connection:
        connection.execute(MAKE_LINES)
        connection.commit()
    yield url
    if server is not None:
        server.drop_database(name)


@pytest.fixture
def datasource(elsewhere: str) -> Iterator[Datasource]:
    """Return that database as durust sees it."""
    with closing(Datasource(elsewhere)) as made:
        yield made


def read(url: str) -> list[str]:
    """Return the notes that are committed there."""
    with closing(connect(url)) as connection:
        return notes(connection)


def witnesses(url: str) -> list[tuple[Any, ...]]:
    """Return the witnesses that stand there."""
    table = "datasource_outputs" if url.startswith("sqlite") else "dbos.datasource_outputs"
    with closing(connect(url)) as connection:
        return list(connection.execute(f"select workflow_id, step_id, output from {table} order by 1, 2"))


@each_kind
@pytest.mark.parametrize("url", ["memory", "sqlite"], indirect=True)
@pytest.mark.covers(158)
def test_what_is_written_elsewhere_has_a_witness_there_and_a_record_here(
    stage: Stage, paint: Paint, elsewhere: str, datasource: Datasource
) -> None:
    @paint
    def order(ctx: Any) -> Any:
        first = yield ctx.transaction(note, "charged", 7, database=datasource)
        options = TransactionOptions(name="ship", database=datasource, isolation="serializable")
        second = yield ctx.transaction_with(options, note, "shipped", 8)
        return [first, second]

    assert stage.launch(order).start("order", options=ONE) == [7, 8]
    assert read(elsewhere) == ["charged", "shipped"]
    assert witnesses(elsewhere) == [("one", 1, "7"), ("one", 2, "8")]
    assert stage.names("one") == {1: "note", 2: "ship"}
    assert {record.output for record in stage.history("one").values()} == {"7", "8"}


@each_kind
@state_in_memory
@pytest.mark.covers(159)
def test_an_error_leaves_no_witness_and_is_recorded_here(
    stage: Stage, paint: Paint, elsewhere: str, datasource: Datasource
) -> None:
    def charge(connection: Any) -> None:
        note(connection, "charged")
        raise KeyError("declined")

    @paint
    def order(ctx: Any) -> Any:
        try:
            yield ctx.transaction(charge, database=datasource)
        except KeyError:
            yield ctx.transaction(note, "not charged", database=datasource)

    stage.launch(order).start("order", options=ONE)

    assert read(elsewhere) == ["not charged"]
    assert [place for _, place, _ in witnesses(elsewhere)] == [2]
    assert stage.history("one")[1].error is not None


@each_kind
@state_in_memory
@pytest.mark.covers(161)
def test_a_run_that_dies_between_the_witness_and_the_record_adopts_the_witness(
    stage: Stage, paint: Paint, elsewhere: str, datasource: Datasource
) -> None:
    engines: list[Any] = []
    calls: list[int] = []

    def charge(connection: Any) -> int:
        calls.append(1)
        note(connection, f"charge {len(calls)}")
        if len(calls) == 1:
            # Nothing of this process reaches the state any more.
            stage.line_of(engines[0]).cut()
        return len(calls)

    @paint
    def order(ctx: Any) -> Any:
        return (yield ctx.transaction(charge, database=datasource))

    engines.append(stage.launch(order))
    engines[0].run_workflow("order", options=ONE)
    eventually(lambda: read(elsewhere))
    stage.crash(engines[0])

    assert stage.launch(order).retrieve_workflow("one").get_result(PATIENCE) == 1
    assert calls == [1]
    assert read(elsewhere) == ["charge 1"]
    assert stage.history("one")[1].output == "1"


@state_in_memory
@pytest.mark.parametrize("elsewhere", ["postgres"], indirect=True)
@pytest.mark.covers(162)
def test_of_two_executions_the_loser_adopts_what_the_winner_has_committed(
    stage: Stage, paint: Paint, elsewhere: str, datasource: Datasource
) -> None:
    first_is_in, go_on = threading.Event(), threading.Event()
    calls: list[int] = []

    def charge(connection: Any) -> str:
        calls.append(1)
        mine = len(calls)
        if mine == 1:
            first_is_in.set()
            go_on.wait(PATIENCE)
        note(connection, f"charge {mine}")
        return f"charge {mine}"

    @paint
    def order(ctx: Any) -> Any:
        return (yield ctx.transaction(charge, database=datasource))

    zombie = stage.launch(order)
    zombie.run_workflow("order", options=ONE)
    first_is_in.wait(PATIENCE)
    executor = zombie.executor_id
    stage.line_of(zombie).cut()
    stage.retire(executor)
    result = stage.launch(order).retrieve_workflow("one").get_result(PATIENCE)
    go_on.set()
    # Both are done with their connections.
    eventually(lambda: len(datasource._behind._sessions._idle) == 2)  # type: ignore[attr-defined]

    assert (result, read(elsewhere)) == ("charge 2", ["charge 2"])
    assert witnesses(elsewhere) == [("one", 1, '"charge 2"')]
    stage.line_of(zombie).mend()


@each_kind
@pytest.mark.covers(162)
def test_a_witness_that_stands_already_undoes_what_comes_second(elsewhere: str, datasource: Datasource) -> None:
    lease = Lease("one", "du:me", "token")
    for text in ("first", "second"):
        with datasource.transaction("read committed") as opened:
            assert opened.standing(Lease("two", "du:me", "token"), 1, after_loss=False) is None
            note(opened.connection, text)
            opened.demand_open()
            answer = opened.record(RecordStep(lease, None, 1, "charge", f'"{text}"', None, "portable_json", 1, 2))

        assert answer == Witnessed('"first"', None, "portable_json")
    assert read(elsewhere) == ["first"]


@each_kind
@state_in_memory
def test_a_lost_answer_to_a_commit_elsewhere_is_recognised(
    stage: Stage, elsewhere: str, datasource: Datasource, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost: list[int] = []
    calls: list[int] = []
    transaction = datasource._behind.transaction

    @contextmanager
    def losing(isolation: str) -> Iterator[Any]:
        with transaction(isolation) as opened:
            record = opened.record

            def lose(write: Any) -> Any:
                answer = record(write)
                if not lost:
                    lost.append(1)
                    raise Lost("the answer was lost")
                return answer

            monkeypatch.setattr(opened, "record", lose)
            yield opened

    monkeypatch.setattr(datasource._behind, "transaction", losing)

    def charge(connection: Any) -> int:
        calls.append(1)
        note(connection, f"charge {len(calls)}")
        return len(calls)

    def order(ctx: Any) -> Any:
        return ctx.transaction(charge, database=datasource)

    assert stage.launch(order).start("order", options=ONE) == 1
    assert (calls, read(elsewhere)) == ([1], ["charge 1"])


@pytest.mark.parametrize("url", KINDS, indirect=True)
@pytest.mark.covers(165)
def test_a_datasource_that_is_the_database_of_the_state_takes_one_transaction(
    stage: Stage, url: str, lines: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def order(ctx: Any) -> Any:
        return ctx.transaction(note, "charged", 7, database=same)

    with closing(Datasource(url)) as same:
        assert stage.launch(order).start("order", options=ONE) == 7

        assert same._behind._sessions._idle == []  # type: ignore[attr-defined]
    assert notes(lines) == ["charged"]
    assert stage.names("one") == {1: "note"}


@pytest.mark.parametrize("elsewhere", ["postgres"], indirect=True)
@state_in_memory
@pytest.mark.covers(164)
def test_a_role_that_may_not_create_the_table_is_told_what_to_create(stage: Stage, elsewhere: str) -> None:
    role = f"role_{clock.random_token()}"
    with closing(psycopg.connect(elsewhere, autocommit=True)) as owner:
        owner.execute(f"create role {role} login")
        owner.execute(f"grant insert, select on lines to {role}")
        limited = Datasource(as_role(elsewhere, role))

        def order(ctx: Any) -> Any:
            return ctx.transaction(note, "charged", 7, database=limited)

        engine = stage.launch(order)
        with pytest.raises(ProviderMisuse, match=r"create table if not exists dbos\.datasource_outputs") as raised:
            engine.start("order")
        assert read(elsewhere) == []

        for statement in raised.value.remedy.partition(": ")[2].split("; "):
            owner.execute(statement.encode())
        owner.execute(f"grant usage on schema dbos to {role}")
        owner.execute(f"grant select, insert on dbos.datasource_outputs to {role}")

        assert engine.start("order", options=ONE) == 7
        limited.close()
        owner.execute(f"drop owned by {role}")
        owner.execute(f"drop role {role}")
    assert read(elsewhere) == ["charged"]


def as_role(url: str, role: str) -> str:
    """Return the address of a database for another role."""
    info = psycopg.conninfo.conninfo_to_dict(url)
    rest = "&".join(f"{key}={value}" for key, value in info.items() if key not in {"user", "dbname", "password"})
    return f"postgresql://{role}@/{info['dbname']}?{rest}"


@state_in_memory
def test_memory_has_no_transactions_and_says_who_has(stage: Stage, paint: Paint) -> None:
    @paint
    def order(ctx: Any) -> Any:
        yield ctx.transaction(note, "charged")

    with pytest.raises(ProviderMisuse, match=r"Postgres or SQLite, or name one by database=Datasource"):
        stage.launch(order).start("order", options=ONE)
    assert stage.history("one") == {}


@pytest.mark.parametrize("wrong", ["memory://", "mysql://a:secret@b/c", 7, "sqlite://host/a.db"])
def test_a_datasource_that_cannot_be_meant_is_refused(wrong: Any) -> None:
    with pytest.raises(InvalidArgument, match="url=") as raised:
        Datasource(wrong)

    assert "secret" not in str(raised.value)
