"""Functions whose writes to a database commit together with the record of their step."""

from __future__ import annotations

import functools
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from datetime import timedelta
from types import MethodType
from typing import Any, Concatenate, Generic, Literal, ParamSpec, TypeVar, overload

from durust.decorators import Step, Workflow
from durust.engine.current import in_body
from durust.errors import InvalidArgument
from durust.model.isolation import ISOLATIONS
from durust.model.names import check_name
from durust.model.retry import StepOptions
from durust.routines.effects import Routine, StepEnd
from durust.routines.run import Run
from durust.routines.steps import Task
from durust.routines.transactions import Wish, transact
from durust.storage.datasource import Datasource

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

Isolation = Literal["read committed", "repeatable read", "serializable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionOptions(StepOptions):
    """How a transaction is run, beside what `StepOptions` says of any step but for its `timeout`.

    `name` is that of its record, in place of the function's own. `isolation` is how much it sees of transactions beside
    it; on SQLite there are none. `database` is another one than that which holds the state.
    """

    name: str | None = None
    isolation: Isolation = "read committed"
    database: Datasource | None = None

    def __post_init__(self) -> None:
        """Raise `InvalidArgument` for values that cannot be meant."""
        # By its name, because a class with slots is made anew, and `super()` would look for the one before.
        StepOptions.__post_init__(self)
        if self.name is not None:
            check_name("name", self.name)
        if self.isolation not in ISOLATIONS:
            raise InvalidArgument("isolation", self.isolation, f"must be one of {', '.join(map(repr, ISOLATIONS))}")
        if self.database is not None and not isinstance(self.database, Datasource):
            raise InvalidArgument(
                "database", self.database, "must be a Datasource, as in Datasource('postgresql://...')"
            )


class Transaction(Generic[P, R]):
    """A function with the options of its transaction; its first parameter is the connection.

    Handed to `ctx.transaction` it runs under them. Called with a connection of the caller's, in another transaction's
    function or in a test, it is an ordinary function.
    """

    def __init__(self, fn: Callable[Concatenate[Any, P], R], options: TransactionOptions) -> None:
        self.fn, self.options = fn, options
        self.name = name_of(fn, options)
        demand_plain(fn)
        functools.update_wrapper(self, fn)

    def __call__(self, connection: Any, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the plain function; in a workflow's own body, which would not record it, refuse."""
        if in_body() is not None:
            raise TypeError(f"{self.name} is a transaction: write `ctx.transaction({self.fn.__name__}, ...)`")
        return self.fn(connection, *args, **kwargs)

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        """Bind a function that is defined in a class to its instance."""
        return self if instance is None else MethodType(self, instance)


@overload
def transaction(fn: Callable[Concatenate[Any, P], R], /) -> Transaction[P, R]: ...
@overload
def transaction(
    *,
    name: str | None = None,
    isolation: Isolation = ...,
    database: Datasource | None = None,
    max_retries: int = ...,
    base_interval: float | timedelta = ...,
    backoff_factor: float = ...,
    max_interval: float | timedelta = ...,
    should_retry: Callable[[Exception], bool] | None = None,
    serializer: str | None = None,
) -> Callable[[Callable[Concatenate[Any, P], R]], Transaction[P, R]]: ...
def transaction(fn: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Give a function the options with which `ctx.transaction` runs it: those of `TransactionOptions`.

    Raises `InvalidArgument` for values that cannot be meant, and for an `async def` function.
    """
    chosen = TransactionOptions(**options)

    def wrap(function: Callable[..., Any]) -> Transaction[Any, Any]:
        return Transaction(function, chosen)

    return wrap if fn is None else wrap(fn)


def demand_plain(fn: Any) -> None:
    """Raise `InvalidArgument` for what no transaction can run."""
    if isinstance(fn, Workflow | Step) or not callable(fn):
        raise InvalidArgument("fn", fn, "must be a plain function whose first parameter is a connection")
    if inspect.iscoroutinefunction(fn):
        raise InvalidArgument(
            "fn", fn, "is `async def`: a transaction has a connection that blocks, and runs in a thread; write `def`"
        )


def name_of(fn: Any, options: TransactionOptions) -> str:
    """Return the name of a transaction's record."""
    while options.name is None and isinstance(fn, functools.partial):
        fn = fn.func
    name = options.name or getattr(fn, "__qualname__", None)
    if name is None:
        raise InvalidArgument("fn", fn, "has no name of its own; give it one by TransactionOptions(name='...')")
    return check_name("step name", name)


_NO_OPTIONS = TransactionOptions()


class _Transactor(ABC):
    """What both colours share."""

    _run: Run

    @abstractmethod
    def _ensure_here(self, asked: str) -> None:
        """Refuse an operation that is asked for elsewhere than in the body. Raises `NotInWorkflow`."""

    @abstractmethod
    def _task(
        self,
        options: StepOptions | None,
        name: str,
        fn: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        annotation: Any,
    ) -> Task:
        """Return what a step with that function is to do."""

    def _transaction(
        self,
        options: TransactionOptions | None,
        fn: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        annotation: Any,
        database: Datasource | None = None,
    ) -> tuple[Task, Wish]:
        if options is not None and not isinstance(options, TransactionOptions):
            raise InvalidArgument("options", options, "must be TransactionOptions, as in TransactionOptions(name='x')")
        chosen = options or _NO_OPTIONS
        if isinstance(fn, MethodType) and isinstance(fn.__func__, Transaction):
            fn, chosen = MethodType(fn.__func__.fn, fn.__self__), options or fn.__func__.options
        elif isinstance(fn, Transaction):
            fn, chosen = fn.fn, options or fn.options
        demand_plain(fn)
        if database is not None:
            chosen = replace(chosen, database=database)
        task = self._task(chosen, name_of(fn, chosen), fn, args, kwargs, annotation)
        return task, Wish(chosen.isolation, chosen.database)


class AsyncTransactions(_Transactor):
    """The operations of an `async def` workflow."""

    @abstractmethod
    def _end(self, place: int, routine: Routine[StepEnd], *, is_wait: bool = False) -> Coroutine[Any, Any, Any]:
        """Carry an operation out and return how it ended, or raise that."""

    def transaction(
        self,
        fn: Callable[..., T] | Transaction[..., T],
        /,
        *args: Any,
        type: Any = None,
        database: Datasource | None = None,
        **kwargs: Any,
    ) -> Coroutine[Any, Any, T]:
        """Run `fn(connection, *args, **kwargs)` in a database transaction that commits with the record of this step.

        So what it writes through the connection happens exactly once. It is a plain function, called in a thread, with
        a psycopg connection on Postgres and a sqlite3 one on SQLite; it neither commits nor rolls back. What it raises
        rolls back and is recorded; where it meets another transaction it is called again. *database* is another one
        than that which holds the state, and *type* what to rebuild the result as.
        """
        return self._transact(*self._transaction(None, fn, args, kwargs, type, database))

    def transaction_with(
        self,
        options: TransactionOptions,
        fn: Callable[..., T] | Transaction[..., T],
        /,
        *args: Any,
        type: Any = None,
        **kwargs: Any,
    ) -> Coroutine[Any, Any, T]:
        """Run a function like `transaction`, with options of its own: name, isolation, retries, the database."""
        return self._transact(*self._transaction(options, fn, args, kwargs, type))

    def _transact(self, task: Task, wish: Wish) -> Coroutine[Any, Any, Any]:
        self._ensure_here("ctx.transaction")
        place = self._run.take_place()
        return self._end(place, transact(self._run, place, task, wish))


class SyncTransactions(_Transactor):
    """The operations of a `def` workflow."""

    @abstractmethod
    def _end(self, routine: Routine[StepEnd]) -> Any:
        """Carry an operation out and return how it ended, or raise that."""

    def transaction(
        self,
        fn: Callable[..., T] | Transaction[..., T],
        /,
        *args: Any,
        type: Any = None,
        database: Datasource | None = None,
        **kwargs: Any,
    ) -> T:
        """Run `fn(connection, *args, **kwargs)` in a database transaction that commits with the record of this step.

        So what it writes through the connection happens exactly once. It is a plain function, called in a thread, with
        a psycopg connection on Postgres and a sqlite3 one on SQLite; it neither commits nor rolls back. What it raises
        rolls back and is recorded; where it meets another transaction it is called again. *database* is another one
        than that which holds the state, and *type* what to rebuild the result as.
        """
        ended: T = self._transact(*self._transaction(None, fn, args, kwargs, type, database))
        return ended

    def transaction_with(
        self,
        options: TransactionOptions,
        fn: Callable[..., T] | Transaction[..., T],
        /,
        *args: Any,
        type: Any = None,
        **kwargs: Any,
    ) -> T:
        """Run a function like `transaction`, with options of its own: name, isolation, retries, the database."""
        ended: T = self._transact(*self._transaction(options, fn, args, kwargs, type))
        return ended

    def _transact(self, task: Task, wish: Wish) -> Any:
        self._ensure_here("ctx.transaction")
        return self._end(transact(self._run, self._run.take_place(), task, wish))
