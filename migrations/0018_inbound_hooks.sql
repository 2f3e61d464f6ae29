-- Inbound hooks: URLs that start runs.
create table inbound_hooks (
    id uuid primary key,
    workspace_id uuid not null references workspaces (id),
    -- JSON: what it was made of.
    config text not null,
    -- SHA-256 of its token, which is nowhere else.
    token_hash bytea not null unique check (octet_length(token_hash) = 32),
    created_by text not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
create index inbound_hooks_of_workspace on inbound_hooks (workspace_id, id);

-- The last calls of each, without what was sent.
create table inbound_hook_calls (
    id bigint generated always as identity primary key,
    hook_id uuid not null references inbound_hooks (id) on delete cascade,
    outcome text not null,
    -- Why it was refused: the code of the problem.
    code text,
    run_id uuid,
    status integer not null,
    at timestamptz not null default now()
);
create index inbound_hook_calls_of_hook on inbound_hook_calls (hook_id, id);

-- Signatures that were accepted, as their SHA-256, each with what its call was told apart by: the same signature on something
-- else is somebody's who has read along.
create table inbound_hook_signatures (
    hook_id uuid not null references inbound_hooks (id) on delete cascade,
    signature bytea not null,
    key text not null,
    created_at timestamptz not null default now(),
    primary key (hook_id, signature)
);
create index inbound_hook_signatures_by_age on inbound_hook_signatures (created_at);
