"""What a run leaves in the canonical tables, letter for letter, as plain SQL and other libraries find it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from durust import SyncDurableContext
from tests.conformance.builders import start
from tests.conformance.conftest import SHARED
from tests.engine.clients import connect
from tests.engine.stage import PATIENCE, Stage

Ask = Callable[[str], list[tuple[Any, ...]]]

PORTABLE = "portable_json"


@dataclass
class Charge:
    amount: Decimal
    at: datetime


class Declined(Exception):
    """A refusal with a code that other libraries know how to show."""

    code = "card_declined"


CHARGE = Charge(Decimal("12.50"), datetime(2026, 3, 1, 12, 30, tzinfo=UTC))
WIRE = '{"amount":"12.50","at":"2026-03-01T12:30:00Z"}'


@pytest.fixture
def ask(url: str, stage: Stage) -> Ask:
    """Return `ask(sql)`, which reads rows; `dbos.` stands before the names of tables as on Postgres."""

    def run(sql: str) -> list[tuple[Any, ...]]:
        with closing(connect(url)) as connection:
            text = sql.replace("dbos.", "") if url.startswith("sqlite:") else sql
            return list(connection.execute(text).fetchall())

    return run


@pytest.mark.covers(176)
@pytest.mark.parametrize("url", SHARED, indirect=True)
def test_the_rows_of_a_run(stage: Stage, ask: Ask) -> None:
    def pay(ctx: SyncDurableContext, charge: Charge, *, retry: bool = False) -> Charge:
        ctx.step("charge", lambda: charge, type=Charge)
        ctx.send("receiver", charge, "topic")
        ctx.send("receiver", None)
        ctx.set_event("progress", charge)
        ctx.write_stream("amounts", charge)
        ctx.close_stream("amounts")
        return charge

    stage.commit(start("receiver"))
    handle = stage.launch(pay).run_workflow("pay", CHARGE, retry=True)
    handle.get_result(PATIENCE)

    inputs, output = f'{{"positionalArgs":[{WIRE}],"namedArgs":{{"retry":true}}}}', WIRE
    assert ask(f"""select w.status, w.serialization, i.inputs, o.output, o.error
                     from dbos.workflow_status w
                     join dbos.workflow_input i on i.workflow_uuid = w.workflow_uuid
                     join dbos.workflow_output o on o.workflow_uuid = w.workflow_uuid
                    where w.workflow_uuid = '{handle.id}'""") == [("SUCCESS", PORTABLE, inputs, output, None)]
    steps = ask(f"""select function_id, function_name, output, error, serialization from dbos.operation_outputs
                     where workflow_uuid = '{handle.id}' order by function_id""")
    assert steps[0] == (1, "charge", WIRE, None, PORTABLE)
    assert [(place, name) for place, name, *_ in steps[1:]] == [
        (2, "DBOS.send"),
        (3, "DBOS.send"),
        (4, "DBOS.setEvent"),
        (5, "DBOS.writeStream"),
        (6, "DBOS.closeStream"),
    ]
    assert ask("select topic, message, serialization from dbos.notifications order by durust_seq") == [
        ("topic", WIRE, PORTABLE),
        ("__null__topic__", "null", PORTABLE),
    ]
    assert ask("select key, value, serialization from dbos.workflow_events") == [("progress", WIRE, PORTABLE)]
    assert ask("select function_id, key, value, serialization from dbos.workflow_events_history") == [
        (4, "progress", WIRE, PORTABLE)
    ]
    assert ask('select key, "offset", function_id, value, serialization from dbos.streams order by "offset"') == [
        ("amounts", 0, 5, WIRE, PORTABLE),
        ("amounts", 1, 6, '"__DBOS_STREAM_CLOSED__"', PORTABLE),
    ]


@pytest.mark.covers(176)
@pytest.mark.parametrize("url", SHARED, indirect=True)
def test_the_rows_of_a_run_that_fails(stage: Stage, ask: Ask) -> None:
    def refuse(_: SyncDurableContext) -> None:
        raise Declined("card 42")

    handle = stage.launch(refuse).run_workflow("refuse")
    with pytest.raises(Declined):
        handle.get_result(PATIENCE)

    error = (
        '{"name":"Declined","message":"card 42","code":"card_declined","data":null,'
        f'"durust":{{"type":"{__name__}:Declined","args":["card 42"]}}}}'
    )
    assert ask(f"""select w.status, w.serialization, o.output, o.error
                     from dbos.workflow_status w
                     join dbos.workflow_output o on o.workflow_uuid = w.workflow_uuid
                    where w.workflow_uuid = '{handle.id}'""") == [("ERROR", PORTABLE, None, error)]
