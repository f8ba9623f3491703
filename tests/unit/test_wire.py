"""Frames are read only when everything about them is as it must be."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from durust.supervisor.wire import (
    BODY_BYTES_MAX,
    EVERYBODY,
    FRAME_BYTES_MAX,
    STATUS_ROWS_MAX,
    Body,
    Brief,
    Drain,
    Failed,
    HintBody,
    Hints,
    Post,
    Progress,
    Status,
    WorkerStatus,
    pack_report,
    unpack_report,
)

FIELDS = [1, "shop", "worker", "supervisor", 1, 1000, "drain", msgspec.msgpack.encode([1.5])]


def make_pair() -> tuple[Post, Post]:
    return Post("shop", "supervisor"), Post("shop", "worker")


def pack(*changes: tuple[int, object]) -> bytes:
    fields = list(FIELDS)
    for place, value in changes:
        fields[place] = value
    return msgspec.msgpack.encode(fields)


@pytest.mark.parametrize(
    "body",
    [Drain(30.0), Progress("LIVE", 1, 2, 3, 4), Hints((HintBody("queue", "emails"), HintBody("any", "")))],
)
def test_what_was_sealed_is_opened_again(body: Body) -> None:
    supervisor, worker = make_pair()

    letter = worker.open(supervisor.seal("worker", body))

    assert letter is not None
    assert (letter.sender, letter.sequence, letter.body) == ("supervisor", 1, body)


def test_each_frame_of_a_sender_has_the_next_number() -> None:
    supervisor, worker = make_pair()

    letters = [worker.open(supervisor.seal(EVERYBODY, Drain(0.0))) for _ in range(3)]

    assert [letter.sequence for letter in letters if letter] == [1, 2, 3]


def test_the_frame_that_the_refusals_are_made_of_is_itself_accepted() -> None:
    worker = Post("shop", "worker")

    letter = worker.open(pack())

    assert letter is not None
    assert letter.body == Drain(1.5)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (0, 2),
        (0, "1"),
        (1, "another cluster"),
        (2, "another worker"),
        (2, "w" * 65),
        (4, -1),
        (4, 1 << 63),
        (5, 0),
        (6, "unknown"),
        (6, "progress"),
        (7, b""),
        (7, b"\xc1"),
        (7, msgspec.msgpack.encode([-1.0])),
        (7, msgspec.msgpack.encode(["soon"])),
        (7, msgspec.msgpack.encode([1.0, "more"])),
        (7, b"\0" * (BODY_BYTES_MAX + 1)),
    ],
)
def test_a_frame_with_one_wrong_field_is_dropped_and_counted(place: int, value: object) -> None:
    worker = Post("shop", "worker")

    assert worker.open(pack((place, value))) is None
    assert worker.dropped == 1


def test_a_frame_in_another_s_name_is_dropped() -> None:
    supervisor, worker = make_pair()
    raw = supervisor.seal("worker", Drain(0.0))

    assert worker.open(raw, sender="somebody") is None
    assert worker.open(raw, sender="supervisor") is not None


@given(st.binary(max_size=2 * FRAME_BYTES_MAX))
def test_no_blob_is_a_frame_and_none_raises(blob: bytes) -> None:
    worker = Post("shop", "worker")

    assert worker.open(blob) is None
    assert worker.dropped == 1


@given(st.recursive(st.none() | st.integers() | st.binary() | st.text(), st.lists, max_leaves=20))
def test_no_well_formed_value_of_another_shape_is_a_frame(value: object) -> None:
    worker = Post("shop", "worker")
    try:
        blob = msgspec.msgpack.encode(value)
    except (OverflowError, UnicodeEncodeError):
        blob = b""

    assert worker.open(blob) is None


def test_a_body_that_is_too_large_is_refused_before_it_is_sent() -> None:
    hints = Hints(tuple(HintBody("queue", "ä" * 512) for _ in range(6)))

    with pytest.raises(ValueError, match="does not fit"):
        Post("shop", "supervisor").seal(EVERYBODY, hints)


def test_a_full_page_of_a_status_fits_into_a_frame() -> None:
    huge = (1 << 63) - 1
    name = "n" * 64
    row = WorkerStatus(huge, name, huge, name, huge, huge, huge, huge, 1e300, 1e300)
    page = Status(
        name, huge, name, huge, huge, huge, huge, is_database_away=True, rows=(row,) * STATUS_ROWS_MAX, more=True
    )
    supervisor, worker = make_pair()

    letter = worker.open(supervisor.seal("worker", page))

    assert letter is not None
    assert letter.body == page


def test_reports_of_a_lifeline_keep_their_kind() -> None:
    brief = Brief(
        is_url_chosen=True,
        index=0,
        executor_id="du:x",
        supervisor_id="su:x",
        modules=("shop",),
        url="sqlite:///x.db",
        queues=None,
        settings={"slots": 4},
        verbose=False,
        cluster="c",
        orders=None,
        hints=None,
    )

    assert unpack_report(pack_report(brief)) == brief
    assert unpack_report(pack_report(Failed("why", ""))) == Failed("why", "")
    assert unpack_report(b"\xc1") is None
