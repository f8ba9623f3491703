-- What durust adds to the canonical tables: run whenever something of it is missing, and harmless when nothing is.

-- A column first and its default afterwards: so no row is rewritten.
alter table dbos.operation_outputs add column if not exists durust_claim text;
alter table dbos.notifications add column if not exists durust_seq bigint;
alter table dbos.notifications alter column durust_seq set default nextval('durust.notifications_seq');
alter table dbos.streams add column if not exists durust_key text;
create unique index if not exists durust_stream_keys on dbos.streams (durust_key) where durust_key is not null;
create index if not exists durust_debounces on dbos.workflow_status (creator_xid) where is_debounced;
-- Which histories name a workflow as one that they started: few records of all.
create index if not exists durust_children on dbos.operation_outputs (child_workflow_id)
    where child_workflow_id is not null;
create index if not exists durust_claim_order on dbos.workflow_status (queue_name, priority, created_at, workflow_uuid)
    where status = 'ENQUEUED';
-- The runs of a schedule that have not ended, which are few beside those that have.
create index if not exists durust_schedule_runs on dbos.workflow_status (schedule_name)
    where schedule_name is not null and status in ('ENQUEUED', 'DELAYED', 'PENDING');
-- What nobody has received yet, in its order: a receiver that lives long leaves many behind that are consumed.
create index if not exists durust_unread on dbos.notifications (
    destination_uuid, topic, durust_seq nulls first, created_at_epoch_ms) where not consumed;
