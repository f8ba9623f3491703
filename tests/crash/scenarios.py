"""Who does what in a case: what happens before, who is killed, and who brings the workflow to its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

# Killed when two steps of three are recorded and the third has not begun.
BETWEEN_STEPS = "step.recorded=1*off->kill"
# Only what happens while a lease stands is like on another host; then it lapses.
SHORT_LEASE = {"DURUST_LEASE_SECONDS": "1.0", "DURUST_LEASE_MARGIN_SECONDS": "0.1", "DURUST_BEAT_SECONDS": "0.2"}
# The sweep, which ends what is out of time as well, leaves that to the run's own timer.
UNSWEPT = {"DURUST_SWEEP_SECONDS": "3600"}
ONE, TWO, ANOTHER = ({"DURUST_APP_VERSION": name} for name in ("1", "2", "another"))
ELSEWHERE = {"CRASH_ELSEWHERE": "1"}


@dataclass(frozen=True, slots=True)
class Part:
    """One process: its role, how it is killed if it is, and what is special about it."""

    role: str
    failpoints: str = ""
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scenario:
    """A story with one process that a case kills at the boundary of its choice."""

    victim: Part
    after: tuple[Part, ...]
    before: tuple[Part, ...] = ()
    kind: str = "plain"
    """What the workflow does between its second and its third step: nothing, or what the scenario of that name says."""
    is_new: bool = False
    """Whether the database is empty when the victim starts."""
    forgets_executors: bool = False
    """Whether the database loses all executors before the victim starts, as a bad restore might."""
    forgets_settling: bool = False
    """Whether all schedules look as if only another library had written them."""


ENQUEUE, WORK, START = Part("enqueue"), Part("work"), Part("start")
CANCEL, RESUME = Part("cancel"), Part("resume")
FORK, REMOVE, MOVE_IN = Part("fork"), Part("remove"), Part("move in")
BEAR, CANCEL_FAMILY = Part("bear"), Part("cancel family")
PLAN, TICK = Part("plan"), Part("tick")
TELL = Part("tell")
KILLED = Part("start", BETWEEN_STEPS)
# A call that another one is to replace, one that waits for long, and one whose time comes soon.
STALE, DEBOUNCE, HURRY = Part("stale"), Part("debounce"), Part("hurry")

# The kinds whose steps are all transactions: in the database of the state, and in another one.
TRANSACTIONS = ("transaction", "datasource")

SCENARIOS = {
    "new": Scenario(ENQUEUE, after=(ENQUEUE, WORK), is_new=True),
    "client": Scenario(ENQUEUE, after=(ENQUEUE, WORK)),
    "queued": Scenario(WORK, before=(ENQUEUE,), after=(WORK,)),
    "budget": Scenario(WORK, before=(Part("enqueue narrowly"),), after=(WORK,)),
    "delay": Scenario(Part("advance"), before=(Part("enqueue late"),), after=(Part("advance"), WORK)),
    "queue": Scenario(Part("administer"), before=(ENQUEUE,), after=(Part("administer"), WORK)),
    "direct": Scenario(START, after=(START,)),
    "first call": Scenario(DEBOUNCE, after=(HURRY, WORK)),
    "next call": Scenario(DEBOUNCE, before=(STALE,), after=(HURRY, WORK)),
    "last call": Scenario(HURRY, before=(STALE,), after=(WORK,)),
    "sleep": Scenario(START, after=(START,), kind="sleep"),
    "due": Scenario(WORK, before=(Part("start", "run.parked=kill"),), after=(WORK,), kind="sleep"),
    "event": Scenario(START, after=(START,), kind="event"),
    "stream": Scenario(START, after=(START,), kind="stream"),
    "send": Scenario(START, after=(START,), kind="send"),
    "recv": Scenario(START, after=(START,), kind="recv"),
    "message": Scenario(TELL, before=(Part("start", "run.parked=kill"),), after=(TELL, WORK), kind="wait"),
    "attributes": Scenario(START, after=(START,), kind="attributes"),
    "transaction": Scenario(START, after=(START,), kind="transaction"),
    "datasource": Scenario(START, after=(START,), kind="datasource"),
    "child": Scenario(BEAR, after=(START,), kind="child"),
    "awaited": Scenario(WORK, before=(BEAR,), after=(WORK,), kind="child"),
    "family": Scenario(CANCEL_FAMILY, before=(BEAR,), after=(CANCEL_FAMILY, Part("resume family")), kind="child"),
    "drain": Scenario(Part("drain"), after=(START,)),
    "recover": Scenario(WORK, before=(KILLED,), after=(WORK,)),
    "reap": Scenario(WORK, before=(Part("start", BETWEEN_STEPS, SHORT_LEASE | ELSEWHERE),), after=(WORK,)),
    "purge": Scenario(Part("purge"), before=(Part("past"), KILLED), after=(Part("purge"), START)),
    "timeout": Scenario(Part("run out", env=UNSWEPT), after=(RESUME,)),
    "late": Scenario(RESUME, before=(Part("run out", "sql.expire_workflows.before=kill", UNSWEPT),), after=(RESUME,)),
    "cancel": Scenario(CANCEL, before=(KILLED,), after=(CANCEL, RESUME)),
    "resume": Scenario(RESUME, before=(KILLED, CANCEL), after=(RESUME,)),
    "fork": Scenario(FORK, before=(Part("start source", BETWEEN_STEPS), Part("cancel source")), after=(FORK, WORK)),
    "remove": Scenario(REMOVE, before=(Part("past"), KILLED), after=(REMOVE, START)),
    "move": Scenario(MOVE_IN, before=(KILLED, Part("move out")), after=(MOVE_IN, WORK)),
    "plan": Scenario(PLAN, after=(PLAN, TICK)),
    "adopt": Scenario(Part("adopt"), before=(PLAN,), after=(PLAN, TICK), forgets_settling=True),
    "tick": Scenario(TICK, before=(PLAN,), after=(TICK,)),
    "upgrade": Scenario(
        Part("upgrade"),
        before=(Part("start", BETWEEN_STEPS, ONE), Part("idle", env=ANOTHER)),
        after=(Part("upgrade"), Part("start", env=TWO)),
    ),
    "orphan": Scenario(WORK, before=(KILLED,), after=(WORK,), forgets_executors=True),
}
