"""Which functions of transactions hold the one write lock of a SQLite file, so that nobody waits for himself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from durust.errors import ProviderMisuse

HELD = "the function of a transaction in this process holds the file's one write lock"


# Compared by what it is: another one on the same file is another loan.
@dataclass(slots=True, eq=False)
class _Loan:
    location: str
    is_over: bool = False


# A context variable and not the thread, because `asyncio.to_thread` takes it along to where the function has asked.
_LOANS: ContextVar[tuple[_Loan, ...]] = ContextVar("durust_loans", default=())
_current: dict[str, _Loan] = {}
"""By the file, of which only one can be locked at a time: whose loan it is."""


@contextmanager
def lend(location: str) -> Iterator[None]:
    """Mark what runs in this block, and what it calls in other threads by asyncio's means, as holding the lock."""
    loan = _current[location] = _Loan(location)
    token = _LOANS.set((*_LOANS.get(), loan))
    try:
        yield
    finally:
        # Who has taken the variable along may outlive the block, and then holds nothing any more.
        loan.is_over = True
        if _current.get(location) is loan:
            del _current[location]
        _LOANS.reset(token)


def current(location: str) -> object | None:
    """Return by what this process has lent the lock of that file, if it has: the same one until it is given back."""
    return _current.get(location)


def is_held_here(location: str) -> bool:
    """Tell whether what runs here is part of a function that holds the lock of that file."""
    return any(loan.location == location and not loan.is_over for loan in _LOANS.get())


def demand_free(location: str) -> None:
    """Raise `ProviderMisuse` where a function that holds the lock of a file would wait for it."""
    if is_held_here(location):
        raise ProviderMisuse(
            location,
            "the function of a transaction asked for something that waits for the file's one write lock, which it "
            "holds itself",
            "queue and send on its own connection, by `client.enqueue_in_transaction` and "
            "`client.send_in_transaction`, or ask outside of the transaction, in a step",
        )
