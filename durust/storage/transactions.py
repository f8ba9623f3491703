"""The user's function inside a database transaction, which its record commits with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from durust import clock
from durust.errors import ProviderMisuse, ProviderUnavailable
from durust.model.records import Lease
from durust.model.writes import Outcome, RecordStep
from durust.storage.links import Lost, Taken, Transient

# Of a provider and of each further database, at once: a connection of Postgres is a process of its server, and the
# functions of a process that wait for one wait in their order.
TRANSACTIONS_MAX = 8
# How long one that waits for a connection waits before it looks whether its run is still to go on.
TURN_SECONDS = 0.5
# Two that conflict end one after the other within a few tries, dozens within this many; then something is stuck.
CONFLICTS_MAX = 40
# Doubled with each try, up to the longest: a transaction takes about as long as the first, and nobody waits for more.
PAUSE_SECONDS, PAUSE_SECONDS_MAX = 0.005, 0.5
# 2 to this power is more than the longest pause is of the first.
_DOUBLINGS_MAX = 8
# How long a database that is away is asked again, before the run is handed back; below the lease.
AWAY_SECONDS = 5.0
# How deep an error is looked into for the one of the driver's that caused it.
CAUSES_MAX = 8


@dataclass(frozen=True, slots=True)
class Failed:
    """The function failed, and nothing that it wrote stands."""

    error: BaseException


@dataclass(frozen=True, slots=True)
class Witnessed:
    """How the function ended stands in the other database, beside what it wrote there."""

    output: str | None
    error: str | None
    serialization: str | None


Answer = Outcome | Failed | Witnessed


class OpenTransaction(Protocol):
    """A transaction on a connection that nobody else uses."""

    @property
    def connection(self) -> Any:
        """Return the connection that the user's function gets."""

    def standing(self, lease: Lease, place: int, *, after_loss: bool) -> Answer | None:
        """Return what a transaction of this run at this place has committed already, if it has."""

    def judge(self, error: BaseException) -> BaseException:
        """Return what an error of the function means: `Transient` where trying again is right."""

    def demand_open(self) -> None:
        """Raise `ProviderMisuse` when the function has ended the transaction, or broken it and gone on."""

    def record(self, write: RecordStep) -> Answer:
        """Write the record, guard and all, and commit; roll back unless the record is written by this.

        Raises `Transient` or `Lost`; after `Lost` nobody knows whether it stands.
        """


class Transacting(Protocol):
    """Where transactions are opened: a provider, or another database with its witnesses."""

    @property
    def name(self) -> str:
        """Name the database for a reader."""

    def transaction(self, isolation: str) -> AbstractContextManager[OpenTransaction]:
        """Open a transaction; leaving the block rolls back what was not recorded."""


class Asker(Protocol):
    """The run that wants a transaction, as it is asked in between. Each may raise `Unwind`."""

    @property
    def lease(self) -> Lease:
        """Return the run's lease."""

    @property
    def place(self) -> int:
        """Return the place of the record."""

    def ensure_open(self) -> None:
        """Raise when the run is closed."""

    def call(self, connection: Any) -> Any:
        """Call the user's function."""

    def seal(self, value: Any) -> RecordStep:
        """Return the record of what the function returned. Raises why that cannot be recorded."""

    def withdraw(self) -> None:
        """Take back that a record is on its way, if one is."""


def transact(database: Transacting, isolation: str, asker: Asker) -> Answer:
    """Call the function in a transaction until its end is recorded, it has failed, or the run is somebody else's.

    Raises `ProviderUnavailable` when the database stays away.
    """
    began = clock.monotonic()
    is_after_loss = False
    conflicts = 0
    while True:
        asker.ensure_open()
        try:
            with database.transaction(isolation) as transaction:
                answer = _attempt(transaction, asker, after_loss=is_after_loss)
        except Taken:
            # In its turn; those before it are functions of any length.
            continue
        except Transient as fault:
            asker.withdraw()
            conflicts += 1
            is_after_loss = is_after_loss or isinstance(fault, Lost)
            if isinstance(fault, Lost) and clock.monotonic() - began >= AWAY_SECONDS:
                raise ProviderUnavailable(database.name, str(fault).strip()) from fault
            if conflicts >= CONFLICTS_MAX:
                return Failed(fault.__cause__ or fault)
        else:
            if isinstance(answer, Failed):
                asker.withdraw()
            return answer
        pause = min(PAUSE_SECONDS * 2.0 ** min(conflicts, _DOUBLINGS_MAX), PAUSE_SECONDS_MAX)
        clock.pause(pause * (0.5 + clock.jitter() / 2))


def _attempt(transaction: OpenTransaction, asker: Asker, *, after_loss: bool) -> Answer:
    standing = transaction.standing(asker.lease, asker.place, after_loss=after_loss)
    if standing is not None:
        return standing
    try:
        value = asker.call(transaction.connection)
    except Exception as error:
        judged = transaction.judge(error)
        if isinstance(judged, Transient):
            raise judged from error
        return Failed(judged)
    try:
        transaction.demand_open()
        write = asker.seal(value)
    except Transient:
        raise
    except Exception as error:  # noqa: BLE001  what the function did to its transaction, or returned, is its error
        return Failed(error)
    return transaction.record(write)


def causes(error: BaseException) -> Iterator[BaseException]:
    """Return an error and those that caused it, as far as it says: a library may wrap what its driver raised."""
    found: BaseException | None = error
    for _ in range(CAUSES_MAX):
        if found is None:
            return
        yield found
        wrapped = getattr(found, "orig", None)
        found = wrapped if isinstance(wrapped, BaseException) else found.__cause__


def misused(database: str, what: str) -> ProviderMisuse:
    """Return the error for a function that ends the transaction it runs in."""
    return ProviderMisuse(
        database,
        f"the function of a transaction {what}",
        "durust commits when it returns and rolls back when it raises",
    )
