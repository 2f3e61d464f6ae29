-- Agents are reached over HTTP; this is how. The id is chosen by the caller and unique in its workspace.
create table agents (
    workspace_id uuid not null references workspaces (id),
    id text not null,
    -- Counts the changes, so that a journal can say which configuration was used.
    version integer not null check (version >= 1),
    config text not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (workspace_id, id)
);
