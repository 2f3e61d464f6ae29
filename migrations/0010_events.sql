-- What happened, for whoever asks: written in the statement that makes it happen.
create table events (
    id uuid primary key,
    workspace_id uuid not null references workspaces (id),
    type text not null,
    at timestamptz not null default now(),
    -- JSON.
    data text not null
);
create index events_of_workspace on events (workspace_id, id);
create index events_by_age on events (at);
