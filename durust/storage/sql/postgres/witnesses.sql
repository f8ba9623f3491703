-- What durust says to a database of the application's that does not hold its state: the canonical table of witnesses.

-- name: find_witnesses
select to_regclass('dbos.datasource_outputs') is not null, to_regnamespace('dbos') is not null

-- name: create_witness_schema
create schema if not exists dbos

-- name: create_witnesses
create table if not exists dbos.datasource_outputs (
    workflow_id text not null,
    step_id integer not null,
    output text,
    error text,
    serialization text,
    created_at bigint not null default (extract(epoch from now()) * 1000)::bigint,
    primary key (workflow_id, step_id)
)

-- name: read_witness
select output, error, serialization from dbos.datasource_outputs where workflow_id = %(id)s and step_id = %(place)s

-- name: store_witness
-- Another execution of the same step that comes first is waited for, and stands.
insert into dbos.datasource_outputs (workflow_id, step_id, output, error, serialization)
values (%(id)s, %(place)s, %(output)s, %(error)s, %(format)s)
    on conflict do nothing
returning step_id
