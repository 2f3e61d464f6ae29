-- What plugins keep: text by key, in namespaces of a workspace.
create table kv_entries (
    workspace_id uuid not null references workspaces (id),
    namespace text not null,
    -- In the order of bytes, whatever the database's own order is.
    key text collate "C" not null,
    -- bytea, not text: a value may have `\u0000` in it.
    value bytea not null,
    revision bigint not null,
    updated_at timestamptz not null default now(),
    primary key (workspace_id, namespace, key)
);

-- One count for all: revisions only have to grow.
create sequence kv_revisions;
