"""Sessions of SQLAlchemy for the functions of transactions, for applications that have it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextvars import ContextVar
from functools import cache
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from durust.errors import InvalidArgument

P = ParamSpec("P")
R = TypeVar("R")

# The dialect for the library that a connection is of.
_DIALECTS = {"psycopg": "postgresql+psycopg://", "sqlite3": "sqlite+pysqlite://"}

_LENT: ContextVar[Any] = ContextVar("durust_lent_connection")


def with_session(fn: Callable[Concatenate[Session, P], R], /) -> Callable[Concatenate[Any, P], R]:
    """Return *fn* as the function of a transaction, with a session on its connection in place of the connection.

    What the session holds is flushed when the function returns. `session.commit()` and `session.rollback()` end a part
    of the transaction, as a savepoint does; the whole is durust's to commit, with the record.
    """

    @functools.wraps(fn)
    def with_connection(connection: Any, /, *args: P.args, **kwargs: P.kwargs) -> R:
        token = _LENT.set(connection)
        try:
            with _engine(_library(connection)).connect() as lent, lent.begin():
                with Session(lent, join_transaction_mode="create_savepoint", expire_on_commit=False) as session:
                    result = fn(session, *args, **kwargs)
                    session.commit()
                return result
        finally:
            _LENT.reset(token)

    return with_connection


@cache
def _engine(library: str) -> Engine:
    """Return the engine for connections of a library: it opens none, and neither ends their transactions nor closes."""
    engine = create_engine(_DIALECTS[library], creator=_LENT.get, poolclass=NullPool, pool_reset_on_return=None)
    for name in ("do_commit", "do_rollback", "do_close", "do_terminate"):
        setattr(engine.dialect, name, _leave_alone)
    return engine


def _leave_alone(*_: object) -> None:
    """Leave to durust what is durust's."""


def _library(connection: Any) -> str:
    for kind in type(connection).__mro__:
        library = kind.__module__.partition(".")[0]
        if library in _DIALECTS:
            return library
    raise InvalidArgument("connection", connection, "must be the connection that a transaction's function gets")
