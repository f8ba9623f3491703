"""Hands back rows that the database counts as this executor's and that do not run here, and ends their shares."""

from __future__ import annotations

import threading
from collections.abc import Callable

from durust.engine.journal import Journal
from durust.engine.roster import Roster
from durust.engine.service import Seconds, Service
from durust.model.filters import ListFilter
from durust.model.records import Lease
from durust.model.status import Status
from durust.model.writes import EndGrants, HandBack, Recorded
from durust.storage.provider import StateProvider
from durust.telemetry import emit

# More than a process has slots; what is beyond comes in the next round.
ROWS_MAX = 10_000


class Audit(Service):
    """Without it a claim whose answer was lost would strand its rows under a living executor for ever."""

    def __init__(
        self,
        provider: StateProvider,
        journal: Journal,
        roster: Roster,
        executor_id: Callable[[], str],
        claim_mutex: threading.Lock,
        cadence_seconds: float,
    ) -> None:
        super().__init__("audit")
        self._provider, self._journal, self._roster = provider, journal, roster
        self._executor_id, self._claim_mutex, self._cadence = executor_id, claim_mutex, cadence_seconds

    def run_once(self) -> Seconds:
        """Compare once."""
        me = self._executor_id()
        with self._claim_mutex:
            rows = self._provider.workflows(ListFilter(executor_ids=[me], statuses=[Status.PENDING], limit=ROWS_MAX))
            stranded = [row for row in rows if row.token and not self._roster.holds(row.token)]
            open_shares = self._provider.open_grants(me)
            shares = [token for token in open_shares if not self._roster.holds(token)]
        # A budget that came after the claim made some of them.
        self._roster.note_shares(open_shares)
        for row in stranded:
            outcome = self._journal.commit(HandBack(Lease(row.workflow_id, me, row.token or "", has_grant=True)))
            # A run that ended between the look and the comparison is refused, and is nothing to tell of.
            if isinstance(outcome, Recorded):
                emit("hands_back_unowned", workflow=row.workflow_id)
        if shares:
            # Of claims whose answer was lost and whose rows somebody has cancelled since: no row leads to them.
            self._journal.commit(EndGrants(tuple(shares)))
        return self._cadence
