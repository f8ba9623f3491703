-- Everything durust says to SQLite. A write transaction holds the only write lock from its first statement, so a guard
-- and the write behind it are atomic without any lock clause. Whoever runs a statement hands it the moment of its
-- transaction: `now` in epoch milliseconds, `boottime` in seconds since the kernel's start, and `boot`, which start.

-- name: begin_write
-- Deferred, a transaction that reads before it writes would find at its first write that its snapshot is old.
begin immediate

-- name: commit_write
commit

-- name: register_executors
insert into durust_executors (
    executor_id, supervisor_id, host, boot_id, pid_ns, pid, pid_started, app_name, app_version, state, registered_at)
values (:id, :supervisor, :host, :executor_boot, :namespace, :pid, :started, :app, :version, 'LIVE', :now)
on conflict do nothing

-- name: register_leases
-- Appears together with its executor, so a repeated registration finds it and does not renew it.
insert into durust_leases (executor_id, boot_id, lease_until) values (:id, :boot, :boottime + :ttl)
on conflict do nothing

-- name: store_versions
-- A version that is known keeps its place among the others, and a new one comes after all of them, whatever the clock did.
insert into application_versions (version_id, version_name, version_timestamp, created_at, application_name)
values (
    :id, :name,
    max(:now, coalesce(
        (select max(o.version_timestamp) + 1 from application_versions o where o.application_name = :app), :now)),
    :now, :app)
on conflict do nothing

-- name: store_version_workflows
insert into durust_versions (app_name, app_version, workflow_name, workflow_version)
values (:app, :name, :workflow, :version)
on conflict (app_name, app_version, workflow_name) do update set workflow_version = excluded.workflow_version

-- name: serve_versions
update durust_executors
   set app_version = :name
 where executor_id = :executor and state <> 'DEAD' and app_version is not :name

-- name: find_version_owner
select v.application_name from application_versions v where v.version_name = :name

-- name: promote_versions
-- Later than every other one of the application, whatever the clock did.
update application_versions
   set version_timestamp = max(
       :now, (select max(o.version_timestamp) + 1 from application_versions o where o.application_name = :app))
 where application_name = :app and version_name = :name

-- name: adopt_workflows
-- What an executor of its own version has claimed meanwhile is left to it.
update workflow_status
   set application_version = :version, updated_at = :now
 where workflow_uuid = :id and status in ('ENQUEUED', 'DELAYED') and application_version <> :version
   and (application_name = :app
        or (application_name is null and name in (select n.value from json_each(:names) n)))
   and not exists (
       select 1
         from durust_executors e
         join durust_versions v
           on v.app_name = e.app_name and v.app_version = e.app_version and v.workflow_name = workflow_status.name
          and v.workflow_version = workflow_status.application_version
        where e.state <> 'DEAD' and e.state = 'LIVE'
          and (workflow_status.application_name is null or workflow_status.application_name = e.app_name))
returning workflow_uuid, coalesce(queue_name, :internal)

-- name: store_queues
insert into queues (
    name, worker_concurrency, concurrency, rate_limit_max, rate_limit_period_sec, priority_enabled, partition_queue,
    partition_concurrency, partition_worker_concurrency, partition_rate_limit_max, partition_rate_limit_period_sec,
    application_name, created_at, updated_at)
values (:name, :worker, :concurrency, :rate, :period, :is_prioritized, :is_partitioned, :partition, :partition_worker,
        :partition_rate, :partition_period, :app, :now, :now)
on conflict (name) do update
   set worker_concurrency = excluded.worker_concurrency, concurrency = excluded.concurrency,
       rate_limit_max = excluded.rate_limit_max, rate_limit_period_sec = excluded.rate_limit_period_sec,
       priority_enabled = excluded.priority_enabled, partition_queue = excluded.partition_queue,
       partition_concurrency = excluded.partition_concurrency,
       partition_worker_concurrency = excluded.partition_worker_concurrency,
       partition_rate_limit_max = excluded.partition_rate_limit_max,
       partition_rate_limit_period_sec = excluded.partition_rate_limit_period_sec,
       application_name = excluded.application_name, updated_at = excluded.updated_at
 where not :keeps

-- name: grant_running
-- Behind the definitions: what runs already takes its share of a budget that is new, and the one who runs it hears of that
-- by the audit. Where it has a share only the partition may be new. A claim that is under way right now is not seen.
insert into durust_grants (workflow_id, token, queue, partition, executor_id, granted_at, is_start)
select w.workflow_uuid, w.owner_xid, w.queue_name,
       case when d.partition_queue and coalesce(
                d.partition_concurrency, d.partition_worker_concurrency, d.partition_rate_limit_max) is not null
            then w.queue_partition_key end,
       w.executor_id, coalesce(w.started_at_epoch_ms, w.updated_at), not w.rate_limited
  from queues d
  join workflow_status w on w.queue_name = d.name and w.status = 'PENDING'
  join durust_executors e on e.executor_id = w.executor_id
 where d.name = :name and w.owner_xid is not null
   and (coalesce(d.concurrency, d.rate_limit_max) is not null
        or (d.partition_queue and coalesce(
                d.partition_concurrency, d.partition_worker_concurrency, d.partition_rate_limit_max) is not null))
on conflict (token) do update
   set partition = excluded.partition
 where ended_at is null and partition is not excluded.partition

-- name: pause_queues
-- A queue that is paused twice was paused at the first time.
insert into durust_paused_queues (name, paused_at)
select q.name, :now from queues q where q.name = :name
on conflict (name) do update set paused_at = paused_at

-- name: unpause_queues
delete from durust_paused_queues where name = :name

-- name: find_queue
select 1 from queues q where q.name = :name

-- name: delete_queues
delete from queues where name = :name

-- name: store_schedules
-- What is replaced keeps its id, its context, its status and its last tick. A row of another application is left alone.
insert into workflow_schedules (
    schedule_id, schedule_name, workflow_name, schedule, cron_timezone, context, automatic_backfill, queue_name,
    application_name, status)
values (:id, :name, :workflow, :cron, :zone, :context, :catch_up, :queue, :app, 'ACTIVE')
on conflict (schedule_name) do update
   set workflow_name = excluded.workflow_name, schedule = excluded.schedule, cron_timezone = excluded.cron_timezone,
       automatic_backfill = excluded.automatic_backfill, queue_name = excluded.queue_name,
       application_name = excluded.application_name
 where :replaces and coalesce(application_name, :app) = :app

-- name: pass_changes
-- Before the schedule is replaced: what is passed by its new cron or in its new zone was never due.
update durust_schedules set settled_until = max(settled_until, :now)
 where schedule_id in (
       select s.schedule_id
         from workflow_schedules s
        where s.schedule_name = :name and :replaces and coalesce(s.application_name, :app) = :app
          and (s.schedule <> :cron or coalesce(s.cron_timezone, 'UTC') <> :zone))

-- name: settle_schedules
-- A schedule is settled from the moment at which it is first seen.
insert into durust_schedules (schedule_id, settled_until, overlap)
select s.schedule_id, :now, :overlap from workflow_schedules s where s.schedule_name = :name
on conflict (schedule_id) do update set overlap = excluded.overlap

-- name: pause_schedules
update workflow_schedules set status = 'PAUSED' where schedule_name = :name

-- name: pass_pauses
-- Before the schedule is ACTIVE again: the ticks of its pause never fire.
insert into durust_schedules (schedule_id, settled_until, overlap)
select s.schedule_id, :now, 'allow' from workflow_schedules s where s.schedule_name = :name and s.status <> 'ACTIVE'
on conflict (schedule_id) do update set settled_until = max(settled_until, excluded.settled_until)

-- name: resume_schedules
update workflow_schedules set status = 'ACTIVE' where schedule_name = :name

-- name: forget_schedules
delete from durust_schedules
 where schedule_id in (select s.schedule_id from workflow_schedules s where s.schedule_name = :name)

-- name: delete_schedules
delete from workflow_schedules where schedule_name = :name

-- name: adopt_schedules
-- Another library's schedule is settled up to now, once.
insert into durust_schedules (schedule_id, settled_until, overlap)
select s.schedule_id, :settled, 'allow' from workflow_schedules s where s.schedule_id = :id
on conflict do nothing

-- name: find_fireable
-- Whether the schedule stands as it was read, and what keeps a tick from starting.
select s.schedule_name, s.workflow_name, s.queue_name, d.overlap,
       d.overlap = 'skip' and exists (
           select 1 from workflow_status w
            where w.schedule_name = s.schedule_name and w.status in ('ENQUEUED', 'DELAYED', 'PENDING')) as is_running
  from workflow_schedules s
  join durust_schedules d on d.schedule_id = s.schedule_id
 where s.schedule_id = :id and s.status = 'ACTIVE' and d.settled_until = :expected
   and s.workflow_name = :workflow and s.schedule = :cron and s.context = :context
   and s.cron_timezone is :zone and s.queue_name is :queue and s.automatic_backfill = :catch_up

-- name: fire_ticks
update durust_schedules set settled_until = :settled where schedule_id = :id

-- name: note_ticks
update workflow_schedules set last_fired_at = :time where schedule_id = :id

-- name: list_schedules
-- The time comes also where there is no schedule.
select m.ms, s.schedule_id, s.schedule_name, s.workflow_name, s.schedule, s.cron_timezone, s.context, s.status,
       s.automatic_backfill, s.queue_name, s.application_name, s.last_fired_at, coalesce(d.overlap, 'allow'),
       d.settled_until
  from (select :now as ms) m
  left join workflow_schedules s on true
  left join durust_schedules d on d.schedule_id = s.schedule_id
 order by s.schedule_id

-- name: start_workflows
-- A direct start asks in the same statement whether its executor lives.
insert into workflow_status (
    workflow_uuid, status, name, queue_name, priority, deduplication_id, delay_until_epoch_ms, application_version,
    application_name, serialization, creator_xid, executor_id, owner_xid, recovery_attempts, created_at, updated_at,
    workflow_timeout_ms, workflow_deadline_epoch_ms, queue_partition_key, schedule_name, parent_workflow_id,
    authenticated_user, authenticated_roles, attributes)
select :id,
       case when :executor is not null then 'PENDING' when :delay > 0 then 'DELAYED' else 'ENQUEUED' end,
       :name, :queue, :priority, :dedup, case when :delay > 0 then :now + :delay end, :version,
       :app, :format, :creator, :executor, :token, :executor is not null, :now, :now, :timeout,
       coalesce(:deadline, case when :executor is not null then :now + min(:timeout, 9223372036854775807 - :now) end),
       :partition, :schedule, :parent, :user, :roles, :attributes
 where :executor is null
    or exists (select 1 from durust_executors e where e.executor_id = :executor and e.state = 'LIVE')
on conflict do nothing

-- name: start_children
-- The link of a child that stands now, guarded like a step; the child was inserted in this transaction, or was there.
insert into operation_outputs (
    workflow_uuid, function_id, function_name, output, serialization, child_workflow_id, started_at_epoch_ms,
    completed_at_epoch_ms, application_name, durust_claim)
select :id, :place, c.name, json_quote(c.workflow_uuid), 'portable_json', c.workflow_uuid, :started, :completed,
       w.application_name, :token
  from workflow_status w
  join workflow_status c on c.workflow_uuid = :child
 where w.workflow_uuid = :id and w.status = 'PENDING' and w.executor_id = :executor and w.owner_xid = :token
   and (:after is null or (
        select o.function_id from operation_outputs o
         where o.workflow_uuid = :id and o.function_id = :after) is not null)
on conflict do nothing

-- name: find_debounce
-- Whose last write this was: the same one, made before.
select w.workflow_uuid from workflow_status w where w.is_debounced = 1 and w.creator_xid = :creator

-- name: queue_overdue
-- What is due leaves its key to the next run, whether a sweep has come by or not.
update workflow_status
   set status = 'ENQUEUED', delay_until_epoch_ms = null, deduplication_id = null, updated_at = :now
 where queue_name = :queue and deduplication_id = :dedup and status = 'DELAYED' and is_debounced = 1
   and name = :name and (application_name = :app or application_name is null)
   and coalesce(delay_until_epoch_ms, 0) <= :now

-- name: bounce_workflows
-- The run that waits under the key takes over what the new call says.
update workflow_status
   set delay_until_epoch_ms = min(:now + :period, coalesce(debounce_deadline_epoch_ms, :now + :period)),
       creator_xid = :creator, application_name = :app, application_version = :version, serialization = :format,
       priority = :priority, workflow_timeout_ms = :timeout, workflow_deadline_epoch_ms = :deadline,
       queue_partition_key = :partition, schedule_name = :schedule, parent_workflow_id = :parent,
       authenticated_user = :user, authenticated_roles = :roles, attributes = :attributes, updated_at = :now
 where queue_name = :queue and deduplication_id = :dedup and status = 'DELAYED' and is_debounced = 1
   and name = :name and (application_name = :app or application_name is null)
returning workflow_uuid

-- name: debounce_workflows
insert into workflow_status (
    workflow_uuid, status, name, queue_name, priority, deduplication_id, delay_until_epoch_ms, application_version,
    application_name, serialization, creator_xid, recovery_attempts, created_at, updated_at, workflow_timeout_ms,
    workflow_deadline_epoch_ms, queue_partition_key, schedule_name, parent_workflow_id, authenticated_user,
    authenticated_roles, attributes, is_debounced, debounce_deadline_epoch_ms)
values (
    :id, 'DELAYED', :name, :queue, :priority, :dedup, min(:now + :period, coalesce(:latest, :now + :period)), :version,
    :app, :format, :creator, 0, :now, :now, :timeout, :deadline, :partition, :schedule, :parent, :user, :roles,
    :attributes, 1, :latest)
on conflict do nothing
returning workflow_uuid

-- name: store_inputs
-- Of a deleted workflow the inputs may still stand under the same id.
insert into workflow_input (workflow_uuid, inputs, retention_timestamp) values (:id, :inputs, :now)
on conflict (workflow_uuid) do update
   set inputs = excluded.inputs, retention_timestamp = excluded.retention_timestamp

-- name: set_delays
-- A parked run waits for something else than a delay, so it is left alone.
update workflow_status
   set status = case when :lasting > 0 then 'DELAYED' else 'ENQUEUED' end,
       delay_until_epoch_ms = case when :lasting > 0 then :now + :lasting end,
       queue_name = coalesce(queue_name, :internal),
       deduplication_id = case when :lasting <= 0 and is_debounced then null else deduplication_id end,
       updated_at = :now
 where workflow_uuid = :id and status = 'DELAYED'
   and not exists (select 1 from durust_waits s where s.workflow_id = :id)

-- name: find_attributes
select w.attributes from workflow_status w where w.workflow_uuid = :id

-- name: set_attributes
update workflow_status set attributes = :attributes, updated_at = :now where workflow_uuid = :id

-- name: assume_roles
update workflow_status
   set assumed_role = :role
 where workflow_uuid = :id and status = 'PENDING' and executor_id = :executor and owner_xid = :token

-- name: record_steps
-- Run for many rows at once. The scalar subselect of the chain condition is one index probe.
insert into operation_outputs (
    workflow_uuid, function_id, function_name, output, error, serialization, started_at_epoch_ms,
    completed_at_epoch_ms, application_name, durust_claim)
select :id, :place, :name, :output, :error, :format, :started, :completed, w.application_name, :token
  from workflow_status w
 where w.workflow_uuid = :id and w.status = 'PENDING' and w.executor_id = :executor and w.owner_xid = :token
   and (:after is null or (
        select o.function_id from operation_outputs o
         where o.workflow_uuid = :id and o.function_id = :after) is not null)
on conflict do nothing

-- name: record_sleeps
insert into operation_outputs (
    workflow_uuid, function_id, function_name, output, serialization, started_at_epoch_ms, completed_at_epoch_ms,
    application_name, durust_claim)
select :id, :place, :name, printf('%.3f', (max(:now, :floor) + :lasting) / 1000.0), 'portable_json',
       max(:now, :floor), max(:now, :floor) + :lasting, w.application_name, :token
  from workflow_status w
 where w.workflow_uuid = :id and w.status = 'PENDING' and w.executor_id = :executor and w.owner_xid = :token
   and (:after is null or (
        select o.function_id from operation_outputs o
         where o.workflow_uuid = :id and o.function_id = :after) is not null)
on conflict do nothing

-- name: keep_events
-- Each value by its place, for a fork that begins in between.
insert into workflow_events_history (workflow_uuid, function_id, key, value, serialization)
values (:id, :place, :key, :text, :format)

-- name: set_events
-- Of several the one of the highest place stands, whichever was committed last.
insert into workflow_events (workflow_uuid, key, value, serialization)
select :id, :key, :text, :format
 where not exists (
       select 1 from workflow_events_history h
        where h.workflow_uuid = :id and h.function_id > :place and h.key = :key)
on conflict (workflow_uuid, key) do update set value = excluded.value, serialization = excluded.serialization

-- name: find_stream_ends
-- The offset of the next value, and whether the last one says that none follows: in the form that is written here, or as
-- other libraries of the family write it.
select coalesce(s."offset" + 1, 0), coalesce(s.value in ('"__DBOS_STREAM_CLOSED__"', '__DBOS_STREAM_CLOSED__'), 0)
  from (select 1)
  left join streams s
    on s.workflow_uuid = :id and s.key = :key
   and s."offset" = (select max(e."offset") from streams e where e.workflow_uuid = :id and e.key = :key)

-- name: append_streams
insert into streams (workflow_uuid, key, "offset", value, serialization, function_id, durust_key)
values (:id, :key, :offset, :text, :format, :place, :id || '/' || :place || '/0')

-- name: find_workflow
select 1 from workflow_status w where w.workflow_uuid = :id

-- name: send_messages
-- The trigger numbers it; the write lock makes the numbers follow the order of the commits. One that is there already
-- was sent before.
insert into notifications (message_uuid, destination_uuid, topic, message, serialization, created_at_epoch_ms)
values (:id, :destination, :topic, :text, :format, :now)
on conflict (message_uuid) do nothing

-- name: find_message
-- The oldest of a topic that nobody has received.
select n.message_uuid, n.message, n.serialization
  from notifications n
 where n.destination_uuid = :id and n.topic = :topic and n.consumed = 0
 order by n.durust_seq, n.created_at_epoch_ms
 limit 1

-- name: consume_messages
update notifications set consumed = 1, consumed_by_function_id = :place where message_uuid = :message

-- name: finish_workflows
-- Only the holder of the token may finish.
update workflow_status
   set status = :status, serialization = :format, deduplication_id = null, completed_at = :now, updated_at = :now
 where workflow_uuid = :id and status = 'PENDING' and executor_id = :executor and owner_xid = :token
   and (:after is null or (
        select o.function_id from operation_outputs o
         where o.workflow_uuid = :id and o.function_id = :after) is not null)

-- name: store_outputs
insert into workflow_output (workflow_uuid, output, error, retention_timestamp) values (:id, :output, :error, :now)
on conflict (workflow_uuid) do update
   set output = excluded.output, error = excluded.error, retention_timestamp = excluded.retention_timestamp

-- name: park_workflows
-- What was due already when it parked is queued at once: nobody would look at it before the next sweep.
update workflow_status
   set status = case when :until <= :now then 'ENQUEUED' else 'DELAYED' end,
       queue_name = coalesce(queue_name, :internal),
       delay_until_epoch_ms = case when :until > :now then :until end, executor_id = null, owner_xid = null,
       started_at_epoch_ms = null, recovery_attempts = recovery_attempts - 1, updated_at = :now
 where workflow_uuid = :id and status = 'PENDING' and executor_id = :executor and owner_xid = :token
   and (:after is null or (
        select o.function_id from operation_outputs o
         where o.workflow_uuid = :id and o.function_id = :after) is not null)

-- name: forget_waits
delete from durust_waits where workflow_id = :id

-- name: store_waits
insert into durust_waits (workflow_id, place, kind, target, key, at, until)
values (:id, :place, :kind, :target, :key, :at, :until)
on conflict do nothing

-- name: hand_back_workflows
-- The owner's own will, so the attempt is not counted.
update workflow_status
   set status = 'ENQUEUED', queue_name = coalesce(queue_name, :internal), executor_id = null, owner_xid = null,
       started_at_epoch_ms = null, recovery_attempts = recovery_attempts - 1, updated_at = :now
 where workflow_uuid = :id and status = 'PENDING' and executor_id = :executor and owner_xid = :token

-- name: expire_workflows
-- On the deadline as it stands, so a timer of an earlier run does not hit a resumed one.
update workflow_status
   set status = 'CANCELLED', executor_id = null, owner_xid = null, deduplication_id = null,
       started_at_epoch_ms = null, completed_at = :now, updated_at = :now
 where workflow_uuid = :id and status = 'PENDING' and executor_id = :executor and owner_xid = :token
   and workflow_deadline_epoch_ms <= :now

-- name: cancel_workflows
-- The queue stays, because a resume leads back to it; nothing counts a row that has ended.
update workflow_status
   set status = 'CANCELLED', executor_id = null, owner_xid = null, deduplication_id = null,
       started_at_epoch_ms = null, delay_until_epoch_ms = null, completed_at = :now, updated_at = :now
 where workflow_uuid = :id and status in ('DELAYED', 'ENQUEUED', 'PENDING', 'MAX_RECOVERY_ATTEMPTS_EXCEEDED')

-- name: cancel_trees
-- Nobody starts anything meanwhile, so one pass over all that the workflow led to is enough.
with recursive t (id) as (
    select :id
     union
    select w.workflow_uuid from t join workflow_status w on w.parent_workflow_id = t.id
)
update workflow_status
   set status = 'CANCELLED', executor_id = null, owner_xid = null, deduplication_id = null,
       started_at_epoch_ms = null, delay_until_epoch_ms = null, completed_at = :now, updated_at = :now
 where workflow_uuid in (select t.id from t)
   and status in ('DELAYED', 'ENQUEUED', 'PENDING', 'MAX_RECOVERY_ATTEMPTS_EXCEEDED')
returning workflow_uuid

-- name: resume_workflows
-- What ended it is forgotten, so that nobody takes it for the result of what runs from here on.
update workflow_status
   set status = 'ENQUEUED', queue_name = coalesce(:queue, queue_name, :internal), executor_id = null,
       owner_xid = null, recovery_attempts = 0, workflow_deadline_epoch_ms = null, deduplication_id = null,
       started_at_epoch_ms = null, delay_until_epoch_ms = null, completed_at = null, rate_limited = 0, output = null,
       error = null, updated_at = :now
 where workflow_uuid = :id and status in ('CANCELLED', 'MAX_RECOVERY_ATTEMPTS_EXCEEDED', 'DELAYED')

-- name: forget_outputs
delete from workflow_output where workflow_uuid = :id

-- name: fork_workflows
insert into workflow_status (
    workflow_uuid, status, name, class_name, config_name, authenticated_user, assumed_role, authenticated_roles, request,
    serialization, application_version, application_id, application_name, attributes, queue_name, queue_partition_key,
    priority, workflow_timeout_ms, forked_from, creator_xid, recovery_attempts, created_at, updated_at)
select :fork, 'ENQUEUED', s.name, s.class_name, s.config_name, s.authenticated_user, s.assumed_role,
       s.authenticated_roles, s.request, s.serialization, coalesce(:version, s.application_version), s.application_id,
       s.application_name, s.attributes, :queue, :partition, 0, :timeout, :id, :creator, 0, :now, :now
  from workflow_status s
 where s.workflow_uuid = :id
on conflict do nothing

-- name: mark_forked
update workflow_status set was_forked_from = 1 where workflow_uuid = :id and was_forked_from = 0

-- name: fork_inputs
insert into workflow_input (workflow_uuid, inputs, retention_timestamp)
select :fork, coalesce(i.inputs, w.inputs), :now
  from workflow_status w
  left join workflow_input i on i.workflow_uuid = w.workflow_uuid
 where w.workflow_uuid = :id
on conflict (workflow_uuid) do update
   set inputs = excluded.inputs, retention_timestamp = excluded.retention_timestamp

-- name: fork_steps
-- A first execution that was started directly has no time in its claim; here it gets the source's, whose it was.
insert into operation_outputs (
    workflow_uuid, function_id, function_name, output, error, child_workflow_id, started_at_epoch_ms,
    completed_at_epoch_ms, serialization, application_name, durust_claim)
select :fork, o.function_id, o.function_name, o.output, o.error,
       coalesce((select json_extract(c.value, '$[1]') from json_each(:children) c
                  where json_extract(c.value, '$[0]') = o.child_workflow_id), o.child_workflow_id),
       o.started_at_epoch_ms, o.completed_at_epoch_ms, o.serialization, o.application_name,
       case when substr(o.durust_claim, 1, 16) = '0000000000000000'
            then printf('%016x', w.created_at * 1000) || substr(o.durust_claim, 17)
            else o.durust_claim end
  from workflow_status w
  join operation_outputs o on o.workflow_uuid = w.workflow_uuid and o.function_id < :place
 where w.workflow_uuid = :id

-- name: fork_past_events
-- Only with the record of its step: the fork makes the others again.
insert into workflow_events_history (workflow_uuid, function_id, key, value, serialization)
select :fork, h.function_id, h.key, h.value, h.serialization
  from workflow_events_history h
  join operation_outputs o on o.workflow_uuid = h.workflow_uuid and o.function_id = h.function_id
 where h.workflow_uuid = :id and h.function_id < :place

-- name: fork_events
-- The latest value of each key that the fork has in its history.
insert into workflow_events (workflow_uuid, key, value, serialization)
select :fork, l.key, l.value, l.serialization
  from (select h.key, h.value, h.serialization,
               row_number() over (partition by h.key order by h.function_id desc) as rank
          from workflow_events_history h
         where h.workflow_uuid = :fork) l
 where l.rank = 1

-- name: fork_streams
-- Counted anew, because entries that stay behind may stand between them.
insert into streams (workflow_uuid, key, value, "offset", function_id, serialization)
select :fork, s.key, s.value, row_number() over (partition by s.key order by s."offset") - 1, s.function_id,
       s.serialization
  from streams s
  join operation_outputs o on o.workflow_uuid = s.workflow_uuid and o.function_id = s.function_id
 where s.workflow_uuid = :id and s.function_id < :place

-- name: import_workflows
insert into workflow_status (
    workflow_uuid, status, name, queue_name, priority, application_name, application_version, recovery_attempts,
    created_at, updated_at, started_at_epoch_ms, completed_at, delay_until_epoch_ms, workflow_timeout_ms,
    workflow_deadline_epoch_ms, queue_partition_key, schedule_name, parent_workflow_id, authenticated_user,
    authenticated_roles, assumed_role, attributes, forked_from, was_forked_from, serialization, creator_xid)
values (
    :id, :status, :name, :queue, :priority, :app, :version, :attempts, :created, :updated, :started, :completed, :until,
    :timeout, :deadline, :partition, :schedule, :parent, :user, :roles, :assumed, :attributes, :source, :forked, :format,
    :creator)

-- name: import_steps
insert into operation_outputs (
    workflow_uuid, function_id, function_name, output, error, serialization, child_workflow_id, started_at_epoch_ms,
    completed_at_epoch_ms, durust_claim, application_name)
values (:id, :place, :name, :output, :error, :format, :child, :started, :completed, :claim, :app)

-- name: import_events
insert into workflow_events (workflow_uuid, key, value, serialization) values (:id, :key, :text, :format)

-- name: import_past_events
insert into workflow_events_history (workflow_uuid, function_id, key, value, serialization)
values (:id, :place, :key, :text, :format)

-- name: import_streams
insert into streams (workflow_uuid, key, "offset", value, serialization, function_id)
values (:id, :key, :offset, :text, :format, :place)

-- name: import_messages
insert into notifications (
    message_uuid, destination_uuid, topic, message, serialization, created_at_epoch_ms, consumed,
    consumed_by_function_id)
values (:message, :id, :topic, :text, :format, :created, :is_consumed, :consumed_by)
on conflict do nothing

-- name: copy_workflows
-- All that a workflow and, where asked for, its descendants have, in one snapshot: of one that runs, what had committed
-- at one moment. Each line is a JSON array in the order of its record's fields.
with recursive family as (
    select w.workflow_uuid as id from workflow_status w where w.workflow_uuid = :id
     union
    select c.workflow_uuid
      from family f
      join workflow_status c on c.parent_workflow_id = f.id
     where :children
)
select f.id, 'row', json_array(
           w.workflow_uuid, w.name, w.status, w.queue_name, w.priority, w.deduplication_id, w.executor_id, w.owner_xid,
           w.creator_xid, w.application_name, w.application_version, coalesce(w.recovery_attempts, 0), w.created_at,
           w.updated_at, w.started_at_epoch_ms, w.completed_at, w.delay_until_epoch_ms, w.workflow_timeout_ms,
           w.workflow_deadline_epoch_ms, w.queue_partition_key, w.schedule_name, w.parent_workflow_id,
           w.authenticated_user, w.authenticated_roles, w.assumed_role, w.attributes, w.forked_from,
           w.was_forked_from, w.serialization, coalesce(i.inputs, w.inputs), coalesce(o.output, w.output),
           coalesce(o.error, w.error))
  from family f
  join workflow_status w on w.workflow_uuid = f.id
  left join workflow_input i on i.workflow_uuid = f.id
  left join workflow_output o on o.workflow_uuid = f.id
 union all
select f.id, 'step', json_array(
           o.function_id, o.function_name, o.output, o.error, o.serialization, o.child_workflow_id,
           o.started_at_epoch_ms, o.completed_at_epoch_ms, o.durust_claim)
  from family f
  join operation_outputs o on o.workflow_uuid = f.id
 union all
select f.id, 'event', json_array(e.key, e.value, e.serialization)
  from family f
  join workflow_events e on e.workflow_uuid = f.id
 union all
select f.id, 'past_event', json_array(h.key, h.value, h.serialization, h.function_id)
  from family f
  join workflow_events_history h on h.workflow_uuid = f.id
 union all
select f.id, 'entry', json_array(s.key, s."offset", s.value, s.serialization, s.function_id)
  from family f
  join streams s on s.workflow_uuid = f.id
 union all
select f.id, 'message', json_array(
           n.durust_seq, n.message_uuid, n.topic, n.message, n.serialization, n.created_at_epoch_ms, n.consumed,
           n.consumed_by_function_id)
  from family f
  join notifications n on n.destination_uuid = f.id

-- name: beat
update durust_leases
   set boot_id = :boot, lease_until = :boottime + :ttl, beat = beat + 1
 where executor_id = :id
   and exists (select 1 from durust_executors e where e.executor_id = :id and e.state <> 'DEAD')

-- name: drain_executors
update durust_executors set state = 'DRAINING' where executor_id = :id and state <> 'DEAD'

-- name: retire_executors
-- First of two statements; a claim has either committed before them or finds the executor dead.
update durust_executors set state = 'DEAD', ended_at = :now, why = :why where executor_id = :id and state <> 'DEAD'

-- name: release_workflows
-- Second of two statements. Of a run that crashed nothing changes but its state, its owner and its start.
update workflow_status
   set status = 'ENQUEUED', queue_name = coalesce(queue_name, :internal), executor_id = null, owner_xid = null,
       started_at_epoch_ms = null
 where status = 'PENDING' and executor_id = :id
returning workflow_uuid, queue_name

-- name: classify_runs
-- What stands now for the write of a run that changed nothing: owner, deadline, chain, and the record at the place.
select w.status, w.executor_id, w.owner_xid, w.workflow_deadline_epoch_ms - :now,
       :after is null or (
           select c.function_id from operation_outputs c
            where c.workflow_uuid = :id and c.function_id = :after) is not null,
       o.function_id, o.function_name, o.output, o.error, o.serialization, o.child_workflow_id, o.started_at_epoch_ms,
       o.completed_at_epoch_ms, o.durust_claim
  from (select 1)
  left join workflow_status w on w.workflow_uuid = :id
  left join operation_outputs o on o.workflow_uuid = :id and o.function_id = :place

-- name: classify_starts
-- What stands now for a start that changed nothing: the holder of the deduplication id, and the row of that id; a
-- cancel or a resume asks for the row alone.
select (select d.workflow_uuid from workflow_status d where d.queue_name = :queue and d.deduplication_id = :dedup),
       w.workflow_uuid, w.name, w.status, w.queue_name, w.priority, w.deduplication_id, w.executor_id, w.owner_xid,
       w.creator_xid, w.application_name, w.application_version, coalesce(w.recovery_attempts, 0), w.created_at,
       w.updated_at, w.started_at_epoch_ms, w.completed_at, w.delay_until_epoch_ms, w.workflow_timeout_ms,
       w.workflow_deadline_epoch_ms, w.queue_partition_key, w.schedule_name, w.parent_workflow_id, w.authenticated_user,
       w.authenticated_roles, w.assumed_role, w.attributes, w.forked_from, w.was_forked_from, w.serialization
  from (select 1)
  left join workflow_status w on w.workflow_uuid = :id

-- name: find_claimable
-- Asked without the write lock, so that processes that find nothing do not stand in each other's way.
select 1
  from json_each(:queues) q
 where exists (
       select 1 from workflow_status w
        where w.status = 'ENQUEUED' and w.queue_name = q.value
          and w.name in (select json_extract(k.value, '$[0]') from json_each(:known) k)
          and (w.application_name = :app or w.application_name is null)
          and (w.application_version is null or w.application_version = (
               select json_extract(k.value, '$[1]') from json_each(:known) k
                where json_extract(k.value, '$[0]') = w.name)))
 limit 1

-- name: claim_workflows
-- Once for each queue; the inner select walks the claim index in order and stops when it has enough.
-- A timeout that leads past the last instant of the column ends there, before the sum becomes a fraction. A row that was
-- anybody's is this application's from now on.
update workflow_status
   set status = 'PENDING', executor_id = :executor,
       owner_xid = printf('%016x', :now * 1000) || '-' || lower(hex(randomblob(8))),
       application_version = (
           select json_extract(k.value, '$[1]') from json_each(:known) k
            where json_extract(k.value, '$[0]') = workflow_status.name),
       application_name = coalesce(application_name, :app),
       recovery_attempts = coalesce(recovery_attempts, 0) + 1, started_at_epoch_ms = :now, updated_at = :now,
       workflow_deadline_epoch_ms = case
           when workflow_timeout_ms is null then workflow_deadline_epoch_ms
           else min(
               coalesce(workflow_deadline_epoch_ms, 9223372036854775807),
               :now + min(workflow_timeout_ms, 9223372036854775807 - :now)) end
 where workflow_uuid in (
       select w.workflow_uuid
         from workflow_status w
        where w.status = 'ENQUEUED' and w.queue_name = :queue
          and w.name in (select json_extract(k.value, '$[0]') from json_each(:known) k)
          and (w.application_name = :app or w.application_name is null)
          and (w.application_version is null or w.application_version = (
               select json_extract(k.value, '$[1]') from json_each(:known) k
                where json_extract(k.value, '$[0]') = w.name))
        order by w.priority, w.created_at, w.workflow_uuid
        limit :limit)
   and exists (
       select 1 from durust_executors e
         join durust_leases l on l.executor_id = e.executor_id
        where e.executor_id = :executor and e.state = 'LIVE' and l.boot_id = :boot and l.lease_until > :boottime)
returning priority, created_at, workflow_uuid, executor_id, owner_xid, name,
          coalesce((select i.inputs from workflow_input i where i.workflow_uuid = workflow_status.workflow_uuid), inputs),
          serialization, recovery_attempts, queue_name, application_version, created_at, :now,
          workflow_deadline_epoch_ms - :now, workflow_deadline_epoch_ms, authenticated_user, authenticated_roles,
          assumed_role, attributes

-- name: find_waiting
select 1 from workflow_status w where w.status = 'ENQUEUED' and w.queue_name = :queue limit 1

-- name: count_grants
-- What the claims of each partition took. A share of an executor that is dead counts no more.
select g.partition,
       coalesce(sum(g.ended_at is null and e.executor_id is not null), 0),
       coalesce(sum(g.ended_at is null and g.executor_id = :executor), 0),
       coalesce(sum(g.is_start and g.granted_at > :now - :span), 0),
       coalesce(sum(g.is_start and g.granted_at > :now - :partition_span), 0),
       min(case when g.is_start and g.granted_at > :now - :span then g.granted_at end),
       min(case when g.is_start and g.granted_at > :now - :partition_span then g.granted_at end)
  from durust_grants g
  left join durust_executors e on e.executor_id = g.executor_id and e.state <> 'DEAD'
 where g.token in (
       select o.token from durust_grants o where o.queue = :queue and o.ended_at is null
        union
       select b.token from durust_grants b
        where b.queue = :queue and b.is_start and b.granted_at > :now - max(:span, :partition_span))
 group by g.partition

-- name: list_partitions
-- The keys on which work waits, from one on: an index probe for each.
with recursive keys (key, number) as (
    select min(w.queue_partition_key), 1
      from workflow_status w
     where w.status = 'ENQUEUED' and w.queue_name = :queue and w.queue_partition_key >= :after
       and w.status in ('ENQUEUED', 'PENDING') and w.queue_partition_key is not null
     union all
    select (select min(w.queue_partition_key)
              from workflow_status w
             where w.status = 'ENQUEUED' and w.queue_name = :queue and w.queue_partition_key > k.key
               and w.status in ('ENQUEUED', 'PENDING') and w.queue_partition_key is not null), k.number + 1
      from keys k
     where k.key is not null and k.number < :most
)
select k.key from keys k where k.key is not null

-- name: find_candidates
-- The first of a queue with a budget.
select w.priority, w.created_at, w.workflow_uuid, null, not w.rate_limited
  from workflow_status w
 where w.status = 'ENQUEUED' and w.queue_name = :queue
   and w.name in (select json_extract(k.value, '$[0]') from json_each(:known) k)
   and (w.application_name = :app or w.application_name is null)
   and (w.application_version is null or w.application_version = (
        select json_extract(k.value, '$[1]') from json_each(:known) k
         where json_extract(k.value, '$[0]') = w.name))
 order by w.priority, w.created_at, w.workflow_uuid
 limit :limit

-- name: find_partition_candidates
-- The first of one of its partitions. The conditions of the partial index stand here in its own words, as in the next
-- statement: what follows from others is not used.
select w.priority, w.created_at, w.workflow_uuid, w.queue_partition_key, not w.rate_limited
  from workflow_status w
 where w.status = 'ENQUEUED' and w.queue_name = :queue and w.queue_partition_key = :partition
   and w.status in ('ENQUEUED', 'PENDING') and w.queue_partition_key is not null
   and w.name in (select json_extract(k.value, '$[0]') from json_each(:known) k)
   and (w.application_name = :app or w.application_name is null)
   and (w.application_version is null or w.application_version = (
        select json_extract(k.value, '$[1]') from json_each(:known) k
         where json_extract(k.value, '$[0]') = w.name))
 order by w.priority, w.created_at, w.workflow_uuid
 limit :limit

-- name: claim_chosen
update workflow_status
   set status = 'PENDING', executor_id = :executor,
       owner_xid = printf('%016x', :now * 1000) || '-' || lower(hex(randomblob(8))),
       application_version = (
           select json_extract(k.value, '$[1]') from json_each(:known) k
            where json_extract(k.value, '$[0]') = workflow_status.name),
       application_name = coalesce(application_name, :app),
       recovery_attempts = coalesce(recovery_attempts, 0) + 1, started_at_epoch_ms = :now, updated_at = :now,
       rate_limited = 1,
       workflow_deadline_epoch_ms = case
           when workflow_timeout_ms is null then workflow_deadline_epoch_ms
           else min(
               coalesce(workflow_deadline_epoch_ms, 9223372036854775807),
               :now + min(workflow_timeout_ms, 9223372036854775807 - :now)) end
 where workflow_uuid = :id and status = 'ENQUEUED'
returning workflow_uuid, executor_id, owner_xid, name,
          coalesce((select i.inputs from workflow_input i where i.workflow_uuid = workflow_status.workflow_uuid), inputs),
          serialization, recovery_attempts, queue_name, application_version, created_at, :now,
          workflow_deadline_epoch_ms - :now, workflow_deadline_epoch_ms, authenticated_user, authenticated_roles,
          assumed_role, attributes

-- name: find_live
select 1 from durust_executors e
  join durust_leases l on l.executor_id = e.executor_id
 where e.executor_id = :executor and e.state = 'LIVE' and l.boot_id = :boot and l.lease_until > :boottime

-- name: store_grants
insert into durust_grants (workflow_id, token, queue, partition, executor_id, granted_at, is_start)
values (:id, :token, :queue, :partition, :executor, :now, :is_start)

-- name: end_grants
update durust_grants set ended_at = :now where token = :token and ended_at is null

-- name: forget_grants
-- No rate counts them any more, and nobody runs by them.
delete from durust_grants
 where token in (
       select g.token
         from durust_grants g
        where g.granted_at <= :now - 1000 * max(:kept, coalesce((
              select max(max(coalesce(q.rate_limit_period_sec, 0), coalesce(q.partition_rate_limit_period_sec, 0))) * 2
                from queues q), 0))
          and (g.ended_at is not null or not exists (
               select 1 from durust_executors e where e.executor_id = g.executor_id and e.state <> 'DEAD'))
        order by g.granted_at
        limit :limit)

-- name: read_history
select o.workflow_uuid, o.function_id, o.function_name, o.output, o.error, o.serialization, o.child_workflow_id,
       o.started_at_epoch_ms, o.completed_at_epoch_ms, o.durust_claim
  from operation_outputs o
 where o.workflow_uuid in (select i.value from json_each(:ids) i)
 order by o.workflow_uuid, coalesce(o.completed_at_epoch_ms, 0), o.function_id

-- part: what_arrived
       case v.kind
       when 'message' then exists (
           select 1 from notifications n
            where n.destination_uuid = v.target and n.topic = v.key and n.consumed = 0)
       when 'event' then exists (
           select 1 from workflow_events e where e.workflow_uuid = v.target and e.key = v.key)
       when 'result' then not exists (
           select 1 from workflow_status s
            where s.workflow_uuid = v.target and s.status in ('DELAYED', 'ENQUEUED', 'PENDING'))
       when 'stream' then exists (
           select 1 from streams t where t.workflow_uuid = v.target and t.key = v.key and t."offset" >= v.at)
           or not exists (
               select 1 from workflow_status s
                where s.workflow_uuid = v.target and s.status in ('DELAYED', 'ENQUEUED', 'PENDING'))
       else 0
       end

-- name: has_arrived
-- Whether something has come for a run that parks.
select 1
  from durust_waits v
 where v.workflow_id = :id and
-- use: what_arrived
 limit 1

-- name: find_arrived
-- The parked runs for whom something has come.
select distinct v.workflow_id
  from durust_waits v
  join workflow_status w on w.workflow_uuid = v.workflow_id
 where v.kind <> 'sleep' and w.status = 'DELAYED'
   and (w.application_name = :app
        or (w.application_name is null and w.name in (select n.value from json_each(:names) n)))
   and
-- use: what_arrived
 limit :limit

-- name: find_waiters
select distinct v.workflow_id
  from durust_waits v
 where v.target = :target and v.kind = :kind and (:key is null or v.key = :key)

-- name: wake_parked
update workflow_status
   set status = 'ENQUEUED', queue_name = coalesce(queue_name, :internal), delay_until_epoch_ms = null, updated_at = :now
 where workflow_uuid = :id and status = 'DELAYED'
returning queue_name

-- name: queue_due
update workflow_status
   set status = 'ENQUEUED', queue_name = coalesce(queue_name, :internal), delay_until_epoch_ms = null,
       deduplication_id = case when is_debounced then null else deduplication_id end, updated_at = :now
 where workflow_uuid in (
       select w.workflow_uuid
         from workflow_status w
        where w.status = 'DELAYED' and w.delay_until_epoch_ms <= :now
          and (w.application_name = :app
               or (w.application_name is null and w.name in (select n.value from json_each(:names) n)))
        order by w.delay_until_epoch_ms
        limit :limit)
returning workflow_uuid, queue_name

-- name: time_out_workflows
-- Whoever runs one learns it from its next write.
update workflow_status
   set status = 'CANCELLED', executor_id = null, owner_xid = null, deduplication_id = null,
       started_at_epoch_ms = null, delay_until_epoch_ms = null, completed_at = :now, updated_at = :now
 where workflow_uuid in (
       select w.workflow_uuid
         from workflow_status w
        where w.status in ('ENQUEUED', 'PENDING', 'DELAYED') and w.workflow_deadline_epoch_ms is not null
          and w.workflow_deadline_epoch_ms <= :now
          and (w.application_name = :app
               or (w.application_name is null and w.name in (select n.value from json_each(:names) n)))
        order by w.workflow_deadline_epoch_ms
        limit :limit)
returning workflow_uuid

-- name: next_due
-- The nearest of what falls due and what runs out of time, each by its own index.
select (at - :now) / 1000.0
  from (select * from (
               select w.delay_until_epoch_ms as at
                 from workflow_status w
                where w.status = 'DELAYED' and w.delay_until_epoch_ms is not null
                  and (w.application_name = :app
                       or (w.application_name is null and w.name in (select n.value from json_each(:names) n)))
                order by w.delay_until_epoch_ms
                limit 1)
        union all
        select * from (
               select w.workflow_deadline_epoch_ms
                 from workflow_status w
                where w.status in ('ENQUEUED', 'PENDING', 'DELAYED') and w.workflow_deadline_epoch_ms is not null
                  and (w.application_name = :app
                       or (w.application_name is null and w.name in (select n.value from json_each(:names) n)))
                order by w.workflow_deadline_epoch_ms
                limit 1))
 order by at
 limit 1

-- name: find_lapsed
-- Run in the transaction that then retires them, so no beat comes in between.
select e.executor_id
  from durust_executors e
  join durust_leases l on l.executor_id = e.executor_id
 where e.state <> 'DEAD' and e.supervisor_id <> :supervisor and (l.boot_id <> :boot or l.lease_until <= :boottime)
 order by l.boot_id = :boot, l.lease_until
 limit :limit

-- name: release_orphans
-- Heals what should not happen.
update workflow_status
   set status = 'ENQUEUED', queue_name = coalesce(queue_name, :internal), executor_id = null, owner_xid = null,
       started_at_epoch_ms = null
 where workflow_uuid in (
       select w.workflow_uuid
         from workflow_status w
        where w.status = 'PENDING' and substr(w.executor_id, 1, 3) = 'du:'
          and (w.application_name = :app
               or (w.application_name is null and w.name in (select n.value from json_each(:names) n)))
          and not exists (
              select 1 from durust_executors e where e.executor_id = w.executor_id and e.state <> 'DEAD')
        limit :limit)
returning workflow_uuid, queue_name

-- name: find_purgeable
-- Asked without the write lock. Walks the ends from the oldest on; who is in the way is skipped. Whose end is too old
-- and whose end has too many behind it are two questions, and one yes is enough. A fork's history names children whose
-- parent is another.
with beyond as (
    select n.completed_at, n.workflow_uuid
      from workflow_status n
     where :keep is not null and n.completed_at is not null
       and n.status in (select s.value from json_each(:statuses) s)
       and (n.application_name = :app
            or (n.application_name is null and n.name in (select k.value from json_each(:names) k)))
     order by n.completed_at desc, n.workflow_uuid desc
     limit 1 offset coalesce(:keep, 0)
), candidate as (
    select w.workflow_uuid, w.completed_at
      from workflow_status w
     where w.completed_at <= max(
               coalesce(:now - :age, -9223372036854775808),
               coalesce((select b.completed_at from beyond b), -9223372036854775808))
       and (w.completed_at <= :now - :age
            or (w.completed_at, w.workflow_uuid) <= (select b.completed_at, b.workflow_uuid from beyond b))
       and w.status in (select s.value from json_each(:statuses) s)
       and (w.application_name = :app
            or (w.application_name is null and w.name in (select n.value from json_each(:names) n)))
       and not exists (
           select 1 from workflow_status p
            where p.workflow_uuid = w.parent_workflow_id
              and coalesce(p.status, '') not in ('SUCCESS', 'ERROR', 'CANCELLED'))
       and not exists (
           select 1 from operation_outputs o join workflow_status h on h.workflow_uuid = o.workflow_uuid
            where o.child_workflow_id = w.workflow_uuid
              and coalesce(h.status, '') not in ('SUCCESS', 'ERROR', 'CANCELLED'))
       and not exists (select 1 from durust_waits s where s.target = w.workflow_uuid and s.target <> '')
     order by w.completed_at, w.workflow_uuid
     limit :limit
)
select c.workflow_uuid, c.completed_at,
       (select count(*) from operation_outputs o where o.workflow_uuid = c.workflow_uuid)
  from candidate c
 order by c.completed_at, c.workflow_uuid

-- name: pick_purgeable
-- What was found is judged again behind the write lock: who was revived meanwhile stays.
select w.workflow_uuid
  from json_each(:found) i
  join workflow_status w on w.workflow_uuid = json_extract(i.value, '$[0]')
 where w.status in (select s.value from json_each(:statuses) s)
   and w.completed_at = json_extract(i.value, '$[1]')

-- name: purge_steps
delete from operation_outputs where workflow_uuid in (select i.value from json_each(:ids) i)

-- name: purge_inputs
delete from workflow_input where workflow_uuid in (select i.value from json_each(:ids) i)

-- name: purge_outputs
delete from workflow_output where workflow_uuid in (select i.value from json_each(:ids) i)

-- name: purge_events
delete from workflow_events where workflow_uuid in (select i.value from json_each(:ids) i)

-- name: purge_past_events
delete from workflow_events_history where workflow_uuid in (select i.value from json_each(:ids) i)

-- name: purge_streams
delete from streams where workflow_uuid in (select i.value from json_each(:ids) i)

-- name: purge_messages
delete from notifications where destination_uuid in (select i.value from json_each(:ids) i)

-- name: purge_waits
delete from durust_waits where workflow_id in (select i.value from json_each(:ids) i)

-- name: purge_workflows
-- The last of them, so that a row stands for whatever else is left, however a batch ends.
delete from workflow_status where workflow_uuid in (select i.value from json_each(:ids) i)

-- name: forget_lost_waits
-- A foreign hand that deletes a workflow knows nothing of its waits, which would keep what they name from every purge. Here
-- and not in each sweep, which must not ask for ten thousand sleepers; in their way are such waits nowhere else.
delete from durust_waits
 where workflow_id in (
       select v.workflow_id
         from durust_waits v
        where not exists (select 1 from workflow_status w where w.workflow_uuid = v.workflow_id)
        limit :limit)

-- name: forget_leases
-- The first of two, so that an executor stands for whatever else is left.
delete from durust_leases
 where executor_id in (
       select e.executor_id
         from durust_executors e
        where e.state = 'DEAD' and e.app_name = :app and e.ended_at <= :now - :dead_age
          and e.executor_id not in (
              select w.executor_id from workflow_status w where w.status = 'PENDING' and w.executor_id is not null)
        order by e.ended_at, e.executor_id
        limit :limit)

-- name: forget_executors
-- Nobody asks for them any more: a run is fenced by its token, and who is unknown counts as dead.
delete from durust_executors
 where executor_id in (
       select e.executor_id
         from durust_executors e
        where e.state = 'DEAD' and e.app_name = :app and e.ended_at <= :now - :dead_age
          and e.executor_id not in (
              select w.executor_id from workflow_status w where w.status = 'PENDING' and w.executor_id is not null)
        order by e.ended_at, e.executor_id
        limit :limit)
returning executor_id

-- name: list_events
select e.key, e.value, e.serialization
  from workflow_events e
 where e.workflow_uuid = :id
 order by e.key

-- name: list_streams
select s.key, s."offset", s.value, s.serialization, s.function_id
  from streams s
 where s.workflow_uuid = :id
 order by s.key, s."offset"

-- name: read_events
select e.value, e.serialization from workflow_events e where e.workflow_uuid = :id and e.key = :key

-- name: read_streams
select t."offset", t.value, t.serialization, t.function_id
  from streams t
 where t.workflow_uuid = :id and t.key = :key and t."offset" >= :at
 order by t."offset"
 limit :limit

-- name: find_messages
select 1 from notifications n where n.destination_uuid = :id and n.topic = :topic and n.consumed = 0 limit 1

-- part: meant_rows
 where (:names is null or w.name in (select n.value from json_each(:names) n))
   and (:statuses is null or w.status in (select s.value from json_each(:statuses) s))
   and (:queues is null or w.queue_name in (select q.value from json_each(:queues) q))
   and (not :queued or (w.queue_name is not null and w.status in ('ENQUEUED', 'PENDING', 'DELAYED')))
   and (:executors is null or w.executor_id in (select e.value from json_each(:executors) e))
   and (:apps is null or w.application_name in (select a.value from json_each(:apps) a))
   and (:app is null or w.application_name = :app
        or (w.application_name is null and w.name in (select n.value from json_each(:app_workflows) n)))
   and (:versions is null or w.application_version in (select v.value from json_each(:versions) v))
   and (:versions_not is null
        or (w.application_version is not null
            and w.application_version not in (select v.value from json_each(:versions_not) v)))
   and (not :stranded
        or (w.status in ('ENQUEUED', 'DELAYED') and w.application_version is not null
            and not exists (
                select 1
                  from durust_executors e
                  join durust_versions v
                    on v.app_name = e.app_name and v.app_version = e.app_version and v.workflow_name = w.name
                   and v.workflow_version = w.application_version
                 where e.state <> 'DEAD' and e.state = 'LIVE'
                   and (w.application_name is null or w.application_name = e.app_name))))
   and (:prefixes is null
        or exists (
            select 1 from json_each(:prefixes) p where substr(w.workflow_uuid, 1, length(p.value)) = p.value))
   and (:users is null or w.authenticated_user in (select u.value from json_each(:users) u))
   and (:parents is null or w.parent_workflow_id in (select p.value from json_each(:parents) p))
   and (:has_parent is null or (w.parent_workflow_id is not null) = :has_parent)
   and (:sources is null or w.forked_from in (select f.value from json_each(:sources) f))
   and (:has_forks is null or w.was_forked_from = :has_forks)
   and (:dedups is null or w.deduplication_id in (select d.value from json_each(:dedups) d))
   and (:schedules is null or w.schedule_name in (select s.value from json_each(:schedules) s))
   and (:partitions is null or w.queue_partition_key in (select k.value from json_each(:partitions) k))
   and (:priorities is null or cast(w.priority as text) in (select k.value from json_each(:priorities) k))
   and (:attributes is null or (w.attributes is not null and durust_contains(w.attributes, :attributes)))
   and (:created_from is null or w.created_at >= :created_from)
   and (:created_before is null or w.created_at < :created_before)
   and (:started_from is null or w.started_at_epoch_ms >= :started_from)
   and (:started_before is null or w.started_at_epoch_ms < :started_before)
   and (:completed_from is null or w.completed_at >= :completed_from)
   and (:completed_before is null or w.completed_at < :completed_before)
   and (:deadline_from is null or w.workflow_deadline_epoch_ms >= :deadline_from)
   and (:deadline_before is null or w.workflow_deadline_epoch_ms < :deadline_before)

-- part: listed_columns
select w.workflow_uuid, w.name, w.status, w.queue_name, w.priority, w.deduplication_id, w.executor_id, w.owner_xid,
       w.creator_xid, w.application_name, w.application_version, coalesce(w.recovery_attempts, 0), w.created_at,
       w.updated_at, w.started_at_epoch_ms, w.completed_at, w.delay_until_epoch_ms, w.workflow_timeout_ms,
       w.workflow_deadline_epoch_ms, w.queue_partition_key, w.schedule_name, w.parent_workflow_id, w.authenticated_user,
       w.authenticated_roles, w.assumed_role, w.attributes, w.forked_from, w.was_forked_from, w.serialization,
       case when :load_input then coalesce(i.inputs, w.inputs) end,
       case when :load_output then coalesce(o.output, w.output) end,
       case when :load_output then coalesce(o.error, w.error) end

-- part: picked_rows
-- From the narrowest source that the filter allows; the other branches are not even entered.
with picked (id) as (
    select distinct w.rowid
      from json_each(:ids) i
     cross join workflow_status w on w.workflow_uuid = i.value
     union all
    select distinct w.rowid
      from json_each(:parents) p
     cross join workflow_status w on w.parent_workflow_id = p.value
     where :of_parents
     union all
    select w.rowid from workflow_status w where :pending and w.status = 'PENDING'
     union all
    select w.rowid from workflow_status w where :of_time and w.created_at >= :least and w.created_at < :most
)

-- name: list_workflows
-- For few rows, which are sorted.
-- use: picked_rows
-- use: listed_columns
  from picked p
 cross join workflow_status w on w.rowid = p.id
  left join workflow_input i on i.workflow_uuid = w.workflow_uuid and :load_input
  left join workflow_output o on o.workflow_uuid = w.workflow_uuid and :load_output
-- use: meant_rows
   and (:after_at is null
        or case when :newest_first then (w.created_at, w.workflow_uuid) < (:after_at, :after_id)
                else (w.created_at, w.workflow_uuid) > (:after_at, :after_id) end)
 order by case when not :newest_first then w.created_at end,
          case when not :newest_first then w.workflow_uuid end,
          case when :newest_first then w.created_at end desc,
          case when :newest_first then w.workflow_uuid end desc
 limit :limit offset :offset

-- name: walk_workflows
-- For a page of many rows: the index of their creation is walked until the page is full.
-- use: listed_columns
  from workflow_status w
  left join workflow_input i on i.workflow_uuid = w.workflow_uuid and :load_input
  left join workflow_output o on o.workflow_uuid = w.workflow_uuid and :load_output
-- use: meant_rows
   and w.created_at >= :least and w.created_at < :most
   and (:after_at is null or (w.created_at, w.workflow_uuid) > (:after_at, :after_id))
 order by w.created_at, w.workflow_uuid
 limit :limit offset :offset

-- name: walk_newest
-- The same from the other end.
-- use: listed_columns
  from workflow_status w
  left join workflow_input i on i.workflow_uuid = w.workflow_uuid and :load_input
  left join workflow_output o on o.workflow_uuid = w.workflow_uuid and :load_output
-- use: meant_rows
   and w.created_at >= :least and w.created_at < :most
   and (:after_at is null or (w.created_at, w.workflow_uuid) < (:after_at, :after_id))
 order by w.created_at desc, w.workflow_uuid desc
 limit :limit offset :offset

-- name: count_workflows
-- What is not counted by is NULL in every row, so it splits no group.
-- use: picked_rows
select case when :bucket is not null then w.created_at - w.created_at % :bucket end,
       case when :by_status then w.status end, case when :by_name then w.name end,
       case when :by_queue then w.queue_name end, case when :by_executor_id then w.executor_id end,
       case when :by_app_name then w.application_name end, case when :by_app_version then w.application_version end,
       count(*), min(w.completed_at - w.created_at), avg(w.completed_at - w.created_at),
       max(w.completed_at - w.created_at)
  from picked p
 cross join workflow_status w on w.rowid = p.id
-- use: meant_rows
 group by 1, 2, 3, 4, 5, 6, 7
 order by 1, 8 desc, 2, 3, 4, 5, 6, 7
 limit :limit offset :offset

-- name: count_steps
select o.function_name, count(*), count(o.error),
       min(o.completed_at_epoch_ms - o.started_at_epoch_ms), avg(o.completed_at_epoch_ms - o.started_at_epoch_ms),
       max(o.completed_at_epoch_ms - o.started_at_epoch_ms)
  from operation_outputs o
 where o.completed_at_epoch_ms >= :completed_from and o.completed_at_epoch_ms < :completed_before
   and (:names is null or o.function_name in (select n.value from json_each(:names) n))
   and (:app is null or o.application_name = :app
        or (o.application_name is null and exists (
            select 1 from workflow_status w
             where w.workflow_uuid = o.workflow_uuid
               and (w.application_name = :app
                    or (w.application_name is null and w.name in (select n.value from json_each(:app_workflows) n))))))
 group by 1
 order by 2 desc, 1
 limit :limit

-- name: list_executors
-- A lease of an earlier start of the kernel is over, whatever its number says.
select e.executor_id, e.supervisor_id, e.host, e.boot_id, e.pid_ns, e.pid, e.pid_started, e.app_name, e.app_version,
       e.state, e.registered_at, e.ended_at, e.why,
       case when l.boot_id = :boot then l.lease_until - :boottime else -1.0 end
  from durust_executors e
  join durust_leases l on l.executor_id = e.executor_id
 where e.state in (select s.value from json_each(:states) s)
   and (:ids is null or e.executor_id in (select i.value from json_each(:ids) i))
   and (:executor_boot is null or e.boot_id = :executor_boot)
   and (:supervisor is null or e.supervisor_id = :supervisor)
 order by e.executor_id

-- name: list_open_grants
select g.token from durust_grants g where g.executor_id = :executor and g.ended_at is null


-- name: list_messages
select n.message_uuid, n.destination_uuid, n.topic, n.message, n.serialization, n.created_at_epoch_ms, n.consumed,
       n.consumed_by_function_id
  from notifications n
 where n.destination_uuid = :id
 order by n.durust_seq, n.created_at_epoch_ms, n.message_uuid
-- name: read_standing
-- How things stand for one workflow: how many are queued before it, and what is taken of its queue's budgets. Beyond the
-- bound nobody counts.
with mine as (
    select w.workflow_uuid, w.queue_name, w.queue_partition_key, w.priority, w.created_at, w.application_name
      from workflow_status w
     where w.workflow_uuid = :id
), before as materialized (
    select a.queue_partition_key
      from mine m
      join workflow_status a on a.status = 'ENQUEUED' and a.queue_name = m.queue_name
       and (a.priority, a.created_at, a.workflow_uuid) < (m.priority, m.created_at, m.workflow_uuid)
       and a.application_name is m.application_name
     limit :bound
), open as materialized (
    select g.partition
      from mine m
      join durust_grants g on g.queue = m.queue_name and g.ended_at is null
      join durust_executors e on e.executor_id = g.executor_id and e.state <> 'DEAD'
), begun as materialized (
    select g.partition, g.granted_at
      from mine m
      join durust_grants g on g.queue = m.queue_name and g.is_start
       and g.granted_at > :now - max(:span, :partition_span)
)
select :now,
       (select count(*) from before),
       (select count(*) from before b where b.queue_partition_key = m.queue_partition_key),
       (select count(*) from open),
       (select count(*) from begun b where b.granted_at > :now - :span),
       (select min(b.granted_at) from begun b where b.granted_at > :now - :span),
       (select count(*) from open o where o.partition = m.queue_partition_key),
       (select count(*) from begun b
         where b.partition = m.queue_partition_key and b.granted_at > :now - :partition_span),
       (select min(b.granted_at) from begun b
         where b.partition = m.queue_partition_key and b.granted_at > :now - :partition_span)
  from mine m

-- name: count_running
-- What each executor runs of a workflow's queue, and of its partition.
select w.executor_id, count(*), count(case when w.queue_partition_key = m.queue_partition_key then 1 end)
  from workflow_status m
  join workflow_status w on w.queue_name = m.queue_name and w.status = 'PENDING'
 where m.workflow_uuid = :id and w.executor_id is not null
 group by w.executor_id
 order by w.executor_id

-- name: list_waits
select t.place, t.kind, t.target, t.key, t.at, t.until
  from durust_waits t
 where t.workflow_id = :id
 order by t.place, t.kind, t.target, t.key

-- name: list_queues
select q.name, q.worker_concurrency, q.concurrency, q.rate_limit_max, q.rate_limit_period_sec, q.priority_enabled,
       q.partition_queue, q.partition_concurrency, q.partition_worker_concurrency, q.partition_rate_limit_max,
       q.partition_rate_limit_period_sec, q.application_name,
       exists (select 1 from durust_paused_queues p where p.name = q.name)
  from queues q
 order by q.name

-- name: list_versions
with listed as (
    select v.version_name, v.version_timestamp, v.created_at
      from application_versions v
     where v.application_name = :app
     order by v.version_timestamp desc, v.created_at desc, v.version_name desc
     limit :limit
)
select l.version_name, l.version_timestamp, l.created_at,
       (select count(*) from durust_executors e
         where e.app_name = :app and e.app_version = l.version_name and e.state = 'LIVE'),
       p.workflow_name, p.workflow_version
  from listed l
  left join durust_versions p on p.app_name = :app and p.app_version = l.version_name
 order by l.version_timestamp desc, l.created_at desc, l.version_name desc, p.workflow_name

-- name: data_version
-- Changes when another connection, of this process or another, has committed.
pragma data_version

-- name: checkpoint
-- Copies what it can into the database and never resets the log: the next writer does, when nobody reads from it.
pragma wal_checkpoint(passive)

-- name: find_columns
select m.name, c.name, c.type from sqlite_master m join pragma_table_info(m.name) c where m.type in ('table', 'view')

-- name: find_missing_additions
-- Asked at every start, because a table that another library made anew has lost what durust adds to it.
select a.name
  from (select 'durust_claim' as name, 'operation_outputs' as home union all select 'durust_seq', 'notifications'
         union all select 'durust_key', 'streams') a
 where not exists (select 1 from pragma_table_info(a.home) c where c.name = a.name)
 union all
select a.name
  from (select 'durust_children' as name union all select 'durust_claim_order' union all select 'durust_debounces' union all select 'durust_schedule_runs'
         union all select 'durust_stream_keys' union all select 'durust_unread'
         union all select 'durust_notifications_seq') a
 where not exists (select 1 from sqlite_master m where m.name = a.name)

-- name: add_durust_claim
alter table operation_outputs add column durust_claim text

-- name: add_durust_seq
alter table notifications add column durust_seq integer

-- name: add_durust_key
alter table streams add column durust_key text

-- name: read_version
select v.version from dbos_migrations v

-- name: make_migrations
create table if not exists durust_migrations (number integer primary key, name text not null, applied_at integer not null)

-- name: read_migrations
select m.number from durust_migrations m

-- name: note_migration
insert into durust_migrations (number, name, applied_at) values (:number, :name, :now)
