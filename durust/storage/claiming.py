"""One claim on Postgres: a statement for all queues without a budget, two in a transaction for each with one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from durust import clock
from durust.model.claims import Claimed, Claims
from durust.model.filters import ClaimRequest, QueueWant
from durust.model.queues import PARTITIONS_MAX, RATE_MARGIN_PART, RATE_MARGIN_SECONDS
from durust.model.writes import INTERNAL_QUEUE
from durust.storage import rows, statements
from durust.storage.columns import Params, numbers, scope, texts
from durust.storage.links import Call, Row

SQL = statements.load("postgres")

# Another claimer counts the same budget, for milliseconds: again after so long, never at the idle poll.
TAKEN_SECONDS_MIN = 0.005
TAKEN_SECONDS_MAX = 0.02

Run = Callable[[Sequence[Call]], list[list[Row]]]


@dataclass(slots=True)
class _Findings:
    """What the statements of one claim brought."""

    granted: list[Claimed] = field(default_factory=list)
    ran_before: list[str] = field(default_factory=list)
    limited: set[str] = field(default_factory=set)
    budgeted: set[str] = field(default_factory=set)
    asked: set[str] = field(default_factory=set)
    again_seconds: list[float] = field(default_factory=list)

    def take(self, row: Row, *, has_grant: bool) -> None:
        """Take in a row that was claimed."""
        self.granted.append(rows.claimed(row[:-1], has_grant=has_grant))
        if row[-1]:
            self.ran_before.append(row[0])


class Claiming:
    """Claims through *run*, each of whose calls is one transaction."""

    def __init__(self, run: Run) -> None:
        self._run = run
        # Where the next look at a queue's partitions begins, so that none of very many is passed over for ever.
        self._after: dict[str, str] = {}

    def claim(self, request: ClaimRequest) -> tuple[Claims, list[str]]:
        """Return what was granted, without histories, and the ids of what may have one."""
        findings = _Findings()
        wants = {want.name: want for want in request.queues}
        for name in request.budgeted_first:
            if name in wants:
                self._claim_budgeted(request, wants[name], findings)
        self._claim_plain(request, findings)
        for name in sorted(findings.budgeted - findings.asked):
            self._claim_budgeted(request, wants[name], findings)
        claims = Claims(
            findings.granted,
            limited=findings.limited,
            budgeted=findings.budgeted,
            again_seconds=min(findings.again_seconds, default=None),
        )
        return claims, findings.ran_before

    def _claim_plain(self, request: ClaimRequest, findings: _Findings) -> None:
        free = request.limit - len(findings.granted)
        if free <= 0:
            return
        # Of those that were asked already nothing more is taken here, but whether work still waits there is told.
        wants = tuple(replace(want, limit=0) if want.name in findings.asked else want for want in request.queues)
        params = claim_workflows(replace(request, queues=wants, limit=free))
        [answer] = self._run([Call(SQL.claim_workflows, params, is_hot=True)])
        for row in answer:
            if row[0] is not None:
                findings.take(row, has_grant=False)
                continue
            name, is_budgeted = row[7], row[-1]
            findings.limited.add(name)
            if is_budgeted:
                findings.budgeted.add(name)

    def _claim_budgeted(self, request: ClaimRequest, want: QueueWant, findings: _Findings) -> None:
        findings.asked.add(want.name)
        while (most := min(want.limit, request.limit - len(findings.granted))) > 0:
            after = self._after.get(want.name, "")
            _, answer = self._run(
                [
                    Call(SQL.lock_budget, {"queue": want.name}, is_hot=True),
                    Call(SQL.claim_budgeted, claim_budgeted(request, want, most, after), is_hot=True),
                ]
            )
            *granted, told = answer
            for row in granted:
                findings.take(row, has_grant=True)
            last_key, state, wait_ms, has_more = told[3], told[7], told[10], told[-1]
            if state != "held":
                findings.again_seconds.append(
                    TAKEN_SECONDS_MIN + (TAKEN_SECONDS_MAX - TAKEN_SECONDS_MIN) * clock.jitter()
                )
                return
            self._after[want.name] = last_key if has_more else ""
            if wait_ms is not None:
                findings.again_seconds.append(wait_ms / 1000)
            # Once more from the first partition on, when nothing came from the ones behind the place of the last look.
            if granted or not after:
                return


def claim_workflows(request: ClaimRequest) -> Params:
    """Return the parameters of a claim from the queues without a budget."""
    return scope(request.scope) | {
        "executor": request.executor_id,
        "versions": texts(request.versions),
        "queues": texts(queue.name for queue in request.queues),
        "limits": numbers(queue.limit for queue in request.queues),
        "running": numbers(queue.running for queue in request.queues),
        "limit": request.limit,
        "internal": INTERNAL_QUEUE,
    }


def claim_budgeted(request: ClaimRequest, want: QueueWant, limit: int, after: str) -> Params:
    """Return the parameters of a claim from a queue with a budget, whose partitions are looked at from *after* on."""
    return scope(request.scope) | {
        "executor": request.executor_id,
        "versions": texts(request.versions),
        "queue": want.name,
        "internal": INTERNAL_QUEUE,
        "limit": limit,
        "running": want.running,
        "after": after,
        "keys": PARTITIONS_MAX,
        "margin": RATE_MARGIN_SECONDS,
        "part": RATE_MARGIN_PART,
    }
