-- One narrow row per run, changed by every durable step; a third of each page is left free so that those changes stay in the
-- page (HOT). No index holds a column that a step changes.
create table runs (
    id uuid primary key,
    workspace_id uuid not null references workspaces (id),
    workflow_id uuid not null references workflows (id),
    workflow_version integer not null,
    status text not null,
    -- How many entries the journal has: the fence of every append, together with the epoch.
    journal_len integer not null default 0,
    -- What the journal's bodies weigh, which has a bound.
    journal_bytes bigint not null default 0,
    -- Counts the owners; who appends names the one it was told.
    lease_epoch bigint not null default 0,
    lease_owner uuid,
    lease_until timestamptz,
    -- How often the run was taken up since its last append: a run that ends every host that touches it must not meet them all.
    claims integer not null default 0,
    created_at timestamptz not null default now(),
    started_at timestamptz,
    finished_at timestamptz,
    traceparent text,
    foreign key (workflow_id, workflow_version) references workflow_versions (workflow_id, version)
) with (fillfactor = 70);

create index runs_of_workspace on runs (workspace_id, id);
create index runs_of_workflow on runs (workflow_id, id);
-- What a host looks for: runs that have not ended, oldest first.
create index runs_unfinished on runs (id) where finished_at is null;

-- What a run answered, written once, in the statement that ends it.
create table run_results (
    run_id uuid primary key references runs (id),
    vars text not null,
    output text not null,
    error text
);
