"""The rows of the memory provider, and what each write does to them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from typing import assert_never

from durust import clock
from durust.model import waits
from durust.model.attribute_writes import RecordAttributes, SetAttributes
from durust.model.attributes import merge
from durust.model.copies import ImportWorkflows, WorkflowCopy
from durust.model.filters import Scope
from durust.model.message_writes import RECEIVE_NAME, ReceiveMessage, RecordSend, SendMessages
from durust.model.publications import AppendStream, Closed, Publication, SetEvent
from durust.model.queues import GRANTS_KEPT_SECONDS
from durust.model.records import Checkpoint, ExecutorRow, Lease, QueueRow, VersionRow, WorkflowRow
from durust.model.schedule_writes import DeleteSchedule, FireTicks, PauseSchedule, ResumeSchedule, StoreSchedule
from durust.model.status import DELAYED, ENQUEUED, PENDING, TRANSITIONS, Event, finishing_event, move
from durust.model.waits import (
    STREAM_CLOSED,
    STREAM_ENTRIES_MAX,
    Awaited,
    Found,
    Gone,
    StoredValue,
    StreamEntry,
    StreamTail,
    Wake,
    ending_of,
)
from durust.model.writes import (
    INTERNAL_QUEUE,
    Adopted,
    AdoptWorkflows,
    Alive,
    AssumeRole,
    Beat,
    CalledOff,
    CancelWorkflow,
    ChainedWrite,
    DebounceWorkflow,
    DeleteQueue,
    DeleteWorkflow,
    Diverged,
    DrainExecutor,
    Duplicate,
    EndGrants,
    Existing,
    ExpireWorkflow,
    Fenced,
    FinishWorkflow,
    ForkWorkflow,
    HandBack,
    HistoryLost,
    Missing,
    Nothing,
    Outcome,
    ParkWorkflow,
    PauseQueue,
    PlacedWrite,
    PromoteVersion,
    Recorded,
    RecordSleep,
    RecordStep,
    Refused,
    RegisterExecutor,
    Released,
    ResumeWorkflow,
    Retire,
    SetDelay,
    StartChild,
    StartWorkflow,
    StoreQueue,
    StoreVersion,
    Unexpired,
    Wait,
    Write,
    taken,
)
from durust.storage import memory_copies, memory_forks
from durust.storage.memory_messages import Messages, consume, lost, send, unread
from durust.storage.memory_schedules import ScheduleTable
from durust.storage.retries import own_retry

# What a sleep's instant is written in: the canonical name of plain JSON.
PORTABLE = "portable_json"
_QUEUE_COLUMNS = tuple(spec.name for spec in fields(QueueRow) if spec.name != "is_paused")
# What the column holds at most: a timeout that leads past it ends there.
_INT8_MAX = 2**63 - 1


@dataclass(slots=True)
class Executor:
    """An executor's row beside its lease."""

    row: ExecutorRow
    lease_until: float


@dataclass(frozen=True, slots=True)
class Grant:
    """A claim's share of its queue's budget."""

    queue: str
    partition: str | None
    executor_id: str
    granted_at_ms: int
    is_start: bool
    ended_at_ms: int | None = None


@dataclass(slots=True)
class Version:
    """A registered version."""

    app_name: str
    name: str
    promoted_at_ms: int
    created_at_ms: int


@dataclass(slots=True)
class Tables:
    """Every row, by its key. Whoever calls holds the provider's lock."""

    workflows: dict[str, WorkflowRow] = field(default_factory=dict)
    history: dict[str, dict[int, Checkpoint]] = field(default_factory=dict)
    waits: dict[str, tuple[Wait, ...]] = field(default_factory=dict)
    executors: dict[str, Executor] = field(default_factory=dict)
    queues: dict[str, QueueRow] = field(default_factory=dict)
    debounced: dict[str, int | None] = field(default_factory=dict)
    """The debounced workflows, each with the instant until which it waits at the latest."""
    messages: Messages = field(default_factory=dict)
    events: dict[str, dict[str, StoredValue]] = field(default_factory=dict)
    """By workflow and key: the latest value."""
    event_history: dict[str, dict[tuple[int, str], StoredValue]] = field(default_factory=dict)
    """By workflow, place and key: each value that was set."""
    streams: dict[str, dict[str, list[StreamEntry]]] = field(default_factory=dict)
    grants: dict[str, Grant] = field(default_factory=dict)
    started: set[str] = field(default_factory=set)
    """The workflows that were started under a budget; when they go on they do not start again."""
    schedules: ScheduleTable = field(default_factory=ScheduleTable)
    versions: dict[str, Version] = field(default_factory=dict)
    version_workflows: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)
    """By application and version: what version each of its workflows has."""
    now_ms: int = 0
    """The moment of the transaction under way: one for all its writes, so that rows of one batch tie."""

    def apply(self, write: Write) -> Outcome:
        """Do what one write asks for, whole or not at all."""
        if isinstance(write, FinishWorkflow | ParkWorkflow | HandBack) and write.lease.has_grant:
            # Also where the guard refuses the rest: its body has stopped, or is about to.
            self.end_grant(write.lease.token)
        match write:
            case StartWorkflow():
                return self._start(write)
            case DebounceWorkflow():
                return self._debounce(write)
            case SetDelay():
                return self._set_delay(write)
            case SetAttributes():
                return self._set_attributes(write.workflow_id, write.patch)
            case AssumeRole():
                return self._assume_role(write)
            case RecordStep() | RecordSleep():
                return self._record(write)
            case RecordAttributes():
                return self._refused(write) or self._record_attributes(write)
            case SetEvent():
                return self._set_event(write)
            case AppendStream():
                return self._append(write)
            case RecordSend():
                return self._record_send(write)
            case SendMessages():
                return self._send(write)
            case ReceiveMessage():
                return self._receive(write)
            case StartChild():
                return self._start_child(write)
            case FinishWorkflow():
                return self._finish(write)
            case ParkWorkflow():
                return self._park(write)
            case HandBack():
                return self._hand_back(write)
            case ExpireWorkflow():
                return self._expire(write)
            case CancelWorkflow():
                return self._cancel(write)
            case ResumeWorkflow():
                return self._resume(write)
            case ForkWorkflow():
                return self._fork(write)
            case DeleteWorkflow():
                return self._delete(write)
            case ImportWorkflows():
                return self._import(write)
            case RegisterExecutor():
                return self._register(write)
            case Beat():
                return self._beat(write)
            case DrainExecutor():
                return self._drain(write)
            case Retire():
                return self.retire(write.executor_ids, write.why)
            case EndGrants():
                for token in write.tokens:
                    self.end_grant(token)
                return Recorded()
            case StoreVersion():
                return self._store_version(write)
            case PromoteVersion():
                return self._promote(write)
            case AdoptWorkflows():
                return self._adopt(write)
            case StoreQueue():
                return self._store_queue(write)
            case PauseQueue():
                return self._change_queue(write.name, is_paused=write.is_paused)
            case DeleteQueue():
                return Recorded() if self.queues.pop(write.name, None) else Missing()
            case StoreSchedule() | PauseSchedule() | ResumeSchedule() | DeleteSchedule() | FireTicks():
                return self.schedules.apply(write, self.now_ms, self.workflows.values(), self._start)
            case _:
                assert_never(write)

    def _start(self, write: StartWorkflow) -> Outcome:
        now = self.now_ms
        known = self.workflows.get(write.workflow_id)
        if known is not None:
            return Recorded(now) if known.creator == write.creator else Existing(bare(known))
        lease = write.lease
        queue = write.queue if lease else write.queue or INTERNAL_QUEUE
        for row in self.workflows.values() if write.dedup_id is not None else ():
            if (row.queue, row.dedup_id) == (queue, write.dedup_id):
                return Duplicate(row.workflow_id)
        if lease and self.state(lease.executor_id) != "LIVE":
            return Fenced()
        delay_ms = 0 if lease else round(write.delay_seconds * 1000)
        self.workflows[write.workflow_id] = WorkflowRow(
            workflow_id=write.workflow_id,
            name=write.name,
            status=PENDING if lease else DELAYED if delay_ms > 0 else ENQUEUED,
            queue=queue,
            priority=write.priority,
            dedup_id=write.dedup_id,
            executor_id=lease.executor_id if lease else None,
            token=lease.token if lease else None,
            creator=write.creator,
            app_name=write.app_name,
            app_version=write.app_version,
            attempts=1 if lease else 0,
            created_at_ms=now,
            updated_at_ms=now,
            started_at_ms=None,
            completed_at_ms=None,
            delay_until_ms=now + delay_ms if delay_ms > 0 else None,
            timeout_ms=write.timeout_ms,
            deadline_ms=write.deadline_ms if lease is None else deadline(write.deadline_ms, write.timeout_ms, now),
            partition_key=write.partition_key,
            schedule_name=write.schedule_name,
            parent_id=write.parent_id,
            authenticated_user=write.authenticated_user,
            authenticated_roles=write.authenticated_roles,
            assumed_role=None,
            attributes=write.attributes,
            forked_from=None,
            was_forked_from=False,
            serialization=write.serialization,
            inputs=write.inputs,
        )
        return Recorded(now)

    def _debounce(self, write: DebounceWorkflow) -> Outcome:
        start = write.start
        if own := next((key for key in self.debounced if self.workflows[key].creator == start.creator), None):
            return Recorded(workflow_id=own)
        until = self.now_ms + round(write.period_seconds * 1000)
        waiting = self._waiting(start)
        if waiting is not None and (waiting.delay_until_ms or 0) <= self.now_ms:
            self.fall_due(waiting.workflow_id)
        elif waiting is not None:
            self.workflows[waiting.workflow_id] = replace(
                waiting,
                creator=start.creator,
                app_name=start.app_name,
                app_version=start.app_version,
                inputs=start.inputs,
                serialization=start.serialization,
                priority=start.priority,
                timeout_ms=start.timeout_ms,
                deadline_ms=start.deadline_ms,
                partition_key=start.partition_key,
                schedule_name=start.schedule_name,
                parent_id=start.parent_id,
                authenticated_user=start.authenticated_user,
                authenticated_roles=start.authenticated_roles,
                attributes=start.attributes,
                delay_until_ms=_earlier(until, self.debounced[waiting.workflow_id]),
                updated_at_ms=self.now_ms,
            )
            return Recorded(workflow_id=waiting.workflow_id)
        outcome = self._start(start)
        if isinstance(outcome, Recorded):
            limit = write.limit_seconds
            latest = None if limit is None else self.now_ms + round(limit * 1000)
            row = self.workflows[start.workflow_id]
            delayed = replace(row, status=DELAYED, delay_until_ms=_earlier(until, latest))
            self.workflows[start.workflow_id], self.debounced[start.workflow_id] = delayed, latest
            return Recorded(workflow_id=start.workflow_id)
        return outcome

    def _waiting(self, start: StartWorkflow) -> WorkflowRow | None:
        """Return the debounced run that waits for what *start* says, whether its time has come or not."""
        queue = start.queue or INTERNAL_QUEUE
        for row in (self.workflows[key] for key in self.debounced):
            is_there = row.status is DELAYED and (row.queue, row.dedup_id) == (queue, start.dedup_id)
            if is_there and row.name == start.name and row.app_name in {None, start.app_name}:
                return row
        return None

    def _set_delay(self, write: SetDelay) -> Outcome:
        row = self.workflows.get(write.workflow_id)
        if row is None:
            return Missing()
        delay_ms = round(write.delay_seconds * 1000)
        if row.status is ENQUEUED and delay_ms <= 0:
            return Recorded()
        if row.status is not DELAYED or row.workflow_id in self.waits:
            return Existing(bare(row))
        if delay_ms <= 0:
            self.fall_due(row.workflow_id)
        else:
            until = self.now_ms + delay_ms
            self.workflows[row.workflow_id] = replace(row, delay_until_ms=until, updated_at_ms=self.now_ms)
        return Recorded()

    def _set_attributes(self, workflow_id: str, patch: str) -> Outcome:
        row = self.workflows.get(workflow_id)
        if row is None:
            return Missing()
        merged = merge(row.attributes, patch)
        self.workflows[workflow_id] = replace(row, attributes=merged, updated_at_ms=self.now_ms)
        return Recorded()

    def _record_attributes(self, write: RecordAttributes) -> Outcome:
        self.history[write.lease.workflow_id][write.place] = _checkpoint(write, self.now_ms)
        return self._set_attributes(write.lease.workflow_id, write.patch)

    def _assume_role(self, write: AssumeRole) -> Outcome:
        if fenced := self._fenced(write.lease):
            return fenced
        workflow_id = write.lease.workflow_id
        self.workflows[workflow_id] = replace(self.workflows[workflow_id], assumed_role=write.role)
        return Recorded()

    def _record(self, write: RecordStep | RecordSleep | Publication) -> Outcome:
        new = _checkpoint(write, self.now_ms)
        if refusal := self._refused(write):
            return refusal
        self.history[write.lease.workflow_id][write.place] = new
        return Recorded(output=new.output if isinstance(write, RecordSleep) else None)

    def _refused(self, write: PlacedWrite) -> Outcome | None:
        """Return why a record does not get its place, or that it has it already."""
        old = self.history.setdefault(write.lease.workflow_id, {}).get(write.place)
        if own := own_retry(write, old):
            return own
        if fenced := self._fenced(write.lease):
            return fenced
        if old is not None:
            return Diverged(old)
        return HistoryLost() if self._is_lost(write) else None

    def _record_send(self, write: RecordSend) -> Outcome:
        if refusal := self._refused(write):
            return refusal
        if missing := lost(write.letters, self.workflows):
            return Missing(missing)
        self._keep(write, write.name, None, PORTABLE)
        send(self.messages, write.letters, self.now_ms)
        return Recorded()

    def _send(self, write: SendMessages) -> Outcome:
        if missing := lost(write.letters, self.workflows):
            return Missing(missing)
        send(self.messages, write.letters, self.now_ms)
        return Recorded()

    def _receive(self, write: ReceiveMessage) -> Outcome:
        if refusal := self._refused(write):
            return refusal
        found = unread(self.messages, write.lease.workflow_id, write.topic)
        if found is None and not write.is_timeout:
            return Nothing()
        text, serialization = (found.text, found.serialization) if found else ("null", PORTABLE)
        self._keep(write, RECEIVE_NAME, text, serialization)
        if found is not None:
            consume(self.messages, found, write.place)
        return Recorded(output=text, serialization=serialization)

    def _keep(
        self, write: RecordSend | ReceiveMessage, name: str, output: str | None, serialization: str | None
    ) -> None:
        self.history[write.lease.workflow_id][write.place] = Checkpoint(
            place=write.place,
            name=name,
            output=output,
            serialization=serialization,
            started_at_ms=write.started_at_ms,
            completed_at_ms=write.completed_at_ms,
            claim=write.lease.token,
        )

    def _set_event(self, write: SetEvent) -> Outcome:
        workflow_id = write.lease.workflow_id
        is_new = write.place not in self.history.get(workflow_id, {})
        outcome = self._record(write)
        if is_new and isinstance(outcome, Recorded):
            value = StoredValue(write.text, write.serialization)
            kept = self.event_history.setdefault(workflow_id, {})
            kept[write.place, write.key] = value
            if write.place == max(place for place, key in kept if key == write.key):
                self.events.setdefault(workflow_id, {})[write.key] = value
        return outcome

    def _append(self, write: AppendStream) -> Outcome:
        workflow_id = write.lease.workflow_id
        stream = self.streams.get(workflow_id, {}).get(write.key, [])
        is_new = write.place not in self.history.get(workflow_id, {})
        is_closed = bool(stream) and stream[-1].is_end
        if is_closed and write.text is not None and is_new:
            stands = self._fenced(write.lease)
            return stands or (HistoryLost() if self._is_lost(write) else Closed())
        outcome = self._record(write)
        if is_new and isinstance(outcome, Recorded) and not is_closed:
            text = STREAM_CLOSED if write.text is None else write.text
            entry = StreamEntry(len(stream), text, write.serialization, write.place)
            self.streams.setdefault(workflow_id, {})[write.key] = [*stream, entry]
        return outcome

    def _start_child(self, write: StartChild) -> Outcome:
        parent_id, name = write.lease.workflow_id, write.start.name
        history = self.history.setdefault(parent_id, {})
        old = history.get(write.place)
        if own := own_retry(write, old):
            return own
        if fenced := self._fenced(write.lease):
            return fenced
        if old is not None:
            return Diverged(old)
        if self._is_lost(write):
            return HistoryLost()
        outcome = self._start(replace(write.start, parent_id=parent_id))
        match outcome:
            case Recorded():
                child_id = write.start.workflow_id
            case Existing(row) if row.name == name:
                child_id = row.workflow_id
            case Duplicate(holder) if write.attaches and self.workflows[holder].name == name:
                child_id = holder
            case _:
                return outcome
        history[write.place] = Checkpoint(
            place=write.place,
            name=name,
            output=json.dumps(child_id, ensure_ascii=False),
            serialization=PORTABLE,
            child_id=child_id,
            started_at_ms=write.started_at_ms,
            completed_at_ms=write.completed_at_ms,
            claim=write.lease.token,
        )
        return Recorded(workflow_id=child_id)

    def _finish(self, write: FinishWorkflow) -> Outcome:
        row = self.workflows.get(write.lease.workflow_id)
        if row is not None and row.status.is_terminal and row.token == write.lease.token:
            return Recorded()
        if fenced := self._fenced(write.lease):
            return fenced
        if self._is_lost(write):
            return HistoryLost()
        now = self.now_ms
        self.move(
            write.lease.workflow_id,
            finishing_event(write.status),
            dedup_id=None,
            completed_at_ms=now,
            updated_at_ms=now,
            serialization=write.serialization,
            output=write.output,
            error=write.error,
        )
        return Recorded()

    def _park(self, write: ParkWorkflow) -> Outcome:
        if fenced := self._fenced(write.lease):
            return fenced
        if self._is_lost(write):
            return HistoryLost()
        row = self._unwind(write.lease, Event.PARK)
        self.waits[row.workflow_id] = write.waits
        self.workflows[row.workflow_id] = replace(row, delay_until_ms=write.until_ms)
        # What is waited for may have come before the run was set aside: nobody would look at it again at once.
        is_due = write.until_ms is not None and write.until_ms <= self.now_ms
        if is_due or any(self.has_arrived(wait) for wait in write.waits):
            self.fall_due(row.workflow_id)
        return Recorded()

    def _hand_back(self, write: HandBack) -> Outcome:
        if fenced := self._fenced(write.lease):
            return fenced
        self._unwind(write.lease, Event.HAND_BACK)
        return Recorded()

    def _expire(self, write: ExpireWorkflow) -> Outcome:
        if fenced := self._fenced(write.lease):
            return fenced
        deadline_ms = self.workflows[write.lease.workflow_id].deadline_ms
        if deadline_ms is None or deadline_ms > self.now_ms:
            return Unexpired(None if deadline_ms is None else deadline_ms - self.now_ms)
        self.call_off(write.lease.workflow_id, Event.EXPIRE)
        return Recorded()

    def _cancel(self, write: CancelWorkflow) -> Outcome:
        row = self.workflows.get(write.workflow_id)
        if write.children:
            # Also of a workflow that was deleted: its children still name it.
            called_off = self._cascade(write.workflow_id)
            return called_off if called_off.workflow_ids or row is not None else Missing()
        if row is None:
            return Missing()
        if row.status not in TRANSITIONS[Event.CANCEL].sources:
            return Existing(bare(row))
        self.call_off(write.workflow_id, Event.CANCEL)
        return Recorded()

    def _cascade(self, root: str) -> CalledOff:
        tree, level = {root}, {root}
        while level:
            level = {row.workflow_id for row in self.workflows.values() if row.parent_id in level} - tree
            tree |= level
        standing = [key for key in sorted(tree) if key in self.workflows]
        ended = [key for key in standing if self.workflows[key].status in TRANSITIONS[Event.CANCEL].sources]
        for key in ended:
            self.call_off(key, Event.CANCEL)
        return CalledOff(tuple(ended))

    def _resume(self, write: ResumeWorkflow) -> Outcome:
        row = self.workflows.get(write.workflow_id)
        if row is None:
            return Missing()
        if row.status not in TRANSITIONS[Event.RESUME].sources:
            return Existing(bare(row))
        self.waits.pop(write.workflow_id, None)
        self.workflows[write.workflow_id] = replace(row, queue=write.queue or row.queue)
        self._disown(
            write.workflow_id,
            Event.RESUME,
            attempts=0,
            dedup_id=None,
            deadline_ms=None,
            delay_until_ms=None,
            completed_at_ms=None,
            updated_at_ms=self.now_ms,
            output=None,
            error=None,
        )
        return Recorded()

    def _fork(self, write: ForkWorkflow) -> Outcome:
        source, taken_by = self.workflows.get(write.workflow_id), self.workflows.get(write.fork_id)
        if taken_by is not None:
            return Recorded() if taken_by.creator == write.creator else Existing(bare(taken_by))
        if source is None:
            return Missing()
        self.workflows[write.workflow_id] = replace(source, was_forked_from=True)
        self.workflows[write.fork_id] = replace(
            source,
            workflow_id=write.fork_id,
            status=ENQUEUED,
            queue=write.queue or INTERNAL_QUEUE,
            priority=0,
            dedup_id=None,
            executor_id=None,
            token=None,
            creator=write.creator,
            app_version=write.app_version or source.app_version,
            attempts=0,
            created_at_ms=self.now_ms,
            updated_at_ms=self.now_ms,
            started_at_ms=None,
            completed_at_ms=None,
            delay_until_ms=None,
            timeout_ms=write.timeout_ms,
            deadline_ms=None,
            partition_key=write.partition_key,
            schedule_name=None,
            parent_id=None,
            forked_from=write.workflow_id,
            was_forked_from=False,
            output=None,
            error=None,
        )
        made = memory_forks.steps(
            self.history.get(write.workflow_id, {}), write.start_place, source.created_at_ms, write.children
        )
        past_events = memory_forks.events(self.event_history.get(write.workflow_id, {}), made)
        self.history[write.fork_id] = made
        self.event_history[write.fork_id] = past_events
        self.events[write.fork_id] = memory_forks.latest(past_events)
        self.streams[write.fork_id] = memory_forks.streams(self.streams.get(write.workflow_id, {}), made)
        return Recorded()

    def _import(self, write: ImportWorkflows) -> Outcome:
        for copy in write.copies:
            if known := self.workflows.get(copy.row.workflow_id):
                return Recorded() if known.creator == write.creator else Existing(bare(known))
        for copy in write.copies:
            key = copy.row.workflow_id
            self.workflows[key] = replace(copy.row, creator=write.creator, executor_id=None, token=None, dedup_id=None)
            self.history[key] = {step.place: step for step in copy.steps}
            self.events[key] = memory_copies.values(copy)
            self.event_history[key] = memory_copies.past_values(copy)
            self.streams[key] = memory_copies.entries(copy)
            memory_copies.deliver(self.messages, copy)
        return Recorded()

    def copies(self, workflow_id: str, *, children: bool) -> list[WorkflowCopy]:
        """Return a workflow as a whole and, where asked for, its descendants; parents come before their children."""
        found = [self.workflows[workflow_id]] if workflow_id in self.workflows else []
        for parent in found if children else ():
            found += [
                row for row in self.workflows.values() if row.parent_id == parent.workflow_id and row not in found
            ]
        return [
            memory_copies.copy_of(
                row,
                self.history.get(row.workflow_id, {}).values(),
                self.events.get(row.workflow_id, {}),
                self.event_history.get(row.workflow_id, {}),
                self.streams.get(row.workflow_id, {}),
                self.messages,
            )
            for row in found
        ]

    def _delete(self, write: DeleteWorkflow) -> Outcome:
        if write.workflow_id not in self.workflows:
            return Missing()
        self.forget(write.workflow_id)
        return Recorded()

    def call_off(self, workflow_id: str, event: Event) -> None:
        """Cancel a workflow; it keeps its queue and its deadline, which tell a resume and a reader about it."""
        self.waits.pop(workflow_id, None)
        self.move(
            workflow_id,
            event,
            executor_id=None,
            token=None,
            dedup_id=None,
            started_at_ms=None,
            delay_until_ms=None,
            completed_at_ms=self.now_ms,
            updated_at_ms=self.now_ms,
        )

    def _fenced(self, lease: Lease) -> Fenced | None:
        """Answer the guard: only the run whose claim stands may write."""
        row = self.workflows.get(lease.workflow_id)
        if row is None or row.status is not PENDING:
            return Fenced()
        is_mine = (row.executor_id, row.token) == (lease.executor_id, lease.token)
        return None if is_mine else Fenced(row.executor_id)

    def _is_lost(self, write: ChainedWrite) -> bool:
        """Answer the chain condition: the record that the run saw committed last still stands."""
        return write.after is not None and write.after not in self.history.get(write.lease.workflow_id, {})

    def move(self, workflow_id: str, event: Event, **changes: object) -> WorkflowRow:
        """Move a row to the state that *event* leads to, with other columns changed beside it."""
        row = self.workflows[workflow_id]
        moved = replace(row, status=move(row.status, event), **changes)  # type: ignore[arg-type]  # columns by name
        self.workflows[workflow_id] = moved
        return moved

    def _unwind(self, lease: Lease, event: Event) -> WorkflowRow:
        """Take a run off its owner by the owner's own will, which costs no attempt."""
        row = self._disown(lease.workflow_id, event)
        self.workflows[row.workflow_id] = replace(row, attempts=row.attempts - 1, updated_at_ms=self.now_ms)
        return self.workflows[row.workflow_id]

    def _disown(self, workflow_id: str, event: Event, **changes: object) -> WorkflowRow:
        queue = self.workflows[workflow_id].queue or INTERNAL_QUEUE
        return self.move(workflow_id, event, queue=queue, executor_id=None, token=None, started_at_ms=None, **changes)

    def _register(self, write: RegisterExecutor) -> Outcome:
        if write.executor_id not in self.executors:
            row = ExecutorRow(
                executor_id=write.executor_id,
                supervisor_id=write.supervisor_id,
                host=write.host,
                boot_id=write.boot_id,
                pid_ns=write.pid_ns,
                pid=write.pid,
                pid_started=write.pid_started,
                app_name=write.app_name,
                app_version=write.app_version,
                state="LIVE",
                registered_at_ms=self.now_ms,
                ended_at_ms=None,
                why=None,
                lease_seconds_left=write.ttl_seconds,
            )
            self.executors[write.executor_id] = Executor(row, clock.boottime() + write.ttl_seconds)
        return Recorded()

    def _beat(self, write: Beat) -> Outcome:
        alive = frozenset(key for key in write.executor_ids if self.state(key) in {"LIVE", "DRAINING"})
        for key in alive:
            self.executors[key].lease_until = clock.boottime() + write.ttl_seconds
        return Alive(alive)

    def _drain(self, write: DrainExecutor) -> Outcome:
        if self.state(write.executor_id) not in {"LIVE", "DRAINING"}:
            return Missing()
        executor = self.executors[write.executor_id]
        executor.row = replace(executor.row, state="DRAINING")
        return Recorded()

    def _store_queue(self, write: StoreQueue) -> Outcome:
        known = self.queues.get(write.name)
        if known is None or not write.keeps:
            values = {name: getattr(write, name) for name in _QUEUE_COLUMNS}
            self.queues[write.name] = QueueRow(**values, is_paused=known is not None and known.is_paused)
        return Recorded()

    def _change_queue(self, name: str, *, is_paused: bool) -> Outcome:
        if name not in self.queues:
            return Missing()
        self.queues[name] = replace(self.queues[name], is_paused=is_paused)
        return Recorded()

    def end_grant(self, token: str) -> None:
        """End a run's share of its queue's budget, if it has one."""
        grant = self.grants.get(token)
        if grant is not None and grant.ended_at_ms is None:
            self.grants[token] = replace(grant, ended_at_ms=self.now_ms)

    def forget_grants(self, limit: int) -> int:
        """Forget at most *limit* shares that no rate counts any more and nobody runs by."""
        periods = [
            period or 0.0
            for queue in self.queues.values()
            for period in (queue.rate_period_seconds, queue.partition_rate_period_seconds)
        ]
        kept_ms = 1000 * max(GRANTS_KEPT_SECONDS, 2 * max(periods, default=0.0))
        old = [
            token
            for token, grant in self.grants.items()
            if grant.granted_at_ms <= self.now_ms - kept_ms
            and (grant.ended_at_ms is not None or self.state(grant.executor_id) in {None, "DEAD"})
        ][:limit]
        for token in old:
            del self.grants[token]
        return len(old)

    def _store_version(self, write: StoreVersion) -> Outcome:
        self.version_workflows.setdefault((write.app_name, write.name), {}).update(write.workflows)
        if self.state(write.executor_id) in {"LIVE", "DRAINING"}:
            executor = self.executors[write.executor_id]
            executor.row = replace(executor.row, app_version=write.name)
        new = Version(write.app_name, write.name, self._promotion(write.app_name), self.now_ms)
        owner = self.versions.setdefault(write.name, new).app_name
        return Recorded() if owner == write.app_name else Refused(taken(write, owner))

    def _promote(self, write: PromoteVersion) -> Outcome:
        version = self.versions.get(write.name)
        if version is None or version.app_name != write.app_name:
            return Missing()
        version.promoted_at_ms = self._promotion(write.app_name)
        return Recorded()

    def _promotion(self, app_name: str) -> int:
        """Return the time of a promotion: later than every other one of the application, whatever the clock did."""
        others = (other.promoted_at_ms + 1 for other in self.versions.values() if other.app_name == app_name)
        return max(self.now_ms, *others, 0)

    def _adopt(self, write: AdoptWorkflows) -> Adopted:
        scope = Scope(write.app_name, write.names)
        adopted = []
        for key, version in sorted(dict(zip(write.workflow_ids, write.versions, strict=True)).items()):
            row = self.workflows.get(key)
            if row is not None and is_in(scope, row) and self.is_stranded(row) and row.app_version != version:
                adopted.append(replace(row, app_version=version, updated_at_ms=self.now_ms))
        self.workflows |= {row.workflow_id: row for row in adopted}
        queues = frozenset(row.queue or INTERNAL_QUEUE for row in adopted)
        return Adopted(tuple(row.workflow_id for row in adopted), queues)

    def is_stranded(self, row: WorkflowRow) -> bool:
        """Tell whether a row waits for a version that no LIVE executor has."""
        if row.status not in {ENQUEUED, DELAYED} or row.app_version is None:
            return False
        served = (
            self.version_workflows.get((one.app_name, one.app_version or ""), {}).get(row.name)
            for one in (executor.row for executor in self.executors.values())
            if one.state == "LIVE" and row.app_name in {None, one.app_name}
        )
        return row.app_version not in served

    def version_row(self, version: Version) -> VersionRow:
        """Return a version as a reader sees it."""
        key = version.app_name, version.name
        living = [executor.row for executor in self.executors.values() if executor.row.state == "LIVE"]
        return VersionRow(
            name=version.name,
            promoted_at_ms=version.promoted_at_ms,
            created_at_ms=version.created_at_ms,
            executors=sum((row.app_name, row.app_version) == key for row in living),
            workflows=tuple(sorted(self.version_workflows.get(key, {}).items())),
        )

    def fall_due(self, workflow_id: str) -> WorkflowRow:
        """Queue a delayed row; it waits for nothing any more, and a debounced one leaves its key to the next."""
        self.waits.pop(workflow_id, None)
        dedup_id = None if workflow_id in self.debounced else self.workflows[workflow_id].dedup_id
        return self.move(workflow_id, Event.DUE, delay_until_ms=None, dedup_id=dedup_id, updated_at_ms=self.now_ms)

    def found(self, awaited: Awaited) -> Found | None:
        """Return what there is of something that is waited for; None while there is nothing."""
        target = self.workflows.get(awaited.target)
        match awaited.kind:
            case waits.MESSAGE:
                return next(
                    (
                        True
                        for one in self.messages.values()
                        if (one.destination, one.topic, one.consumed_by) == (awaited.target, awaited.key, None)
                    ),
                    None,
                )
            case waits.EVENT:
                return self.events.get(awaited.target, {}).get(awaited.key)
            case waits.RESULT if target is None:
                return Gone()
            case waits.RESULT if target is not None and target.status.is_terminal:
                return ending_of(target)
            case waits.STREAM if target is None:
                return Gone()
            case waits.STREAM if target is not None:
                entries = self.streams.get(awaited.target, {}).get(awaited.key, [])[awaited.at :][:STREAM_ENTRIES_MAX]
                is_over = target.status.is_terminal
                return StreamTail(tuple(entries), is_over) if entries or is_over else None
        return None

    def has_arrived(self, wait: Wait) -> bool:
        """Tell whether something that a parked run waits for is there."""
        return self.found(Awaited(wait.kind, wait.target, wait.key, wait.at)) is not None

    def arrived(self, scope: Scope) -> list[str]:
        """Return the parked runs for whom something is there."""
        return [
            key
            for key, waiting in sorted(self.waits.items())
            if is_in(scope, self.workflows[key]) and any(self.has_arrived(wait) for wait in waiting)
        ]

    def wake_all(self, wakes: Iterable[Wake]) -> frozenset[str]:
        """Queue whoever is parked for one of *wakes*; return the queues."""
        woken = [
            key
            for key, waiting in self.waits.items()
            if any(
                (wait.kind, wait.target) == (one.kind, one.target) and one.key in {None, wait.key}
                for one in wakes
                for wait in waiting
            )
        ]
        return frozenset(self.fall_due(key).queue or INTERNAL_QUEUE for key in woken)

    def retire(self, executor_ids: Iterable[str], why: str) -> Released:
        """Declare executors DEAD and release what they hold."""
        ids = frozenset(executor_ids)
        for key in ids:
            if self.state(key) in {"LIVE", "DRAINING"}:
                executor = self.executors[key]
                executor.row = replace(executor.row, state="DEAD", ended_at_ms=self.now_ms, why=why)
        return self.free(row for row in self.workflows.values() if row.executor_id in ids)

    def free(self, rows: Iterable[WorkflowRow]) -> Released:
        """Queue those of *rows* that are PENDING again; of a run that crashed nothing else changes."""
        held = sorted(row.workflow_id for row in rows if row.status is PENDING)
        freed = [self._disown(key, Event.RELEASE) for key in held]
        return Released(tuple(held), frozenset(row.queue or INTERNAL_QUEUE for row in freed))

    def forget(self, workflow_id: str) -> None:
        """Remove a workflow with all that is its own."""
        own = (self.workflows, self.history, self.waits, self.debounced, self.events, self.event_history, self.streams)
        for table in own:
            table.pop(workflow_id, None)
        self.messages = {key: one for key, one in self.messages.items() if one.destination != workflow_id}
        self.started.discard(workflow_id)

    def long_dead(self, app_name: str, seconds: float) -> list[str]:
        """Return the executors that have been dead for so long and hold nothing, the oldest end first."""
        holders = {row.executor_id for row in self.workflows.values() if row.status is PENDING}
        last_ms = self.now_ms - round(seconds * 1000)
        dead = [
            (row.ended_at_ms, key)
            for key, row in ((key, executor.row) for key, executor in self.executors.items())
            if (row.state, row.app_name) == ("DEAD", app_name) and row.ended_at_ms is not None and key not in holders
        ]
        return [key for ended_ms, key in sorted(dead) if ended_ms <= last_ms]

    def state(self, executor_id: str) -> str | None:
        """Return an executor's state, or None for one that never registered."""
        executor = self.executors.get(executor_id)
        return executor.row.state if executor else None


def is_in(scope: Scope, row: WorkflowRow) -> bool:
    """Tell whether a row is one of those that are meant."""
    return row.app_name == scope.app_name or (row.app_name is None and row.name in scope.names)


def bare(row: WorkflowRow, *, inputs: bool = False, outputs: bool = False) -> WorkflowRow:
    """Return *row* as a list shows it: with its values only where they were asked for."""
    return replace(
        row,
        inputs=row.inputs if inputs else None,
        output=row.output if outputs else None,
        error=row.error if outputs else None,
    )


def _earlier(instant_ms: int, other_ms: int | None) -> int:
    return instant_ms if other_ms is None else min(instant_ms, other_ms)


def deadline(standing_ms: int | None, timeout_ms: int | None, now_ms: int) -> int | None:
    """Return the deadline of a run that starts now: the one it has already, or what its timeout says if earlier."""
    if timeout_ms is None:
        return standing_ms
    until_ms = min(now_ms + timeout_ms, _INT8_MAX)
    return until_ms if standing_ms is None else min(standing_ms, until_ms)


def _checkpoint(write: RecordStep | RecordSleep | RecordAttributes | Publication, now_ms: int) -> Checkpoint:
    token = write.lease.token
    if isinstance(write, RecordStep):
        return Checkpoint(
            place=write.place,
            name=write.name,
            output=write.output,
            error=write.error,
            serialization=write.serialization,
            started_at_ms=write.started_at_ms,
            completed_at_ms=write.completed_at_ms,
            claim=token,
        )
    if isinstance(write, SetEvent | AppendStream | RecordAttributes):
        times = (write.started_at_ms, write.completed_at_ms)
        return Checkpoint(write.place, write.name, None, None, PORTABLE, None, *times, token)
    now = max(now_ms, write.not_before_ms)
    until = now + round(write.seconds * 1000)
    return Checkpoint(write.place, write.name, f"{until / 1000:.3f}", None, PORTABLE, None, now, until, token)
