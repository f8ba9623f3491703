"""Named places where a test, or a user, makes the process die, fail or wait on purpose.

`FAILPOINTS=name=action;other=action` arms them at import. An action is a chain of terms joined by `->`; a term is
`kind`, `kind(argument)`, `3*kind` (three times, then the next term) or `10%kind` (one hit in ten). The kinds: `kill`
(SIGKILL), `exit(code)`, `raise(message)`, `sleep(milliseconds)`, `return`, `off`. The grammar is that of the Rust
crate `fail`. Example: `after_charge=2*off->kill` dies at the third hit.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

from durust import clock
from durust.errors import DurustError, InvalidArgument

VARIABLE = "FAILPOINTS"
# A dry run appends each name that was reached to this file: it proves that a test's failpoints exist.
TRACE_VARIABLE = "FAILPOINTS_TRACE"
# Unlike 1 and 2, which interpreters and shells use, this tells an exit by failpoint from others.
EXIT_CODE_DEFAULT = 86

# Every hit.
PERCENT_MAX = 100

# The documented exit code of a command line that cannot be meant.
USAGE_EXIT_CODE = 2

_TERM = re.compile(
    r"^(?:(?P<percent>\d+(?:\.\d+)?)%)?(?:(?P<count>\d+)\*)?(?P<kind>[a-z]+)(?:\((?P<argument>[^)]*)\))?$"
)
_KINDS = frozenset({"kill", "exit", "raise", "sleep", "return", "off"})
# Read when the text is, so that a typing error is not found at the hit, by an error of another kind.
_ARGUMENTS = {"exit": re.compile(r"\d{0,3}"), "sleep": re.compile(r"(\d+(\.\d+)?)?")}


class FailpointError(DurustError):
    """Raised by a failpoint whose action is `raise`."""


@dataclass(slots=True)
class _Term:
    kind: str
    argument: str
    percent: float | None
    left: int | None


@dataclass(slots=True)
class _Action:
    terms: list[_Term]
    lock: threading.Lock = field(default_factory=threading.Lock)

    def next(self) -> _Term | None:
        """Return the term that this hit performs, if any."""
        with self.lock:
            for term in self.terms:
                if term.left == 0:
                    continue
                if term.percent is not None and clock.jitter() * PERCENT_MAX >= term.percent:
                    return None
                if term.left is not None:
                    term.left -= 1
                return term
        return None


def _parse_term(name: str, text: str) -> _Term:
    found = _TERM.match(text.strip())
    if found is None or found["kind"] not in _KINDS:
        raise InvalidArgument(
            VARIABLE, f"{name}={text}", f"an action is one of {', '.join(sorted(_KINDS))}, as in 3*kill or 10%sleep(50)"
        )
    kind, argument, count = found["kind"], found["argument"] or "", found["count"]
    if kind in _ARGUMENTS and not _ARGUMENTS[kind].fullmatch(argument):
        raise InvalidArgument(VARIABLE, f"{name}={text}", "the argument must be a number, as in exit(7) or sleep(50)")
    percent = float(found["percent"]) if found["percent"] else None
    if percent is not None and percent > PERCENT_MAX:
        raise InvalidArgument(VARIABLE, f"{name}={text}", f"a percentage is at most {PERCENT_MAX}")
    return _Term(
        kind=kind,
        argument=argument,
        percent=percent,
        left=int(count) if count else None,
    )


def parse(text: str) -> dict[str, _Action]:
    """Read a `FAILPOINTS` text. Raises `InvalidArgument` for one that cannot be meant."""
    actions: dict[str, _Action] = {}
    for entry in filter(None, (part.strip() for part in text.split(";"))):
        name, separator, chain = entry.partition("=")
        if not separator or not name.strip():
            raise InvalidArgument(VARIABLE, entry, "write name=action")
        actions[name.strip()] = _Action([_parse_term(name, term) for term in chain.split("->")])
    return actions


def _from_environment() -> dict[str, _Action]:
    try:
        return parse(os.environ.get(VARIABLE, ""))
    except InvalidArgument as error:
        # This runs while durust is imported, where a traceback would bury the one line that matters.
        sys.stderr.write(f"durust: {error}\n")
        raise SystemExit(USAGE_EXIT_CODE) from None


_armed: dict[str, _Action] = _from_environment()
_trace: str | None = os.environ.get(TRACE_VARIABLE)
_active: bool = bool(_armed or _trace)


def arm(text: str) -> None:
    """Replace all armed failpoints of this process by those in *text*; an empty text disarms them."""
    global _armed, _active  # noqa: PLW0603  one table per process, read on every hit
    _armed = parse(text)
    _active = bool(_armed or _trace)


def failpoint(name: str) -> bool:
    """Do what is armed under *name*; return True only for `return`. Costs one test of a flag when nothing is armed.

    Raises `FailpointError` for `raise`.
    """
    if not _active:
        return False
    return _hit(name)


def _hit(name: str) -> bool:
    if _trace:
        # One write of one short line to a file opened for appending is atomic among processes.
        with Path(_trace).open("a", encoding="utf-8") as sink:
            sink.write(name + "\n")
    action = _armed.get(name)
    term = action.next() if action else None
    if term is None:
        return False
    match term.kind:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "exit":
            sys.stdout.flush()
            sys.stderr.flush()
            # Not sys.exit: that only raises, and only in this thread.
            os._exit(int(term.argument or EXIT_CODE_DEFAULT))
        case "raise":
            raise FailpointError(term.argument or f"failpoint {name}")
        case "sleep":
            clock.pause(float(term.argument or 0) / 1000)
        case "return":
            return True
        case _:
            return False
    return False
