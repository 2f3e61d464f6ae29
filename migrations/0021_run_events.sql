-- Events of runs are written by the statements that move the runs.
alter table runs
    -- How many events and runs in turn led to it: what it brings about is one further.
    add column event_depth smallint not null default 0;

-- A time-ordered id (UUID version 7) for an event that only the database knows of when it happens.
create function new_event_id() returns uuid
    language sql volatile
    return (lpad(to_hex((extract(epoch from clock_timestamp()) * 1000)::bigint), 12, '0') || '7'
        || substr(replace(gen_random_uuid()::text, '-', ''), 14))::uuid;

-- Which events the newest version of a workflow is started by; null where none.
alter table workflows add column on_events text[];
create index workflows_by_events on workflows (workspace_id) where on_events is not null and deleted_at is null;

-- A run that an event starts. The run's id is written down before the run is started, so that whoever starts it again after a crash
-- starts the same one.
create table event_starts (
    event_id uuid not null,
    workflow_id uuid not null references workflows (id),
    event_type text not null,
    -- The event's depth and one more.
    depth smallint not null,
    -- JSON: what the run is given; null as soon as it is there.
    input text,
    -- starting, started, refused
    outcome text not null,
    run_id uuid,
    -- Why no run was started.
    detail text,
    -- Until when the host that starts it is believed to be at it.
    claimed_until timestamptz not null default '-infinity',
    decided_at timestamptz not null default now(),
    primary key (workflow_id, event_id)
);
create index event_starts_starting on event_starts (decided_at) where outcome = 'starting';
create index event_starts_to_remove on event_starts (decided_at);
