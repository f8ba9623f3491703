"""A session of SQLAlchemy is part of the transaction whose connection it uses."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

import durust
from durust import Datasource, InvalidArgument, TransactionOptions, WorkflowOptions
from durust.sqlalchemy import with_session
from tests.conformance.conftest import SHARED
from tests.engine.clients import connect
from tests.engine.colours import Paint
from tests.engine.lines import notes
from tests.engine.stage import Stage

each_database = pytest.mark.parametrize("url", SHARED, indirect=True)
ONE = WorkflowOptions(workflow_id="one")


class Base(DeclarativeBase):
    pass


class Line(Base):
    __tablename__ = "lines"

    number: Mapped[int] = mapped_column(primary_key=True)
    note: Mapped[str]


@with_session
def write(session: Session, number: int, note: str) -> int:
    session.add(Line(number=number, note=note))
    return number


@each_database
@pytest.mark.covers(158)
def test_what_a_session_holds_commits_with_the_record(stage: Stage, paint: Paint, lines: Any) -> None:
    def read(session: Session) -> list[str]:
        return [line.note for line in session.scalars(select(Line).order_by(Line.number))]

    @paint
    def order(ctx: Any) -> Any:
        yield ctx.transaction(write, 1, "charged")
        yield ctx.transaction(write, 2, note="shipped")
        return (yield ctx.transaction_with(TransactionOptions(isolation="serializable"), with_session(read)))

    assert stage.launch(order).start("order", options=ONE) == ["charged", "shipped"]
    assert notes(lines) == ["charged", "shipped"]
    assert stage.names("one")[1] == "write"


@each_database
@pytest.mark.covers(159)
def test_an_error_undoes_what_a_session_has_flushed(stage: Stage, paint: Paint, lines: Any) -> None:
    @with_session
    def fail(session: Session) -> None:
        session.add(Line(number=1, note="charged"))
        session.flush()
        raise KeyError("declined")

    @paint
    def order(ctx: Any) -> Any:
        try:
            yield ctx.transaction(fail)
        except KeyError:
            yield ctx.transaction(write, 2, "not charged")

    stage.launch(order).start("order")

    assert notes(lines) == ["not charged"]


@each_database
def test_a_session_ends_parts_of_the_transaction_and_never_the_whole(stage: Stage, lines: Any, url: str) -> None:
    seen: list[list[str]] = []

    @with_session
    def write_parts(session: Session) -> None:
        session.add(Line(number=1, note="a"))
        session.commit()
        session.add(Line(number=2, note="b"))
        session.flush()
        session.rollback()
        with closing(connect(url)) as other:
            seen.append(notes(other))
        session.add(Line(number=3, note="c"))
        raise_if_wrong(session)

    def raise_if_wrong(session: Session) -> None:
        found = session.scalars(select(Line.note).order_by(Line.number)).all()
        assert found == ["a", "c"]

    def order(ctx: Any) -> None:
        ctx.transaction(write_parts)

    stage.launch(order).start("order")

    assert seen == [[]]
    assert notes(lines) == ["a", "c"]


@pytest.mark.parametrize("url", ["postgres"], indirect=True)
@pytest.mark.covers(160)
def test_a_conflict_that_the_library_wraps_is_tried_again(stage: Stage, paint: Paint, lines: Any) -> None:
    calls: list[int] = []

    @with_session
    def conflict_once(session: Session) -> str:
        calls.append(1)
        if len(calls) == 1:
            session.execute(text("do $$ begin raise serialization_failure; end $$"))
        return "done"

    @paint
    def order(ctx: Any) -> Any:
        return (yield ctx.transaction(conflict_once))

    assert stage.launch(order).start("order") == "done"
    assert calls == [1, 1]


@each_database
def test_an_error_of_the_library_is_the_steps(stage: Stage, paint: Paint, lines: Any) -> None:
    lines.execute("create unique index once on lines (number)")
    lines.commit()

    @paint
    def order(ctx: Any) -> Any:
        yield ctx.transaction(write, 1, "a")
        try:
            yield ctx.transaction(write, 1, "b")
        except (IntegrityError, durust.RemoteError):
            return "refused"

    assert stage.launch(order).start("order") == "refused"
    assert notes(lines) == ["a"]


@pytest.mark.parametrize("url", ["memory"], indirect=True)
def test_a_session_works_on_another_database_too(stage: Stage, paint: Paint, tmp_path: Path) -> None:
    with closing(connect(f"sqlite:///{tmp_path}/a.db")) as connection:
        connection.execute("create table lines (number integer, note text)")

        @paint
        def order(ctx: Any) -> Any:
            with closing(Datasource(f"sqlite:///{tmp_path}/a.db")) as elsewhere:
                return (yield ctx.transaction(write, 1, "charged", database=elsewhere))

        assert stage.launch(order).start("order") == 1
        assert notes(connection) == ["charged"]


def test_another_connection_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="connection="):
        write(object(), 1, "a")
