-- What durust adds to the canonical tables beside columns: run whenever something of it is missing, and harmless when
-- nothing is.

-- Which histories name a workflow as one that they started: few records of all.
create index if not exists durust_children on operation_outputs (child_workflow_id) where child_workflow_id is not null;
create index if not exists durust_claim_order on workflow_status (queue_name, priority, created_at, workflow_uuid)
    where status = 'ENQUEUED';
create index if not exists durust_debounces on workflow_status (creator_xid) where is_debounced = 1;
-- The runs of a schedule that have not ended, which are few beside those that have.
create index if not exists durust_schedule_runs on workflow_status (schedule_name)
    where schedule_name is not null and status in ('ENQUEUED', 'DELAYED', 'PENDING');
create unique index if not exists durust_stream_keys on streams (durust_key) where durust_key is not null;
-- What nobody has received yet, in its order: a receiver that lives long leaves many behind that are consumed.
create index if not exists durust_unread on notifications (destination_uuid, topic, durust_seq, created_at_epoch_ms)
    where consumed = 0;

-- Messages that came before the column get their numbers in the order in which they were written.
update durust_sequences
   set value = max(value, (select coalesce(max(n.rowid), 0) from notifications n))
 where name = 'notifications';
update notifications set durust_seq = rowid where durust_seq is null;
create trigger if not exists durust_notifications_seq after insert on notifications when new.durust_seq is null
begin
    update durust_sequences set value = value + 1 where name = 'notifications';
    update notifications
       set durust_seq = (select s.value from durust_sequences s where s.name = 'notifications')
     where message_uuid = new.message_uuid;
end;
