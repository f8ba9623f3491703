-- Everything durust says to Postgres, in READ COMMITTED. A batch arrives as arrays. The guard of a run's write is
-- decided on the locked row, in `mine`: only there is a row that changed since the snapshot looked at again. Rows are
-- locked in the order of their ids, or skipped. Times are the database's.
--
-- In `mine` each row is fetched by its id, locked as it stands now, and only then judged. The `offset 0` keeps the
-- judgement out of that fetch: with it inside, a plan that was made while few rows were PENDING would walk all of those
-- for each id, for as long as the connection keeps the plan. A fetch by another key is written in the same way.
--
-- What a part of a statement has written is asked for with `in (...) is true`, which is one look into a table of hashes.
-- As a join, each row of a large batch would be sought among all of them.

-- name: register_executors
-- Executor and lease appear together, and a repeated registration changes neither.
with registered as (
    insert into durust.executors (
        executor_id, supervisor_id, host, boot_id, pid_ns, pid, pid_started, app_name, app_version, state,
        registered_at)
    select i.id, i.supervisor, i.host, i.boot, i.pid_ns, i.pid, i.pid_started, i.app, i.version, 'LIVE',
           (extract(epoch from clock_timestamp()) * 1000)::bigint
      from unnest(
           %(ids)s::text[], %(supervisors)s::text[], %(hosts)s::text[], %(boots)s::text[], %(namespaces)s::text[],
           %(pids)s::bigint[], %(started)s::double precision[], %(apps)s::text[], %(versions)s::text[])
           as i(id, supervisor, host, boot, pid_ns, pid, pid_started, app, version)
     order by i.id
        on conflict do nothing
    returning executor_id
)
insert into durust.leases (executor_id, lease_until)
select r.executor_id, clock_timestamp() + make_interval(secs => i.ttl)
  from registered r
  join unnest(%(ids)s::text[], %(ttls)s::double precision[]) as i(id, ttl) on i.id = r.executor_id

-- name: store_versions
-- A version that is known keeps its place among the others, and a new one comes after all of them, whatever the clock
-- did. Of a name that is taken the owner comes back.
with input as materialized (
    select i.id, i.app, i.name, i.executor
      from unnest(%(ids)s::text[], %(apps)s::text[], %(names)s::text[], %(executors)s::text[])
           as i(id, app, name, executor)
), moment as materialized (
    select (extract(epoch from clock_timestamp()) * 1000)::bigint as ms
), parts as (
    insert into durust.versions as v (app_name, app_version, workflow_name, workflow_version)
    select p.app, p.name, p.workflow, p.version
      from unnest(%(part_apps)s::text[], %(part_names)s::text[], %(workflows)s::text[], %(versions)s::text[])
           as p(app, name, workflow, version)
     order by p.app, p.name, p.workflow
        on conflict (app_name, app_version, workflow_name) do update
       set workflow_version = excluded.workflow_version
     where v.workflow_version <> excluded.workflow_version
), serving as (
    update durust.executors e
       set app_version = i.name
      from input i
     where e.executor_id = i.executor and e.state <> 'DEAD' and e.app_version is distinct from i.name
), stored as (
    insert into dbos.application_versions (version_id, version_name, version_timestamp, created_at, application_name)
    select i.id, i.name,
           greatest(m.ms, (select max(o.version_timestamp) + 1 from dbos.application_versions o
                            where o.application_name = i.app)),
           m.ms, i.app
      from input i
     cross join moment m
     order by i.name
        on conflict do nothing
    returning version_name, application_name
)
select s.version_name, s.application_name from stored s
 union all
select v.version_name, v.application_name
  from input i
  join dbos.application_versions v on v.version_name = i.name

-- name: promote_versions
-- Later than every other one of the application, whatever the clock did.
with mine as materialized (
    select v.version_id
      from dbos.application_versions v
     where v.application_name = %(app)s and v.version_name = %(name)s
       for no key update
)
update dbos.application_versions v
   set version_timestamp = greatest(
       (extract(epoch from clock_timestamp()) * 1000)::bigint,
       (select max(o.version_timestamp) + 1 from dbos.application_versions o where o.application_name = %(app)s))
  from mine m
 where v.version_id = m.version_id
returning v.version_name

-- name: adopt_workflows
-- Judged on the locked row: what an executor of its own version has claimed meanwhile is left to it.
with pick as materialized (
    select w.workflow_uuid, i.version
      from unnest(%(ids)s::text[], %(versions)s::text[]) as i(id, version)
      join dbos.workflow_status w on w.workflow_uuid = i.id
     where w.status in ('ENQUEUED', 'DELAYED') and w.application_version <> i.version
       and (w.application_name = %(app)s or (w.application_name is null and w.name = any(%(names)s::text[])))
       and not exists (
           select
             from durust.executors e
             join durust.versions v
               on v.app_name = e.app_name and v.app_version = e.app_version and v.workflow_name = w.name
              and v.workflow_version = w.application_version
            where e.state = 'LIVE' and (w.application_name is null or w.application_name = e.app_name))
     order by w.workflow_uuid
       for update of w skip locked
)
update dbos.workflow_status w
   set application_version = p.version, updated_at = (extract(epoch from clock_timestamp()) * 1000)::bigint
  from pick p
 where w.workflow_uuid = p.workflow_uuid
returning w.workflow_uuid, coalesce(w.queue_name, %(internal)s)

-- name: store_queues
with input as materialized (
    select i.*
      from unnest(
           %(names)s::text[], %(worker)s::integer[], %(concurrency)s::integer[], %(rates)s::integer[],
           %(periods)s::double precision[], %(prioritized)s::boolean[], %(partitioned)s::boolean[],
           %(partition)s::integer[], %(partition_worker)s::integer[], %(partition_rates)s::integer[],
           %(partition_periods)s::double precision[], %(apps)s::text[], %(keeps)s::boolean[])
           as i(name, worker, concurrency, rate, period, is_prioritized, is_partitioned, partition, partition_worker,
                partition_rate, partition_period, app, keeps)
), kept as (
    insert into dbos.queues as q (
        name, worker_concurrency, concurrency, rate_limit_max, rate_limit_period_sec, priority_enabled,
        partition_queue, partition_concurrency, partition_worker_concurrency, partition_rate_limit_max,
        partition_rate_limit_period_sec, application_name)
    select i.name, i.worker, i.concurrency, i.rate, i.period, i.is_prioritized, i.is_partitioned, i.partition,
           i.partition_worker, i.partition_rate, i.partition_period, i.app
      from input i
     where i.keeps
     order by i.name
        on conflict (name) do nothing
)
insert into dbos.queues as q (
    name, worker_concurrency, concurrency, rate_limit_max, rate_limit_period_sec, priority_enabled, partition_queue,
    partition_concurrency, partition_worker_concurrency, partition_rate_limit_max, partition_rate_limit_period_sec,
    application_name)
select i.name, i.worker, i.concurrency, i.rate, i.period, i.is_prioritized, i.is_partitioned, i.partition,
       i.partition_worker, i.partition_rate, i.partition_period, i.app
  from input i
 where not i.keeps
 order by i.name
    on conflict (name) do update
   set worker_concurrency = excluded.worker_concurrency, concurrency = excluded.concurrency,
       rate_limit_max = excluded.rate_limit_max, rate_limit_period_sec = excluded.rate_limit_period_sec,
       priority_enabled = excluded.priority_enabled, partition_queue = excluded.partition_queue,
       partition_concurrency = excluded.partition_concurrency,
       partition_worker_concurrency = excluded.partition_worker_concurrency,
       partition_rate_limit_max = excluded.partition_rate_limit_max,
       partition_rate_limit_period_sec = excluded.partition_rate_limit_period_sec,
       application_name = excluded.application_name,
       updated_at = (extract(epoch from clock_timestamp()) * 1000)::bigint

-- name: grant_running
-- Behind the definitions: what runs already takes its share of a budget that is new, and the one who runs it hears of that
-- by the audit. Where it has a share only the partition may be new. A claim that is under way right now is not seen.
insert into durust.grants as g (workflow_id, token, queue, partition, executor_id, granted_at, is_start)
select w.workflow_uuid, w.owner_xid, w.queue_name,
       case when d.partition_queue and coalesce(
                d.partition_concurrency, d.partition_worker_concurrency, d.partition_rate_limit_max) is not null
            then w.queue_partition_key end,
       w.executor_id, coalesce(w.started_at_epoch_ms, w.updated_at), not w.rate_limited
  from dbos.queues d
  join dbos.workflow_status w on w.queue_name = d.name and w.status = 'PENDING'
  join durust.executors e on e.executor_id = w.executor_id
 where d.name = any(%(names)s::text[]) and w.owner_xid is not null
   and (coalesce(d.concurrency, d.rate_limit_max) is not null
        or (d.partition_queue and coalesce(
                d.partition_concurrency, d.partition_worker_concurrency, d.partition_rate_limit_max) is not null))
 order by w.owner_xid
    on conflict (token) do update
   set partition = excluded.partition
 where g.ended_at is null and g.partition is distinct from excluded.partition

-- name: pause_queues
-- A queue that is paused twice was paused at the first time.
insert into durust.paused_queues (name, paused_at)
select q.name, (extract(epoch from clock_timestamp()) * 1000)::bigint
  from dbos.queues q
 where q.name = any(%(names)s::text[])
 order by q.name
    on conflict (name) do update set paused_at = paused_queues.paused_at
returning name

-- name: unpause_queues
with unpaused as (
    delete from durust.paused_queues p where p.name = any(%(names)s::text[])
)
select q.name from dbos.queues q where q.name = any(%(names)s::text[])

-- name: delete_queues
with unpaused as (
    delete from durust.paused_queues p where p.name = any(%(names)s::text[])
)
delete from dbos.queues q where q.name = any(%(names)s::text[]) returning q.name

-- name: store_schedules
-- What is replaced keeps its id, its context, its status and its last tick. A row of another application is left alone,
-- and nothing comes back for it. Where cron or zone change, what is passed by the new ones was never due.
with standing as (
    select s.schedule_id, s.schedule, coalesce(s.cron_timezone, 'UTC') as zone
      from dbos.workflow_schedules s
     where s.schedule_name = %(name)s
), stored as (
    insert into dbos.workflow_schedules as s (
        schedule_id, schedule_name, workflow_name, schedule, cron_timezone, context, automatic_backfill, queue_name,
        application_name, status)
    values (%(id)s, %(name)s, %(workflow)s, %(cron)s, %(zone)s, %(context)s, %(catch_up)s, %(queue)s, %(app)s, 'ACTIVE')
        on conflict (schedule_name) do update
       set workflow_name = excluded.workflow_name, schedule = excluded.schedule, cron_timezone = excluded.cron_timezone,
           automatic_backfill = excluded.automatic_backfill, queue_name = excluded.queue_name,
           application_name = excluded.application_name
     where %(replaces)s::boolean and coalesce(s.application_name, %(app)s) = %(app)s
    returning s.schedule_id
)
insert into durust.schedules as d (schedule_id, settled_until, overlap)
select s.schedule_id, (extract(epoch from clock_timestamp()) * 1000)::bigint, %(overlap)s
  from stored s
    on conflict (schedule_id) do update
   set overlap = excluded.overlap,
       settled_until = case when exists (
           select from standing t
            where t.schedule_id = d.schedule_id and (t.schedule <> %(cron)s or t.zone <> %(zone)s))
                            then greatest(d.settled_until, excluded.settled_until) else d.settled_until end
returning d.schedule_id

-- name: pause_schedules
update dbos.workflow_schedules s set status = 'PAUSED' where s.schedule_name = %(name)s returning s.schedule_id

-- name: resume_schedules
-- Whether it was paused is read from the locked row: of two that resume at once the second settles nothing.
with pick as materialized (
    select s.schedule_id, s.status
      from dbos.workflow_schedules s
     where s.schedule_name = %(name)s
       for no key update
), resumed as (
    update dbos.workflow_schedules s set status = 'ACTIVE' from pick p where s.schedule_id = p.schedule_id
), settled as (
    insert into durust.schedules as d (schedule_id, settled_until, overlap)
    select p.schedule_id, (extract(epoch from clock_timestamp()) * 1000)::bigint, 'allow'
      from pick p
     where p.status <> 'ACTIVE'
        on conflict (schedule_id) do update set settled_until = greatest(d.settled_until, excluded.settled_until)
)
select p.schedule_id from pick p

-- name: delete_schedules
with gone as (
    delete from dbos.workflow_schedules s where s.schedule_name = %(name)s returning s.schedule_id
), forgotten as (
    delete from durust.schedules d using gone g where d.schedule_id = g.schedule_id
)
select g.schedule_id from gone g

-- name: adopt_schedules
-- Another library's schedule is settled up to now, once.
insert into durust.schedules (schedule_id, settled_until, overlap)
select s.schedule_id, %(settled)s, 'allow'
  from dbos.workflow_schedules s
 where s.schedule_id = %(id)s
    on conflict do nothing
returning schedule_id

-- name: fire_ticks
-- Both rows are locked and judged as they stand then, so of two that fire one finds the schedule moved on. Whoever finds
-- it as it was read also sees, in this snapshot, what the last one that moved it has started.
with mine as materialized (
    select s.schedule_id, s.schedule_name, s.workflow_name, s.queue_name, d.overlap
      from dbos.workflow_schedules s
      join durust.schedules d on d.schedule_id = s.schedule_id
     where s.schedule_id = %(id)s and s.status = 'ACTIVE' and d.settled_until = %(expected)s
       and s.workflow_name = %(workflow)s and s.schedule = %(cron)s and s.context = %(context)s
       and s.cron_timezone is not distinct from %(zone)s::text and s.queue_name is not distinct from %(queue)s::text
       and s.automatic_backfill = %(catch_up)s::boolean
       for no key update
), moved as (
    update durust.schedules d set settled_until = %(settled)s from mine m where d.schedule_id = m.schedule_id
), tick as materialized (
    select i.id, i.time, i.inputs, i.place, m.workflow_name, m.schedule_name,
           coalesce(m.queue_name, case m.overlap when 'queue' then %(schedule_queue)s else %(internal)s end) as queue,
           case when m.queue_name is null and m.overlap = 'queue' then m.schedule_name end as partition
      from mine m
     cross join unnest(%(ids)s::text[], %(times)s::text[], %(inputs)s::text[]) with ordinality
           as i(id, time, inputs, place)
     where m.overlap <> 'skip'
        or (i.place = 1 and not exists (
            select from dbos.workflow_status w
             where w.schedule_name = m.schedule_name and w.status in ('ENQUEUED', 'DELAYED', 'PENDING')))
), noted as (
    update dbos.workflow_schedules s
       set last_fired_at = t.time
      from mine m
     cross join (select max(k.time) as time from tick k) t
     where s.schedule_id = m.schedule_id and t.time is not null
), moment as materialized (
    select (extract(epoch from clock_timestamp()) * 1000)::bigint as ms
), started as (
    insert into dbos.workflow_status (
        workflow_uuid, status, name, queue_name, priority, application_name, serialization, creator_xid,
        recovery_attempts, created_at, updated_at, queue_partition_key, schedule_name)
    select t.id, 'ENQUEUED', t.workflow_name, t.queue, 0, %(app)s, 'portable_json', %(creator)s, 0, n.ms, n.ms,
           t.partition, t.schedule_name
      from tick t
     cross join moment n
     order by t.place
        on conflict do nothing
    returning workflow_uuid
), stored as (
    insert into dbos.workflow_input (workflow_uuid, inputs)
    select t.id, t.inputs
      from tick t
     where t.id in (select s.workflow_uuid from started s)
        on conflict (workflow_uuid) do update
       set inputs = excluded.inputs, retention_timestamp = excluded.retention_timestamp
)
select m.schedule_id, s.workflow_uuid
  from mine m
  left join started s on true
 order by s.workflow_uuid

-- name: list_schedules
-- In the order of their ids, in which whoever fires locks them. The time comes also where there is no schedule.
with moment as materialized (
    select (extract(epoch from clock_timestamp()) * 1000)::bigint as ms
)
select m.ms, s.schedule_id, s.schedule_name, s.workflow_name, s.schedule, s.cron_timezone, s.context, s.status,
       s.automatic_backfill, s.queue_name, s.application_name, s.last_fired_at, coalesce(d.overlap, 'allow'),
       d.settled_until
  from moment m
  left join dbos.workflow_schedules s on true
  left join durust.schedules d on d.schedule_id = s.schedule_id
 order by s.schedule_id

-- name: start_workflows
-- A direct start holds its executor's row until it has committed, so a retirement either sees the new workflow or
-- comes first and refuses it. Who holds a deduplication id is told from here, because the batch may end him later on.
with live as materialized (
    select e.executor_id
      from durust.executors e
     where e.executor_id = any(%(executors)s::text[]) and e.state = 'LIVE'
     order by e.executor_id
       for share
), moment as materialized (
    select (extract(epoch from clock_timestamp()) * 1000)::bigint as ms
), input as materialized (
    select i.*
      from unnest(
           %(ids)s::text[], %(names)s::text[], %(queues)s::text[], %(priorities)s::integer[], %(dedups)s::text[],
           %(delays)s::bigint[], %(versions)s::text[], %(apps)s::text[], %(formats)s::text[], %(creators)s::text[],
           %(executors)s::text[], %(tokens)s::text[], %(timeouts)s::bigint[], %(deadlines)s::bigint[],
           %(partitions)s::text[], %(schedules)s::text[], %(parents)s::text[], %(users)s::text[], %(roles)s::text[],
           %(attributes)s::text[], %(inputs)s::text[]) with ordinality
           as i(id, name, queue, priority, dedup, delay, version, app, format, creator, executor, token, timeout,
                deadline, partition, schedule, parent, "user", roles, attributes, inputs, place)
), started as (
    insert into dbos.workflow_status (
        workflow_uuid, status, name, queue_name, priority, deduplication_id, delay_until_epoch_ms, application_version,
        application_name, serialization, creator_xid, executor_id, owner_xid, recovery_attempts, created_at, updated_at,
        workflow_timeout_ms, workflow_deadline_epoch_ms, queue_partition_key, schedule_name, parent_workflow_id,
        authenticated_user, authenticated_roles, attributes)
    select i.id,
           case when i.executor is not null then 'PENDING' when i.delay > 0 then 'DELAYED' else 'ENQUEUED' end,
           i.name, i.queue, i.priority, i.dedup, case when i.delay > 0 then m.ms + i.delay end, i.version,
           i.app, i.format, i.creator, i.executor, i.token, case when i.executor is null then 0 else 1 end, m.ms, m.ms,
           i.timeout,
           coalesce(i.deadline, case when i.executor is not null and i.timeout is not null
                                     then m.ms + least(i.timeout, 9223372036854775807 - m.ms) end),
           i.partition, i.schedule, i.parent, i."user", i.roles, i.attributes::jsonb
      from input i
     cross join moment m
     where i.executor is null or i.executor in (select l.executor_id from live l)
     order by i.place
        on conflict do nothing
    returning workflow_uuid, created_at
), stored as (
    insert into dbos.workflow_input (workflow_uuid, inputs, retention_timestamp)
    select i.id, i.inputs, (select m.ms from moment m)
      from input i
     where (i.id in (select s.workflow_uuid from started s)) is true
        on conflict (workflow_uuid) do update
       set inputs = excluded.inputs, retention_timestamp = excluded.retention_timestamp
)
select s.workflow_uuid, s.created_at, null from started s
 union all
select i.id, null, d.workflow_uuid
  from input i
 cross join lateral (
       select s.workflow_uuid
         from dbos.workflow_status s
        where s.queue_name = i.queue and s.deduplication_id = i.dedup
       offset 0) d
 where i.dedup is not null
   and not exists (select from dbos.workflow_status w where w.workflow_uuid = i.id)

-- name: start_children
-- The parent's row is held until child and link have committed, so none of them is there once its cancel has. The link
-- leads to what was inserted here, to a workflow of the child's name that has its id, or where it attaches to one that
-- holds its deduplication id; nothing else is linked, and of what is not nothing is inserted.
with mine as materialized (
    select i.*, w.application_name as parent_app
      from (
           select i.*
             from unnest(
                  %(ids)s::text[], %(tokens)s::text[], %(executors)s::text[], %(afters)s::integer[],
                  %(places)s::integer[], %(started)s::bigint[], %(completed)s::bigint[], %(attaching)s::boolean[],
                  %(children)s::text[], %(names)s::text[], %(queues)s::text[], %(priorities)s::integer[],
                  %(dedups)s::text[], %(delays)s::bigint[], %(versions)s::text[], %(apps)s::text[],
                  %(formats)s::text[], %(creators)s::text[], %(timeouts)s::bigint[], %(deadlines)s::bigint[],
                  %(partitions)s::text[], %(schedules)s::text[], %(users)s::text[], %(roles)s::text[],
                  %(attributes)s::text[], %(inputs)s::text[]) with ordinality
                  as i(id, token, executor, after, place, started, completed, attaches, child, name, queue, priority,
                       dedup, delay, version, app, format, creator, timeout, deadline, partition, schedule, "user",
                       roles, attributes, inputs, number)
            order by i.id) i
     cross join lateral (
           select s.status, s.executor_id, s.owner_xid, s.application_name
             from dbos.workflow_status s
            where s.workflow_uuid = i.id
           offset 0
              for share) w
     where w.status = 'PENDING' and w.executor_id = i.executor and w.owner_xid = i.token
       and (i.after is null or (
            select o.function_id from dbos.operation_outputs o
             where o.workflow_uuid = i.id and o.function_id = i.after) is not null)
       and (select o.function_id from dbos.operation_outputs o
             where o.workflow_uuid = i.id and o.function_id = i.place) is null
), moment as materialized (
    select (extract(epoch from clock_timestamp()) * 1000)::bigint as ms
), started as (
    insert into dbos.workflow_status (
        workflow_uuid, status, name, queue_name, priority, deduplication_id, delay_until_epoch_ms, application_version,
        application_name, serialization, creator_xid, recovery_attempts, created_at, updated_at, workflow_timeout_ms,
        workflow_deadline_epoch_ms, queue_partition_key, schedule_name, parent_workflow_id, authenticated_user,
        authenticated_roles, attributes)
    select m.child, case when m.delay > 0 then 'DELAYED' else 'ENQUEUED' end, m.name, m.queue, m.priority, m.dedup,
           case when m.delay > 0 then n.ms + m.delay end, m.version, m.app, m.format, m.creator, 0, n.ms, n.ms,
           m.timeout, m.deadline, m.partition, m.schedule, m.id, m."user", m.roles, m.attributes::jsonb
      from mine m
     cross join moment n
     order by m.number
        on conflict do nothing
    returning workflow_uuid, creator_xid
), stored as (
    insert into dbos.workflow_input (workflow_uuid, inputs)
    select m.child, m.inputs
      from mine m
     where (m.creator in (select s.creator_xid from started s)) is true
        on conflict (workflow_uuid) do update
       set inputs = excluded.inputs, retention_timestamp = excluded.retention_timestamp
), linked as (
    select m.*, case when m.is_started then m.child else coalesce(w.workflow_uuid, d.workflow_uuid) end as link
      from (select i.*, (i.creator in (select s.creator_xid from started s)) is true as is_started from mine i) m
      left join dbos.workflow_status w on w.workflow_uuid = m.child
      left join dbos.workflow_status d on d.queue_name = m.queue and d.deduplication_id = m.dedup
     where m.is_started or w.name = m.name
        or (m.attaches and w.workflow_uuid is null and d.name = m.name)
)
insert into dbos.operation_outputs (
    workflow_uuid, function_id, function_name, output, serialization, child_workflow_id, started_at_epoch_ms,
    completed_at_epoch_ms, application_name, durust_claim)
select l.id, l.place, l.name, to_json(l.link)::text, 'portable_json', l.link, l.started, l.completed, l.parent_app,
       l.token
  from linked l
    on conflict (workflow_uuid, function_id) do nothing
returning workflow_uuid, function_id, child_workflow_id

-- name: queue_overdue
-- First of two statements: a debounced run that is due leaves its key to the next one, whether a sweep has come by or
-- not. What somebody holds is left: the second statement waits for him.
with found as materialized (
    select w.workflow_uuid
      from unnest(%(queues)s::text[], %(dedups)s::text[], %(names)s::text[], %(apps)s::text[])
           as i(queue, dedup, name, app)
     cross join lateral (
           select s.workflow_uuid, s.status, s.is_debounced, s.name, s.application_name
             from dbos.workflow_status s
            where s.queue_name = i.queue and s.deduplication_id = i.dedup
           offset 0) w
     where w.status = 'DELAYED' and w.is_debounced and w.name = i.name
       and (w.application_name = i.app or w.application_name is null)
     order by w.workflow_uuid
), pick as materialized (
    select f.workflow_uuid
      from found f
     cross join lateral (
           select s.status, s.deduplication_id, s.delay_until_epoch_ms
             from dbos.workflow_status s
            where s.workflow_uuid = f.workflow_uuid
           offset 0
              for no key update skip locked) w
     where w.status = 'DELAYED' and w.deduplication_id is not null
       and coalesce(w.delay_until_epoch_ms, 0) <= (extract(epoch from clock_timestamp()) * 1000)::bigint
)
update dbos.workflow_status w
   set status = 'ENQUEUED', delay_until_epoch_ms = null, deduplication_id = null,
       updated_at = (extract(epoch from clock_timestamp()) * 1000)::bigint
  from pick p
 where w.workflow_uuid = p.workflow_uuid

-- name: debounce_workflows
-- Second of two statements: the run that waits under the key takes over what the call says, decided on the locked row;
-- where none waits, a new one begins to. The row keeps the creator of its last write: by that a write which comes again
-- is recognized, whatever became of the run since. Of two first calls one waits here for the other's commit and gets no
-- answer; sent again, it finds him waiting. Who else holds the key is told from here, because the batch may end him
-- later on.
with input as materialized (
    select i.*
      from unnest(
           %(ids)s::text[], %(names)s::text[], %(queues)s::text[], %(priorities)s::integer[], %(dedups)s::text[],
           %(versions)s::text[], %(apps)s::text[], %(formats)s::text[], %(creators)s::text[], %(timeouts)s::bigint[],
           %(deadlines)s::bigint[], %(partitions)s::text[], %(schedules)s::text[], %(parents)s::text[],
           %(users)s::text[], %(roles)s::text[], %(attributes)s::text[], %(inputs)s::text[], %(periods)s::bigint[],
           %(limits)s::bigint[])
           as i(id, name, queue, priority, dedup, version, app, format, creator, timeout, deadline, partition, schedule,
                parent, "user", roles, attributes, inputs, period, most)
), own as materialized (
    select i.creator, w.workflow_uuid
      from input i
     cross join lateral (
           select s.workflow_uuid
             from dbos.workflow_status s
            where s.creator_xid = i.creator and s.is_debounced
           offset 0) w
), found as materialized (
    select i.*, w.workflow_uuid
      from input i
     cross join lateral (
           select s.workflow_uuid, s.status, s.is_debounced, s.name, s.application_name
             from dbos.workflow_status s
            where s.queue_name = i.queue and s.deduplication_id = i.dedup
           offset 0) w
     where i.creator not in (select o.creator from own o) and w.status = 'DELAYED' and w.is_debounced and w.name = i.name
       and (w.application_name = i.app or w.application_name is null)
     order by w.workflow_uuid
), waiting as materialized (
    select f.*
      from found f
     cross join lateral (
           select s.status, s.deduplication_id, s.delay_until_epoch_ms, s.creator_xid
             from dbos.workflow_status s
            where s.workflow_uuid = f.workflow_uuid
           offset 0
              for no key update) w
     where w.status = 'DELAYED' and w.deduplication_id = f.dedup
       and w.delay_until_epoch_ms > (extract(epoch from clock_timestamp()) * 1000)::bigint
       and w.creator_xid is distinct from f.creator
), moment as materialized (
    select (extract(epoch from clock_timestamp()) * 1000)::bigint as ms
), bounced as (
    update dbos.workflow_status w
       set delay_until_epoch_ms = least(m.ms + i.period, w.debounce_deadline_epoch_ms), creator_xid = i.creator,
           application_name = i.app, application_version = i.version, serialization = i.format, priority = i.priority,
           workflow_timeout_ms = i.timeout, workflow_deadline_epoch_ms = i.deadline, queue_partition_key = i.partition,
           schedule_name = i.schedule, parent_workflow_id = i.parent, authenticated_user = i."user",
           authenticated_roles = i.roles, attributes = i.attributes::jsonb, updated_at = m.ms
      from waiting i
     cross join moment m
     where w.workflow_uuid = i.workflow_uuid
    returning i.creator, w.workflow_uuid
), started as (
    insert into dbos.workflow_status (
        workflow_uuid, status, name, queue_name, priority, deduplication_id, delay_until_epoch_ms, application_version,
        application_name, serialization, creator_xid, recovery_attempts, created_at, updated_at, workflow_timeout_ms,
        workflow_deadline_epoch_ms, queue_partition_key, schedule_name, parent_workflow_id, authenticated_user,
        authenticated_roles, attributes, is_debounced, debounce_deadline_epoch_ms)
    select i.id, 'DELAYED', i.name, i.queue, i.priority, i.dedup, m.ms + least(i.period, i.most), i.version, i.app,
           i.format, i.creator, 0, m.ms, m.ms, i.timeout, i.deadline, i.partition, i.schedule, i.parent, i."user",
           i.roles, i.attributes::jsonb, true, m.ms + i.most
      from input i
     cross join moment m
     where i.creator not in (select o.creator from own o) and i.creator not in (select f.creator from found f)
     order by i.queue, i.dedup
        on conflict do nothing
    returning creator_xid, workflow_uuid
), written (creator, workflow_uuid) as (
    select b.creator, b.workflow_uuid from bounced b
     union all
    select s.creator_xid, s.workflow_uuid from started s
), stored as (
    insert into dbos.workflow_input (workflow_uuid, inputs)
    select w.workflow_uuid, i.inputs
      from written w
      join input i on i.creator = w.creator
        on conflict (workflow_uuid) do update
       set inputs = excluded.inputs, retention_timestamp = excluded.retention_timestamp
)
select o.creator, o.workflow_uuid, null from own o
 union all
select w.creator, w.workflow_uuid, null from written w
 union all
select i.creator, null, d.workflow_uuid
  from input i
  join dbos.workflow_status d on d.queue_name = i.queue and d.deduplication_id = i.dedup
 where i.creator not in (select o.creator from own o) and i.creator not in (select f.creator from found f)
   and not exists (select from dbos.workflow_status w where w.workflow_uuid = i.id)

-- name: lock_delayed
-- First of two statements. What the second one looks at stands beside the row, in durust.waits, and only a snapshot that
-- was taken under the row's lock shows it as it belongs to the row.
select w.workflow_uuid, w.status
  from dbos.workflow_status w
 where w.workflow_uuid = any(%(ids)s::text[])
 order by w.workflow_uuid
   for no key update

-- name: set_delays
-- Second of two statements. A parked run waits for something else than a delay, so it is left alone. The status is
-- checked as in wake_parked.
with moment as materialized (
    select (extract(epoch from clock_timestamp()) * 1000)::bigint as ms
)
update dbos.workflow_status w
   set status = case when i.delay > 0 then 'DELAYED' else 'ENQUEUED' end,
       delay_until_epoch_ms = case when i.delay > 0 then m.ms + i.delay end,
       queue_name = coalesce(w.queue_name, %(internal)s),
       deduplication_id = case when i.delay <= 0 and w.is_debounced then null else w.deduplication_id end,
       updated_at = m.ms
  from unnest(%(ids)s::text[], %(delays)s::bigint[]) as i(id, delay)
 cross join moment m
 where w.workflow_uuid = i.id and coalesce(w.status, '') = 'DELAYED'
   and not exists (select from durust.waits s where s.workflow_id = w.workflow_uuid)
returning w.workflow_uuid

-- part: merged_attributes
-- What another library left there and is no object counts as none. What null takes away is taken out at last.
       nullif(
           (case when jsonb_typeof(w.attributes) = 'object' then w.attributes else '{}'::jsonb end || p.patch)
           - array(select e.key from jsonb_each(p.patch) e where e.value = 'null'::jsonb),
           '{}'::jsonb),

-- name: set_attributes
with pick as materialized (
    select i.id, i.patch
      from (
           select i.id, i.patch::jsonb as patch
             from unnest(%(ids)s::text[], %(patches)s::text[]) as i(id, patch)
            order by i.id) i
     cross join lateral (
           select s.workflow_uuid
             from dbos.workflow_status s
            where s.workflow_uuid = i.id
           offset 0
              for no key update) w
)
update dbos.workflow_status w
   set attributes =
       -- use: merged_attributes
       updated_at = (extract(epoch from clock_timestamp()) * 1000)::bigint
  from pick p
 where w.workflow_uuid = p.id
returning w.workflow_uuid

-- name: assume_roles
with mine as materialized (
    select i.id, i.role
      from (
           select i.*
             from unnest(%(ids)s::text[], %(tokens)s::text[], %(executors)s::text[], %(roles)s::text[])
                  as i(id, token, executor, role)
            order by i.id) i
     cross join lateral (
           select s.status, s.executor_id, s.owner_xid
             from dbos.workflow_status s
            where s.workflow_uuid = i.id
           offset 0
              for no key update) w
     where w.status = 'PENDING' and w.executor_id = i.executor and w.owner_xid = i.token
)
update dbos.workflow_status w set assumed_role = m.role from mine m where w.workflow_uuid = m.id returning w.workflow_uuid

-- name: record_attributes
-- The attributes change only where their record was inserted: a batch that comes again changes nothing.
with mine as materialized (
    select i.*, w.application_name
      from (
           select i.*
             from unnest(
                  %(ids)s::text[], %(tokens)s::text[], %(executors)s::text[], %(afters)s::integer[],
                  %(places)s::integer[], %(names)s::text[], %(patches)s::text[], %(started)s::bigint[],
                  %(completed)s::bigint[])
                  as i(id, token, executor, after, place, name, patch, started, completed)
            order by i.id) i
     cross join lateral (
           select s.status, s.executor_id, s.owner_xid, s.application_name
             from dbos.workflow_status s
            where s.workflow_uuid = i.id
           offset 0
              for no key update) w
     where w.status = 'PENDING' and w.executor_id = i.executor and w.owner_xid = i.token
       and (i.after is null or (
            select o.function_id from dbos.operation_outputs o
             where o.workflow_uuid = i.id and o.function_id = i.after) is not null)
), recorded as (
    insert into dbos.operation_outputs (
        workflow_uuid, function_id, function_name, serialization, started_at_epoch_ms, completed_at_epoch_ms,
        application_name, durust_claim)
    select m.id, m.place, m.name, 'portable_json', m.started, m.completed, m.application_name, m.token
      from mine m
        on conflict (workflow_uuid, function_id) do nothing
    returning workflow_uuid, function_id
), patched as materialized (
    select m.id, m.place, m.patch::jsonb as patch
      from mine m
     where ((m.id, m.place) in (select r.workflow_uuid, r.function_id from recorded r)) is true
)
update dbos.workflow_status w
   set attributes =
       -- use: merged_attributes
       updated_at = (extract(epoch from clock_timestamp()) * 1000)::bigint
  from patched p
 where w.workflow_uuid = p.id
returning w.workflow_uuid, p.place

-- name: record_steps
-- The scalar subselect of the chain condition is one index probe; as an EXISTS it was planned as a hashed scan. The
-- column's own default for the last value takes half a microsecond for each row, this takes one for all of them.
with mine as materialized (
    select i.*, w.application_name
      from (
           select i.*
             from unnest(
                  %(ids)s::text[], %(tokens)s::text[], %(executors)s::text[], %(afters)s::integer[],
                  %(places)s::integer[], %(names)s::text[], %(outputs)s::text[], %(errors)s::text[],
                  %(formats)s::text[], %(started)s::bigint[], %(completed)s::bigint[])
                  as i(id, token, executor, after, place, name, output, error, format, started, completed)
            order by i.id) i
     cross join lateral (
           select s.status, s.executor_id, s.owner_xid, s.application_name
             from dbos.workflow_status s
            where s.workflow_uuid = i.id
           offset 0
              for share) w
     where w.status = 'PENDING' and w.executor_id = i.executor and w.owner_xid = i.token
       and (i.after is null or (
            select o.function_id from dbos.operation_outputs o
             where o.workflow_uuid = i.id and o.function_id = i.after) is not null)
)
insert into dbos.operation_outputs (
    workflow_uuid, function_id, function_name, output, error, serialization, started_at_epoch_ms,
    completed_at_epoch_ms, application_name, durust_claim, retention_timestamp)
select m.id, m.place, m.name, m.output, m.error, m.format, m.started, m.completed, m.application_name, m.token,
       (select (extract(epoch from clock_timestamp()) * 1000)::bigint)
  from mine m
    on conflict (workflow_uuid, function_id) do nothing
returning workflow_uuid, function_id

-- name: record_sleeps
-- The instant is computed once a row, so output and completion name the same one.
with mine as materialized (
    select i.*, w.application_name
      from (
           select i.*
             from unnest(
                  %(ids)s::text[], %(tokens)s::text[], %(executors)s::text[], %(afters)s::integer[],
                  %(places)s::integer[], %(names)s::text[], %(lasting)s::bigint[], %(floors)s::bigint[])
                  as i(id, token, executor, after, place, name, lasting, floor)
            order by i.id) i
     cross join lateral (
           select s.status, s.executor_id, s.owner_xid, s.application_name
             from dbos.workflow_status s
            where s.workflow_uuid = i.id
           offset 0
              for share) w
     where w.status = 'PENDING' and w.executor_id = i.executor and w.owner_xid = i.token
       and (i.after is null or (
            select o.function_id from dbos.operation_outputs o
             where o.workflow_uuid = i.id and o.function_id = i.after) is not null)
), moment as materialized (
    select (extract(epoch from clock_timestamp()) * 1000)::bigint as ms
)
insert into dbos.operation_outputs (
    workflow_uuid, function_id, function_name, output, serialization, started_at_epoch_ms, completed_at_epoch_ms,
    application_name, durust_claim)
select m.id, m.place, m.name, round((n.ms + m.lasting) / 1000.0, 3)::text, 'portable_json', n.ms, n.ms + m.lasting,
       m.application_name, m.token
  from mine m
 cross join lateral (select greatest(o.ms, m.floor) as ms from moment o) n
    on conflict (workflow_uuid, function_id) do nothing
returning workflow_uuid, function_id, output

-- name: set_events
-- Whoever parks until an event comes locks the row that it is to come from, so the row is locked as for a change. The
-- value stands only where its record was inserted: a batch that comes again changes nothing. Of several values of a key
-- that of the highest place stands, whichever was committed last.
with mine as materialized (
    select i.*, w.application_name
      from (
           select i.*
             from unnest(
                  %(ids)s::text[], %(tokens)s::text[], %(executors)s::text[], %(afters)s::integer[],
                  %(places)s::integer[], %(names)s::text[], %(keys)s::text[], %(texts)s::text[], %(formats)s::text[],
                  %(started)s::bigint[], %(completed)s::bigint[]) with ordinality
                  as i(id, token, executor, after, place, name, key, text, format, started, completed, number)
            order by i.id) i
     cross join lateral (
           select s.status, s.executor_id, s.owner_xid, s.application_name
             from dbos.workflow_status s
            where s.workflow_uuid = i.id
           offset 0
              for no key update) w
     where w.status = 'PENDING' and w.executor_id = i.executor and w.owner_xid = i.token
       and (i.after is null or (
            select o.function_id from dbos.operation_outputs o
             where o.workflow_uuid = i.id and o.function_id = i.after) is not null)
), recorded as (
    insert into dbos.operation_outputs (
        workflow_uuid, function_id, function_name, serialization, started_at_epoch_ms, completed_at_epoch_ms,
        application_name, durust_claim)
    select m.id, m.place, m.name, 'portable_json', m.started, m.completed, m.application_name, m.token
      from mine m
        on conflict (workflow_uuid, function_id) do nothing
    returning workflow_uuid, function_id
), new as materialized (
    select m.id, m.place, m.key, m.text, m.format
      from mine m
     where ((m.id, m.place) in (select r.workflow_uuid, r.function_id from recorded r)) is true
), kept as (
    insert into dbos.workflow_events_history (workflow_uuid, function_id, key, value, serialization)
    select n.id, n.place, n.key, n.text, n.format
      from new n
), stored as (
    insert into dbos.workflow_events (workflow_uuid, key, value, serialization)
    select distinct on (n.id, n.key) n.id, n.key, n.text, n.format
      from new n
     where not exists (
           select from dbos.workflow_events_history h
            where h.workflow_uuid = n.id and h.function_id > n.place and h.key = n.key)
     order by n.id, n.key, n.place desc
        on conflict (workflow_uuid, key) do update
       set value = excluded.value, serialization = excluded.serialization
)
select r.workflow_uuid, r.function_id from recorded r

-- name: append_streams
-- Locked as in set_events. The row's lock also lets only one batch at a time ask for the end of a stream. A stream ends
-- with the entry that is written here, or as other libraries of the family write it. What comes behind the end comes back
-- as such, unless it is recorded already.
with mine as materialized (
    select i.*, w.application_name
      from (
           select i.*
             from unnest(
                  %(ids)s::text[], %(tokens)s::text[], %(executors)s::text[], %(afters)s::integer[],
                  %(places)s::integer[], %(names)s::text[], %(keys)s::text[], %(texts)s::text[], %(formats)s::text[],
                  %(started)s::bigint[], %(completed)s::bigint[]) with ordinality
                  as i(id, token, executor, after, place, name, key, text, format, started, completed, number)
            order by i.id) i
     cross join lateral (
           select s.status, s.executor_id, s.owner_xid, s.application_name
             from dbos.workflow_status s
            where s.workflow_uuid = i.id
           offset 0
              for no key update) w
     where w.status = 'PENDING' and w.executor_id = i.executor and w.owner_xid = i.token
       and (i.after is null or (
            select o.function_id from dbos.operation_outputs o
             where o.workflow_uuid = i.id and o.function_id = i.after) is not null)
), judged as materialized (
    select m.*, e.last,
           coalesce(e.value in ('"__DBOS_STREAM_CLOSED__"', '__DBOS_STREAM_CLOSED__'), false)
           or coalesce(bool_or(m.text is null) over (
               partition by m.id, m.key order by m.number rows between unbounded preceding and 1 preceding), false)
           as is_closed
      from mine m
      left join lateral (
           select s."offset" as last, s.value
             from dbos.streams s
            where s.workflow_uuid = m.id and s.key = m.key
            order by s."offset" desc
            limit 1) e on true
     where (select o.function_id from dbos.operation_outputs o
             where o.workflow_uuid = m.id and o.function_id = m.place) is null
), recorded as (
    insert into dbos.operation_outputs (
        workflow_uuid, function_id, function_name, serialization, started_at_epoch_ms, completed_at_epoch_ms,
        application_name, durust_claim)
    select j.id, j.place, j.name, 'portable_json', j.started, j.completed, j.application_name, j.token
      from judged j
     where j.text is null or not j.is_closed
        on conflict (workflow_uuid, function_id) do nothing
    returning workflow_uuid, function_id
), appended as (
    insert into dbos.streams (workflow_uuid, key, "offset", value, serialization, function_id, durust_key)
    select j.id, j.key, coalesce(j.last, -1) + row_number() over (partition by j.id, j.key order by j.number),
           coalesce(j.text, '"__DBOS_STREAM_CLOSED__"'), j.format, j.place, j.id || '/' || j.place || '/0'
      from judged j
     where not j.is_closed and ((j.id, j.place) in (select r.workflow_uuid, r.function_id from recorded r)) is true
)
select r.workflow_uuid, r.function_id, false from recorded r
 union all
select j.id, j.place, true from judged j where j.is_closed and j.text is not null

-- name: take_turn
-- Before anything else is locked, so nobody who waits here is waited for.
select pg_advisory_xact_lock(%(lock)s::bigint)

-- name: lock_workflows
-- First statement of a batch that touches rows of others as well: all that it knows of, in the order of their ids, so
-- that two such batches wait for each other and never in a circle.
select l.workflow_uuid
  from (select distinct i.id from unnest(%(ids)s::text[]) as i(id) order by i.id) i
 cross join lateral (
       select s.workflow_uuid
         from dbos.workflow_status s
        where s.workflow_uuid = i.id
       offset 0
          for no key update) l

-- name: record_sends
-- A message is sent where its record was written, and both only where each destination is there. Its row is held, so
-- that the numbers of one workflow's messages follow the order of the commits, and so that whoever parks for one sees
-- either the message or this transaction. A row comes back for each that was recorded, or names who is not there.
with mine as materialized (
    select i.*, w.application_name
      from (
           select i.*
             from unnest(
                  %(ids)s::text[], %(tokens)s::text[], %(executors)s::text[], %(afters)s::integer[],
                  %(places)s::integer[], %(names)s::text[], %(started)s::bigint[], %(completed)s::bigint[])
                  as i(id, token, executor, after, place, name, started, completed)
            order by i.id) i
     cross join lateral (
           select s.status, s.executor_id, s.owner_xid, s.application_name
             from dbos.workflow_status s
            where s.workflow_uuid = i.id
           offset 0
              for share) w
     where w.status = 'PENDING' and w.executor_id = i.executor and w.owner_xid = i.token
       and (i.after is null or (
            select o.function_id from dbos.operation_outputs o
             where o.workflow_uuid = i.id and o.function_id = i.after) is not null)
), letter as materialized (
    select i.*
      from unnest(
           %(letter_owners)s::text[], %(letter_places)s::integer[], %(letter_ids)s::text[], %(letter_targets)s::text[],
           %(letter_topics)s::text[], %(letter_texts)s::text[], %(letter_formats)s::text[]) with ordinality
           as i(owner, place, id, target, topic, text, format, number)
), target as materialized (
    select w.workflow_uuid
      from (select distinct l.target from letter l order by l.target) t
     cross join lateral (
           select s.workflow_uuid
             from dbos.workflow_status s
            where s.workflow_uuid = t.target
           offset 0
              for no key update) w
), lost as materialized (
    select l.owner, l.place, min(l.target collate "C") as target
      from letter l
     where (l.target in (select t.workflow_uuid from target t)) is not true
     group by l.owner, l.place
), recorded as (
    insert into dbos.operation_outputs (
        workflow_uuid, function_id, function_name, output, serialization, started_at_epoch_ms, completed_at_epoch_ms,
        application_name, durust_claim)
    select m.id, m.place, m.name, null, 'portable_json', m.started, m.completed, m.application_name, m.token
      from mine m
     where not exists (select from lost x where x.owner = m.id and x.place = m.place)
        on conflict (workflow_uuid, function_id) do nothing
    returning workflow_uuid, function_id
), sent as (
    insert into dbos.notifications (
        message_uuid, destination_uuid, topic, message, serialization, created_at_epoch_ms)
    select l.id, l.target, l.topic, l.text, l.format, (extract(epoch from clock_timestamp()) * 1000)::bigint
      from letter l
     where ((l.owner, l.place) in (select r.workflow_uuid, r.function_id from recorded r)) is true
     order by l.number
        on conflict (message_uuid) do nothing
)
select r.workflow_uuid, r.function_id, null from recorded r
 union all
select m.id, m.place, x.target
  from mine m
  join lost x on x.owner = m.id and x.place = m.place
 where not exists (
       select from dbos.operation_outputs o where o.workflow_uuid = m.id and o.function_id = m.place)

-- name: send_messages
-- As record_sends sends them. What has the number of one write goes together or not at all; a row comes back for each
-- that cannot go, with who is not there.
with letter as materialized (
    select i.*
      from unnest(
           %(writes)s::integer[], %(letter_ids)s::text[], %(letter_targets)s::text[], %(letter_topics)s::text[],
           %(letter_texts)s::text[], %(letter_formats)s::text[]) with ordinality
           as i(write, id, target, topic, text, format, number)
), target as materialized (
    select w.workflow_uuid
      from (select distinct l.target from letter l order by l.target) t
     cross join lateral (
           select s.workflow_uuid
             from dbos.workflow_status s
            where s.workflow_uuid = t.target
           offset 0
              for no key update) w
), lost as materialized (
    select l.write, min(l.target collate "C") as target
      from letter l
     where (l.target in (select t.workflow_uuid from target t)) is not true
     group by l.write
), sent as (
    insert into dbos.notifications (
        message_uuid, destination_uuid, topic, message, serialization, created_at_epoch_ms)
    select l.id, l.target, l.topic, l.text, l.format, (extract(epoch from clock_timestamp()) * 1000)::bigint
      from letter l
     where not exists (select from lost x where x.write = l.write)
     order by l.number
        on conflict (message_uuid) do nothing
)
select x.write, x.target from lost x

-- name: lend_messages
-- As send_messages, in a transaction of the caller's. It may last, so the rows of the receivers are not held, and the
-- numbers follow the order of the sends: what is committed late is received late.
with letter as materialized (
    select i.*
      from unnest(
           %(writes)s::integer[], %(letter_ids)s::text[], %(letter_targets)s::text[], %(letter_topics)s::text[],
           %(letter_texts)s::text[], %(letter_formats)s::text[]) with ordinality
           as i(write, id, target, topic, text, format, number)
), lost as materialized (
    select l.write, min(l.target collate "C") as target
      from letter l
     where not exists (select from dbos.workflow_status w where w.workflow_uuid = l.target)
     group by l.write
), sent as (
    insert into dbos.notifications (
        message_uuid, destination_uuid, topic, message, serialization, created_at_epoch_ms)
    select l.id, l.target, l.topic, l.text, l.format, (extract(epoch from clock_timestamp()) * 1000)::bigint
      from letter l
     where not exists (select from lost x where x.write = l.write)
     order by l.number
        on conflict (message_uuid) do nothing
)
select x.write, x.target from lost x

-- name: receive_messages
-- Record first, consume second, and only what the record holds: a record that stands already consumes nothing. A
-- message that another library wrote before the column came has no number and goes first. A row comes back for each
-- that was recorded, or found nothing.
with mine as materialized (
    select i.*, w.application_name
      from (
           select i.*
             from unnest(
                  %(ids)s::text[], %(tokens)s::text[], %(executors)s::text[], %(afters)s::integer[],
                  %(places)s::integer[], %(topics)s::text[], %(started)s::bigint[], %(completed)s::bigint[],
                  %(timeouts)s::boolean[])
                  as i(id, token, executor, after, place, topic, started, completed, is_timeout)
            order by i.id) i
     cross join lateral (
           select s.status, s.executor_id, s.owner_xid, s.application_name
             from dbos.workflow_status s
            where s.workflow_uuid = i.id
           offset 0
              for share) w
     where w.status = 'PENDING' and w.executor_id = i.executor and w.owner_xid = i.token
       and (i.after is null or (
            select o.function_id from dbos.operation_outputs o
             where o.workflow_uuid = i.id and o.function_id = i.after) is not null)
), pick as materialized (
    select m.id, m.place, n.message_uuid, n.message, n.serialization
      from mine m
     cross join lateral (
           select s.message_uuid, s.message, s.serialization
             from dbos.notifications s
            where s.destination_uuid = m.id and s.topic = m.topic and not s.consumed
            order by s.durust_seq nulls first, s.created_at_epoch_ms
            limit 1
              for update) n
), recorded as (
    insert into dbos.operation_outputs (
        workflow_uuid, function_id, function_name, output, serialization, started_at_epoch_ms, completed_at_epoch_ms,
        application_name, durust_claim)
    select m.id, m.place, %(name)s, coalesce(p.message, 'null'),
           case when p.id is null then 'portable_json' else p.serialization end, m.started, m.completed,
           m.application_name, m.token
      from mine m
      left join pick p on p.id = m.id and p.place = m.place
     where p.id is not null or m.is_timeout
        on conflict (workflow_uuid, function_id) do nothing
    returning workflow_uuid, function_id, output, serialization
), consumed as (
    update dbos.notifications n
       set consumed = true, consumed_by_function_id = p.place
      from pick p
     where n.message_uuid = p.message_uuid
       and ((p.id, p.place) in (select r.workflow_uuid, r.function_id from recorded r)) is true
)
select r.workflow_uuid, r.function_id, true, r.output, r.serialization from recorded r
 union all
select m.id, m.place, false, null, null
  from mine m
 where not m.is_timeout
   and ((m.id, m.place) in (select p.id, p.place from pick p)) is not true
   and not exists (
       select from dbos.operation_outputs o where o.workflow_uuid = m.id and o.function_id = m.place)

-- name: finish_workflows
-- Only the holder of the token may finish; a row comes back for each that did.
with mine as materialized (
    select i.*
      from (
           select i.*
             from unnest(
                  %(ids)s::text[], %(tokens)s::text[], %(executors)s::text[], %(afters)s::integer[],
                  %(statuses)s::text[], %(outputs)s::text[], %(errors)s::text[], %(formats)s::text[])
                  as i(id, token, executor, after, status, output, error, format)
            order by i.id) i
     cross join lateral (
           select s.status, s.executor_id, s.owner_xid
             from dbos.workflow_status s
            where s.workflow_uuid = i.id
           offset 0
              for no key update) w
     where w.status = 'PENDING' and w.executor_id = i.executor and w.owner_xid = i.token
       and (i.after is null or (
            select o.function_id from dbos.operation_outputs o
             where o.workflow_uuid = i.id and o.function_id = i.after) is not null)
), moment as materialized (
    select (extract(epoch from clock_timestamp()) * 1000)::bigint as ms
), ended as (
    update dbos.workflow_status w
       set status = m.status, serialization = m.format, deduplication_id = null, completed_at = n.ms, updated_at = n.ms
      from mine m
     cross join moment n
     where w.workflow_uuid = m.id
    returning w.workflow_uuid, m.output, m.error
), stored as (
    insert into dbos.workflow_output (workflow_uuid, output, error, retention_timestamp)
    select e.workflow_uuid, e.output, e.error, (select n.ms from moment n)
      from ended e
        on conflict (workflow_uuid) do update
       set output = excluded.output, error = excluded.error, retention_timestamp = excluded.retention_timestamp
)
select e.workflow_uuid from ended e

-- name: park_workflows
-- First of three statements: the waits stand with the row's new state.
with mine as materialized (
    select i.*
      from (
           select i.*
             from unnest(
                  %(ids)s::text[], %(tokens)s::text[], %(executors)s::text[], %(afters)s::integer[],
                  %(untils)s::bigint[])
                  as i(id, token, executor, after, until)
            order by i.id) i
     cross join lateral (
           select s.status, s.executor_id, s.owner_xid
             from dbos.workflow_status s
            where s.workflow_uuid = i.id
           offset 0
              for no key update) w
     where w.status = 'PENDING' and w.executor_id = i.executor and w.owner_xid = i.token
       and (i.after is null or (
            select o.function_id from dbos.operation_outputs o
             where o.workflow_uuid = i.id and o.function_id = i.after) is not null)
), parked as (
    update dbos.workflow_status w
       set status = 'DELAYED', queue_name = coalesce(w.queue_name, %(internal)s), delay_until_epoch_ms = m.until,
           executor_id = null, owner_xid = null, started_at_epoch_ms = null,
           recovery_attempts = w.recovery_attempts - 1,
           updated_at = (extract(epoch from clock_timestamp()) * 1000)::bigint
      from mine m
     where w.workflow_uuid = m.id
    returning w.workflow_uuid
), waiting as (
    insert into durust.waits (workflow_id, place, kind, target, key, at, until)
    select i.id, i.place, i.kind, i.target, i.key, i.at, i.until
      from unnest(
           %(wait_ids)s::text[], %(wait_places)s::integer[], %(wait_kinds)s::text[], %(wait_targets)s::text[],
           %(wait_keys)s::text[], %(wait_ats)s::integer[], %(wait_untils)s::bigint[])
           as i(id, place, kind, target, key, at, until)
     where i.id in (select p.workflow_uuid from parked p)
        on conflict do nothing
)
select p.workflow_uuid from parked p

-- name: hold_awaited
-- Second of three statements: whoever is about to make something arrive holds its workflow's row, so he either comes
-- before the look of the third one or finds the waits. Nobody waits for him here, because he may be waiting for us: his
-- workflow is noted, and the third statement takes it for arrived. A workflow that is not there yet has no row to hold:
-- its place is taken by a lock of which each writer of events holds the shared kind.
with target as materialized (
    select distinct i.kind, i.target
      from unnest(%(wait_kinds)s::text[], %(wait_targets)s::text[]) as i(kind, target)
     where i.kind in ('event', 'result', 'stream')
), held as materialized (
    select w.workflow_uuid
      from (select distinct t.target from target t order by t.target) t
     cross join lateral (
           select s.workflow_uuid
             from dbos.workflow_status s
            where s.workflow_uuid = t.target
           offset 0
              for share skip locked) w
), busy as (
    select t.target
      from target t
     where t.target not in (select h.workflow_uuid from held h)
       and ((select w.workflow_uuid from dbos.workflow_status w where w.workflow_uuid = t.target) is not null
            or not pg_try_advisory_xact_lock(%(lock)s::integer, abs(mod(hashtext(t.target), %(buckets)s::integer))))
)
select set_config('durust.busy', coalesce((select json_agg(b.target)::text from busy b), '[]'), true)

-- part: what_arrived
           case v.kind
           when 'message' then
               (select 1 from dbos.notifications n
                 where n.destination_uuid = v.target and n.topic = v.key and not n.consumed
                 limit 1) is not null
           when 'event' then
               (select 1 from dbos.workflow_events e where e.workflow_uuid = v.target and e.key = v.key) is not null
           when 'result' then
               (select 1 from dbos.workflow_status s
                 where s.workflow_uuid = v.target and s.status in ('DELAYED', 'ENQUEUED', 'PENDING')) is null
           when 'stream' then
               (select 1 from dbos.streams t
                 where t.workflow_uuid = v.target and t.key = v.key and t."offset" >= v.at
                 limit 1) is not null
               or (select 1 from dbos.workflow_status s
                    where s.workflow_uuid = v.target and s.status in ('DELAYED', 'ENQUEUED', 'PENDING')) is null
           else false
           end

-- name: wake_parked
-- Third of three statements: queues at once what was due already when it parked, or what had come. The status is checked
-- in words that fit no partial index: by those all that sleeps would be looked at.
with pick as materialized (
    select w.workflow_uuid
      from dbos.workflow_status w
     where w.workflow_uuid = any(%(ids)s::text[]) and coalesce(w.status, '') = 'DELAYED'
       and (w.delay_until_epoch_ms <= (extract(epoch from clock_timestamp()) * 1000)::bigint
            or exists (
                select
                  from durust.waits v
                 where v.workflow_id = w.workflow_uuid
                   and (v.target in (
                            select b.target
                              from json_array_elements_text(
                                   coalesce(nullif(current_setting('durust.busy', true), ''), '[]')::json) b(target))
                        or
-- use: what_arrived
                   )))
     order by w.workflow_uuid
       for update skip locked
), forgotten as (
    delete from durust.waits s using pick p where s.workflow_id = p.workflow_uuid
)
update dbos.workflow_status w
   set status = 'ENQUEUED', delay_until_epoch_ms = null,
       updated_at = (extract(epoch from clock_timestamp()) * 1000)::bigint
  from pick p
 where w.workflow_uuid = p.workflow_uuid

-- name: hand_back_workflows
-- The owner's own will, so the attempt is not counted.
with mine as materialized (
    select i.*
      from (
           select i.*
             from unnest(
                  %(ids)s::text[], %(tokens)s::text[], %(executors)s::text[])
                  as i(id, token, executor)
            order by i.id) i
     cross join lateral (
           select s.status, s.executor_id, s.owner_xid
             from dbos.workflow_status s
            where s.workflow_uuid = i.id
           offset 0
              for no key update) w
     where w.status = 'PENDING' and w.executor_id = i.executor and w.owner_xid = i.token
)
update dbos.workflow_status w
   set status = 'ENQUEUED', queue_name = coalesce(w.queue_name, %(internal)s), executor_id = null, owner_xid = null,
       started_at_epoch_ms = null, recovery_attempts = w.recovery_attempts - 1,
       updated_at = (extract(epoch from clock_timestamp()) * 1000)::bigint
  from mine m
 where w.workflow_uuid = m.id
returning w.workflow_uuid

-- name: expire_workflows
-- On the deadline as it stands on the locked row, so a timer of an earlier run does not hit a resumed one.
with mine as materialized (
    select i.*
      from (
           select i.*
             from unnest(
                  %(ids)s::text[], %(tokens)s::text[], %(executors)s::text[])
                  as i(id, token, executor)
            order by i.id) i
     cross join lateral (
           select s.status, s.executor_id, s.owner_xid, s.workflow_deadline_epoch_ms as deadline
             from dbos.workflow_status s
            where s.workflow_uuid = i.id
           offset 0
              for no key update) w
     where w.status = 'PENDING' and w.executor_id = i.executor and w.owner_xid = i.token
       and w.deadline <= (extract(epoch from clock_timestamp()) * 1000)::bigint
), moment as materialized (
    select (extract(epoch from clock_timestamp()) * 1000)::bigint as ms
)
update dbos.workflow_status w
   set status = 'CANCELLED', executor_id = null, owner_xid = null, deduplication_id = null, started_at_epoch_ms = null,
       completed_at = greatest(n.ms, w.workflow_deadline_epoch_ms), updated_at = n.ms
  from mine m
 cross join moment n
 where w.workflow_uuid = m.id
returning w.workflow_uuid

-- name: cancel_workflows
-- The queue stays, because a resume leads back to it; nothing counts a row that has ended.
with pick as materialized (
    select i.id
      from (
           select i.id
             from unnest(%(ids)s::text[]) as i(id)
            order by i.id) i
     cross join lateral (
           select s.status
             from dbos.workflow_status s
            where s.workflow_uuid = i.id
           offset 0
              for no key update) w
     where w.status in ('DELAYED', 'ENQUEUED', 'PENDING', 'MAX_RECOVERY_ATTEMPTS_EXCEEDED')
), moment as materialized (
    select (extract(epoch from clock_timestamp()) * 1000)::bigint as ms
), forgotten as (
    delete from durust.waits s using pick p where s.workflow_id = p.id
)
update dbos.workflow_status w
   set status = 'CANCELLED', executor_id = null, owner_xid = null, deduplication_id = null, started_at_epoch_ms = null,
       delay_until_epoch_ms = null, completed_at = n.ms, updated_at = n.ms
  from pick p
 cross join moment n
 where w.workflow_uuid = p.id
returning w.workflow_uuid

-- name: cancel_trees
-- One pass over workflows with all that they started: each row is locked, in the order of the ids, and judged as it
-- stands then. A child that was being started meanwhile is seen by a later pass, whose snapshot is taken under the lock
-- of its parent; after a pass that finds nothing new nobody is left who may start one.
with tree as materialized (
    with recursive t as (
        select i.id as root, i.id
          from unnest(%(ids)s::text[]) as i(id)
         union
        select t.root, w.workflow_uuid
          from t
          join dbos.workflow_status w on w.parent_workflow_id = t.id
    )
    select t.root, t.id from t
), pick as materialized (
    select i.id
      from (
           select distinct t.id
             from tree t
            order by t.id) i
     cross join lateral (
           select s.status
             from dbos.workflow_status s
            where s.workflow_uuid = i.id
           offset 0
              for no key update) w
     where w.status in ('DELAYED', 'ENQUEUED', 'PENDING', 'MAX_RECOVERY_ATTEMPTS_EXCEEDED')
), moment as materialized (
    select (extract(epoch from clock_timestamp()) * 1000)::bigint as ms
), forgotten as (
    delete from durust.waits s using pick p where s.workflow_id = p.id
), ended as (
    update dbos.workflow_status w
       set status = 'CANCELLED', executor_id = null, owner_xid = null, deduplication_id = null,
           started_at_epoch_ms = null, delay_until_epoch_ms = null, completed_at = n.ms, updated_at = n.ms
      from pick p
     cross join moment n
     where w.workflow_uuid = p.id
    returning w.workflow_uuid
)
select t.root, t.id
  from tree t
  join ended e on e.workflow_uuid = t.id
 order by t.id

-- name: resume_workflows
-- What ended it is forgotten, so that nobody takes it for the result of what runs from here on.
with pick as materialized (
    select i.id, i.queue
      from (
           select i.id, i.queue
             from unnest(%(ids)s::text[], %(queues)s::text[]) as i(id, queue)
            order by i.id) i
     cross join lateral (
           select s.status
             from dbos.workflow_status s
            where s.workflow_uuid = i.id
           offset 0
              for no key update) w
     where w.status in ('CANCELLED', 'MAX_RECOVERY_ATTEMPTS_EXCEEDED', 'DELAYED')
), forgotten as (
    delete from durust.waits s using pick p where s.workflow_id = p.id
), undone as (
    delete from dbos.workflow_output o using pick p where o.workflow_uuid = p.id
)
update dbos.workflow_status w
   set status = 'ENQUEUED', queue_name = coalesce(p.queue, w.queue_name, %(internal)s), executor_id = null,
       owner_xid = null, recovery_attempts = 0, workflow_deadline_epoch_ms = null, deduplication_id = null,
       started_at_epoch_ms = null, delay_until_epoch_ms = null, completed_at = null, rate_limited = false,
       output = null, error = null,
       updated_at = (extract(epoch from clock_timestamp()) * 1000)::bigint
  from pick p
 where w.workflow_uuid = p.id
returning w.workflow_uuid

-- name: fork_workflows
-- The source is read as it stands on the locked row; what it recorded is read in this one snapshot, so of a source that
-- runs it is what had committed at one moment. An event or a stream entry goes along only with the record of its step:
-- the fork makes the others again. The latest value of an event is that of the history before the place. A first
-- execution that was started directly has no time in its claim; here it gets the source's, whose it was. The entries
-- of a stream are counted anew, because those that stay behind may stand between them.
with input as materialized (
    select i.*
      from unnest(
           %(ids)s::text[], %(forks)s::text[], %(places)s::integer[], %(creators)s::text[], %(versions)s::text[],
           %(queues)s::text[], %(partitions)s::text[], %(timeouts)s::bigint[]) with ordinality
           as i(id, fork, place, creator, version, queue, partition, timeout, number)
), child as materialized (
    select i.fork, i.old, i.new
      from unnest(%(child_forks)s::text[], %(child_olds)s::text[], %(child_news)s::text[]) as i(fork, old, new)
), source as materialized (
    select i.*, w.*
      from (select i.* from input i order by i.id) i
     cross join lateral (
           select s.name, s.class_name, s.config_name, s.authenticated_user, s.assumed_role, s.authenticated_roles,
                  s.request, s.inputs, s.serialization, s.application_version, s.application_id, s.application_name,
                  s.attributes, s.created_at
             from dbos.workflow_status s
            where s.workflow_uuid = i.id
           offset 0
              for no key update) w
), moment as materialized (
    select (extract(epoch from clock_timestamp()) * 1000)::bigint as ms
), forked as (
    insert into dbos.workflow_status (
        workflow_uuid, status, name, class_name, config_name, authenticated_user, assumed_role, authenticated_roles,
        request, serialization, application_version, application_id, application_name, attributes, queue_name,
        queue_partition_key, priority, workflow_timeout_ms, forked_from, creator_xid, recovery_attempts, created_at,
        updated_at)
    select s.fork, 'ENQUEUED', s.name, s.class_name, s.config_name, s.authenticated_user, s.assumed_role,
           s.authenticated_roles, s.request, s.serialization, coalesce(s.version, s.application_version),
           s.application_id, s.application_name, s.attributes, s.queue, s.partition, 0, s.timeout, s.id, s.creator, 0,
           m.ms, m.ms
      from source s
     cross join moment m
     order by s.number
        on conflict do nothing
    returning workflow_uuid
), made as materialized (
    select s.* from source s where s.fork in (select f.workflow_uuid from forked f)
), marked as (
    update dbos.workflow_status w
       set was_forked_from = true
     where w.workflow_uuid in (select m.id from made m) and not w.was_forked_from
), inputs as (
    insert into dbos.workflow_input (workflow_uuid, inputs)
    select m.fork, coalesce(i.inputs, m.inputs)
      from made m
      left join dbos.workflow_input i on i.workflow_uuid = m.id
        on conflict (workflow_uuid) do update
       set inputs = excluded.inputs, retention_timestamp = excluded.retention_timestamp
), steps as (
    insert into dbos.operation_outputs (
        workflow_uuid, function_id, function_name, output, error, child_workflow_id, started_at_epoch_ms,
        completed_at_epoch_ms, serialization, application_name, durust_claim)
    select m.fork, o.function_id, o.function_name, o.output, o.error, coalesce(c.new, o.child_workflow_id),
           o.started_at_epoch_ms, o.completed_at_epoch_ms, o.serialization, o.application_name,
           case when starts_with(o.durust_claim, '0000000000000000')
                then lpad(to_hex(m.created_at * 1000), 16, '0') || substr(o.durust_claim, 17)
                else o.durust_claim end
      from made m
      join dbos.operation_outputs o on o.workflow_uuid = m.id and o.function_id < m.place
      left join child c on c.fork = m.fork and c.old = o.child_workflow_id
), event as materialized (
    select m.fork, h.function_id, h.key, h.value, h.serialization
      from made m
      join dbos.workflow_events_history h on h.workflow_uuid = m.id and h.function_id < m.place
     where (select o.function_id from dbos.operation_outputs o
             where o.workflow_uuid = m.id and o.function_id = h.function_id) is not null
), past_events as (
    insert into dbos.workflow_events_history (workflow_uuid, function_id, key, value, serialization)
    select e.fork, e.function_id, e.key, e.value, e.serialization from event e
), events as (
    insert into dbos.workflow_events (workflow_uuid, key, value, serialization)
    select distinct on (e.fork, e.key) e.fork, e.key, e.value, e.serialization
      from event e
     order by e.fork, e.key, e.function_id desc
), streams as (
    insert into dbos.streams (workflow_uuid, key, value, "offset", function_id, serialization)
    select m.fork, s.key, s.value, row_number() over (partition by m.fork, s.key order by s."offset") - 1,
           s.function_id, s.serialization
      from made m
      join dbos.streams s on s.workflow_uuid = m.id and s.function_id < m.place
     where (select o.function_id from dbos.operation_outputs o
             where o.workflow_uuid = m.id and o.function_id = s.function_id) is not null
)
select m.fork from made m

-- name: lock_doomed
-- First of two statements: who writes to one of these has committed before the second one looks, and whoever comes
-- later finds no row. A record that committed in between would outlive its workflow, and be the history of the next one
-- of its id.
select w.workflow_uuid
  from dbos.workflow_status w
 where w.workflow_uuid = any(%(ids)s::text[])
 order by w.workflow_uuid
   for update

-- name: delete_workflows
-- Second of two statements. What it holds of a budget stays until its body has really stopped.
with pick as materialized (
    select w.workflow_uuid from dbos.workflow_status w where w.workflow_uuid = any(%(ids)s::text[])
), steps as (
    delete from dbos.operation_outputs o using pick p where o.workflow_uuid = p.workflow_uuid
), inputs as (
    delete from dbos.workflow_input i using pick p where i.workflow_uuid = p.workflow_uuid
), outputs as (
    delete from dbos.workflow_output o using pick p where o.workflow_uuid = p.workflow_uuid
), events as (
    delete from dbos.workflow_events e using pick p where e.workflow_uuid = p.workflow_uuid
), past_events as (
    delete from dbos.workflow_events_history e using pick p where e.workflow_uuid = p.workflow_uuid
), streams as (
    delete from dbos.streams s using pick p where s.workflow_uuid = p.workflow_uuid
), messages as (
    delete from dbos.notifications n using pick p where n.destination_uuid = p.workflow_uuid
), waits as (
    delete from durust.waits s using pick p where s.workflow_id = p.workflow_uuid
)
delete from dbos.workflow_status w using pick p where w.workflow_uuid = p.workflow_uuid
returning w.workflow_uuid

-- name: import_workflows
-- All or none: where one of the ids is taken nothing is written. An id that is taken between this look and the insert
-- fails the statement, which then is asked again.
with input as materialized (
    select i.*
      from unnest(
           %(ids)s::text[], %(statuses)s::text[], %(names)s::text[], %(queues)s::text[], %(priorities)s::integer[],
           %(apps)s::text[], %(versions)s::text[], %(attempts)s::bigint[], %(created)s::bigint[], %(updated)s::bigint[],
           %(started)s::bigint[], %(completed)s::bigint[], %(untils)s::bigint[], %(timeouts)s::bigint[],
           %(deadlines)s::bigint[], %(partitions)s::text[], %(schedules)s::text[], %(parents)s::text[],
           %(users)s::text[], %(roles)s::text[], %(assumed)s::text[], %(attributes)s::text[], %(sources)s::text[],
           %(forked)s::boolean[], %(formats)s::text[], %(inputs)s::text[], %(outputs)s::text[], %(errors)s::text[])
           with ordinality
           as i(id, status, name, queue, priority, app, version, attempts, created, updated, started, completed, until,
                timeout, deadline, partition, schedule, parent, "user", roles, assumed, attributes, source, forked,
                format, inputs, output, error, number)
     where not exists (
           select from dbos.workflow_status w where w.workflow_uuid = any(%(ids)s::text[]))
), imported as (
    insert into dbos.workflow_status (
        workflow_uuid, status, name, queue_name, priority, application_name, application_version, recovery_attempts,
        created_at, updated_at, started_at_epoch_ms, completed_at, delay_until_epoch_ms, workflow_timeout_ms,
        workflow_deadline_epoch_ms, queue_partition_key, schedule_name, parent_workflow_id, authenticated_user,
        authenticated_roles, assumed_role, attributes, forked_from, was_forked_from, serialization, creator_xid)
    select i.id, i.status, i.name, i.queue, i.priority, i.app, i.version, i.attempts, i.created, i.updated, i.started,
           i.completed, i.until, i.timeout, i.deadline, i.partition, i.schedule, i.parent, i."user", i.roles, i.assumed,
           i.attributes::jsonb, i.source, i.forked, i.format, %(creator)s
      from input i
     order by i.id
    returning workflow_uuid
), kept_inputs as (
    insert into dbos.workflow_input (workflow_uuid, inputs)
    select i.id, i.inputs from input i
        on conflict (workflow_uuid) do update
       set inputs = excluded.inputs, retention_timestamp = excluded.retention_timestamp
), kept_outputs as (
    insert into dbos.workflow_output (workflow_uuid, output, error)
    select i.id, i.output, i.error from input i where i.output is not null or i.error is not null
        on conflict (workflow_uuid) do update
       set output = excluded.output, error = excluded.error, retention_timestamp = excluded.retention_timestamp
), steps as (
    insert into dbos.operation_outputs (
        workflow_uuid, function_id, function_name, output, error, serialization, child_workflow_id, started_at_epoch_ms,
        completed_at_epoch_ms, durust_claim, application_name)
    select s.id, s.place, s.name, s.output, s.error, s.format, s.child, s.started, s.completed, s.claim, i.app
      from unnest(
           %(step_ids)s::text[], %(step_places)s::integer[], %(step_names)s::text[], %(step_outputs)s::text[],
           %(step_errors)s::text[], %(step_formats)s::text[], %(step_children)s::text[], %(step_started)s::bigint[],
           %(step_completed)s::bigint[], %(step_claims)s::text[])
           as s(id, place, name, output, error, format, child, started, completed, claim)
      join input i on i.id = s.id
), events as (
    insert into dbos.workflow_events (workflow_uuid, key, value, serialization)
    select e.id, e.key, e.text, e.format
      from unnest(
           %(event_ids)s::text[], %(event_keys)s::text[], %(event_texts)s::text[], %(event_formats)s::text[])
           as e(id, key, text, format)
      join input i on i.id = e.id
), past_events as (
    insert into dbos.workflow_events_history (workflow_uuid, function_id, key, value, serialization)
    select e.id, e.place, e.key, e.text, e.format
      from unnest(
           %(past_ids)s::text[], %(past_places)s::integer[], %(past_keys)s::text[], %(past_texts)s::text[],
           %(past_formats)s::text[])
           as e(id, place, key, text, format)
      join input i on i.id = e.id
), streams as (
    insert into dbos.streams (workflow_uuid, key, "offset", value, serialization, function_id)
    select s.id, s.key, s."offset", s.text, s.format, s.place
      from unnest(
           %(stream_ids)s::text[], %(stream_keys)s::text[], %(stream_offsets)s::integer[], %(stream_texts)s::text[],
           %(stream_formats)s::text[], %(stream_places)s::integer[])
           as s(id, key, "offset", text, format, place)
      join input i on i.id = s.id
), messages as (
    insert into dbos.notifications (
        message_uuid, destination_uuid, topic, message, serialization, created_at_epoch_ms, consumed,
        consumed_by_function_id)
    select m.message, m.id, m.topic, m.text, m.format, m.created, m.is_consumed, m.consumed_by
      from unnest(
           %(message_ids)s::text[], %(message_destinations)s::text[], %(message_topics)s::text[],
           %(message_texts)s::text[], %(message_formats)s::text[], %(message_created)s::bigint[],
           %(message_consumed)s::boolean[], %(message_consumers)s::integer[]) with ordinality
           as m(message, id, topic, text, format, created, is_consumed, consumed_by, number)
      join input i on i.id = m.id
     order by m.number
        on conflict do nothing
)
select i.workflow_uuid from imported i

-- name: copy_workflows
-- All that a workflow and, where asked for, its descendants have, in one snapshot: of one that runs, what had committed
-- at one moment. Each line is a JSON array in the order of its record's fields.
with recursive family as (
    select w.workflow_uuid as id from dbos.workflow_status w where w.workflow_uuid = %(id)s
     union
    select c.workflow_uuid
      from family f
      join dbos.workflow_status c on c.parent_workflow_id = f.id
     where %(children)s::boolean
)
select f.id, 'row', json_build_array(
           w.workflow_uuid, w.name, w.status, w.queue_name, w.priority, w.deduplication_id, w.executor_id, w.owner_xid,
           w.creator_xid, w.application_name, w.application_version, coalesce(w.recovery_attempts, 0), w.created_at,
           w.updated_at, w.started_at_epoch_ms, w.completed_at, w.delay_until_epoch_ms, w.workflow_timeout_ms,
           w.workflow_deadline_epoch_ms, w.queue_partition_key, w.schedule_name, w.parent_workflow_id,
           w.authenticated_user, w.authenticated_roles, w.assumed_role, w.attributes::text, w.forked_from,
           w.was_forked_from, w.serialization, coalesce(i.inputs, w.inputs), coalesce(o.output, w.output),
           coalesce(o.error, w.error))::text
  from family f
  join dbos.workflow_status w on w.workflow_uuid = f.id
  left join dbos.workflow_input i on i.workflow_uuid = f.id
  left join dbos.workflow_output o on o.workflow_uuid = f.id
 union all
select f.id, 'step', json_build_array(
           o.function_id, o.function_name, o.output, o.error, o.serialization, o.child_workflow_id,
           o.started_at_epoch_ms, o.completed_at_epoch_ms, o.durust_claim)::text
  from family f
  join dbos.operation_outputs o on o.workflow_uuid = f.id
 union all
select f.id, 'event', json_build_array(e.key, e.value, e.serialization)::text
  from family f
  join dbos.workflow_events e on e.workflow_uuid = f.id
 union all
select f.id, 'past_event', json_build_array(h.key, h.value, h.serialization, h.function_id)::text
  from family f
  join dbos.workflow_events_history h on h.workflow_uuid = f.id
 union all
select f.id, 'entry', json_build_array(s.key, s."offset", s.value, s.serialization, s.function_id)::text
  from family f
  join dbos.streams s on s.workflow_uuid = f.id
 union all
select f.id, 'message', json_build_array(
           n.durust_seq, n.message_uuid, n.topic, n.message, n.serialization, n.created_at_epoch_ms, n.consumed,
           n.consumed_by_function_id)::text
  from family f
  join dbos.notifications n on n.destination_uuid = f.id

-- name: beat
-- The share lock makes a beat and a reap see each other: without it a beat that waited for the lease's row would answer
-- for an executor that is dead by then. It stops no claim, which takes the same lock.
with living as materialized (
    select e.executor_id
      from durust.executors e
     where e.executor_id = any(%(ids)s::text[]) and e.state <> 'DEAD'
     order by e.executor_id
       for share
)
update durust.leases l
   set lease_until = clock_timestamp() + make_interval(secs => %(ttl)s::double precision), beat = l.beat + 1
  from living e
 where l.executor_id = e.executor_id
returning l.executor_id

-- name: drain_executors
with living as materialized (
    select e.executor_id
      from durust.executors e
     where e.executor_id = any(%(ids)s::text[]) and e.state <> 'DEAD'
     order by e.executor_id
       for no key update
)
update durust.executors e
   set state = 'DRAINING'
  from living l
 where e.executor_id = l.executor_id
returning e.executor_id

-- name: retire_executors
-- First of two statements: the row's lock waits for a claim in flight.
with living as materialized (
    select e.executor_id
      from durust.executors e
     where e.executor_id = any(%(ids)s::text[]) and e.state <> 'DEAD'
     order by e.executor_id
       for no key update
)
update durust.executors e
   set state = 'DEAD', ended_at = (extract(epoch from clock_timestamp()) * 1000)::bigint, why = %(why)s
  from living l
 where e.executor_id = l.executor_id

-- name: release_workflows
-- Second of two statements, in a snapshot that holds what the claim in flight has taken. Rows that somebody holds are
-- left to the sweep. An executor that lives keeps its rows: a reap may have skipped it.
with pick as materialized (
    select w.workflow_uuid
      from dbos.workflow_status w
     where w.status = 'PENDING' and w.executor_id = any(%(ids)s::text[])
       and w.executor_id not in (
           select e.executor_id from durust.executors e
            where e.executor_id = any(%(ids)s::text[]) and e.state <> 'DEAD')
     order by w.workflow_uuid
       for update skip locked
)
update dbos.workflow_status w
   set status = 'ENQUEUED', queue_name = coalesce(w.queue_name, %(internal)s), executor_id = null, owner_xid = null,
       started_at_epoch_ms = null
  from pick p
 where w.workflow_uuid = p.workflow_uuid
returning w.workflow_uuid, w.queue_name

-- name: classify_runs
-- What stands now for the writes of runs that did not come back: owner, deadline, chain, and the record at the place.
select w.status, w.executor_id, w.owner_xid,
       w.workflow_deadline_epoch_ms - (extract(epoch from clock_timestamp()) * 1000)::bigint,
       i.after is null or (
           select o.function_id from dbos.operation_outputs o
            where o.workflow_uuid = i.id and o.function_id = i.after) is not null,
       o.function_id, o.function_name, o.output, o.error, o.serialization, o.child_workflow_id, o.started_at_epoch_ms,
       o.completed_at_epoch_ms, o.durust_claim
  from unnest(%(ids)s::text[], %(places)s::integer[], %(afters)s::integer[]) with ordinality
       as i(id, place, after, number)
  left join dbos.workflow_status w on w.workflow_uuid = i.id
  left join dbos.operation_outputs o on o.workflow_uuid = i.id and o.function_id = i.place
 order by i.number

-- name: classify_starts
-- What stands now for the starts that did not come back: the row of that id, the holder of the deduplication id, or an
-- executor that may not start anything; a cancel or a resume asks for the row alone.
select (select d.workflow_uuid from dbos.workflow_status d
         where d.queue_name = i.queue and d.deduplication_id = i.dedup),
       (select e.state from durust.executors e where e.executor_id = i.executor),
       w.workflow_uuid, w.name, w.status, w.queue_name, w.priority, w.deduplication_id, w.executor_id, w.owner_xid,
       w.creator_xid, w.application_name, w.application_version, coalesce(w.recovery_attempts, 0), w.created_at,
       w.updated_at, w.started_at_epoch_ms, w.completed_at, w.delay_until_epoch_ms, w.workflow_timeout_ms,
       w.workflow_deadline_epoch_ms, w.queue_partition_key, w.schedule_name, w.parent_workflow_id, w.authenticated_user,
       w.authenticated_roles, w.assumed_role, w.attributes::text, w.forked_from, w.was_forked_from, w.serialization
  from unnest(%(ids)s::text[], %(queues)s::text[], %(dedups)s::text[], %(executors)s::text[]) with ordinality
       as i(id, queue, dedup, executor, number)
  left join dbos.workflow_status w on w.workflow_uuid = i.id
 order by i.number

-- name: classify_children
-- What stands now for children that are not linked: who holds the deduplication id, by what name, and the row of that id.
select d.workflow_uuid, d.name,
       w.workflow_uuid, w.name, w.status, w.queue_name, w.priority, w.deduplication_id, w.executor_id, w.owner_xid,
       w.creator_xid, w.application_name, w.application_version, coalesce(w.recovery_attempts, 0), w.created_at,
       w.updated_at, w.started_at_epoch_ms, w.completed_at, w.delay_until_epoch_ms, w.workflow_timeout_ms,
       w.workflow_deadline_epoch_ms, w.queue_partition_key, w.schedule_name, w.parent_workflow_id, w.authenticated_user,
       w.authenticated_roles, w.assumed_role, w.attributes::text, w.forked_from, w.was_forked_from, w.serialization
  from unnest(%(ids)s::text[], %(queues)s::text[], %(dedups)s::text[]) with ordinality as i(id, queue, dedup, number)
  left join dbos.workflow_status d on d.queue_name = i.queue and d.deduplication_id = i.dedup
  left join dbos.workflow_status w on w.workflow_uuid = i.id
 order by i.number

-- name: classify_trees
-- Whether each workflow is there, and whether anything that it led to may still run.
with recursive t as (
    select i.id as root, i.id
      from unnest(%(ids)s::text[]) as i(id)
     union
    select t.root, w.workflow_uuid
      from t
      join dbos.workflow_status w on w.parent_workflow_id = t.id
)
select exists (select from dbos.workflow_status w where w.workflow_uuid = i.id),
       exists (
           select
             from t
             join dbos.workflow_status w on w.workflow_uuid = t.id
            where t.root = i.id and w.status in ('DELAYED', 'ENQUEUED', 'PENDING', 'MAX_RECOVERY_ATTEMPTS_EXCEEDED'))
  from unnest(%(ids)s::text[]) with ordinality as i(id, number)
 order by i.number

-- name: classify_debounces
-- What stands now for debounced starts that did not come back: the run whose last write it was, whether one waits under
-- the key that the next try may find, the holder of the key, and the row of that id.
select (select o.workflow_uuid from dbos.workflow_status o where o.creator_xid = i.creator and o.is_debounced),
       coalesce(d.status = 'DELAYED' and d.is_debounced and d.name = i.name
                and (d.application_name = i.app or d.application_name is null), false),
       d.workflow_uuid,
       w.workflow_uuid, w.name, w.status, w.queue_name, w.priority, w.deduplication_id, w.executor_id, w.owner_xid,
       w.creator_xid, w.application_name, w.application_version, coalesce(w.recovery_attempts, 0), w.created_at,
       w.updated_at, w.started_at_epoch_ms, w.completed_at, w.delay_until_epoch_ms, w.workflow_timeout_ms,
       w.workflow_deadline_epoch_ms, w.queue_partition_key, w.schedule_name, w.parent_workflow_id, w.authenticated_user,
       w.authenticated_roles, w.assumed_role, w.attributes::text, w.forked_from, w.was_forked_from, w.serialization
  from unnest(
       %(ids)s::text[], %(queues)s::text[], %(dedups)s::text[], %(names)s::text[], %(apps)s::text[],
       %(creators)s::text[]) with ordinality
       as i(id, queue, dedup, name, app, creator, number)
  left join dbos.workflow_status d on d.queue_name = i.queue and d.deduplication_id = i.dedup
  left join dbos.workflow_status w on w.workflow_uuid = i.id
 order by i.number

-- name: claim_workflows
-- One branch for each queue walks the claim index in order and stops when it has enough. The executor's row is held
-- until the claim has committed, so a retirement waits and then finds what was claimed. The status is checked again in
-- words that fit no partial index: by those the picked rows would be looked up in the whole queue. A timeout that leads
-- past the last instant of the column ends there: one such row would fail every claim of its queue. A row that was
-- anybody's is this application's from now on, so nobody else's sweeps and queues meet what waits here. Whoever claims a
-- row writes a version into it and nobody takes that away: one without a version has no history, unless it was started
-- directly, whereupon it waits on the internal queue, or copied from another. Limits are read here, so a changed one
-- counts at once. A queue with a budget gives nothing here: it is named in a row of its own, like every other one with a
-- limit on which work waits. A token is made of the instant, of what is random in this claim and of the row's id: a random
-- number for each row took a tenth of the claim.
with me as materialized (
    select e.executor_id
      from durust.executors e
     where e.executor_id = %(executor)s and e.state = 'LIVE'
       and (select l.lease_until from durust.leases l where l.executor_id = %(executor)s) > clock_timestamp()
       for share
), moment as materialized (
    select (extract(epoch from clock_timestamp()) * 1000)::bigint as ms,
           lpad(to_hex((extract(epoch from clock_timestamp()) * 1000000)::bigint), 16, '0') || '-'
           || left(replace(gen_random_uuid()::text, '-', ''), 16) as stamp
), asked as materialized (
    select i.*, d.worker_concurrency, coalesce(
               d.concurrency is not null or d.rate_limit_max is not null or d.partition_queue and (
                   d.partition_concurrency is not null or d.partition_worker_concurrency is not null
                   or d.partition_rate_limit_max is not null),
               false) as is_budgeted
      from unnest(%(queues)s::text[], %(limits)s::integer[], %(running)s::integer[]) with ordinality
           as i(name, most, running, number)
      left join dbos.queues d on d.name = i.name
     where not exists (select from durust.paused_queues z where z.name = i.name)
), pick as materialized (
    select p.workflow_uuid, p.may_have_run, me.executor_id, q.number
      from me
     cross join asked q
     cross join lateral (
           select w.workflow_uuid,
                  w.application_version is not null or w.forked_from is not null or q.name = %(internal)s
                  as may_have_run
             from dbos.workflow_status w
            where w.status = 'ENQUEUED' and w.queue_name = q.name and w.name = any(%(names)s::text[])
              and (w.application_name = %(app)s or w.application_name is null)
              and (w.application_version is null or w.application_version =
                   (%(versions)s::text[])[array_position(%(names)s::text[], w.name)])
            order by w.priority, w.created_at, w.workflow_uuid
            limit case when q.is_budgeted then 0 else greatest(0, least(q.most, q.worker_concurrency - q.running)) end
              for update skip locked) p
     limit %(limit)s
), claimed as (
    update dbos.workflow_status w
       set status = 'PENDING', executor_id = p.executor_id,
           owner_xid = m.stamp || lpad(to_hex(hashtextextended(w.workflow_uuid, 0)), 16, '0'),
           application_version = (%(versions)s::text[])[array_position(%(names)s::text[], w.name)],
           application_name = coalesce(w.application_name, %(app)s),
           recovery_attempts = coalesce(w.recovery_attempts, 0) + 1, started_at_epoch_ms = m.ms, updated_at = m.ms,
           workflow_deadline_epoch_ms = least(
               w.workflow_deadline_epoch_ms,
               case when w.workflow_timeout_ms is not null
                    then m.ms + least(w.workflow_timeout_ms, 9223372036854775807 - m.ms) end)
      from pick p
     cross join moment m
     where w.workflow_uuid = p.workflow_uuid and coalesce(w.status, '') = 'ENQUEUED'
    returning w.workflow_uuid, w.executor_id, w.owner_xid, w.name, w.inputs, w.serialization, w.recovery_attempts,
              w.queue_name, w.application_version, w.created_at, m.ms, p.number, w.priority,
              w.workflow_deadline_epoch_ms - m.ms as left_ms, w.workflow_deadline_epoch_ms, w.authenticated_user,
              w.authenticated_roles, w.assumed_role, w.attributes::text as attributes, p.may_have_run
)
(select c.workflow_uuid, c.executor_id, c.owner_xid, c.name, coalesce(i.inputs, c.inputs), c.serialization,
        c.recovery_attempts, c.queue_name, c.application_version, c.created_at, c.ms, c.left_ms,
        c.workflow_deadline_epoch_ms, c.authenticated_user, c.authenticated_roles, c.assumed_role, c.attributes,
        c.may_have_run
   from claimed c
   left join dbos.workflow_input i on i.workflow_uuid = c.workflow_uuid
  order by c.number, c.priority, c.created_at, c.workflow_uuid)
 union all
select null, null, null, null, null, null, null, q.name, null, null, null, null, null, null, null, null, null,
       q.is_budgeted
  from asked q
 where (q.is_budgeted or q.worker_concurrency is not null)
   and (select 1 from dbos.workflow_status v
         where v.status = 'ENQUEUED' and v.queue_name = q.name
         limit 1) is not null

-- name: lock_budget
-- First of two statements. In one with the count, the count's snapshot would be older than the lock. Nobody waits here:
-- the second statement does nothing without the lock, and asks again a little later.
select set_config(
           'durust.budget',
           case when pg_try_advisory_xact_lock(hashtextextended(%(queue)s, 7236828452715)) then 'held' else 'taken' end,
           true)

-- name: claim_budgeted
-- Second of two statements: counts what others took from the queue's budgets and claims what is left of them. Limits are
-- read here, so a changed one counts at once. A share of an executor that is dead counts no more. The rows are chosen
-- first and locked afterwards: nobody else claims from this queue meanwhile, and who cancels one is not waited for. What
-- a partition's own limits hold back is left out before the limits of the whole queue are counted off, so it takes no
-- room from other partitions. A queue without a budget gives what it has: its budget was taken away a moment ago. Rows of
-- a partition are asked for in words that only the index of partitions fits: without statistics the planner may take the
-- one of the whole queue, and walk all of that for each partition.
with recursive me as materialized (
    select e.executor_id
      from durust.executors e
     where e.executor_id = %(executor)s and e.state = 'LIVE' and current_setting('durust.budget', true) = 'held'
       and (select l.lease_until from durust.leases l where l.executor_id = %(executor)s) > clock_timestamp()
       for share
), moment as materialized (
    select (extract(epoch from clock_timestamp()) * 1000)::bigint as ms,
           lpad(to_hex((extract(epoch from clock_timestamp()) * 1000000)::bigint), 16, '0') as stamp
), limits as materialized (
    select d.worker_concurrency, d.concurrency, d.rate_limit_max as starts, d.partition_concurrency,
           d.partition_worker_concurrency, d.partition_rate_limit_max as partition_starts,
           d.partition_queue and (
               d.partition_concurrency is not null or d.partition_worker_concurrency is not null
               or d.partition_rate_limit_max is not null) as is_partitioned,
           1000 * (d.rate_limit_period_sec
                   + least(%(margin)s::double precision, %(part)s::double precision * d.rate_limit_period_sec))
           as span,
           1000 * (d.partition_rate_limit_period_sec
                   + least(%(margin)s::double precision,
                           %(part)s::double precision * d.partition_rate_limit_period_sec))
           as partition_span
      from (select 1) one
      left join dbos.queues d on d.name = %(queue)s
     where exists (select from me)
       and not exists (select from durust.paused_queues z where z.name = %(queue)s)
), open as materialized (
    select g.partition, count(*) as runs, count(*) filter (where g.executor_id = %(executor)s) as mine
      from limits l
     cross join durust.grants g
      join durust.executors e on e.executor_id = g.executor_id and e.state <> 'DEAD'
     where g.queue = %(queue)s and g.ended_at is null
     group by g.partition
), begun as materialized (
    select g.partition, count(*) filter (where g.granted_at > m.ms - l.span) as starts,
           count(*) filter (where g.granted_at > m.ms - l.partition_span) as partition_starts,
           min(g.granted_at) filter (where g.granted_at > m.ms - l.span) as first,
           min(g.granted_at) filter (where g.granted_at > m.ms - l.partition_span) as partition_first
      from limits l
     cross join moment m
     cross join durust.grants g
     where g.queue = %(queue)s and g.is_start and g.granted_at > m.ms - greatest(l.span, l.partition_span)
     group by g.partition
), room as materialized (
    select l.*, 'ENQUEUED'::text as status,
           greatest(0, least(
               %(limit)s::bigint, l.worker_concurrency - %(running)s::integer,
               l.concurrency - (select coalesce(sum(o.runs), 0) from open o))) as most,
           case when l.starts is not null
                then greatest(0, l.starts - (select coalesce(sum(b.starts), 0) from begun b)) end as starts_left
      from limits l
), keys (key, number) as (
    select first.key, 1
      from room r
     cross join lateral (
           select w.queue_partition_key as key
             from dbos.workflow_status w
            where w.status = 'ENQUEUED' and w.queue_name = %(queue)s and w.queue_partition_key >= %(after)s
            order by w.queue_partition_key
            limit 1) first
     where r.is_partitioned and r.most > 0
     union all
    select (select w.queue_partition_key
              from dbos.workflow_status w
             where w.status = 'ENQUEUED' and w.queue_name = %(queue)s and w.queue_partition_key > k.key
             order by w.queue_partition_key
             limit 1), k.number + 1
      from keys k
     where k.key is not null and k.number < %(keys)s
), candidate as materialized (
    select c.*, null::text as partition, null::bigint as partition_starts_left
      from room r
     cross join lateral (
           select w.workflow_uuid, w.priority, w.created_at, not w.rate_limited as is_start,
                  w.application_version is not null or w.forked_from is not null or %(queue)s = %(internal)s
                  as may_have_run
             from dbos.workflow_status w
            where w.status = 'ENQUEUED' and w.queue_name = %(queue)s and w.name = any(%(names)s::text[])
              and (w.application_name = %(app)s or w.application_name is null)
              and (w.application_version is null or w.application_version =
                   (%(versions)s::text[])[array_position(%(names)s::text[], w.name)])
            order by w.priority, w.created_at, w.workflow_uuid
            limit case when r.is_partitioned then 0 else r.most end) c
     union all
    select c.*, p.key, p.starts_left
      from room r
     cross join lateral (
           select k.key,
                  least(r.most, r.partition_concurrency - coalesce(o.runs, 0),
                        r.partition_worker_concurrency - coalesce(o.mine, 0)) as most,
                  case when r.partition_starts is not null
                       then greatest(0, r.partition_starts - coalesce(b.partition_starts, 0)) end as starts_left
             from keys k
             left join open o on o.partition = k.key
             left join begun b on b.partition = k.key
            where k.key is not null) p
     cross join lateral (
           select w.workflow_uuid, w.priority, w.created_at, not w.rate_limited as is_start,
                  w.application_version is not null or w.forked_from is not null or %(queue)s = %(internal)s
                  as may_have_run
             from dbos.workflow_status w
            where w.status in ('ENQUEUED', 'PENDING') and w.status = r.status and w.queue_name = %(queue)s
              and w.queue_partition_key = p.key and w.name = any(%(names)s::text[])
              and (w.application_name = %(app)s or w.application_name is null)
              and (w.application_version is null or w.application_version =
                   (%(versions)s::text[])[array_position(%(names)s::text[], w.name)])
            order by w.priority, w.created_at, w.workflow_uuid
            limit greatest(0, p.most)) c
), of_partition as (
    select c.*,
           not c.is_start or c.partition_starts_left is null
           or count(*) filter (where c.is_start) over (
              partition by c.partition order by c.priority, c.created_at, c.workflow_uuid) <= c.partition_starts_left
           as is_in
      from candidate c
), of_queue as (
    select c.*, r.most,
           not c.is_start or r.starts_left is null
           or count(*) filter (where c.is_start) over (
              order by c.priority, c.created_at, c.workflow_uuid) <= r.starts_left
           as is_within
      from of_partition c
     cross join room r
     where c.is_in
), chosen as materialized (
    select c.*
      from of_queue c
     where c.is_within
     order by c.priority, c.created_at, c.workflow_uuid
     limit (select r.most from room r)
), pick as materialized (
    select c.workflow_uuid, c.partition, c.is_start, c.may_have_run, me.executor_id
      from me
     cross join chosen c
      join dbos.workflow_status w on w.workflow_uuid = c.workflow_uuid
     where coalesce(w.status, '') = 'ENQUEUED'
     order by w.workflow_uuid
       for update of w skip locked
), claimed as (
    update dbos.workflow_status w
       set status = 'PENDING', executor_id = p.executor_id,
           owner_xid = m.stamp || '-' || replace(gen_random_uuid()::text, '-', ''),
           application_version = (%(versions)s::text[])[array_position(%(names)s::text[], w.name)],
           application_name = coalesce(w.application_name, %(app)s),
           recovery_attempts = coalesce(w.recovery_attempts, 0) + 1, started_at_epoch_ms = m.ms, updated_at = m.ms,
           rate_limited = true,
           workflow_deadline_epoch_ms = least(
               w.workflow_deadline_epoch_ms,
               case when w.workflow_timeout_ms is not null
                    then m.ms + least(w.workflow_timeout_ms, 9223372036854775807 - m.ms) end)
      from pick p
     cross join moment m
     where w.workflow_uuid = p.workflow_uuid
    returning w.workflow_uuid, w.executor_id, w.owner_xid, w.name, w.inputs, w.serialization, w.recovery_attempts,
              w.queue_name, w.application_version, w.created_at, m.ms, w.workflow_deadline_epoch_ms - m.ms as left_ms,
              w.workflow_deadline_epoch_ms, w.authenticated_user, w.authenticated_roles, w.assumed_role,
              w.attributes::text as attributes, w.priority, p.may_have_run, p.is_start, p.partition
), granted as (
    insert into durust.grants (workflow_id, token, queue, partition, executor_id, granted_at, is_start)
    select c.workflow_uuid, c.owner_xid, %(queue)s, c.partition, c.executor_id, c.ms, c.is_start
      from claimed c
)
(select c.workflow_uuid, c.executor_id, c.owner_xid, c.name, coalesce(i.inputs, c.inputs), c.serialization,
        c.recovery_attempts, c.queue_name, c.application_version, c.created_at, c.ms, c.left_ms,
        c.workflow_deadline_epoch_ms, c.authenticated_user, c.authenticated_roles, c.assumed_role, c.attributes,
        c.may_have_run
   from claimed c
   left join dbos.workflow_input i on i.workflow_uuid = c.workflow_uuid
  order by c.priority, c.created_at, c.workflow_uuid)
 union all
-- What is to be known about the budget: whether it was counted, for how many milliseconds a rate keeps something back,
-- and the last of the partitions that were looked at if there may be more behind it.
select null, null, null, (select max(k.key) from keys k), null, null, null, current_setting('durust.budget', true),
       null, null,
       case when (select count(*) from chosen) < r.most and (
                 exists (select from of_partition c where not c.is_in)
                 or exists (select from of_queue c where not c.is_within))
            then greatest(0, ceil(least(
                     (select min(b.first) + r.span from begun b), (select min(b.partition_first) + r.partition_span
                        from begun b)) - m.ms))::bigint end,
       null, null, null, null, null, null,
       (select max(k.number) = %(keys)s from keys k where k.key is not null)
  from moment m
  left join room r on true

-- name: end_grants
-- In words that fit no partial index: by those all open ones would be looked at.
update durust.grants g
   set ended_at = (extract(epoch from clock_timestamp()) * 1000)::bigint
 where g.token = any(%(tokens)s::text[]) and coalesce(g.ended_at, -1) = -1

-- name: forget_grants
-- No rate counts them any more, and nobody runs by them. The instant comes from a select of its own, as in queue_due.
with old as materialized (
    select g.token
      from durust.grants g
     where g.granted_at <= (
           select ((extract(epoch from clock_timestamp()) * 1000)::bigint - 1000 * greatest(
                  %(kept)s::double precision,
                  max(greatest(q.rate_limit_period_sec, q.partition_rate_limit_period_sec)) * 2))::bigint
             from dbos.queues q)
       and (g.ended_at is not null or not exists (
            select from durust.executors e where e.executor_id = g.executor_id and e.state <> 'DEAD'))
     order by g.granted_at
     limit %(limit)s
       for update skip locked
)
delete from durust.grants g using old o where g.token = o.token returning g.token

-- name: read_history
select o.workflow_uuid, o.function_id, o.function_name, o.output, o.error, o.serialization, o.child_workflow_id,
       o.started_at_epoch_ms, o.completed_at_epoch_ms, o.durust_claim
  from dbos.operation_outputs o
 where o.workflow_uuid = any(%(ids)s::text[])
 order by o.workflow_uuid, coalesce(o.completed_at_epoch_ms, 0), o.function_id

-- name: hold_buckets
-- What a writer of events holds against those who park for a workflow that is not there yet.
select pg_advisory_xact_lock_shared(%(lock)s::integer, b.bucket)
  from (select distinct abs(mod(hashtext(i.id), %(buckets)s::integer)) as bucket
          from unnest(%(ids)s::text[]) as i(id)
         order by 1) b

-- name: wake_waiters
-- Comes last, in a snapshot that was taken when what has arrived was locked already. Who is locked himself is left to the
-- sweep: he may be waiting for us.
with arrived as materialized (
    select distinct v.workflow_id
      from unnest(%(kinds)s::text[], %(targets)s::text[], %(keys)s::text[]) as i(kind, target, key)
      join durust.waits v on v.target = i.target and v.kind = i.kind and (i.key is null or v.key = i.key)
), pick as materialized (
    select w.workflow_uuid
      from (select a.workflow_id from arrived a order by a.workflow_id) a
     cross join lateral (
           select s.workflow_uuid, s.status
             from dbos.workflow_status s
            where s.workflow_uuid = a.workflow_id
           offset 0
              for update skip locked) w
     where w.status = 'DELAYED'
), forgotten as (
    delete from durust.waits s using pick p where s.workflow_id = p.workflow_uuid
)
update dbos.workflow_status w
   set status = 'ENQUEUED', queue_name = coalesce(w.queue_name, %(internal)s), delay_until_epoch_ms = null,
       updated_at = (extract(epoch from clock_timestamp()) * 1000)::bigint
  from pick p
 where w.workflow_uuid = p.workflow_uuid
returning w.queue_name

-- name: wake_family_waiters
-- Likewise for all that workflows led to, some of which ended in this transaction.
with family as materialized (
    with recursive t as (
        select i.id from unnest(%(ids)s::text[]) as i(id)
         union
        select w.workflow_uuid from t join dbos.workflow_status w on w.parent_workflow_id = t.id
    )
    select t.id
      from t
      join dbos.workflow_status w on w.workflow_uuid = t.id
     where w.status = 'CANCELLED'
), pick as materialized (
    select w.workflow_uuid
      from (
           select distinct v.workflow_id
             from family f
             join durust.waits v on v.target = f.id and v.kind in ('result', 'stream')
            order by v.workflow_id) a
     cross join lateral (
           select s.workflow_uuid, s.status
             from dbos.workflow_status s
            where s.workflow_uuid = a.workflow_id
           offset 0
              for update skip locked) w
     where w.status = 'DELAYED'
), forgotten as (
    delete from durust.waits s using pick p where s.workflow_id = p.workflow_uuid
)
update dbos.workflow_status w
   set status = 'ENQUEUED', queue_name = coalesce(w.queue_name, %(internal)s), delay_until_epoch_ms = null,
       updated_at = (extract(epoch from clock_timestamp()) * 1000)::bigint
  from pick p
 where w.workflow_uuid = p.workflow_uuid
returning w.queue_name

-- name: queue_arrived
-- What a foreign hand wrote, or a waker left because it was locked. Those who only sleep wait for nobody, and the index
-- of those who do passes them over.
with arrived as materialized (
    select distinct v.workflow_id
      from durust.waits v
     cross join lateral (
           select r.status, r.name, r.application_name
             from dbos.workflow_status r
            where r.workflow_uuid = v.workflow_id
           offset 0) w
     where v.target <> '' and v.kind <> 'sleep' and w.status = 'DELAYED'
       and (w.application_name = %(app)s or (w.application_name is null and w.name = any(%(names)s::text[])))
       and
-- use: what_arrived
), pick as materialized (
    select w.workflow_uuid
      from (select a.workflow_id from arrived a order by a.workflow_id limit %(limit)s) a
     cross join lateral (
           select s.workflow_uuid, s.status
             from dbos.workflow_status s
            where s.workflow_uuid = a.workflow_id
           offset 0
              for update skip locked) w
     where w.status = 'DELAYED'
), forgotten as (
    delete from durust.waits s using pick p where s.workflow_id = p.workflow_uuid
)
update dbos.workflow_status w
   set status = 'ENQUEUED', queue_name = coalesce(w.queue_name, %(internal)s), delay_until_epoch_ms = null,
       updated_at = (extract(epoch from clock_timestamp()) * 1000)::bigint
  from pick p
 where w.workflow_uuid = p.workflow_uuid
returning w.queue_name

-- name: queue_due
-- The instant comes from a select of its own, so that the index is read no further than to it, however many sleep.
with pick as materialized (
    select w.workflow_uuid
      from dbos.workflow_status w
     where w.status = 'DELAYED'
       and w.delay_until_epoch_ms <= (select (extract(epoch from clock_timestamp()) * 1000)::bigint)
       and (w.application_name = %(app)s or (w.application_name is null and w.name = any(%(names)s::text[])))
     order by w.delay_until_epoch_ms
     limit %(limit)s
       for update skip locked
), forgotten as (
    delete from durust.waits s using pick p where s.workflow_id = p.workflow_uuid
)
update dbos.workflow_status w
   set status = 'ENQUEUED', queue_name = coalesce(w.queue_name, %(internal)s), delay_until_epoch_ms = null,
       deduplication_id = case when w.is_debounced then null else w.deduplication_id end,
       updated_at = (extract(epoch from clock_timestamp()) * 1000)::bigint
  from pick p
 where w.workflow_uuid = p.workflow_uuid
returning w.queue_name

-- name: time_out_workflows
-- Judged again on the locked row, because a resume takes the deadline away. Whoever runs one learns it from its next
-- write.
with pick as materialized (
    select w.workflow_uuid
      from dbos.workflow_status w
     where w.status in ('ENQUEUED', 'PENDING', 'DELAYED') and w.workflow_deadline_epoch_ms is not null
       and w.workflow_deadline_epoch_ms <= (extract(epoch from clock_timestamp()) * 1000)::bigint
       and (w.application_name = %(app)s or (w.application_name is null and w.name = any(%(names)s::text[])))
     order by w.workflow_deadline_epoch_ms
     limit %(limit)s
       for update skip locked
), moment as materialized (
    select (extract(epoch from clock_timestamp()) * 1000)::bigint as ms
), forgotten as (
    delete from durust.waits s using pick p where s.workflow_id = p.workflow_uuid
)
update dbos.workflow_status w
   set status = 'CANCELLED', executor_id = null, owner_xid = null, deduplication_id = null, started_at_epoch_ms = null,
       delay_until_epoch_ms = null, completed_at = greatest(n.ms, w.workflow_deadline_epoch_ms), updated_at = n.ms
  from pick p
 cross join moment n
 where w.workflow_uuid = p.workflow_uuid
returning w.workflow_uuid

-- name: next_due
-- The nearest of what falls due and what runs out of time, each by its own index. In numbers, because not each of them
-- is a date.
select (n.at / 1000.0 - extract(epoch from clock_timestamp()))::double precision
  from (
       (select w.delay_until_epoch_ms as at
          from dbos.workflow_status w
         where w.status = 'DELAYED' and w.delay_until_epoch_ms is not null
           and (w.application_name = %(app)s or (w.application_name is null and w.name = any(%(names)s::text[])))
         order by w.delay_until_epoch_ms
         limit 1)
        union all
       (select w.workflow_deadline_epoch_ms
          from dbos.workflow_status w
         where w.status in ('ENQUEUED', 'PENDING', 'DELAYED') and w.workflow_deadline_epoch_ms is not null
           and (w.application_name = %(app)s or (w.application_name is null and w.name = any(%(names)s::text[])))
         order by w.workflow_deadline_epoch_ms
         limit 1)) n
 order by n.at
 limit 1

-- name: find_lapsed
-- Only candidates: they are judged again under the lock, so the two statements after this one go out together.
select e.executor_id
  from durust.executors e
 cross join lateral (
       select s.lease_until
         from durust.leases s
        where s.executor_id = e.executor_id
       offset 0) l
 where e.state <> 'DEAD' and e.supervisor_id <> %(supervisor)s and l.lease_until <= clock_timestamp()
 order by l.lease_until
 limit %(limit)s

-- name: reap_executors
-- The lease's row is locked too, so a beat that came in between is seen; whoever is beating right now is skipped.
with lapsed as materialized (
    select e.executor_id
      from durust.executors e
      join durust.leases l on l.executor_id = e.executor_id
     where e.executor_id = any(%(ids)s::text[]) and e.state <> 'DEAD' and l.lease_until <= clock_timestamp()
     order by e.executor_id
       for update of e, l skip locked
)
update durust.executors e
   set state = 'DEAD', ended_at = (extract(epoch from clock_timestamp()) * 1000)::bigint, why = %(why)s
  from lapsed l
 where e.executor_id = l.executor_id
returning e.executor_id

-- name: release_orphans
-- Heals what should not happen. The row must still be in the hands it was found in: an executor that registered after
-- this snapshot looks unknown here, and the row may be its by the time it is locked.
with orphan as materialized (
    select w.workflow_uuid, w.executor_id, w.owner_xid
      from dbos.workflow_status w
     where w.status = 'PENDING' and starts_with(w.executor_id, 'du:')
       and (w.application_name = %(app)s or (w.application_name is null and w.name = any(%(names)s::text[])))
       and not exists (
           select from durust.executors e where e.executor_id = w.executor_id and e.state <> 'DEAD')
     order by w.workflow_uuid
     limit %(limit)s
), pick as materialized (
    select w.workflow_uuid
      from orphan o
      join dbos.workflow_status w on w.workflow_uuid = o.workflow_uuid
     where w.status = 'PENDING' and w.executor_id = o.executor_id and w.owner_xid is not distinct from o.owner_xid
     order by w.workflow_uuid
       for update of w skip locked
)
update dbos.workflow_status w
   set status = 'ENQUEUED', queue_name = coalesce(w.queue_name, %(internal)s), executor_id = null, owner_xid = null,
       started_at_epoch_ms = null
  from pick p
 where w.workflow_uuid = p.workflow_uuid
returning w.workflow_uuid, w.queue_name

-- name: find_purgeable
-- Walks the ends from the oldest on, up to bounds that are scalars; who is in the way is skipped. Whose end is too old
-- and whose end has too many behind it are two questions, and one yes is enough. A fork's history names children whose
-- parent is another.
with aged as materialized (
    select (extract(epoch from clock_timestamp()) * 1000)::bigint - %(age)s::bigint as ms
), beyond as materialized (
    select n.completed_at, n.workflow_uuid
      from dbos.workflow_status n
     where %(keep)s::bigint is not null and n.completed_at is not null and n.status = any(%(statuses)s::text[])
       and (n.application_name = %(app)s or (n.application_name is null and n.name = any(%(names)s::text[])))
     order by n.completed_at desc, n.workflow_uuid desc
    offset %(keep)s::bigint
     limit 1
), candidate as materialized (
    select w.workflow_uuid, w.completed_at
      from dbos.workflow_status w
     where w.completed_at <= greatest((select a.ms from aged a), (select b.completed_at from beyond b))
       and (w.completed_at <= (select a.ms from aged a)
            or (w.completed_at, w.workflow_uuid) <= (select b.completed_at, b.workflow_uuid from beyond b))
       and w.status = any(%(statuses)s::text[])
       and (w.application_name = %(app)s or (w.application_name is null and w.name = any(%(names)s::text[])))
       and not exists (
           select from dbos.workflow_status p
            where p.workflow_uuid = w.parent_workflow_id
              and coalesce(p.status, '') not in ('SUCCESS', 'ERROR', 'CANCELLED'))
       and not exists (
           select from dbos.operation_outputs o
             join dbos.workflow_status h on h.workflow_uuid = o.workflow_uuid
            where o.child_workflow_id = w.workflow_uuid
              and coalesce(h.status, '') not in ('SUCCESS', 'ERROR', 'CANCELLED'))
       and not exists (select from durust.waits s where s.target = w.workflow_uuid and s.target <> '')
     order by w.completed_at, w.workflow_uuid
     limit %(limit)s
)
select c.workflow_uuid, c.completed_at,
       (select count(*) from dbos.operation_outputs o where o.workflow_uuid = c.workflow_uuid)
  from candidate c
 order by c.completed_at, c.workflow_uuid

-- name: purge_workflows
-- What was found is judged again on the locked row: who was revived meanwhile stays. All of a workflow goes at once.
with pick as materialized (
    select w.workflow_uuid
      from unnest(%(ids)s::text[], %(ends)s::bigint[]) as i(id, completed_at)
      join dbos.workflow_status w on w.workflow_uuid = i.id
     where w.status = any(%(statuses)s::text[]) and w.completed_at = i.completed_at
     order by w.workflow_uuid
       for update of w skip locked
), steps as (
    delete from dbos.operation_outputs o using pick p where o.workflow_uuid = p.workflow_uuid
), inputs as (
    delete from dbos.workflow_input i using pick p where i.workflow_uuid = p.workflow_uuid
), outputs as (
    delete from dbos.workflow_output o using pick p where o.workflow_uuid = p.workflow_uuid
), events as (
    delete from dbos.workflow_events e using pick p where e.workflow_uuid = p.workflow_uuid
), past_events as (
    delete from dbos.workflow_events_history e using pick p where e.workflow_uuid = p.workflow_uuid
), streams as (
    delete from dbos.streams s using pick p where s.workflow_uuid = p.workflow_uuid
), messages as (
    delete from dbos.notifications n using pick p where n.destination_uuid = p.workflow_uuid
), waits as (
    delete from durust.waits s using pick p where s.workflow_id = p.workflow_uuid
)
delete from dbos.workflow_status w using pick p where w.workflow_uuid = p.workflow_uuid
returning w.workflow_uuid

-- name: forget_lost_waits
-- A foreign hand that deletes a workflow knows nothing of its waits, which would keep what they name from every purge. Here
-- and not in each sweep, which must not ask for ten thousand sleepers; in their way are such waits nowhere else.
delete from durust.waits s
 where s.workflow_id in (
       select v.workflow_id
         from durust.waits v
        where not exists (select from dbos.workflow_status w where w.workflow_uuid = v.workflow_id)
        limit %(limit)s)

-- name: forget_executors
-- Nobody asks for them any more: a run is fenced by its token, and who is unknown counts as dead.
with gone as materialized (
    select e.executor_id
      from durust.executors e
     where e.state = 'DEAD' and e.app_name = %(app)s
       and e.ended_at <= (extract(epoch from clock_timestamp()) * 1000)::bigint - %(dead_age)s::bigint
       and e.executor_id not in (
           select w.executor_id from dbos.workflow_status w where w.status = 'PENDING' and w.executor_id is not null)
     order by e.ended_at, e.executor_id
     limit %(limit)s
       for update skip locked
), leases as (
    delete from durust.leases l using gone g where l.executor_id = g.executor_id
)
delete from durust.executors e using gone g where e.executor_id = g.executor_id
returning e.executor_id

-- name: list_events
select e.key, e.value, e.serialization
  from dbos.workflow_events e
 where e.workflow_uuid = %(id)s
 order by e.key collate "C"

-- name: list_streams
select s.key, s."offset", s.value, s.serialization, s.function_id
  from dbos.streams s
 where s.workflow_uuid = %(id)s
 order by s.key collate "C", s."offset"

-- name: read_events
select e.workflow_uuid, e.key, e.value, e.serialization
  from unnest(%(ids)s::text[], %(keys)s::text[]) as i(id, key)
  join dbos.workflow_events e on e.workflow_uuid = i.id and e.key = i.key

-- name: read_streams
-- For each of what is asked the entries from an offset on, and whether its writer has ended or is not there.
select i.place, w.workflow_uuid is not null, coalesce(w.status not in ('DELAYED', 'ENQUEUED', 'PENDING'), true),
       t."offset", t.value, t.serialization, t.function_id
  from unnest(%(ids)s::text[], %(keys)s::text[], %(ats)s::integer[]) with ordinality as i(id, key, at, place)
  left join dbos.workflow_status w on w.workflow_uuid = i.id
  left join lateral (
       select s."offset", s.value, s.serialization, s.function_id
         from dbos.streams s
        where s.workflow_uuid = i.id and s.key = i.key and s."offset" >= i.at
        order by s."offset"
        limit %(limit)s) t on true
 order by i.place, t."offset"

-- name: find_messages
select i.id, i.topic
  from unnest(%(ids)s::text[], %(topics)s::text[]) as i(id, topic)
 where (select 1 from dbos.notifications n
         where n.destination_uuid = i.id and n.topic = i.topic and not n.consumed
         limit 1) is not null

-- part: workflows_meant
-- A filter that is NULL falls away, because a statement that asks for it is planned for its values each time.
 where (%(ids)s::text[] is null or w.workflow_uuid = any(%(ids)s::text[]))
   and (%(names)s::text[] is null or w.name = any(%(names)s::text[]))
   and (%(statuses)s::text[] is null or w.status = any(%(statuses)s::text[]))
   and (%(queues)s::text[] is null or w.queue_name = any(%(queues)s::text[]))
   and (not %(queued)s::boolean
        or (w.queue_name is not null and w.status in ('ENQUEUED', 'PENDING', 'DELAYED')))
   and (%(executors)s::text[] is null or w.executor_id = any(%(executors)s::text[]))
   and (%(apps)s::text[] is null or w.application_name = any(%(apps)s::text[]))
   and (%(app)s::text is null or w.application_name = %(app)s::text
        or (w.application_name is null and w.name = any(%(app_workflows)s::text[])))
   and (%(versions)s::text[] is null or w.application_version = any(%(versions)s::text[]))
   and (%(versions_not)s::text[] is null
        or (w.application_version is not null and w.application_version <> all(%(versions_not)s::text[])))
   and (not %(stranded)s::boolean
        or (w.status in ('ENQUEUED', 'DELAYED') and w.application_version is not null
            and not exists (
                select
                  from durust.executors e
                  join durust.versions v
                    on v.app_name = e.app_name and v.app_version = e.app_version and v.workflow_name = w.name
                   and v.workflow_version = w.application_version
                 where e.state = 'LIVE' and (w.application_name is null or w.application_name = e.app_name))))
   and (%(prefixes)s::text[] is null
        or exists (select from unnest(%(prefixes)s::text[]) as p(prefix) where starts_with(w.workflow_uuid, p.prefix)))
   and (%(users)s::text[] is null or w.authenticated_user = any(%(users)s::text[]))
   and (%(parents)s::text[] is null or w.parent_workflow_id = any(%(parents)s::text[]))
   and (%(has_parent)s::boolean is null or (w.parent_workflow_id is not null) = %(has_parent)s::boolean)
   and (%(sources)s::text[] is null or w.forked_from = any(%(sources)s::text[]))
   and (%(has_forks)s::boolean is null or w.was_forked_from = %(has_forks)s::boolean)
   and (%(dedups)s::text[] is null or w.deduplication_id = any(%(dedups)s::text[]))
   and (%(schedules)s::text[] is null or w.schedule_name = any(%(schedules)s::text[]))
   and (%(partitions)s::text[] is null or w.queue_partition_key = any(%(partitions)s::text[]))
   and (%(priorities)s::text[] is null or w.priority::text = any(%(priorities)s::text[]))
   and (%(attributes)s::text is null or w.attributes @> %(attributes)s::text::jsonb)
   and (%(created_from)s::bigint is null or w.created_at >= %(created_from)s::bigint)
   and (%(created_before)s::bigint is null or w.created_at < %(created_before)s::bigint)
   and (%(started_from)s::bigint is null or w.started_at_epoch_ms >= %(started_from)s::bigint)
   and (%(started_before)s::bigint is null or w.started_at_epoch_ms < %(started_before)s::bigint)
   and (%(completed_from)s::bigint is null or w.completed_at >= %(completed_from)s::bigint)
   and (%(completed_before)s::bigint is null or w.completed_at < %(completed_before)s::bigint)
   and (%(deadline_from)s::bigint is null or w.workflow_deadline_epoch_ms >= %(deadline_from)s::bigint)
   and (%(deadline_before)s::bigint is null or w.workflow_deadline_epoch_ms < %(deadline_before)s::bigint)

-- name: list_workflows
select w.workflow_uuid, w.name, w.status, w.queue_name, w.priority, w.deduplication_id, w.executor_id, w.owner_xid,
       w.creator_xid, w.application_name, w.application_version, coalesce(w.recovery_attempts, 0), w.created_at,
       w.updated_at, w.started_at_epoch_ms, w.completed_at, w.delay_until_epoch_ms, w.workflow_timeout_ms,
       w.workflow_deadline_epoch_ms, w.queue_partition_key, w.schedule_name, w.parent_workflow_id, w.authenticated_user,
       w.authenticated_roles, w.assumed_role, w.attributes::text, w.forked_from, w.was_forked_from, w.serialization,
       case when %(load_input)s::boolean then coalesce(i.inputs, w.inputs) end,
       case when %(load_output)s::boolean then coalesce(o.output, w.output) end,
       case when %(load_output)s::boolean then coalesce(o.error, w.error) end
  from dbos.workflow_status w
  left join dbos.workflow_input i on i.workflow_uuid = w.workflow_uuid and %(load_input)s::boolean
  left join dbos.workflow_output o on o.workflow_uuid = w.workflow_uuid and %(load_output)s::boolean
 -- use: workflows_meant
   and (%(after_at)s::bigint is null
        or case when %(newest_first)s::boolean
                then (w.created_at, w.workflow_uuid) < (%(after_at)s::bigint, %(after_id)s::text)
                else (w.created_at, w.workflow_uuid) > (%(after_at)s::bigint, %(after_id)s::text) end)
 order by case when not %(newest_first)s::boolean then w.created_at end,
          case when not %(newest_first)s::boolean then w.workflow_uuid end,
          case when %(newest_first)s::boolean then w.created_at end desc,
          case when %(newest_first)s::boolean then w.workflow_uuid end desc
 limit %(limit)s offset %(offset)s

-- name: count_workflows
-- What is not counted by is NULL in every row, so it splits no group.
select i.bucket, i.status, i.name, i.queue, i.executor, i.app, i.version, count(*), min(i.lasted)::double precision,
       avg(i.lasted)::double precision, max(i.lasted)::double precision
  from (
       select case when %(bucket)s::bigint is not null
                   then w.created_at - mod(w.created_at, %(bucket)s::bigint) end as bucket,
              case when 'status' = any(%(by)s::text[]) then w.status collate "C" end as status,
              case when 'name' = any(%(by)s::text[]) then w.name collate "C" end as name,
              case when 'queue' = any(%(by)s::text[]) then w.queue_name collate "C" end as queue,
              case when 'executor_id' = any(%(by)s::text[]) then w.executor_id collate "C" end as executor,
              case when 'app_name' = any(%(by)s::text[]) then w.application_name collate "C" end as app,
              case when 'app_version' = any(%(by)s::text[]) then w.application_version collate "C" end as version,
              w.completed_at - w.created_at as lasted
         from dbos.workflow_status w
        -- use: workflows_meant
       ) i
 group by 1, 2, 3, 4, 5, 6, 7
 order by 1 nulls first, 8 desc, 2 nulls first, 3 nulls first, 4 nulls first, 5 nulls first, 6 nulls first,
          7 nulls first
 limit %(limit)s offset %(offset)s

-- name: count_steps
select o.function_name collate "C", count(*), count(o.error),
       min(o.completed_at_epoch_ms - o.started_at_epoch_ms)::double precision,
       avg(o.completed_at_epoch_ms - o.started_at_epoch_ms)::double precision,
       max(o.completed_at_epoch_ms - o.started_at_epoch_ms)::double precision
  from dbos.operation_outputs o
 where o.completed_at_epoch_ms >= %(completed_from)s::bigint and o.completed_at_epoch_ms < %(completed_before)s::bigint
   and (%(names)s::text[] is null or o.function_name = any(%(names)s::text[]))
   and (%(app)s::text is null or o.application_name = %(app)s::text
        or (o.application_name is null and exists (
            select from dbos.workflow_status w
             where w.workflow_uuid = o.workflow_uuid
               and (w.application_name = %(app)s::text
                    or (w.application_name is null and w.name = any(%(app_workflows)s::text[]))))))
 group by 1
 order by 2 desc, 1
 limit %(limit)s

-- name: list_executors
select e.executor_id, e.supervisor_id, e.host, e.boot_id, e.pid_ns, e.pid, e.pid_started, e.app_name, e.app_version,
       e.state, e.registered_at, e.ended_at, e.why,
       (extract(epoch from l.lease_until - clock_timestamp()))::double precision
  from durust.executors e
  join durust.leases l on l.executor_id = e.executor_id
 where e.state = any(%(states)s::text[])
   and (%(ids)s::text[] is null or e.executor_id = any(%(ids)s::text[]))
   and (%(boot)s::text is null or e.boot_id = %(boot)s::text)
   and (%(supervisor)s::text is null or e.supervisor_id = %(supervisor)s::text)
 order by e.executor_id

-- name: list_open_grants
select g.token from durust.grants g where g.executor_id = %(executor)s and g.ended_at is null


-- name: list_messages
select n.message_uuid, n.destination_uuid, n.topic, n.message, n.serialization, n.created_at_epoch_ms, n.consumed,
       n.consumed_by_function_id
  from dbos.notifications n
 where n.destination_uuid = %(id)s
 order by n.durust_seq nulls first, n.created_at_epoch_ms, n.message_uuid
-- name: read_standing
-- How things stand for one workflow: how many are queued before it, and what is taken of its queue's budgets. Beyond the
-- bound nobody counts.
with mine as materialized (
    select w.workflow_uuid, w.queue_name, w.queue_partition_key, w.priority, w.created_at, w.application_name,
           (extract(epoch from clock_timestamp()) * 1000)::bigint as ms
      from dbos.workflow_status w
     where w.workflow_uuid = %(id)s
), before as materialized (
    select b.queue_partition_key
      from mine m
     cross join lateral (
           select a.queue_partition_key
             from dbos.workflow_status a
            where a.status = 'ENQUEUED' and a.queue_name = m.queue_name
              and (a.priority, a.created_at, a.workflow_uuid) < (m.priority, m.created_at, m.workflow_uuid)
              and a.application_name is not distinct from m.application_name
            limit %(bound)s) b
), open as materialized (
    select g.partition
      from mine m
      join durust.grants g on g.queue = m.queue_name and g.ended_at is null
      join durust.executors e on e.executor_id = g.executor_id and e.state <> 'DEAD'
), begun as materialized (
    select g.partition, g.granted_at
      from mine m
      join durust.grants g on g.queue = m.queue_name and g.is_start
       and g.granted_at > m.ms - greatest(%(span)s::double precision, %(partition_span)s::double precision)
)
select m.ms,
       (select count(*) from before),
       (select count(*) from before b where b.queue_partition_key = m.queue_partition_key),
       (select count(*) from open),
       (select count(*) from begun b where b.granted_at > m.ms - %(span)s::double precision),
       (select min(b.granted_at) from begun b where b.granted_at > m.ms - %(span)s::double precision),
       (select count(*) from open o where o.partition = m.queue_partition_key),
       (select count(*) from begun b
         where b.partition = m.queue_partition_key and b.granted_at > m.ms - %(partition_span)s::double precision),
       (select min(b.granted_at) from begun b
         where b.partition = m.queue_partition_key and b.granted_at > m.ms - %(partition_span)s::double precision)
  from mine m

-- name: count_running
-- What each executor runs of a workflow's queue, and of its partition.
select w.executor_id, count(*), count(*) filter (where w.queue_partition_key = m.queue_partition_key)
  from dbos.workflow_status m
  join dbos.workflow_status w on w.queue_name = m.queue_name and w.status = 'PENDING'
 where m.workflow_uuid = %(id)s and w.executor_id is not null
 group by w.executor_id
 order by w.executor_id

-- name: list_waits
select t.place, t.kind, t.target, t.key, t.at, t.until
  from durust.waits t
 where t.workflow_id = %(id)s
 order by t.place, t.kind, t.target, t.key

-- name: list_queues
select q.name, q.worker_concurrency, q.concurrency, q.rate_limit_max, q.rate_limit_period_sec, q.priority_enabled,
       q.partition_queue, q.partition_concurrency, q.partition_worker_concurrency, q.partition_rate_limit_max,
       q.partition_rate_limit_period_sec, q.application_name,
       exists (select from durust.paused_queues p where p.name = q.name)
  from dbos.queues q
 order by q.name

-- name: list_versions
with listed as materialized (
    select v.version_name, v.version_timestamp, v.created_at
      from dbos.application_versions v
     where v.application_name = %(app)s
     order by v.version_timestamp desc, v.created_at desc, v.version_name desc
     limit %(limit)s
)
select l.version_name, l.version_timestamp, l.created_at,
       (select count(*) from durust.executors e
         where e.app_name = %(app)s and e.app_version = l.version_name and e.state = 'LIVE'),
       p.workflow_name, p.workflow_version
  from listed l
  left join durust.versions p on p.app_name = %(app)s and p.app_version = l.version_name
 order by l.version_timestamp desc, l.created_at desc, l.version_name desc, p.workflow_name

-- name: announce_hints
-- A hint may be lost, so nobody waits for the disk because of it: a notification alone writes a commit record. Other
-- libraries are told on the canonical channels, behind the hint that durust knows it by, where an application of theirs
-- has registered a version: their waits look again by themselves only once a minute.
with hasty as materialized (
    select set_config('synchronous_commit', 'off', true)
), told as materialized (
    select 'durust_hints' as channel, i.payload, 0 as place
      from hasty
     cross join unnest(%(payloads)s::text[]) as i(payload)
     union all
    select f.channel, f.key, f.place
      from unnest(%(channels)s::text[], %(keys)s::text[]) with ordinality as f(channel, key, place)
     where exists (
           select
             from dbos.application_versions v
            where not exists (select from durust.versions d where d.app_name = v.application_name))
     order by place
)
select pg_notify(t.channel, t.payload) from told t

-- name: announce_with_commit
-- In a transaction of the caller's: it is delivered by his commit, which waits for the disk as he wants it to.
select pg_notify('durust_hints', %(payload)s)

-- name: find_columns
-- What stands in the schemas of the canonical tables and of durust, whoever made it.
select n.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod)
  from pg_catalog.pg_class c
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  join pg_catalog.pg_attribute a on a.attrelid = c.oid
 where n.nspname in ('dbos', 'durust') and c.relkind in ('r', 'p') and a.attnum > 0 and not a.attisdropped
 order by 1, 2, 3

-- name: find_missing_additions
-- Asked at every start, because a table that another library made anew has lost what durust adds to it.
select a.column_name
  from (values
       ('dbos.operation_outputs', 'durust_claim'), ('dbos.notifications', 'durust_seq'), ('dbos.streams', 'durust_key'))
       as a(table_name, column_name)
 where not exists (
       select from pg_catalog.pg_attribute t
        where t.attrelid = to_regclass(a.table_name) and t.attname = a.column_name and not t.attisdropped)
 union all
select i.index_name
  from (values
       ('dbos.durust_children'), ('dbos.durust_claim_order'), ('dbos.durust_debounces'),
       ('dbos.durust_schedule_runs'), ('dbos.durust_stream_keys'), ('dbos.durust_unread'))
       as i(index_name)
 where to_regclass(i.index_name) is null
 order by 1

-- name: read_version
select v.version from dbos.dbos_migrations v

-- name: read_migrations
select m.number from durust.migrations m

-- name: note_migration
insert into durust.migrations (number, name) values (%(number)s, %(name)s)

-- name: lock_migrations
-- The number stands for durust; other libraries lock other numbers.
select pg_advisory_xact_lock(7236828452715)

-- name: create_own_schema
create schema if not exists durust

-- name: create_migrations
create table if not exists durust.migrations (
    number integer primary key,
    name text not null,
    applied_at timestamp with time zone not null default now()
)

-- name: settle_transaction
-- Behind a pooler a connection keeps nothing, so each transaction says how it wants to be treated.
select set_config('durust.quiet', 'on', true), set_config('idle_in_transaction_session_timeout', %(idle)s, true),
       set_config('lock_timeout', %(lock)s, true), set_config('statement_timeout', %(statement)s, true)

-- name: mark_transaction
-- Gone when the transaction ends, so whoever finds it later is in the same one still.
select set_config('durust.transaction', %(mark)s, true)

-- name: prepare_end
-- The user's statements ran as he wants them. What follows is ours: the guard, on a locked row, by its indexes.
select current_setting('durust.transaction', true), set_config('enable_seqscan', 'off', true),
       set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true),
       set_config('jit', 'off', true), set_config('idle_in_transaction_session_timeout', %(idle)s, true),
       set_config('lock_timeout', %(lock)s, true), set_config('statement_timeout', %(statement)s, true)
