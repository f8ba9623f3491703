"""Steps and sleeps in memory, each recorded at its place."""

from __future__ import annotations

from durust.model.records import Checkpoint
from durust.model.writes import Outcome, Recorded, RecordSleep, RecordStep
from durust.storage.memory_tables import PORTABLE, Kinds, Tables
from durust.storage.memory_writes.guards import keep, refused


def record_step(tables: Tables, write: RecordStep) -> Outcome:
    """Record how a step ended."""
    if refusal := refused(tables, write):
        return refusal
    keep(tables, write, write.name, write.output, write.error, write.serialization)
    return Recorded()


def record_sleep(tables: Tables, write: RecordSleep) -> Outcome:
    """Record the instant at which a sleep ends."""
    if refusal := refused(tables, write):
        return refusal
    now = max(tables.now_ms, write.not_before_ms)
    until = now + round(write.seconds * 1000)
    output = f"{until / 1000:.3f}"
    tables.history.setdefault(write.lease.workflow_id, {})[write.place] = Checkpoint(
        place=write.place,
        name=write.name,
        output=output,
        serialization=PORTABLE,
        started_at_ms=now,
        completed_at_ms=until,
        claim=write.lease.token,
    )
    return Recorded(output=output)


KINDS: Kinds = {
    RecordStep: record_step,
    RecordSleep: record_sleep,
}
