"""Random walks that also publish, wait for one another, debounce, fire schedules, move house and are looked at."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

from durust.model.copies import ImportWorkflows, WorkflowCopy
from durust.model.counts import GROUPS, CountQuery, Spread, StepQuery
from durust.model.filters import ListFilter, PurgeRequest, Scope
from durust.model.records import Lease, ScheduleRow, WorkflowRow
from durust.model.schedule_writes import (
    DeleteSchedule,
    FireTicks,
    PauseSchedule,
    ResumeSchedule,
    StoreSchedule,
    Tick,
)
from durust.model.standing import Standing, StandingRequest
from durust.model.status import Status
from durust.model.waits import EVENT, MESSAGE, RESULT, STREAM, Awaited, Wake
from durust.model.wakes import wakes_of
from durust.model.writes import DebounceWorkflow, ParkWorkflow, SetDelay, StartChild, StartWorkflow, Wait, Write
from durust.storage.memory import InMemoryProvider
from tests.conformance.builders import LONG_SECONDS, commit, delete, start
from tests.conformance.publishing import append, close, set_event
from tests.conformance.walks import MOVING, NAMES, Side, Walk

FAR_MS = 9_000_000_000_000
KEYS = ("a", "b")
SCHEDULES = ("hourly", "daily")


class WideWalk(Walk):
    """A walk through every kind of write, and past every reading."""

    OPERATIONS = 50
    MARKS_MAX = 5

    def __post_init__(self) -> None:
        """Draw what is new from a source of its own."""
        super().__post_init__()
        self.wide = random.Random(f"wide {self.seed}")

    def run(self) -> None:
        """Begin with some work that is claimed, so that there is something to do it to."""
        ready = [self.registering() for _ in range(2)] + [self.starting() for _ in range(6)]
        for number, side in enumerate(self.sides):
            commit(side.provider, *(pair[number] for pair in ready))
        self.claim()
        super().run()

    def lease(self, chance: random.Random) -> tuple[Lease, Lease]:
        """Prefer those that were granted last, because they stand for the most part."""
        return chance.choice(self.leases[-4:]) if chance.random() < 0.7 else super().lease(chance)

    def operations(self) -> list[Any]:
        return [
            *super().operations(),
            *[self.look] * 6,
            self.debounce,
            self.debounce,
            self.schedule,
            self.schedule,
            self.move_house,
            self.purge,
        ]

    def marks(self) -> list[Any]:
        return super().marks() + (
            [self.publishing, self.appending, self.waiting, self.attaching] if self.leases else []
        )

    def first(self, queues: tuple[str, ...]) -> tuple[str, ...]:
        """Return those that have one: of others a provider is free to note what was granted."""
        budgeted = {queue.name for queue in self.sides[0].provider.queues() if queue.has_budget}
        return tuple(queue for queue in queues if queue in budgeted)

    def sift(self, pairs: list[tuple[Write, Write]]) -> list[tuple[Write, Write]]:
        """Leave out what a provider may judge by what stood amid its batch, or behind it.

        A start under a key that the batch may free is tried once more, and a delay finds a child that comes only later.
        """
        frees = any(isinstance(write, MOVING) for write, _ in pairs)
        born = {write.start.workflow_id for write, _ in pairs if isinstance(write, StartChild)}
        return [
            (write, other)
            for write, other in pairs
            if not (frees and key_of(write)) and not (isinstance(write, SetDelay) and write.workflow_id in born)
        ]

    def forgive(self, refused: list[Write]) -> None:
        """Wake in the reference too who waits for what was refused, where the other one did: he parks again."""
        model, tested = (side.provider for side in self.sides)
        assert isinstance(model, InMemoryProvider)
        tables = model._tables
        wakes = [wake for write in refused for wake in wakes_of(write)]
        for key in [key for key, waiting in tables.waits.items() if is_meant(waiting, wakes)]:
            [row] = tested.workflows(ListFilter(workflow_ids=[key]))
            if row.status is Status.ENQUEUED:
                tables.fall_due(key)

    # Writes of a batch

    def publishing(self) -> tuple[Write, Write]:
        place, key = self.marking.randint(30, 34), self.marking.choice(KEYS)
        return self.marked(lambda lease: set_event(lease, place, key=key))

    def appending(self) -> tuple[Write, Write]:
        place, key = self.marking.randint(40, 44), self.marking.choice(KEYS)
        make = self.marking.choice((append, append, append, close))
        return self.marked(lambda lease: make(lease, place, key=key))

    def waiting(self) -> tuple[Write, Write]:
        until = self.marking.choice((None, FAR_MS))
        waits = tuple(self.wait(place, until) for place in range(50, 50 + self.marking.randint(1, 2)))
        return self.marked(lambda lease: ParkWorkflow(lease, None, until, waits))

    def wait(self, place: int, until: int | None) -> Wait:
        known = [lease.workflow_id for lease, _ in self.leases[-4:]] * 3 + self.workflows[-4:]
        target = self.marking.choice((*known, f"{self.seed}-nobody"))
        kind = self.marking.choice((MESSAGE, EVENT, RESULT, STREAM))
        key = "" if kind == RESULT else self.marking.choice(KEYS)
        at = self.marking.choice((0, 1)) if kind == STREAM else 0
        return Wait(place, kind, target, key, at, until)

    def attaching(self) -> tuple[Write, Write]:
        place = self.marking.randint(60, 64)
        # Numbered like all others, so that what the walk makes after it has an id of its own.
        child_id = f"{self.seed}-{len(self.workflows):04}"
        self.workflows.append(child_id)
        begun = start(
            child_id,
            queue=self.marking.choice(self.queues()),
            name=self.marking.choice(NAMES),
            dedup_id=f"x {self.seed}",
            app_name=self.app,
        )
        attaches = self.marking.random() < 0.7
        return self.marked(lambda lease: StartChild(lease, None, place, begun, 1, 2, attaches))

    # Writes that come alone

    def debounce(self) -> None:
        writes = []
        for _ in range(self.wide.randint(1, 3)):
            workflow_id = f"{self.seed}-{len(self.workflows):04}"
            self.workflows.append(workflow_id)
            begun = start(
                workflow_id,
                queue=self.queues()[0],
                name=NAMES[0],
                app_name=self.app,
                inputs=f'["{self.wide.randint(0, 9)}"]',
                dedup_id=f"{self.wide.choice('xz')} {self.seed}",
                creator=f"debouncer of {workflow_id}",
                priority=self.wide.choice((0, 1)),
                app_version=self.wide.choice((None, "v1")),
                attributes=self.wide.choice((None, '{"a":1}')),
            )
            writes.append(DebounceWorkflow(begun, LONG_SECONDS, self.wide.choice((None, 0.0, LONG_SECONDS / 2))))
        self.trace.append(f"debounce {writes}")
        answers = [
            [
                self.plain(side, write, outcome, is_moving=False)
                for write, outcome in zip(writes, commit(side.provider, *writes), strict=True)
            ]
            for side in self.sides
        ]
        self.compare("debounces", *answers)

    def schedule(self) -> None:
        name = f"{self.wide.choice(SCHEDULES)} {self.seed}"
        pairs: list[tuple[Write, ...]] = []
        match self.wide.randrange(7):
            case 0:
                pairs = [(PauseSchedule(name),) * 2]
            case 1:
                pairs = [(ResumeSchedule(name),) * 2]
            case 2 if self.wide.random() < 0.4:
                pairs = [(DeleteSchedule(name),) * 2]
            case 3 | 4:
                pairs = [self.firing(name)]
            case _:
                pairs = [(self.storing_schedule(name),) * 2]
        pairs = [pair for pair in pairs if pair]
        if not pairs:
            return
        self.trace.append(f"schedule {pairs[0][0]}")
        outcomes = [commit(side.provider, *(pair[number] for pair in pairs)) for number, side in enumerate(self.sides)]
        self.compare("schedules", *([plain_schedule(one) for one in side] for side in outcomes))

    def storing_schedule(self, name: str) -> StoreSchedule:
        return StoreSchedule(
            f"id {self.wide.randint(0, 2)} of {name}",
            name,
            self.wide.choice(NAMES),
            self.wide.choice(("0 0 3 * * *", "0 0 * * * *")),
            self.wide.choice(("UTC", "Europe/Berlin")),
            self.wide.choice(("null", '{"a":1}')),
            self.wide.random() < 0.5,
            self.wide.choice(("allow", "skip", "queue")),
            self.wide.choice((None, self.queues()[0])),
            self.wide.choice((self.app, self.app, self.app, f"other {self.seed}")),
            self.wide.random() < 0.5,
        )

    def firing(self, name: str) -> Any:
        rows = [row for side in self.sides for row in side.provider.schedules().rows if row.name == name]
        first, number = len(self.workflows), self.wide.randint(1, 2)
        ids = [f"{self.seed}-{place:04}" for place in range(first, first + number)]
        self.workflows += ids
        ticks = tuple(Tick(each, f"2026-01-01T00:00:{place:02}+00:00", "[1]") for place, each in enumerate(ids))
        settled = FAR_MS + len(self.trace)
        changes: dict[str, Any] = self.wide.choice(({}, {}, {"cron": "0 0 4 * * *"}))
        return tuple(FireTicks(replace(row, **changes), settled, "ticker", self.app, ticks) for row in rows)

    def move_house(self) -> None:
        """Take a workflow out, remove it, and enter it again."""
        rows = self.sides[0].provider.workflows(ListFilter(id_prefix=f"{self.seed}-"))
        gone = [row.workflow_id for row in rows if row.status.is_terminal]
        if not gone:
            return
        workflow_id, is_whole = self.wide.choice(gone), self.wide.random() < 0.5
        self.trace.append(f"move {workflow_id} {is_whole=}")
        copies = [side.provider.copies(workflow_id, children=is_whole) for side in self.sides]
        self.compare(
            "copies", *([self.copy(side, one) for one in found] for side, found in zip(self.sides, copies, strict=True))
        )
        if not all(copy.row.status.is_terminal for copy in copies[0]):
            return
        for side, found in zip(self.sides, copies, strict=True):
            again = ImportWorkflows(tuple(found), "mover")
            first = commit(side.provider, again)
            commit(side.provider, *(delete(copy.row.workflow_id) for copy in found))
            side.answers = [
                self.plain(side, again, one, is_moving=True) for one in (*first, *commit(side.provider, again, again))
            ]
        self.compare("imports", *(side.answers for side in self.sides))
        self.compare(
            "entered",
            *(
                [self.copy(side, one) for one in side.provider.copies(workflow_id, children=is_whole)]
                for side in self.sides
            ),
        )

    def purge(self) -> None:
        request = PurgeRequest(
            scope=Scope(self.app, ()),
            keep_newest=self.wide.choice((1000, 2, 0)),
            includes_exceeded=self.wide.random() < 0.5,
            is_dry=self.wide.random() < 0.5,
        )
        # Those that ended in one instant may go in any order, so all or none.
        if request.keep_newest == 2:
            request = replace(request, is_dry=True)
        self.trace.append(f"purge {request}")
        self.compare("purges", *(side.provider.purge(request) for side in self.sides))

    # Readings

    def look(self) -> bool:
        looks = [
            self.counts,
            self.step_counts,
            self.lists,
            self.values,
            self.published,
            self.standings,
            self.grants,
            self.all_schedules,
        ]
        reading = self.wide.choice(looks)
        self.trace.append(f"look at {reading.__name__}")
        state = self.wide.getstate()
        answers = []
        for side in self.sides:
            self.wide.setstate(state)
            answers.append(reading(side))
        self.compare(reading.__name__, *answers)
        return True

    def everything(self, **fields: Any) -> ListFilter:
        return ListFilter(id_prefix=f"{self.seed}-", **fields)

    def counts(self, side: Side) -> object:
        by = tuple(self.wide.sample(GROUPS, self.wide.randint(0, 3)))
        found = side.provider.counts(CountQuery(self.everything(), by))
        return [replace(one, seconds=one.seconds and Spread(1, 1, 1)) for one in found]

    def step_counts(self, side: Side) -> object:
        query = StepQuery(scope=Scope(self.app, ()), names=self.wide.choice((None, ("a",))))
        return [replace(one, seconds=None) for one in side.provider.step_counts(query)]

    def lists(self, side: Side) -> object:
        some = self.wide.sample(self.workflows, min(3, len(self.workflows)))
        choices: dict[str, Any] = {
            "workflow_ids": some,
            "parent_ids": some,
            "forked_from": some,
            "has_parent": self.wide.random() < 0.5,
            "was_forked_from": self.wide.random() < 0.5,
            "names": NAMES[:1],
            "queues": self.queues()[:1],
            "is_queued": True,
            "statuses": self.wide.sample(list(Status), 2),
            "executor_ids": self.executors[:2],
            "app_names": [self.app],
            "app_versions": ["v1"],
            "versions_not": ["v1"],
            "is_stranded": True,
            "dedup_ids": [f"x {self.seed}"],
            "partition_keys": ["p", "q"],
            "schedule_names": [f"{SCHEDULES[0]} {self.seed}"],
            "attributes": self.wide.choice(({"a": 1}, {"a": "x"}, {"b": {"a": None}}, {})),
            "scope": Scope(self.app, NAMES),
        }
        asked = {name: choices[name] for name in self.wide.sample(sorted(choices), self.wide.randint(1, 2))}
        query = self.everything(newest_first=self.wide.random() < 0.5, **asked)
        whole = side.provider.workflows(query)
        # Of what one batch made, which came first is a provider's choice; but pages are cut out of one order.
        paged, size = list[WorkflowRow](), self.wide.choice((2, 3))
        while page := side.provider.workflows(replace(query, limit=size, after=paged[-1] if paged else None)):
            paged += page
        assert paged == whole, f"pages of {asked} in walk {self.seed}"
        return asked, sorted((self.row(side, row) for row in whole), key=lambda row: row.workflow_id)

    def values(self, side: Side) -> object:
        targets = [*self.wide.sample(self.workflows, min(4, len(self.workflows))), f"{self.seed}-nobody"]
        asked = [Awaited(RESULT, each) for each in targets]
        asked += [Awaited(kind, each, key) for each in targets for kind in (MESSAGE, EVENT) for key in KEYS]
        asked += [Awaited(STREAM, each, key, at) for each in targets for key in KEYS for at in (0, 1)]
        return side.provider.values(asked)

    def published(self, side: Side) -> object:
        return [(each, side.provider.events(each), side.provider.streams(each)) for each in self.workflows]

    def standings(self, side: Side) -> object:
        found = [side.provider.standing(StandingRequest(each, 1e9, 1e9)) for each in (*self.workflows[-6:], "nobody")]
        return [one and self.standing(one) for one in found]

    def standing(self, one: Standing) -> Standing:
        taken, beside = (replace(each, first_ms=each.first_ms and 1) for each in (one.taken, one.taken_of_partition))
        return replace(one, now_ms=0, taken=taken, taken_of_partition=beside, running=tuple(sorted(one.running)))

    def grants(self, side: Side) -> object:
        return [sorted(str(side.label(token)) for token in side.provider.open_grants(each)) for each in self.executors]

    def all_schedules(self, side: Side) -> object:
        mine = [f"{each} {self.seed}" for each in SCHEDULES]
        return [plain_row(row) for row in side.provider.schedules().rows if row.name in mine]

    def copy(self, side: Side, one: WorkflowCopy) -> WorkflowCopy:
        return replace(
            one,
            row=self.row(side, one.row),
            steps=tuple(self.step(side, step) for step in one.steps),
            messages=tuple(replace(message, created_at_ms=0) for message in one.messages),
        )


def key_of(write: Write) -> str | None:
    """Return the deduplication id under which a write starts a workflow, if any."""
    begun = getattr(write, "start", write)
    return begun.dedup_id if isinstance(begun, StartWorkflow) else None


def is_meant(waiting: tuple[Wait, ...], wakes: list[Wake]) -> bool:
    """Tell whether a parked run waits for one of *wakes*."""
    return any(
        (one.kind, one.target) == (wait.kind, wait.target) and one.key in {None, wait.key}
        for one in wakes
        for wait in waiting
    )


def plain_row(row: ScheduleRow) -> ScheduleRow:
    """Return a schedule without what differs between two databases: how far it is settled by their clocks."""
    return replace(row, settled_ms=row.settled_ms if (row.settled_ms or 0) >= FAR_MS else row.settled_ms and 1)


def plain_schedule(outcome: Any) -> object:
    """Return the answer to a write of a schedule without what differs between two databases."""
    row = getattr(outcome, "row", None)
    return (type(outcome).__name__, plain_row(row)) if isinstance(row, ScheduleRow) else outcome
