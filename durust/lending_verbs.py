"""What clients offer to whoever commits by himself: starts and messages in a transaction that is lent to durust."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from typing import Any

from durust.admission import checked, demand_started
from durust.errors import InvalidArgument
from durust.handle import WorkflowHandle
from durust.message_verbs import MessageVerbs
from durust.model.message_writes import SendMessages
from durust.model.messages import Message
from durust.model.options import WorkflowOptions
from durust.model.queues import QueueDefinition
from durust.model.records import QueueRow
from durust.model.writes import Outcome, StartWorkflow
from durust.post import demand_sent


class LendingVerbs(MessageVerbs):
    """The verbs that block."""

    @abstractmethod
    def _queued(
        self,
        known: dict[str, QueueRow] | None,
        queue: str | QueueDefinition,
        workflow: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: WorkflowOptions,
    ) -> StartWorkflow:
        """Return the write that queues a workflow, checked by the *known* queues or by those that are stored now."""

    def enqueue_in_transaction(
        self,
        connection: Any,
        queue: str | QueueDefinition,
        workflow: str,
        /,
        *args: Any,
        options: WorkflowOptions | None = None,
        wake: bool = True,
        **kwargs: Any,
    ) -> WorkflowHandle[Any]:
        """Put a workflow on a queue in the transaction that *connection* has open: it is there when that commits.

        *connection* is a psycopg 3 or sqlite3 connection to the client's database; SQLAlchemy lends it as
        `session.connection().connection.driver_connection`. Its owner commits: before that nobody sees the workflow,
        and a rollback takes it back. Where no transaction is open the driver begins one; in autocommit mode it would
        not, and that is refused. An error of durust leaves the transaction as it was, except that Postgres aborts one
        in which the schema is found missing. Who asks elsewhere for the same id meanwhile waits for the commit, so keep
        such transactions short.

        On Postgres the commit also tells idle workers, for which it takes a lock that all notifying commits of the
        database share; with `wake=False` they find the work by their poll. On SQLite they see each commit anyway; begin
        with `begin immediate`, because a transaction that has read first may be refused its first write; with a SQLite
        before 3.51.3 give the connection `pragma wal_autocheckpoint=0`, for the sake of a bug that durust avoids alike.

        Raises what `enqueue` raises, what the driver raises, `InvalidArgument` for a connection of another kind or with
        `on_duplicate="return"`, whose holder may be anybody's by the time of the commit.
        """
        # Only here: it brings the statements of both databases.
        from durust.storage import borrowed

        write = self._lent(queue, workflow, args, kwargs, checked(options))
        return self._started(write, borrowed.start(connection, write, wake=wake))

    def send_in_transaction(
        self,
        connection: Any,
        destination_id: str,
        message: Any,
        topic: str | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> None:
        """Send a message in the transaction that *connection* has open: it is there when that commits.

        What is said of the connection of `enqueue_in_transaction` holds here too. A waiting receiver is told with the
        commit; one whose wait is parked is found by the next sweep. Of messages of several open transactions the one
        that was sent first comes first, if it is committed by then.

        Raises `WorkflowNotFound`, which leaves the transaction as it was, what `send` raises, and what the driver does.
        """
        # Only here: it brings the statements of both databases.
        from durust.storage import borrowed

        demand_sent(borrowed.send(connection, self._lent_message(destination_id, message, topic, idempotency_key)))

    def _lent(
        self,
        queue: str | QueueDefinition,
        workflow: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: WorkflowOptions,
    ) -> StartWorkflow:
        if options.on_duplicate == "return":
            raise InvalidArgument(
                "on_duplicate", options.on_duplicate, "has no promise to give inside a transaction: use 'raise' there"
            )
        return self._queued(None, queue, workflow, args, kwargs, options)

    def _lent_message(
        self, destination_id: str, message: Any, topic: str | None, idempotency_key: str | None
    ) -> SendMessages:
        return SendMessages(
            self._post_of("send_in_transaction").letters([Message(destination_id, message, topic, idempotency_key)])
        )

    def _started(self, write: StartWorkflow, outcome: Outcome) -> WorkflowHandle[Any]:
        demand_started("the caller's connection", write, outcome)
        return self._run_of(write.workflow_id, write.name)


class AsyncLendingVerbs:
    """The verbs that are awaited."""

    _blocking: LendingVerbs

    async def enqueue_in_transaction(
        self,
        connection: Any,
        queue: str | QueueDefinition,
        workflow: str,
        /,
        *args: Any,
        options: WorkflowOptions | None = None,
        wake: bool = True,
        **kwargs: Any,
    ) -> WorkflowHandle[Any]:
        """Put a workflow on a queue in the transaction of a `psycopg.AsyncConnection`, as the blocking twin does.

        A connection that blocks is taken too, and blocks the loop for as long as its statements take.
        """
        from durust.storage import borrowed

        client = self._blocking
        # In a thread, because it reads the stored queues.
        write = await asyncio.to_thread(client._lent, queue, workflow, args, kwargs, checked(options))  # noqa: SLF001  the two views of one client
        return client._started(write, await borrowed.astart(connection, write, wake=wake))  # noqa: SLF001  as above

    async def send_in_transaction(
        self,
        connection: Any,
        destination_id: str,
        message: Any,
        topic: str | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> None:
        """Send a message in the transaction of a `psycopg.AsyncConnection`, as the blocking twin does.

        A connection that blocks is taken too, and blocks the loop for as long as its statements take.
        """
        from durust.storage import borrowed

        lend = self._blocking._lent_message  # noqa: SLF001  the two views of one client
        # In a thread, because it may open the database.
        write = await asyncio.to_thread(lend, destination_id, message, topic, idempotency_key)
        demand_sent(await borrowed.asend(connection, write))
