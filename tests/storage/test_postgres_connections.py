"""A connection is lost, stopped, forked or pooled, and nothing is written twice or forgotten."""

from __future__ import annotations

import signal
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import closing
from threading import Thread

import psycopg
import pytest

from durust import failpoints
from durust.errors import InvalidArgument, ProviderMisuse, ProviderUnavailable
from durust.failpoints import FailpointError
from durust.model.status import Status
from durust.model.writes import Recorded, Refused, Write
from durust.storage import halves, pool, postgres_link
from durust.storage.batch import SQL
from durust.storage.links import BadData, Call, Deadlock, Lost, Row, Transient, fault
from durust.storage.postgres import PostgresProvider
from durust.storage.postgres_address import Address
from durust.storage.postgres_link import PostgresLink
from durust.storage.postgres_writes import steps
from durust.storage.provider import Hint, Writer
from durust.storage.statements import Statement
from tests.conformance.builders import (
    commit,
    finish,
    history,
    make_claimed,
    make_enqueued,
    make_executor,
    park,
    record_step,
    row_of,
    start,
    sweep,
    want,
)
from tests.storage.races import Race
from tests.support.processes import Spawn
from tests.support.waiting import eventually


@pytest.fixture
def writer(provider: PostgresProvider) -> Iterator[Writer]:
    """Return a writer that is closed after the test."""
    with closing(provider.writer()) as made:
        yield made


@pytest.fixture
def armed() -> Iterator[None]:
    """Disarm all failpoints after the test."""
    yield
    failpoints.arm("")


def kick_out(race: Race) -> None:
    """End every session of the provider, as a restart of the server does."""
    race.observer.do(
        "select pg_terminate_backend(pid) from pg_stat_activity "
        "where datname = current_database() and application_name like 'durust%%'"
    )


def setting(link: PostgresLink, name: str) -> str:
    """Return what a setting is on *link*."""
    return (link._pg.exec_(f"show {name}".encode()).get_value(0, 0) or b"").decode()


# Settings ----------------------------------------------------------------------------------------------------------


@pytest.mark.protocol("4.connections.timeouts")
def test_each_connection_bounds_its_waits(provider: PostgresProvider) -> None:
    with closing(provider._connect()) as link:
        found = [
            setting(link, name)
            for name in ("idle_in_transaction_session_timeout", "lock_timeout", "statement_timeout", "durust.quiet")
        ]

    assert found == ["5s", "2s", "8s", "on"]


# What an owner of a database sets for programs of his own, and what of durust would fail by it or, worse, not fail.
HOSTILE = {
    "default_transaction_isolation": "repeatable read",
    "array_nulls": "off",
    "quote_all_identifiers": "on",
    "statement_timeout": "1ms",
    "lock_timeout": "1ms",
    "enable_indexscan": "off",
    "timezone": "Asia/Kathmandu",
    "datestyle": "SQL, DMY",
    "search_path": "nowhere",
    "client_encoding": "latin1",
}


def set_hostile(race: Race, *names: str) -> None:
    """Have every new session of the database begin with settings of *HOSTILE*."""
    [[database]] = race.observer.do("select current_database()")
    for name in names:
        race.observer.do(f"alter database {database} set {name} = '{HOSTILE[name]}'")


def test_what_the_owner_of_a_database_sets_for_others_changes_nothing(url: str, race: Race) -> None:
    set_hostile(race, *HOSTILE)

    with closing(PostgresProvider(url)) as fresh:
        fresh.migrate()
        run = make_claimed(fresh, "a")
        outcomes = commit(fresh, record_step(run), finish(run))

    assert outcomes == [Recorded(), Recorded()]


@pytest.mark.parametrize("pooler", ["", "&pooler=transaction"])
def test_each_statement_of_a_transaction_sees_what_was_committed_before_it(url: str, race: Race, pooler: str) -> None:
    set_hostile(race, "default_transaction_isolation")
    level = Call(Statement("level", "select current_setting('transaction_isolation')", writes=False))

    with closing(PostgresProvider(url + pooler)) as fresh, closing(fresh._connect()) as link:
        results = link.run([level, level]) + link.run([level])

    assert results == [[("read committed",)]] * 3


def test_a_connection_says_whose_it_is(url: str) -> None:
    provider = PostgresProvider(url, app_name="shop")

    with closing(provider._connect()) as link:
        name = setting(link, "application_name")

    assert name == "durust shop"


def test_what_libpq_understands_passes_through(url: str) -> None:
    address = Address(f"{url}&connect_timeout=9&application_name=mine&options=-c%20work_mem%3D8MB", "durust")

    with closing(PostgresLink(address.name, address.parameters())) as link:
        assert (setting(link, "application_name"), setting(link, "work_mem")) == ("mine", "8MB")
    assert address.parameters()["connect_timeout"] == "9"


@pytest.mark.parametrize("query", ["pooler=session", "pooler=", "colour=red", "pooler=transaction&colour=red"])
def test_an_unknown_parameter_is_refused(query: str) -> None:
    with pytest.raises(InvalidArgument, match=r"pooler|colour"):
        PostgresProvider(f"postgresql://host/db?{query}")


def test_a_reader_does_not_see_the_password() -> None:
    assert PostgresProvider("postgresql://me:secret@host/db?sslmode=require").name == "postgresql://me:***@host/db"


# Batches -----------------------------------------------------------------------------------------------------------


@pytest.mark.protocol("4.connections.one-flush")
def test_a_process_that_is_stopped_inside_its_batch_blocks_nobody(
    provider: PostgresProvider, race: Race, url: str, spawn: Spawn
) -> None:
    run = make_claimed(provider, "a")
    program = f"""
        from durust.storage.postgres import PostgresProvider
        from durust.model.records import Lease
        from tests.conformance.builders import finish, record_step, start
        lease = Lease{(run.lease.workflow_id, run.lease.executor_id, run.lease.token)}
        writer = PostgresProvider({url!r}).writer()
        writer.commit([start("b")])
        print("ready", flush=True)
        writer.commit([start("c"), record_step(lease), finish(lease)])
    """
    holder = race.actor("holder")
    holder.do("begin")
    holder.do("select from dbos.workflow_status where workflow_uuid = 'a' for update")

    stopped = spawn("-c", textwrap.dedent(program))
    stopped.wait_for("ready")
    waiting = "select pid from pg_stat_activity where wait_event_type = 'Lock' and application_name like 'durust%'"
    assert eventually(lambda: race.observer.do(waiting))
    stopped.send(signal.SIGSTOP)
    holder.do("commit")

    # The rest of the batch, to the commit, is with the server already.
    assert eventually(lambda: row_of(provider, "a").status is Status.SUCCESS)
    assert eventually(
        lambda: not race.observer.do("select pid from pg_stat_activity where state ~ 'idle in transaction'")
    )
    assert stopped.running


@pytest.mark.protocol("4.checkpoints.bisect")
def test_what_the_database_refuses_costs_its_neighbours_nothing(provider: PostgresProvider, writer: Writer) -> None:
    runs = [make_claimed(provider, name) for name in "abcde"]
    writes = [record_step(run) for run in runs]
    writes[1] = record_step(runs[1], output="a NUL \0")
    writes[3] = record_step(runs[3], output="half a pair \ud800")
    writes.append(record_step(runs[4], 2**31))

    outcomes = writer.commit(writes)

    assert [type(outcome) for outcome in outcomes] == [Recorded, Refused, Recorded, Refused, Recorded, Refused]
    assert [len(history(provider, name)) for name in "abcde"] == [1, 0, 1, 0, 1]


def test_values_that_are_too_large_together_are_written_one_by_one(
    provider: PostgresProvider, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(halves, "BATCH_CHARACTERS_MAX", 10_000)
    runs = [make_claimed(provider, name) for name in "abcde"]
    sent: list[int] = []
    run = PostgresLink.run

    def count(link: PostgresLink, calls: Sequence[Call]) -> list[list[Row]]:
        sent.append(len(calls))
        return run(link, calls)

    monkeypatch.setattr(PostgresLink, "run", count)

    outcomes = writer.commit([record_step(run, output=f'"{"x" * 6_000}"') for run in runs])

    assert outcomes == [Recorded()] * 5
    assert sent == [1] * 5
    assert [len(history(provider, name)) for name in "abcde"] == [1] * 5


def test_a_value_that_no_message_holds_is_refused(
    provider: PostgresProvider, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_link, "MESSAGE_BYTES_MAX", 10_000)
    runs = [make_claimed(provider, name) for name in "ab"]

    outcomes = writer.commit([record_step(runs[0], output="x" * 10_000), record_step(runs[1])])

    assert [type(outcome) for outcome in outcomes] == [Refused, Recorded]


def test_a_question_that_the_database_cannot_take_is_refused(provider: PostgresProvider) -> None:
    with pytest.raises(InvalidArgument, match=r"list_workflows.* a NUL"):
        row_of(provider, "a \0")


@pytest.mark.protocol("4.transient.re-sent")
def test_a_batch_whose_connection_was_lost_before_is_sent_again(
    provider: PostgresProvider, race: Race, writer: Writer
) -> None:
    runs = [make_claimed(provider, name) for name in "ab"]
    assert writer.commit([record_step(runs[0])]) == [Recorded()]
    kick_out(race)

    outcomes = writer.commit([record_step(runs[0], 2), finish(runs[1])])

    assert outcomes == [Recorded(), Recorded()]


@pytest.mark.protocol("4.transient.re-sent")
@pytest.mark.parametrize("alone", [True, False])
def test_a_batch_whose_connection_is_lost_while_it_waits_is_sent_again(
    provider: PostgresProvider, race: Race, writer: Writer, *, alone: bool
) -> None:
    run = make_claimed(provider, "a")
    holder = race.actor("holder")
    holder.do("begin")
    holder.do("select from dbos.workflow_status for update")
    answered: list[object] = []
    writes: list[Write] = [record_step(run)] if alone else [start("b"), record_step(run)]
    sending = Thread(target=lambda: answered.extend(writer.commit(writes)))
    sending.start()
    waiting = "select pid from pg_stat_activity where wait_event_type = 'Lock' and application_name like 'durust%'"
    assert eventually(lambda: race.observer.do(waiting))

    kick_out(race)
    holder.do("commit")
    sending.join()

    assert answered[-1] == Recorded()
    assert len(history(provider, "a")) == 1


@pytest.mark.protocol("4.transient.re-sent")
def test_a_lock_that_is_held_for_long_is_a_reason_that_passes(provider: PostgresProvider, race: Race) -> None:
    run = make_claimed(provider, "a")
    holder = race.actor("holder")
    holder.do("begin")
    holder.do("select from dbos.workflow_status for update")
    impatient = {**provider._address.parameters(), "options": "-c lock_timeout=10ms"}

    with closing(PostgresLink("impatient", impatient)) as link, pytest.raises(Transient, match="lock timeout"):
        link.run([Call(SQL.record_steps, steps.record_steps([record_step(run)]))])


@pytest.mark.protocol("4.transient.re-sent")
def test_what_fails_for_a_reason_that_passes_is_done_again_within_a_bound() -> None:
    failures = iter([Transient("deadlock"), Lost("gone"), Transient("deadlock")])

    def work() -> str:
        for failure in failures:
            raise failure
        return "done"

    def hopeless() -> str:
        raise Transient("deadlock")

    assert pool.persist("postgres", work) == "done"
    with pytest.raises(ProviderUnavailable, match="deadlock"):
        pool.persist("postgres", hopeless)


@pytest.mark.protocol("4.transient.no-error")
def test_a_database_that_is_away_is_told_and_sending_again_later_is_right(
    provider: PostgresProvider, race: Race, writer: Writer, url: str
) -> None:
    run = make_claimed(provider, "a")
    name = url.partition("@/")[2].partition("?")[0]
    with psycopg.connect(url.replace(name, "postgres"), autocommit=True) as admin:
        admin.execute(f"alter database {name} allow_connections false".encode())
        kick_out(race)

        with pytest.raises(ProviderUnavailable):
            writer.commit([record_step(run)])
        with pytest.raises(ProviderUnavailable):
            provider.claim(want("first"))

        admin.execute(f"alter database {name} allow_connections true".encode())
    assert writer.commit([record_step(run)]) == [Recorded()]


def test_reads_go_on_after_all_connections_were_lost(provider: PostgresProvider, race: Race) -> None:
    make_enqueued(provider, "a")
    readers = [Thread(target=row_of, args=(provider, "a")) for _ in range(pool.LINKS_MAX)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    kick_out(race)

    assert row_of(provider, "a").workflow_id == "a"


def test_a_claim_whose_answer_is_lost_is_not_repeated(provider: PostgresProvider, race: Race) -> None:
    make_enqueued(provider, "a")
    make_executor(provider, "first")
    provider.queues()
    kick_out(race)

    with pytest.raises(ProviderUnavailable):
        provider.claim(want("first"))

    assert [found.lease.workflow_id for found in provider.claim(want("first"))] == ["a"]


@pytest.mark.parametrize("place", ["before", "after"])
def test_each_statement_has_failpoints_around_its_transaction(
    provider: PostgresProvider, writer: Writer, armed: None, place: str
) -> None:
    run = make_claimed(provider, "a")
    failpoints.arm(f"sql.record_steps.{place}=raise")

    with pytest.raises(FailpointError):
        writer.commit([record_step(run)])

    assert len(history(provider, "a")) == (1 if place == "after" else 0)


@pytest.mark.parametrize(
    ("sqlstate", "meaning"),
    [
        (None, Lost),
        ("57P01", Lost),
        ("08006", Lost),
        ("25P03", Lost),
        ("0A000", Lost),
        ("58030", Transient),
        ("40P01", Deadlock),
        ("40001", Transient),
        ("55P03", Transient),
        ("53300", Transient),
        ("22003", BadData),
        ("54000", BadData),
        ("26000", ProviderMisuse),
    ],
)
def test_an_error_of_the_database_means_what_can_be_done(sqlstate: str | None, meaning: type[Exception]) -> None:
    assert type(fault("postgres", sqlstate, "message")) is meaning


def test_what_is_fatal_ended_the_connection_whatever_its_state() -> None:
    error = fault("postgres", "XX000", "db_termination", is_fatal=True)

    assert type(error) is Lost


# Forks, poolers, listeners -----------------------------------------------------------------------------------------


def test_a_forked_child_opens_connections_of_its_own(provider: PostgresProvider, url: str, spawn: Spawn) -> None:
    program = f"""
        import os
        from durust.storage.postgres import PostgresProvider
        from tests.conformance.builders import make_enqueued, row_of, start
        provider = PostgresProvider({url!r})
        writer = provider.writer()
        writer.commit([start("a")])
        row_of(provider, "a")
        if (child := os.fork()) == 0:
            writer.commit([start("b")])
            row_of(provider, "b")
            provider.close()
            writer.close()
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        writer.commit([start("c")])
        row_of(provider, "c")
        print("both", flush=True)
    """

    spawn("-c", textwrap.dedent(program)).wait_for("both")

    assert [row_of(provider, name).workflow_id for name in "abc"] == ["a", "b", "c"]


@pytest.mark.protocol("4.poolers")
def test_behind_a_pooler_nothing_is_kept_on_a_connection(url: str, race: Race) -> None:
    provider = PostgresProvider(f"{url}&pooler=transaction")
    run = make_claimed(provider, "a", by="first")

    outcomes = commit(provider, record_step(run), park(run, until_ms=1))
    [again] = provider.claim(want("first", run.queue or ""))
    with closing(provider._connect()) as link:
        link.run([Call(SQL.read_history, {"ids": "{a}"}, is_hot=True)])
        kept = link._pg.exec_(b"select count(*) from pg_prepared_statements").get_value(0, 0)
        timeout = setting(link, "lock_timeout")

    assert outcomes == [Recorded(), Recorded()]
    assert [step.place for step in again.history] == [1]
    assert (kept, timeout) == (b"0", "0")
    assert sweep(provider).orphans == 0
    provider.close()


@pytest.mark.protocol("4.poolers")
def test_behind_a_pooler_a_listener_only_waits(url: str, race: Race) -> None:
    provider = PostgresProvider(f"{url}&pooler=transaction")
    with closing(provider.listen()) as listener:
        provider.announce([Hint("queue", "work")])

        assert listener.wait(0.05) == []
    provider.close()


def test_a_listener_that_was_cut_off_listens_again(provider: PostgresProvider, race: Race) -> None:
    with closing(provider.listen()) as listener:
        kick_out(race)

        assert eventually(lambda: Hint("any") in listener.wait(0.05))
        provider.announce([Hint("queue", "work")])
        assert eventually(lambda: Hint("queue", "work") in listener.wait(0.05))


def test_a_listener_without_a_database_only_waits() -> None:
    provider = PostgresProvider("postgresql:///?host=/nowhere")

    with closing(provider.listen()) as listener:
        assert listener.wait(0.3) == []
    provider.announce([Hint("queue", "work")])


@pytest.mark.protocol("4.notifications.coalesced")
def test_many_hints_travel_in_few_notifications(provider: PostgresProvider, race: Race) -> None:
    hints = [Hint("workflow", f"{number:036}") for number in range(300)]
    with closing(provider.listen()) as listener:
        provider.announce([*hints, *hints])

        # Several notifications, which may come in one by one.
        heard: list[Hint] = []

        def has_heard() -> bool:
            heard.extend(listener.wait(0.05))
            return len(heard) >= len(hints)

        eventually(has_heard)
    assert heard == hints


def test_more_hints_than_a_few_notifications_hold_say_that_something_changed(provider: PostgresProvider) -> None:
    with closing(provider.listen()) as listener:
        provider.announce([Hint("workflow", f"{number:036}") for number in range(10_000)])

        assert eventually(lambda: listener.wait(0.05)) == [Hint("any")]


@pytest.mark.covers(177)
def test_what_others_say_on_the_channel_is_not_heard(provider: PostgresProvider, race: Race) -> None:
    with closing(provider.listen()) as listener:
        for payload in ("", "no json", '{"a": 1}', "[[1]]", "3"):
            race.observer.do("select pg_notify('durust_hints', %(payload)s)", {"payload": payload})
        provider.announce([Hint("queue", "work")])

        assert eventually(lambda: listener.wait(0.05)) == [Hint("queue", "work")]
