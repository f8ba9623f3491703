"""Whatever the moment of death, the workflow ends with the right result and repeats no more than the table says."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from _pytest.mark import ParameterSet

from tests.crash.matrix import DATABASES, Row, boundaries, left_out, rows
from tests.crash.scenarios import SCENARIOS
from tests.crash.stage import Stage

COLOURS = ("async", "sync")


def cases() -> Iterator[ParameterSet]:
    """Return a case for each line of the table, each database, each colour and each pass."""
    for kind in DATABASES:
        for colour in COLOURS:
            for row in rows():
                for at_pass in row.passes if kind in row.databases else ():
                    yield pytest.param(
                        kind, colour, row, at_pass, id=f"{kind}-{colour}-{row.scenario}-{row.boundary}-{at_pass}"
                    )


@pytest.mark.parametrize("kind", DATABASES)
def test_each_boundary_stands_in_the_table_or_has_a_reason_not_to(kind: str) -> None:
    listed = {row.boundary for row in rows() if kind in row.databases}

    assert listed | (left_out() & boundaries(kind)) == boundaries(kind)
    assert left_out() <= boundaries("postgres") | boundaries("sqlite")
    assert not listed & left_out()


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("kind", DATABASES)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_an_unharmed_run_passes_each_boundary_of_its_scenario(
    stage: Stage, kind: str, colour: str, scenario: str
) -> None:
    mine = [row for row in rows() if row.scenario == scenario and kind in row.databases]
    stage.prepare(SCENARIOS[scenario])

    passes = stage.passes(SCENARIOS[scenario])

    assert [row.boundary for row in mine if passes[row.boundary] < max(row.passes)] == []
    # Which step is under way at a pass is known only when each step passes once.
    assert [row.boundary for row in mine if len(row.passes) > 1 and passes[row.boundary] != len(row.passes)] == []
    stage.finish(SCENARIOS[scenario])
    assert stage.faults() == []


@pytest.mark.covers(62, 150)
@pytest.mark.parametrize(("kind", "colour", "row", "at_pass"), list(cases()))
def test_a_kill_repeats_only_the_effect_of_a_step_that_was_not_recorded(
    stage: Stage, kind: str, colour: str, row: Row, at_pass: int
) -> None:
    scenario = SCENARIOS[row.scenario]
    stage.prepare(scenario)
    stage.kill(scenario, row.boundary, at_pass)

    stage.finish(scenario)

    assert stage.faults(repeated_step=at_pass if row.times == 2 else None) == []
