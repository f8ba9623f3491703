"""Families of workflows that live at once: they start children, end, are cancelled and resumed, in any order."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from durust.model.claims import Claimed
from durust.model.filters import ListFilter
from durust.model.records import Checkpoint, Lease, WorkflowRow
from durust.model.status import Status
from durust.model.waits import RESULT, Awaited, ending_of
from durust.model.writes import (
    CalledOff,
    CancelWorkflow,
    FinishWorkflow,
    Outcome,
    Recorded,
    RecordStep,
    ResumeWorkflow,
    StartChild,
    Write,
)
from durust.storage.provider import StateProvider
from tests.conformance.builders import (
    cancel,
    commit,
    finish,
    make_executor,
    record_step,
    resume,
    start,
    start_child,
    want,
)

ROUNDS = 7
GENERATIONS_MAX = 3
CHILDREN_MAX = 3
# Enough for what a family can still do when nobody disturbs it any more: each run takes one step a round.
LAST_ROUNDS = 60

Commit = Callable[[Sequence[Sequence[Write]]], list[list[Outcome]]]
"""Commits several batches, at once where the provider can."""


@dataclass
class Family:
    """One root with all that comes of it, and what its runs were told of their writes."""

    root: str
    ids: list[str] = field(default_factory=list)
    effects: dict[str, dict[int, tuple[str, str | None]]] = field(default_factory=lambda: defaultdict(dict))
    """By workflow and place: what a run did that counts, with the child it started, if any."""
    ends: Counter[str] = field(default_factory=Counter)
    """How often a run of each workflow was told that its result counts."""
    sealed: set[str] = field(default_factory=set)
    """Whose cancel with children was answered, and nothing below was resumed since."""

    def generation(self, workflow_id: str) -> int:
        """Return how far a workflow is from the root: ids of children are made of their parents'."""
        return workflow_id.removeprefix(self.root).count("-")

    def unseal(self, workflow_id: str) -> None:
        """Take in that a workflow may go on, and start children below all that it comes from."""
        self.sealed -= {one for one in self.sealed if is_below(workflow_id, one)}


def is_below(workflow_id: str, ancestor: str) -> bool:
    """Tell whether a workflow comes of another one, or is that one."""
    return workflow_id == ancestor or workflow_id.startswith(f"{ancestor}-")


@dataclass
class Living:
    """One execution of one workflow."""

    lease: Lease
    family: Family
    place: int
    after: int | None

    @classmethod
    def of(cls, claimed: Claimed, family: Family) -> Living:
        """Return the execution that a claim grants, which goes on behind what its history holds."""
        places = [step.place for step in claimed.history]
        return cls(claimed.lease, family, max(places, default=0), places[-1] if places else None)


class World:
    """Some families on one database, moved on in rounds by three executors."""

    def __init__(self, provider: StateProvider, seed: int, families: int, commit_all: Commit) -> None:
        self.seed, self.provider, self._commit = seed, provider, commit_all
        self._random = random.Random(seed)
        self._queue = f"families {seed}"
        self._executors = [make_executor(provider, f"du:{seed} {name}") for name in "abc"]
        self.families = [Family(f"s{seed}f{number}") for number in range(families)]
        self._living: list[Living] = []
        for family in self.families:
            family.ids.append(family.root)
        commit(provider, *(start(family.root, queue=self._queue) for family in self.families))

    def live(self) -> None:
        """Let everything happen in any order, then let what is left come to its end, and judge."""
        for number in range(ROUNDS):
            self._claim()
            self._round(self._disturb())
            if number % 3 == 0:
                self._judge_seals()
        for family in self.families[::2]:
            # Beside whatever its runs are about to do.
            self._round([cancel(family.root, children=True)])
        self._judge_seals()
        for _ in range(LAST_ROUNDS):
            self._claim()
            if not self._living:
                break
            self._round([])
        self._judge()

    def _claim(self) -> None:
        for executor in self._executors:
            for claimed in self.provider.claim(want(executor, self._queue, limit=len(self.families) // 2)):
                family = self._family(claimed.lease.workflow_id)
                self._living.append(Living.of(claimed, family))

    def _family(self, workflow_id: str) -> Family:
        return next(family for family in self.families if is_below(workflow_id, family.root))

    def _disturb(self) -> list[Write]:
        """Return what is ordered from outside: each workflow is cancelled or resumed at most once a round."""
        orders: list[Write] = []
        for family in self.families:
            workflow_id = self._random.choice(family.ids)
            match self._random.randrange(8):
                case 0:
                    orders.append(cancel(workflow_id, children=True))
                case 1:
                    orders.append(cancel(workflow_id))
                case 2 | 3:
                    orders.append(resume(workflow_id))
        return orders

    def _round(self, orders: list[Write]) -> None:
        """Let each run do one thing beside *orders*, in batches that are committed at once."""
        acting = [living for living in self._living if self._random.random() < 0.8]
        acts: list[tuple[Write, Living | None]] = [(self._act(living), living) for living in acting]
        acts += [(order, None) for order in orders]
        self._random.shuffle(acts)
        parts = [acts[number::3] for number in range(3)]
        answers = self._commit([[write for write, _ in part] for part in parts])
        resumed = {order.workflow_id for order in orders if isinstance(order, ResumeWorkflow)}
        for part, outcomes in zip(parts, answers, strict=True):
            for (write, living), outcome in zip(part, outcomes, strict=True):
                self._take_in(write, living, outcome)
        for workflow_id in resumed:
            # Of a resume and a cancel of one round either may have come first.
            self._family(workflow_id).unseal(workflow_id)

    def _act(self, living: Living) -> Write:
        workflow_id, place = living.lease.workflow_id, living.place + 1
        children = sum(child is not None for _, child in living.family.effects[workflow_id].values())
        can_bear = children < CHILDREN_MAX and living.family.generation(workflow_id) < GENERATIONS_MAX
        chance = self._random.random()
        if chance < 0.55 and can_bear:
            return start_child(living.lease, place=place, after=living.after, queue=self._queue)
        if chance < 0.65:
            return record_step(living.lease, place, after=living.after)
        return finish(living.lease, after=living.after)

    def _take_in(self, write: Write, living: Living | None, outcome: Outcome) -> None:
        match write:
            case CancelWorkflow(workflow_id, children=True):
                assert isinstance(outcome, CalledOff)
                self._family(workflow_id).sealed.add(workflow_id)
            case CancelWorkflow() | ResumeWorkflow():
                pass
            case _ if living is None:
                raise TypeError(write)
            case _ if not isinstance(outcome, Recorded):
                self._living.remove(living)
            case FinishWorkflow():
                living.family.ends[living.lease.workflow_id] += 1
                self._living.remove(living)
            case StartChild(place=place, start=begun):
                assert outcome.workflow_id == begun.workflow_id
                living.family.ids.append(begun.workflow_id)
                living.family.effects[living.lease.workflow_id][place] = (begun.name, begun.workflow_id)
                living.place = living.after = place
            case RecordStep(place=place, name=name):
                living.family.effects[living.lease.workflow_id][place] = (name, None)
                living.place = living.after = place

    # Judging

    def _rows(self) -> dict[str, WorkflowRow]:
        found = self.provider.workflows(ListFilter(id_prefix=f"s{self.seed}f", load_output=True, limit=100_000))
        return {row.workflow_id: row for row in found}

    def _judge_seals(self) -> None:
        """No descendant of a cancelled workflow is left that runs or will."""
        sealed = [(one, family) for family in self.families for one in family.sealed]
        if not sealed:
            return
        rows = self._rows()
        for ancestor, _ in sealed:
            left = [key for key, row in rows.items() if is_below(key, ancestor) and not row.status.is_terminal]
            self.demand(left == [], f"{left} outlived the cancel of {ancestor} with its children")

    def _judge(self) -> None:
        rows = self._rows()
        self._judge_seals()
        self._judge_handles(rows)
        steps = self.provider.history(list(rows))
        for family in self.families:
            mine = {key: row for key, row in rows.items() if is_below(key, family.root)}
            self.demand(sorted(mine) == sorted(family.ids), f"{family.root}: rows {sorted(mine)}, ids {family.ids}")
            for key, row in mine.items():
                self._judge_workflow(family, key, row, steps[key])

    def _judge_handles(self, rows: dict[str, WorkflowRow]) -> None:
        """Demand that a handle finds what the row says."""
        found = self.provider.values([Awaited(RESULT, key) for key in rows])
        ends = {awaited.target: there for awaited, there in found.items()}
        for key, row in rows.items():
            expected = ending_of(row) if row.status.is_terminal else None
            self.demand(ends.get(key) == expected, f"a handle of {key} finds {ends.get(key)}, not {expected}")

    def _judge_workflow(self, family: Family, key: str, row: WorkflowRow, steps: Iterable[Checkpoint]) -> None:
        told = {step.place: (step.name, step.child_id) for step in steps}
        self.demand(told == family.effects[key], f"history of {key} is {told}, its runs did {family.effects[key]}")
        linked = key.rpartition("-")[0] or None if key != family.root else None
        self.demand(row.parent_id == linked, f"the parent of {key} is {row.parent_id}")
        ends = family.ends[key]
        match row.status:
            case Status.SUCCESS:
                self.demand(ends == 1 and row.output is not None, f"{key} succeeded, and {ends} runs were told so")
            case Status.CANCELLED:
                self.demand(ends == 0 and row.output is None, f"{key} is cancelled, and {ends} runs had a result")
            case _:
                self.demand(False, f"{key} is left {row.status}")
        self.demand(row.token is None or row.status is Status.SUCCESS, f"{key} is {row.status} and has an owner")

    def demand(self, holds: bool, story: str) -> None:
        """Raise `AssertionError` with the seed where something does not hold."""
        assert holds, f"seed {self.seed}: {story}"


def one_after_the_other(provider: StateProvider) -> Commit:
    """Return what commits batches one by one."""
    return lambda batches: [commit(provider, *batch) if batch else [] for batch in batches]
