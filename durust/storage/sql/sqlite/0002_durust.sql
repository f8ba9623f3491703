-- What durust keeps beside the canonical tables; its table of migrations is there already.

-- One row for each incarnation of a process.
create table durust_executors (
    executor_id text primary key,
    supervisor_id text not null,
    host text not null,
    boot_id text not null,
    pid_ns text not null,
    pid integer not null,
    pid_started real not null,
    app_name text not null,
    app_version text,
    state text not null check (state in ('LIVE', 'DRAINING', 'DEAD')),
    registered_at integer not null,
    ended_at integer,
    why text
);
create index durust_executors_not_dead on durust_executors (executor_id) where state <> 'DEAD';
create index durust_executors_dead on durust_executors (ended_at) where state = 'DEAD';

-- A lease ends at a time of this boot: the seconds since the kernel's start, which nobody steps. After another start
-- every older lease is over.
create table durust_leases (
    executor_id text primary key,
    boot_id text not null,
    lease_until real not null,
    beat integer not null default 0,
    progress integer not null default 0
);

-- What a version of an application is made of: which version the rows of each of its workflows carry.
create table durust_versions (
    app_name text not null,
    app_version text not null,
    workflow_name text not null,
    workflow_version text not null,
    primary key (app_name, app_version, workflow_name)
);

-- What a parked run waits for.
create table durust_waits (
    workflow_id text not null,
    place integer not null,
    kind text not null,
    target text not null,
    key text not null,
    at integer not null default 0,
    until integer,
    primary key (workflow_id, place, kind, target, key)
);
create index durust_waits_target on durust_waits (kind, target, key);
create index durust_waits_waited_for on durust_waits (target) where target <> '';

-- One row for each claim on a queue that has a budget.
create table durust_grants (
    workflow_id text not null,
    token text primary key,
    queue text not null,
    partition text,
    executor_id text not null,
    granted_at integer not null,
    ended_at integer,
    is_start integer not null
);
create index durust_grants_open on durust_grants (queue) where ended_at is null;
create index durust_grants_of_executor on durust_grants (executor_id) where ended_at is null;
create index durust_grants_started on durust_grants (queue, granted_at) where is_start;
create index durust_grants_granted on durust_grants (granted_at);

-- The queues from which nothing is claimed for now.
create table durust_paused_queues (
    name text primary key,
    paused_at integer not null
);

-- How far each schedule's ticks are settled, and what a tick does that meets an earlier run. A schedule that another
-- library made has no row yet; one that it made anew has another id.
create table durust_schedules (
    schedule_id text primary key,
    settled_until integer not null,
    overlap text not null
);

-- The total order of messages: a counter, because the greatest number that still stands may have been given before.
create table durust_sequences (
    name text primary key,
    value integer not null
);
insert into durust_sequences (name, value) values ('notifications', 0);
