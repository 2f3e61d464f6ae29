-- What starts runs by the clock. Any host looks for what is due; the row's lock makes it one at a time for each schedule.
create table schedules (
    id uuid primary key,
    workspace_id uuid not null references workspaces (id),
    workflow_id uuid not null references workflows (id),
    name text not null,
    -- Exactly one of three: a cron text with its time zone, an interval with the instant that it is counted from, an instant.
    cron text,
    timezone text,
    every_ms bigint check (every_ms > 0),
    anchor_at timestamptz not null,
    once_at timestamptz,
    -- JSON: an object.
    input text not null,
    -- skip, queue, cancelOther, allow
    overlap text not null,
    catch_up_ms bigint not null check (catch_up_ms >= 0),
    jitter_ms bigint not null check (jitter_ms >= 0),
    paused boolean not null default false,
    -- Why, where nobody paused it.
    paused_reason text,
    -- The first instant of which nothing was decided yet, and when it is acted upon, which jitter puts off. Null where nothing follows.
    next_at timestamptz,
    due_at timestamptz,
    created_by text not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    check (num_nonnulls(cron, every_ms, once_at) = 1),
    check ((cron is null) = (timezone is null)),
    check ((next_at is null) = (due_at is null))
);
create index schedules_of_workspace on schedules (workspace_id, id);
create index schedules_due on schedules (due_at) where due_at is not null and not paused;

-- What became of an instant of a schedule: one row, so that it starts one run. The run's id is written down before the run is
-- started, so that whoever starts it again after a crash starts the same one.
create table schedule_occurrences (
    schedule_id uuid not null references schedules (id) on delete cascade,
    instant timestamptz not null,
    -- time, manual, backfill
    brought_by text not null,
    -- starting, started, queued, skipped, missed
    outcome text not null,
    run_id uuid,
    -- Why no run was started.
    detail text,
    -- How many instants from this one on were missed in a row.
    missed integer,
    -- Whether its run goes on, or is about to, as far as anybody has looked.
    goes_on boolean not null default false,
    -- Until when the host that starts it is believed to be at it.
    claimed_until timestamptz not null default '-infinity',
    decided_at timestamptz not null default now(),
    primary key (schedule_id, instant)
);
create index schedule_occurrences_starting on schedule_occurrences (instant) where outcome = 'starting';
create index schedule_occurrences_queued on schedule_occurrences (schedule_id, instant) where outcome = 'queued';
create index schedule_occurrences_going_on on schedule_occurrences (schedule_id) where goes_on;
create index schedule_occurrences_to_remove on schedule_occurrences (decided_at);
