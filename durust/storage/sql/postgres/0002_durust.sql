-- What durust keeps beside the canonical tables. The schema and its table of migrations are there already.

-- One row for each incarnation of a process. It changes at birth, at drain and at death, so a claim's share lock on it
-- never waits for a heartbeat.
create table durust.executors (
    executor_id text primary key,
    supervisor_id text not null,
    host text not null,
    boot_id text not null,
    pid_ns text not null,
    pid bigint not null,
    pid_started double precision not null,
    app_name text not null,
    app_version text,
    state text not null check (state in ('LIVE', 'DRAINING', 'DEAD')),
    registered_at bigint not null,
    ended_at bigint,
    why text
);
create index executors_not_dead on durust.executors (executor_id) where state <> 'DEAD';
create index executors_dead on durust.executors (ended_at) where state = 'DEAD';

-- Written every two seconds for each living executor: narrow, and with room in the page for updates in place.
create table durust.leases (
    executor_id text primary key,
    lease_until timestamp with time zone not null,
    beat bigint not null default 0,
    progress bigint not null default 0
) with (fillfactor = 50);

-- What a version of an application is made of: which version the rows of each of its workflows carry.
create table durust.versions (
    app_name text,
    app_version text,
    workflow_name text,
    workflow_version text not null,
    primary key (app_name, app_version, workflow_name)
);

-- What a parked run waits for.
create table durust.waits (
    workflow_id text,
    place integer,
    kind text,
    target text,
    key text,
    at integer not null default 0,
    until bigint,
    primary key (workflow_id, place, kind, target, key)
);
create index waits_target on durust.waits (kind, target, key);
create index waits_waited_for on durust.waits (target) where target <> '';

-- One row for each claim on a queue that has a budget.
create table durust.grants (
    workflow_id text not null,
    token text primary key,
    queue text not null,
    partition text,
    executor_id text not null,
    granted_at bigint not null,
    ended_at bigint,
    is_start boolean not null
);
create index grants_open on durust.grants (queue) where ended_at is null;
create index grants_of_executor on durust.grants (executor_id) where ended_at is null;
create index grants_started on durust.grants (queue, granted_at) where is_start;
create index grants_granted on durust.grants (granted_at);

-- The queues from which nothing is claimed for now.
create table durust.paused_queues (
    name text primary key,
    paused_at bigint not null
);

-- How far each schedule's ticks are settled, and what a tick does that meets an earlier run. A schedule that another
-- library made has no row yet; one that it made anew has another id.
create table durust.schedules (
    schedule_id text primary key,
    settled_until bigint not null,
    overlap text not null
);

-- The total order of messages.
create sequence durust.notifications_seq;
