"""What each write makes arrive, for those who wait for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from durust.model.copies import ImportWorkflows
from durust.model.message_writes import RecordSend, SendMessages
from durust.model.publications import AppendStream, SetEvent
from durust.model.waits import EVENT, MESSAGE, RESULT, STREAM, Wake
from durust.model.writes import (
    CalledOff,
    CancelWorkflow,
    DeleteWorkflow,
    ExpireWorkflow,
    FinishWorkflow,
    ForkWorkflow,
    Outcome,
    Recorded,
    Write,
)


def wakes_of(write: Write) -> Sequence[Wake]:
    """Return who is to go on when the write stands."""
    match write:
        case FinishWorkflow(lease) | ExpireWorkflow(lease):
            return wakes_of_end(lease.workflow_id)
        case SetEvent(lease, key=key):
            return (Wake(EVENT, lease.workflow_id, key),)
        case AppendStream(lease, key=key):
            return (Wake(STREAM, lease.workflow_id, key),)
        case CancelWorkflow(workflow_id) | DeleteWorkflow(workflow_id):
            return wakes_of_end(workflow_id)
        case ForkWorkflow(fork_id=fork_id):
            # Which events it brings only its source knows. For a result or a stream of a workflow that is not there
            # nobody waits.
            return (Wake(EVENT, fork_id),)
        case ImportWorkflows(copies):
            return [Wake(EVENT, copy.row.workflow_id, event.key) for copy in copies for event in copy.events]
        case SendMessages(letters) | RecordSend(letters=letters):
            return [Wake(MESSAGE, letter.destination_id, letter.topic) for letter in letters]
    return ()


def wakes_of_end(workflow_id: str) -> Sequence[Wake]:
    """Return who is to go on when a workflow has ended: who waits for its result, and who reads what it wrote."""
    return Wake(RESULT, workflow_id), Wake(STREAM, workflow_id)


def told(
    writes: Sequence[Write], outcomes: list[Outcome], wake: Callable[[Sequence[Wake]], frozenset[str]]
) -> list[Outcome]:
    """Have whoever waits for what stands now queued by *wake*; return *outcomes*, of which one tells the queues."""
    wakes: list[Wake] = []
    teller = None
    for index, (write, outcome) in enumerate(zip(writes, outcomes, strict=True)):
        if isinstance(outcome, CalledOff):
            wakes += [wake for workflow_id in outcome.workflow_ids for wake in wakes_of_end(workflow_id)]
            teller = index
        elif isinstance(outcome, Recorded) and (arrived := wakes_of(write)):
            wakes += arrived
            teller = index
    if wakes and (queues := wake(wakes)) and teller is not None:
        outcomes[teller] = with_queues(outcomes[teller], queues)
    return outcomes


def with_queues(outcome: Outcome, queues: frozenset[str]) -> Outcome:
    """Return *outcome*, of a write that stands, telling which queues got woken runs."""
    return replace(outcome, queues=queues) if isinstance(outcome, Recorded | CalledOff) else outcome
