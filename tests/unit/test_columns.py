"""Arrays are written the way Postgres reads them, in as few characters as it takes."""

from __future__ import annotations

import pytest

from durust.storage.columns import numbers, texts


@pytest.mark.parametrize(
    ("values", "written"),
    [
        ([], "{}"),
        (["a", "b c"], '{"a","b c"}'),
        (["a", None], '{"a",NULL}'),
        (['say "no"', "back\\slash"], '{"say \\"no\\"","back\\\\slash"}'),
        (["a\x1fb"], '{"a\x1fb"}'),
        ([""], '{""}'),
        # Filled up with NULL beside the column of ids.
        ([None, None], "{}"),
    ],
)
def test_texts_are_written_as_an_array(values: list[str | None], written: str) -> None:
    assert texts(values) == written


@pytest.mark.parametrize(
    ("values", "written"), [([], "{}"), ([1, None, 2.5], "{1,NULL,2.5}"), ([True], "{1}"), ([None, None], "{}")]
)
def test_numbers_are_written_as_an_array(values: list[float | None], written: str) -> None:
    assert numbers(values) == written
