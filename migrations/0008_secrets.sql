-- Secrets, sealed with a key that is not in the database.
create table secrets (
    workspace_id uuid not null references workspaces (id),
    name text not null,
    sealed bytea not null,
    updated_by text not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (workspace_id, name)
);
