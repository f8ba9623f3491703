"""durust on a database that the official library made: served at the version that it knows, refused at an older one."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from durust import DurableClient, DurableEngine, SchemaMismatch, SerializationError, WorkflowOptions, WorkflowTimedOut
from durust.model.filters import ListFilter
from tests.conformance.conftest import open_provider
from tests.interop.conftest import Converse, working
from tests.interop.conversation import Refused
from tests.interop.environment import TIMEOUT_SECONDS
from tests.interop.schemas import ask, schema_of, version_of

pytestmark = pytest.mark.timeout(TIMEOUT_SECONDS)

OLDER = 124


@pytest.mark.covers(186)
def test_durust_adds_itself_to_its_database_and_both_work(their_url: str, converse: Converse, tmp_path: Path) -> None:
    other = converse("application", their_url)
    other.ask("launch")
    other.ask("start", "before", "their_draw", 2)
    drawn = other.ask("get_result", "before")
    before = canonical(their_url)

    with working(their_url, tmp_path), DurableClient(their_url) as own:
        ours = own.enqueue("orders", "draw", 2)
        other.ask("start", "beside", "their_nap", 0.01)
        other.ask("enqueue", "queued", "add", 1, 2)

        assert len(ours.get_result(30)) == 2
        assert (other.ask("get_result", "beside"), other.ask("get_result", "queued")) == ("awake", "theirs: 3")
        # Its own launch changes nothing of what is there now.
        later = converse("application", their_url)
        after = schema_of(their_url)
        later.ask("launch")
        assert later.ask("get_result", "before") == drawn
        assert schema_of(their_url) == after
    assert version_of(their_url) == [(125,)]
    now = canonical(their_url)
    assert [name for name in before if name not in now] == []
    assert [name for name in now if name not in before and "durust" not in name] == []


def canonical(url: str) -> list[str]:
    """Name each column and each index of the canonical tables, with what it is."""
    if url.startswith("sqlite:"):
        columns = ask(
            url,
            """select t.name, c.name, c.type, c."notnull" from sqlite_master t join pragma_table_info(t.name) c
                where t.type = 'table' and t.name not like 'durust%'""",
        )
        indexes = ask(url, "select name, sql from sqlite_master where type in ('index', 'trigger') and sql is not null")
    else:
        schema = schema_of(url)
        columns = [row for row in schema["columns"] if row[0] == "dbos"]
        indexes = [row for name in ("indexes", "triggers") for row in schema[name] if "durust." not in row[1]]
    return [" ".join(map(str, row)) for row in (*columns, *indexes)]


@pytest.mark.covers(186)
def test_a_database_of_an_older_release_is_refused_and_left_as_it_was(bare_url: str, converse: Converse) -> None:
    converse("application", bare_url).ask("migrate", OLDER)
    before = schema_of(bare_url)

    with pytest.raises(SchemaMismatch, match=f"version {OLDER}.*nothing was changed"), DurableEngine(bare_url):
        pass

    assert schema_of(bare_url) == before
    assert version_of(bare_url) == [(OLDER,)]


@pytest.mark.covers(170, 179)
def test_its_pickled_rows_are_listed_and_read_by_choice_alone(their_url: str, converse: Converse) -> None:
    other = converse("application", their_url)
    other.ask("launch")
    other.ask("start", "theirs", "their_draw", 1)
    other.ask("start", "refused", "their_refusal", "42")
    drawn = other.ask("get_result", "theirs")
    with closing(open_provider(their_url)) as provider:
        provider.migrate()

    with DurableClient(their_url) as own, DurableClient(their_url, serializer="pickle") as trusting:
        rows = own.list_workflows(ListFilter(load_input=True, load_output=True))
        [step] = own.list_steps("theirs")
        assert {row.workflow_id: row.serialization for row in rows} == {"theirs": "py_pickle", "refused": "py_pickle"}
        assert (step.name, step.serialization) == ("token", "py_pickle")
        for workflow_id in ("theirs", "refused"):
            with pytest.raises(SerializationError, match="py_pickle, which is not loaded unasked"):
                own.retrieve_workflow(workflow_id).get_result(30)
        assert trusting.retrieve_workflow("theirs").get_result(30) == drawn
        with pytest.raises(ValueError, match="card 42 was declined"):
            trusting.retrieve_workflow("refused").get_result(30)


@pytest.mark.covers(190)
def test_an_application_that_died_finds_its_work_as_it_left_it(
    their_url: str, converse: Converse, tmp_path: Path
) -> None:
    other = converse("application", their_url)
    other.ask("launch")
    other.ask("start", "running", "their_nap", 1)
    other.ask("start", "late", "their_nap", 600)
    other.ask("enqueue_delayed", "delayed", "their_draw", 600)
    other.ask("enqueue_delayed", "due", "their_draw", 600)
    other.close()
    change = "update dbos.workflow_status set {} = 1 where workflow_uuid = ?"
    ask(their_url, change.format("delay_until_epoch_ms"), "due")
    ask(their_url, change.format("workflow_deadline_epoch_ms"), "late")
    left = ask(their_url, "select * from dbos.workflow_status order by workflow_uuid")

    with working(their_url, tmp_path), DurableClient(their_url) as own:
        # Those that wait are queued by the sweep, and those that are late are cancelled by it.
        naps = [own.enqueue("orders", "nap", 0.3) for _ in range(3)]
        late = own.enqueue("orders", "nap", 600, options=WorkflowOptions(timeout=0.3))
        assert [nap.get_result(30) for nap in naps] == ["awake"] * 3
        with pytest.raises(WorkflowTimedOut):
            late.get_result(30)

        theirs = "select * from dbos.workflow_status where application_name = 'theirs' order by workflow_uuid"
        assert [row[: len(left[0])] for row in ask(their_url, theirs)] == left
        again = converse("application", their_url)
        again.ask("launch")
        assert again.ask("get_result", "running") == "awake"
        assert len(again.ask("get_result", "due")) == 1
        with pytest.raises(Refused, match="late"):
            again.ask("get_result", "late")
