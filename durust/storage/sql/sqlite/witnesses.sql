-- What durust says to a file of the application's that does not hold its state: the canonical table of witnesses.

-- name: create_witnesses
create table if not exists datasource_outputs (
    workflow_id text not null,
    step_id integer not null,
    output text,
    error text,
    serialization text,
    created_at integer not null default (cast((julianday('now') - 2440587.5) * 86400000 as integer)),
    primary key (workflow_id, step_id)
)

-- name: read_witness
select output, error, serialization from datasource_outputs where workflow_id = :id and step_id = :place

-- name: store_witness
insert into datasource_outputs (workflow_id, step_id, output, error, serialization)
values (:id, :place, :output, :error, :format)
    on conflict do nothing
