"""What the processes say to each other: typed messages, over ZeroMQ in frames with a version.

A frame is never trusted: its types, lengths and addresses are checked before anything is done with it, and nothing in
it can name code. Whatever is not a frame is dropped and counted. Hints may be lost, repeated or late; a database fact
and a poll stand behind each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, assert_never

import msgspec

VERSION = 1
# Orders and counters are tens of bytes; what does not fit is asked for in pages.
BODY_BYTES_MAX = 4096
# The fields around the body: five short texts and three numbers.
FRAME_BYTES_MAX = BODY_BYTES_MAX + 1024
# Executor ids have 29 characters, other names fewer.
NAME_CHARACTERS_MAX = 64
# A hint names a queue or a workflow; ids of other libraries may be long.
KEY_CHARACTERS_MAX = 512
# Rows of one page of a status: with the longest names they stay below half the body.
STATUS_ROWS_MAX = 16
# Hints of one frame; more are said as one "anything".
HINTS_MAX = 6
# A frame is acted on within this time after it was read, or not at all.
EXPIRES_MS_DEFAULT = 5_000
# Each worker is an interpreter of tens of megabytes; more than this on one host is a slip of the finger.
WORKERS_MAX = 1024
EVERYBODY = "*"
# A control plane has one supervisor, so nobody needs to know its id to write to it.
SUPERVISOR = "supervisor"

_Name = Annotated[str, msgspec.Meta(max_length=NAME_CHARACTERS_MAX)]
_Key = Annotated[str, msgspec.Meta(max_length=KEY_CHARACTERS_MAX)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]


class Frame(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The envelope of every message."""

    version: int
    cluster: _Name
    """Whose control plane this is; frames of others are dropped."""
    target: _Name
    sender: _Name
    sequence: _Count
    """Rises with each frame of a sender, so that a gap tells of lost ones."""
    expires_in_ms: _Count
    """How long after it was read the message may still be acted on."""
    kind: _Name
    body: Annotated[bytes, msgspec.Meta(max_length=BODY_BYTES_MAX)]


class Progress(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A worker tells how far it is; the shared page says the same, so this only makes the supervisor look now."""

    state: _Name
    running: _Count
    done: _Count
    failed: _Count
    steps: _Count


class Drain(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The supervisor asks a worker to end: finish or park what runs within the time, hand the rest back."""

    seconds: Annotated[float, msgspec.Meta(ge=0)]


class HintBody(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Something changed: the kind and the key of a hint."""

    kind: _Name
    key: _Key


class Hints(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The supervisor passes on what the database announced."""

    hints: Annotated[tuple[HintBody, ...], msgspec.Meta(max_length=HINTS_MAX)]


class AskStatus(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Somebody asks the supervisor how it stands, from the row *offset* on."""

    offset: _Count


class AskDrain(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Somebody asks the supervisor to end: in order, or (quick) at once."""

    quick: bool


class AskScale(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Somebody asks the supervisor for another number of workers."""

    workers: Annotated[int, msgspec.Meta(ge=1, le=WORKERS_MAX)]


class AskRecycle(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Somebody asks the supervisor to replace each worker by a new one."""


class WorkerStatus(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One worker, as the supervisor sees it."""

    index: _Count
    executor_id: _Name
    pid: _Count
    state: _Name
    running: _Count
    done: _Count
    failed: _Count
    steps: _Count
    up_seconds: float
    silent_seconds: float


class Status(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The supervisor's answer to `AskStatus`: itself, and one page of its workers."""

    supervisor_id: _Name
    pid: _Count
    state: _Name
    workers: _Count
    """How many workers there should be."""
    deaths: _Count
    """How many workers ended without being asked to."""
    handed_back: _Count
    """How many workflows dead workers gave back."""
    dropped: _Count
    """How many frames were not understood."""
    is_database_away: bool
    rows: Annotated[tuple[WorkerStatus, ...], msgspec.Meta(max_length=STATUS_ROWS_MAX)]
    more: bool


class Accepted(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The supervisor's answer to an order that it follows."""

    supervisor_id: _Name
    pid: _Count


class Declined(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The supervisor's answer to an order that it cannot follow any more."""

    pid: _Count
    line: _Key


Body = Progress | Drain | Hints | AskStatus | AskDrain | AskScale | AskRecycle | Status | Accepted | Declined

_KINDS: dict[str, type[Body]] = {
    "progress": Progress,
    "drain": Drain,
    "hints": Hints,
    "ask-status": AskStatus,
    "ask-drain": AskDrain,
    "ask-scale": AskScale,
    "ask-recycle": AskRecycle,
    "status": Status,
    "accepted": Accepted,
    "declined": Declined,
}


class Brief(msgspec.Struct, frozen=True, tag="brief"):
    """What a worker has to know before it starts."""

    index: int
    executor_id: str
    supervisor_id: str
    modules: tuple[str, ...]
    url: str
    """Here and not on the command line or in the environment, because it may hold a password."""
    is_url_chosen: bool
    """Whether somebody named it; otherwise it is the default."""
    queues: tuple[str, ...] | None
    settings: dict[str, Any]
    """The settings that differ from the defaults, by name."""
    verbose: bool
    cluster: str
    orders: str | None
    """The address of the supervisor's ROUTER socket; None without ZeroMQ."""
    hints: str | None
    """The address of the supervisor's PUB socket; None without ZeroMQ."""


class Loaded(msgspec.Struct, frozen=True, tag="loaded"):
    """The worker has loaded the application: whose rows it takes, and the workflows it knows."""

    app_name: str
    names: tuple[str, ...]


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The worker ends before it began, for this reason."""

    line: str
    traceback: str


Report = Brief | Loaded | Failed

_encoder = msgspec.msgpack.Encoder()
_reports: msgspec.msgpack.Decoder[Report] = msgspec.msgpack.Decoder(Report)
_frames = msgspec.msgpack.Decoder(Frame)
_bodies = {kind: msgspec.msgpack.Decoder(body) for kind, body in _KINDS.items()}


def _kind(body: Body) -> str:
    match body:
        case Progress():
            return "progress"
        case Drain():
            return "drain"
        case Hints():
            return "hints"
        case AskStatus():
            return "ask-status"
        case AskDrain():
            return "ask-drain"
        case AskScale():
            return "ask-scale"
        case AskRecycle():
            return "ask-recycle"
        case Status():
            return "status"
        case Accepted():
            return "accepted"
        case Declined():
            return "declined"
        case _:
            assert_never(body)


def pack_report(report: Report) -> bytes:
    """Return *report* as the lifeline carries it."""
    return _encoder.encode(report)


def unpack_report(packed: bytes) -> Report | None:
    """Return the report in *packed*; None for anything else."""
    try:
        return _reports.decode(packed)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


@dataclass(frozen=True, slots=True)
class Letter:
    """A frame that was understood."""

    sender: str
    sequence: int
    expires_in_ms: int
    body: Body


class Post:
    """Seals what one party says and opens what it hears. Not for several threads."""

    def __init__(self, cluster: str, me: str) -> None:
        self.cluster, self.me = cluster, me
        self.dropped = 0
        """How many frames were not understood, or not for this party."""
        self._sequence = 0

    def seal(self, target: str, body: Body, expires_in_ms: int = EXPIRES_MS_DEFAULT) -> bytes:
        """Return the frame that says *body* to *target*. Raises `ValueError` for a body that is too large."""
        packed = _encoder.encode(body)
        if len(packed) > BODY_BYTES_MAX:
            raise ValueError(f"a body of {len(packed)} bytes does not fit into a frame; {BODY_BYTES_MAX} do")
        self._sequence += 1
        frame = Frame(VERSION, self.cluster, target, self.me, self._sequence, expires_in_ms, _kind(body), packed)
        return _encoder.encode(frame)

    def open(self, raw: bytes, sender: str | None = None) -> Letter | None:
        """Return the letter in *raw*; None, and one more dropped, for anything else.

        With *sender* the frame must name that one: the identity that the socket knows the connection by.
        """
        letter = self._read(raw)
        if letter is None or (sender is not None and letter.sender != sender):
            self.dropped += 1
            return None
        return letter

    def _read(self, raw: bytes) -> Letter | None:
        if len(raw) > FRAME_BYTES_MAX:
            return None
        try:
            frame = _frames.decode(raw)
            if frame.version != VERSION or frame.cluster != self.cluster or frame.target not in {self.me, EVERYBODY}:
                return None
            if frame.expires_in_ms == 0 or frame.kind not in _bodies:
                return None
            return Letter(frame.sender, frame.sequence, frame.expires_in_ms, _bodies[frame.kind].decode(frame.body))
        except (msgspec.DecodeError, UnicodeDecodeError):
            # `ValidationError`, a kind of `DecodeError`, tells of a wrong type; text may also hold broken UTF-8.
            return None
