-- The canonical tables as of their schema version 125. durust.storage.schema reads the columns from this text, so each
-- column stands on a line of its own, with its type as the catalog spells it.

create schema if not exists dbos;

create table dbos.dbos_migrations (
    version bigint not null primary key
);
insert into dbos.dbos_migrations (version) values (125);

create table dbos.workflow_status (
    workflow_uuid text primary key,
    status text,
    name text,
    authenticated_user text,
    assumed_role text,
    authenticated_roles text,
    request text,
    output text,
    error text,
    executor_id text,
    created_at bigint not null default (extract(epoch from now()) * 1000.0)::bigint,
    updated_at bigint not null default (extract(epoch from now()) * 1000.0)::bigint,
    application_version text,
    application_id text,
    class_name character varying(255) default null,
    config_name character varying(255) default null,
    recovery_attempts bigint default 0,
    queue_name text,
    workflow_timeout_ms bigint,
    workflow_deadline_epoch_ms bigint,
    inputs text,
    started_at_epoch_ms bigint,
    deduplication_id text,
    priority integer not null default 0,
    queue_partition_key text,
    forked_from text,
    owner_xid text,
    parent_workflow_id text,
    serialization text,
    delay_until_epoch_ms bigint,
    was_forked_from boolean not null default false,
    rate_limited boolean not null default false,
    completed_at bigint,
    attributes jsonb,
    schedule_name text,
    debounce_deadline_epoch_ms bigint,
    is_debounced boolean not null default false,
    application_name text,
    creator_xid text
);
create index workflow_status_created_at_index on dbos.workflow_status (created_at);
create index idx_workflow_status_delayed on dbos.workflow_status (delay_until_epoch_ms) where status = 'DELAYED';
create index idx_workflow_status_forked_from on dbos.workflow_status (forked_from) where forked_from is not null;
create index idx_workflow_status_parent_workflow_id on dbos.workflow_status (parent_workflow_id)
    where parent_workflow_id is not null;
create unique index uq_workflow_status_dedup_id on dbos.workflow_status (queue_name, deduplication_id)
    where deduplication_id is not null;
create index idx_workflow_status_pending on dbos.workflow_status (created_at) where status = 'PENDING';
create index idx_workflow_status_failed on dbos.workflow_status (status, created_at)
    where status in ('ERROR', 'CANCELLED', 'MAX_RECOVERY_ATTEMPTS_EXCEEDED');
create index idx_workflow_status_in_flight_v2 on dbos.workflow_status (queue_name, status, priority, created_at)
    include (application_name) where status in ('ENQUEUED', 'PENDING');
create index idx_workflow_status_partition_dequeue_v3
    on dbos.workflow_status (queue_name, status, queue_partition_key, priority, created_at, workflow_uuid)
    include (application_name)
    where status in ('ENQUEUED', 'PENDING') and queue_partition_key is not null;
create index idx_workflow_status_rate_limited on dbos.workflow_status (queue_name, started_at_epoch_ms)
    where rate_limited = true;
create index idx_workflow_status_completed_at on dbos.workflow_status (completed_at) where completed_at is not null;
create index idx_workflow_status_started_at on dbos.workflow_status (started_at_epoch_ms)
    where started_at_epoch_ms is not null;
create index idx_workflow_status_schedule_name on dbos.workflow_status (schedule_name)
    where schedule_name is not null;
create index idx_workflow_status_attributes on dbos.workflow_status using gin (attributes)
    where attributes is not null;
create index idx_workflow_status_deadline on dbos.workflow_status (workflow_deadline_epoch_ms)
    where status in ('ENQUEUED', 'PENDING', 'DELAYED') and workflow_deadline_epoch_ms is not null;

create table dbos.workflow_input (
    workflow_uuid text primary key,
    inputs text,
    retention_timestamp bigint not null default (extract(epoch from now()) * 1000.0)::bigint
);
create index idx_workflow_input_retention on dbos.workflow_input (retention_timestamp);

create table dbos.workflow_output (
    workflow_uuid text primary key,
    output text,
    error text,
    retention_timestamp bigint not null default (extract(epoch from now()) * 1000.0)::bigint
);
create index idx_workflow_output_retention on dbos.workflow_output (retention_timestamp);

create table dbos.operation_outputs (
    workflow_uuid text,
    function_id integer,
    function_name text not null default '',
    output text,
    error text,
    child_workflow_id text,
    started_at_epoch_ms bigint,
    completed_at_epoch_ms bigint,
    serialization text,
    application_name text,
    retention_timestamp bigint not null default (extract(epoch from now()) * 1000.0)::bigint,
    primary key (workflow_uuid, function_id)
);
create index idx_operation_outputs_completed_at_function_name_v2
    on dbos.operation_outputs (completed_at_epoch_ms, function_name) include (application_name);
create index idx_operation_outputs_retention on dbos.operation_outputs (retention_timestamp);

create table dbos.notifications (
    message_uuid text primary key default gen_random_uuid(),
    destination_uuid text not null,
    topic text,
    message text not null,
    created_at_epoch_ms bigint not null default (extract(epoch from now()) * 1000.0)::bigint,
    serialization text,
    consumed boolean not null default false,
    consumed_by_function_id integer,
    foreign key (destination_uuid) references dbos.workflow_status (workflow_uuid) on update cascade on delete cascade
);
create index idx_workflow_topic on dbos.notifications (destination_uuid, topic);

create table dbos.workflow_events (
    workflow_uuid text,
    key text,
    value text not null,
    serialization text,
    primary key (workflow_uuid, key),
    foreign key (workflow_uuid) references dbos.workflow_status (workflow_uuid) on update cascade on delete cascade
);

create table dbos.workflow_events_history (
    workflow_uuid text,
    function_id integer,
    key text,
    value text not null,
    serialization text,
    primary key (workflow_uuid, function_id, key),
    foreign key (workflow_uuid) references dbos.workflow_status (workflow_uuid) on update cascade on delete cascade
);

create table dbos.streams (
    workflow_uuid text,
    key text,
    value text not null,
    "offset" integer,
    function_id integer not null default 0,
    serialization text,
    primary key (workflow_uuid, key, "offset"),
    foreign key (workflow_uuid) references dbos.workflow_status (workflow_uuid) on update cascade on delete cascade
);

create table dbos.workflow_schedules (
    schedule_id text primary key,
    schedule_name text not null unique,
    workflow_name text not null,
    workflow_class_name text,
    schedule text not null,
    status text not null default 'ACTIVE',
    context text not null,
    last_fired_at text,
    automatic_backfill boolean not null default false,
    cron_timezone text,
    queue_name text,
    application_name text
);

create table dbos.application_versions (
    version_id text primary key,
    version_name text not null unique,
    version_timestamp bigint not null default (extract(epoch from now()) * 1000.0)::bigint,
    created_at bigint not null default (extract(epoch from now()) * 1000.0)::bigint,
    application_name text
);
create unique index uq_application_versions_owner_version
    on dbos.application_versions (application_name, version_name) where application_name is not null;
create unique index uq_application_versions_unclaimed_version
    on dbos.application_versions (version_name) where application_name is null;
create index idx_application_versions_timestamp on dbos.application_versions (version_timestamp desc);
create index idx_application_versions_owner_timestamp
    on dbos.application_versions (application_name, version_timestamp desc);

create table dbos.queues (
    queue_id text primary key default gen_random_uuid()::text,
    name text not null unique,
    concurrency integer,
    worker_concurrency integer,
    rate_limit_max integer,
    rate_limit_period_sec double precision,
    priority_enabled boolean not null default false,
    partition_queue boolean not null default false,
    polling_interval_sec double precision not null default 1.0,
    created_at bigint not null default (extract(epoch from now()) * 1000.0)::bigint,
    updated_at bigint not null default (extract(epoch from now()) * 1000.0)::bigint,
    application_name text,
    partition_concurrency integer,
    partition_worker_concurrency integer,
    partition_rate_limit_max integer,
    partition_rate_limit_period_sec double precision
);

create table dbos.event_dispatch_kv (
    service_name text,
    workflow_fn_name text,
    key text,
    value text,
    update_seq numeric(38,0),
    update_time numeric(38,15),
    primary key (service_name, workflow_fn_name, key)
);

create function dbos.enqueue_workflow(
    workflow_name text,
    queue_name text,
    positional_args json[] default '{}'::json[],
    named_args json default '{}'::json,
    class_name text default null,
    config_name text default null,
    workflow_id text default null,
    app_version text default null,
    timeout_ms bigint default null,
    deadline_epoch_ms bigint default null,
    deduplication_id text default null,
    priority integer default null,
    queue_partition_key text default null,
    authenticated_user text default null,
    authenticated_roles text default null,
    delay_until_epoch_ms bigint default null,
    application_name text default null
) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    new_id text := coalesce(workflow_id, gen_random_uuid()::text);
    now_ms bigint := (extract(epoch from clock_timestamp()) * 1000)::bigint;
begin
    if coalesce(workflow_name, '') = '' then
        raise exception 'workflow_name must not be empty';
    end if;
    if coalesce(queue_name, '') = '' then
        raise exception 'queue_name must not be empty';
    end if;
    if named_args is not null and json_typeof(named_args) <> 'object' then
        raise exception 'named_args must be a JSON object';
    end if;
    if new_id = '' then
        raise exception 'workflow_id must not be empty';
    end if;
    if delay_until_epoch_ms < 0 then
        raise exception 'delay_until_epoch_ms must not be negative';
    end if;
    insert into dbos.workflow_status as w (
        workflow_uuid, status, name, class_name, config_name, queue_name, queue_partition_key, deduplication_id,
        priority, application_version, application_name, workflow_timeout_ms, workflow_deadline_epoch_ms,
        delay_until_epoch_ms, authenticated_user, authenticated_roles, serialization, created_at, updated_at
    ) values (
        new_id,
        case when enqueue_workflow.delay_until_epoch_ms > now_ms then 'DELAYED' else 'ENQUEUED' end,
        enqueue_workflow.workflow_name, enqueue_workflow.class_name, enqueue_workflow.config_name,
        enqueue_workflow.queue_name, enqueue_workflow.queue_partition_key, enqueue_workflow.deduplication_id,
        coalesce(enqueue_workflow.priority, 0), enqueue_workflow.app_version, enqueue_workflow.application_name,
        enqueue_workflow.timeout_ms, enqueue_workflow.deadline_epoch_ms,
        enqueue_workflow.delay_until_epoch_ms, enqueue_workflow.authenticated_user,
        enqueue_workflow.authenticated_roles, 'portable_json', now_ms, now_ms
    )
    on conflict (workflow_uuid) do update set updated_at = excluded.updated_at;
    insert into dbos.workflow_input (workflow_uuid, inputs)
    values (
        new_id,
        json_build_object(
            'positionalArgs', coalesce(array_to_json(positional_args), '[]'::json),
            'namedArgs', coalesce(named_args, '{}'::json)
        )::text
    )
    on conflict (workflow_uuid) do nothing;
    return new_id;
exception
    when unique_violation then
        raise exception 'DBOS queue duplicated' using errcode = 'unique_violation';
end
$$;

create function dbos.send_message(
    destination_id text,
    message json,
    topic text default null,
    message_id text default null
) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    insert into dbos.notifications (message_uuid, destination_uuid, topic, message, serialization)
    values (
        coalesce(message_id, gen_random_uuid()::text), destination_id, coalesce(topic, '__null__topic__'),
        message::text, 'portable_json'
    )
    on conflict (message_uuid) do nothing;
exception
    when foreign_key_violation then
        raise exception 'DBOS non-existent workflow' using errcode = 'foreign_key_violation';
end
$$;

create function dbos.notifications_function() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform pg_notify('dbos_notifications_channel', new.destination_uuid || '::' || new.topic);
    return new;
end
$$;

-- durust's own batches stay quiet and announce once, after their commit.
create trigger dbos_notifications_trigger after insert on dbos.notifications for each row
    when (current_setting('durust.quiet', true) is distinct from 'on')
    execute function dbos.notifications_function();
