-- A workflow is a name and its versions. A version never changes; a run stays on the one it started with.
create table workflows (
    id uuid primary key,
    workspace_id uuid not null references workspaces (id),
    name text not null,
    description text,
    version integer not null check (version >= 1),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    -- Runs of a deleted workflow stay readable, so its rows stay.
    deleted_at timestamptz
);

-- Ids are time-ordered, so "newest first" is this index read backwards.
create index workflows_of_workspace on workflows (workspace_id, id) where deleted_at is null;

create table workflow_versions (
    workflow_id uuid not null references workflows (id),
    version integer not null check (version >= 1),
    -- text, not jsonb: a definition is given back as it was written, order of keys included.
    definition text not null,
    warnings text not null,
    created_at timestamptz not null default now(),
    primary key (workflow_id, version)
);
