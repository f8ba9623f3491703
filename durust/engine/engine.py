"""The assembly: builds the parts, starts them in order, and stops them in the opposite one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence

from durust import clock
from durust.engine.audit import Audit
from durust.engine.claimer import Claimer
from durust.engine.hints import Ear, Herald, hints_of
from durust.engine.identity import is_surely_gone, registration
from durust.engine.journal import Journal
from durust.engine.lease import OwnLease
from durust.engine.loops import Loop
from durust.engine.recalls import Recalls
from durust.engine.registry import Definition, Registry
from durust.engine.retention import Retention, retention_request
from durust.engine.runner import Contexts, Runner
from durust.engine.scheduler import Scheduler
from durust.engine.slots import Slots
from durust.engine.supervision import LeaseKeeper, Supervision
from durust.engine.sweeper import Sweeper
from durust.engine.threads import done_within
from durust.engine.versions import Versions
from durust.engine.vitals import Tally, Vitals
from durust.engine.watcher import Watcher
from durust.errors import ProviderUnavailable, QueueNotFound
from durust.model.claims import Claimed
from durust.model.filters import LIST_LIMIT_DEFAULT, ExecutorQuery, ListFilter, Scope, SweepRequest
from durust.model.message_writes import ReceiveMessage, RecordSend, SendMessages
from durust.model.publications import Publication
from durust.model.queues import QueueDefinition
from durust.model.records import QueueRow
from durust.model.status import Status
from durust.model.sweeps import Swept
from durust.model.waits import SLEEP
from durust.model.writes import (
    INTERNAL_QUEUE,
    CalledOff,
    DebounceWorkflow,
    DrainExecutor,
    EndGrants,
    FinishWorkflow,
    HandBack,
    Outcome,
    ParkWorkflow,
    Recorded,
    RecordSleep,
    RecordStep,
    Refused,
    RegisterExecutor,
    Released,
    Retire,
    SetDelay,
    StartChild,
    StartWorkflow,
    StoreQueue,
    StoreVersion,
    Write,
)
from durust.routines.run import Verdict
from durust.settings import Settings
from durust.storage.provider import Hint, StateProvider
from durust.telemetry import emit, logger

# How often a drain looks whether everything has ended; each end also costs a commit, which takes about as long.
DRAIN_LOOK_SECONDS = 0.01
# What does not unwind within this after the drain's deadline is handed back under its feet.
UNWIND_SECONDS = 1.0
# Longer than any statement may take: who waits longer for an end waits for a database that does not answer.
CLOSE_SECONDS = 10.0
# The line about stranded runs names this many at most.
STRANDED_NAMED_MAX = 3


class Engine:
    """All parts of a running engine. One is made for each launch."""

    def __init__(
        self,
        *,
        provider: StateProvider,
        settings: Settings,
        registry: Registry,
        loop: Loop,
        contexts: Contexts,
        supervision: Supervision | None,
        queues: tuple[str, ...] | None,
        owns_provider: bool,
    ) -> None:
        self._owns_provider = owns_provider
        self.provider, self.settings, self.registry, self.loop = provider, settings, registry, loop
        self._supervision = supervision
        self.executor_id = supervision.executor_id if supervision else clock.executor_id()
        self._supervisor_id = supervision.supervisor_id if supervision else self.executor_id
        self._queues = supervision.queues if supervision else queues
        self.state = "NEW"
        self.fenced = threading.Event()
        self.tally = Tally()
        self.journal = Journal(provider, self._committed)
        self.slots = Slots(settings.slots, self._slot_freed)
        self.watcher = Watcher(provider, settings.idle_poll_seconds)
        self._own_lease = OwnLease(provider, settings, lambda: self.executor_id, self._lost)
        self._lease: LeaseKeeper = supervision.lease if supervision else self._own_lease
        self.runner = Runner(
            settings=settings,
            journal=self.journal,
            slots=self.slots,
            loop=loop,
            trusted=self._lease.trusted,
            contexts=contexts,
            provider=provider,
            watcher=self.watcher,
            tally=self.tally,
        )
        self.versions = Versions(registry, settings.app_name, settings.app_version)
        self._announced: tuple[tuple[str, str], ...] | None = None
        self.claimer = Claimer(
            provider=provider,
            settings=settings,
            registry=registry,
            versions=self.versions,
            announce=self._announce_version,
            slots=self.slots,
            executor_id=lambda: self.executor_id,
            # What is claimed for a loop that has ended would be handed back and claimed again for ever.
            trusted=lambda: self._lease.trusted() and not loop.is_over(),
            queues=self._queues,
            start=self.start_run,
            audit=self._compare,
        )
        self.audit = Audit(
            provider,
            self.journal,
            self.runner.roster,
            lambda: self.executor_id,
            self.claimer.mutex,
            settings.audit_seconds,
        )
        # Half, because a run that has only just begun is looked at in the second round.
        self.recalls = Recalls(provider, self.runner, settings.sweep_seconds / 2)
        self.sweeper = Sweeper(provider, settings.sweep_seconds, self._sweep_request, self._swept)
        self.retention = Retention(provider, lambda: retention_request(settings, self.scope()))
        self.scheduler = Scheduler(provider, self.scope, self._ticked)
        self.herald = Herald(provider)
        self.ear = Ear(supervision.hints if supervision else provider.listen(), self._heard)

    # Life

    def start(self) -> None:
        """Register the executor and start every part. The schema is there already."""
        self._register()
        self._lease.start()
        self.journal.start()
        self._store_queues()
        self.watcher.start()
        self.herald.start()
        self.ear.start()
        self.audit.start()
        self.runner.deadlines.start()
        self.recalls.start()
        if self._supervision is None:
            self.sweeper.start()
            self.retention.start()
            self.scheduler.start()
        self.claimer.start()
        self.state = "LIVE"

    def drain(self, timeout_seconds: float) -> bool:
        """Stop claiming, let what runs finish or park, hand back the rest; True when nothing was left."""
        self.state = "DRAINING"
        self.claimer.stop()
        self._tell_quietly(DrainExecutor(self.executor_id))
        self.runner.park_at_once()
        deadline = clock.monotonic() + timeout_seconds
        while self.runner.roster.running() and clock.monotonic() < deadline and not self.fenced.is_set():
            clock.pause(DRAIN_LOOK_SECONDS)
        left = self.runner.roster.running()
        for execution in left:
            self.runner.close_run(execution, Verdict.HANDED_BACK)
        deadline = clock.monotonic() + UNWIND_SECONDS
        for execution in left:
            execution.ended.wait(max(0.0, deadline - clock.monotonic()))
        for execution in self.runner.roster.running():
            # Its body holds its thread; the guard in the database makes sure that this counts once.
            emit("run_left_behind", workflow=execution.run.workflow_id, reason="it did not unwind")
            self._tell_quietly(HandBack(execution.run.lease))
        return not left

    def close(self, drain_seconds: float, why: str) -> None:
        """Drain and stop everything; the lease ends last. A database that hangs does not hold this up for ever."""
        if self.loop.is_current():
            # Nothing that runs there could end while its loop waits for that.
            self._close(0, why)
        elif not done_within(drain_seconds + CLOSE_SECONDS, lambda: self._close(drain_seconds, why), "durust-close"):
            logger.warning(
                "%s does not answer, so the engine is left to end by itself; what it held goes on elsewhere when its "
                "lease ends",
                self.provider.name,
            )

    def _close(self, drain_seconds: float, why: str) -> None:
        if self.state == "LIVE":
            self.drain(drain_seconds)
        self.claimer.stop()
        self.state = "DEAD"
        self.runner.close()
        self.scheduler.stop()
        self.sweeper.stop()
        self.retention.stop()
        self.audit.stop()
        self.recalls.stop()
        self.journal.close()
        self.runner.deadlines.stop()
        self._retire_quietly(why)
        self.herald.stop()
        self.ear.stop()
        self.watcher.stop()
        self._lease.stop()
        self._own_lease.stop()
        self.loop.close()
        if self._owns_provider:
            self.provider.close()

    def vitals(self) -> Vitals:
        """Return how the engine is doing."""
        running = len(self.runner.roster.running())
        return Vitals(self.state, running, self.tally.done, self.tally.failed, self.tally.steps)

    # What handles and the public engine ask for

    def recover(self) -> tuple[str, ...]:
        """Retire the executors of this host whose process is gone; return the ids of what they held."""
        executors = self.provider.executors(ExecutorQuery(boot_id=clock.boot_id()))
        gone = tuple(
            one.executor_id for one in executors if one.executor_id != self.executor_id and is_surely_gone(one)
        )
        if not gone:
            return ()
        outcome = self._own_lease.commit(Retire(gone, "its process is gone"))
        self.claimer.wake()
        ids = outcome.workflow_ids if isinstance(outcome, Released) else ()
        if ids:
            emit("recovered", count=len(ids))
        return ids

    def start_run(self, claimed: Claimed, definition: Definition) -> None:
        """Run what was claimed; what cannot start here is handed back by the audit."""
        try:
            self.runner.start(claimed, definition)
        except Exception as error:  # noqa: BLE001  the claim is committed: somebody runs it, if not this process
            emit("start_failed", workflow=claimed.lease.workflow_id, error=repr(error))
            self._compare()

    def warn_of_stranded(self) -> None:
        """Say in one line which unfinished runs only another version of their code may continue."""
        versions = dict(self.versions.workflows())
        if not versions:
            return
        waiting = [Status.ENQUEUED, Status.DELAYED]
        stranded = self.provider.workflows(
            ListFilter(
                names=list(versions),
                statuses=waiting,
                scope=Scope(self.settings.app_name, tuple(versions)),
                versions_not=list(versions.values()),
                is_stranded=True,
            )
        )
        if stranded:
            named = ", ".join(f"{row.workflow_id} ({row.name})" for row in stranded[:STRANDED_NAMED_MAX])
            logger.warning(
                "unfinished workflows that another version of their code began, which nobody runs now: %d%s, namely "
                "%s%s; run that version too, or let this one go on with them: `durust version adopt`, or "
                "engine.adopt_stranded()",
                len(stranded),
                " or more" if len(stranded) == LIST_LIMIT_DEFAULT else "",
                named,
                ", ..." if len(stranded) > STRANDED_NAMED_MAX else "",
            )

    def scope(self) -> Scope:
        """Return whose rows this engine looks after."""
        return Scope(self.settings.app_name, tuple(self.registry.names()))

    def tell(self, hints: Sequence[Hint]) -> None:
        """Tell everybody that something changed, this process at once."""
        self.herald.tell(hints)
        self._wake_for(hints)

    def known_queue(self, name: str) -> QueueDefinition | QueueRow | None:
        """Return a queue that is declared or stored; the internal one is neither. Raises `QueueNotFound`."""
        declared = self.registry.queues()
        if name in declared:
            return declared[name]
        if name == INTERNAL_QUEUE:
            return None
        stored = {queue.name: queue for queue in self.provider.queues()}
        if name not in stored:
            raise QueueNotFound(name, tuple(sorted({*declared, *stored})))
        return stored[name]

    # Wiring

    def _register(self) -> None:
        sent = clock.boottime()
        # Together, so that nobody sees an executor of which it is not known what it runs.
        self._announced = self.versions.workflows()
        outcome = self._own_lease.commit(self._registration(), self._version())
        self._own_lease.renewed(sent)
        if isinstance(outcome, Refused):
            logger.warning("%s; give this application versions of its own, to list and promote them", outcome.reason)

    def _announce_version(self) -> None:
        """Say what this process runs now, where a workflow was registered after the launch."""
        workflows = self.versions.workflows()
        if workflows != self._announced:
            self._own_lease.commit(self._version())
            # Only now, so that what a database that was away did not hear is said again.
            self._announced = workflows

    def _version(self) -> StoreVersion:
        return StoreVersion(
            version_id=clock.ordered_id(),
            app_name=self.settings.app_name,
            name=self.versions.application(),
            workflows=self.versions.workflows(),
            executor_id=self.executor_id,
        )

    def _registration(self) -> RegisterExecutor:
        return registration(self.executor_id, self._supervisor_id, self.settings, self.versions.application())

    def _store_queues(self) -> None:
        for name in self._queues or ():
            self.known_queue(name)
        for queue in self.registry.queues().values():
            self._own_lease.commit(StoreQueue.of(queue, self.settings.app_name))

    def _committed(self, writes: Sequence[Write], outcomes: Sequence[Outcome]) -> None:
        hints: set[Hint] = set()
        steps = 0
        for write, outcome in zip(writes, outcomes, strict=True):
            if isinstance(write, RecordStep) and isinstance(outcome, Recorded):
                # Nearly every write is one of these, and nobody waits for it.
                steps += 1
                continue
            if not isinstance(outcome, Recorded | CalledOff):
                continue
            steps += isinstance(write, RecordSleep | ReceiveMessage | Publication | RecordSend)
            if isinstance(write, RecordSend | SendMessages):
                self.watcher.sent(write.letters)
            elif isinstance(write, FinishWorkflow):
                # Before anything that is committed later: a resume of it begins another wait, for another end.
                self.watcher.finished(write)
            hints.update(hints_of(write, outcome))
            if isinstance(write, EndGrants):
                # Its slot was given back before this.
                self.claimer.slot_freed()
            elif isinstance(write, ParkWorkflow):
                # By the run's own time: this host's calendar may be wrong.
                now_ms = self.runner.time_of(write.lease.token)
                if any(wait.kind != SLEEP for wait in write.waits):
                    # It may be queued again already: what it waits for may have come before it was set aside.
                    self.claimer.wake()
                if write.until_ms is not None:
                    self._expect(0.0 if now_ms is None else (write.until_ms - now_ms) / 1000)
            elif isinstance(write, StartWorkflow):
                if write.delay_seconds:
                    self._expect(write.delay_seconds)
            elif isinstance(write, StartChild):
                if write.start.delay_seconds:
                    self._expect(write.start.delay_seconds)
            elif isinstance(write, DebounceWorkflow):
                self._expect(write.period_seconds)
            elif isinstance(write, SetDelay):
                self._expect(write.delay_seconds)
        if steps:
            self.tally.count(steps=steps)
        if hints:
            self.herald.tell(hints)
            self._wake_for(hints)

    def _expect(self, seconds: float) -> None:
        # By this host's clock, which is good enough for a hint.
        self.sweeper.expect(seconds)
        if seconds <= 0:
            self.claimer.wake()

    def _wake_for(self, hints: Iterable[Hint]) -> None:
        for hint in hints:
            self._heard(hint)

    def _heard(self, hint: Hint) -> None:
        self.scheduler.hear(hint)
        if hint.kind in {"queue", "any"}:
            self.claimer.wake()
        self.watcher.hint(hint)
        if hint.kind == "foreign":
            self.sweeper.expect(0)
        if hint.kind == "cancel" and self.runner.runs(hint.key):
            self.recalls.hint()

    def _slot_freed(self) -> None:
        self.claimer.slot_freed()

    def _compare(self) -> None:
        self.audit.wake()

    def _sweep_request(self) -> SweepRequest:
        return SweepRequest(self._supervisor_id, self.scope(), reap=True)

    def _ticked(self, hints: list[Hint]) -> None:
        self.claimer.wake()
        self.herald.tell(hints)

    def _swept(self, swept: Swept) -> None:
        if swept.queues:
            self.claimer.wake()
            self.herald.tell(Hint("queue", name) for name in swept.queues)
        if swept.timed_out:
            self.recalls.hint()
            self.herald.tell([Hint("workflow")])
            self.watcher.hint(Hint("workflow"))

    def _lost(self) -> None:
        """Take in that this executor was declared dead: what it runs is somebody else's; it goes on as a new one."""
        emit("executor_fenced", executor=self.executor_id)
        with self.claimer.mutex:
            for execution in self.runner.roster.running():
                self.runner.close_run(execution, Verdict.FENCED)
            if self.state in {"NEW", "LIVE"}:
                self.executor_id = clock.executor_id()
                self._supervisor_id = self.executor_id
                self._register()
            else:
                self.fenced.set()

    def _tell_quietly(self, write: Write) -> None:
        self._quietly(lambda: self._own_lease.commit(write))

    def _retire_quietly(self, why: str) -> None:
        self._quietly(lambda: self._own_lease.commit(Retire((self.executor_id,), why)))

    @staticmethod
    def _quietly(commit: Callable[[], Outcome]) -> None:
        try:
            commit()
        except ProviderUnavailable as error:
            # An orderly end says so where it can; where it cannot, the lease lapses and says the same.
            emit("provider_away", reason=error.reason)
