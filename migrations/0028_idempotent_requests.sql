-- Requests that came with an idempotency key and start no run: those have `idempotency_keys`, which name the run.
create table idempotent_requests (
    -- One that has nothing yet has no row of its own, and a key comes before what it is for.
    workspace_id uuid not null,
    key text not null,
    -- SHA-256 of who asked for what.
    digest text not null,
    -- What was answered, sealed; null until there is an answer, and for ever where the host that worked on it came to none.
    answer bytea,
    created_at timestamptz not null default now(),
    primary key (workspace_id, key)
);
create index idempotent_requests_by_age on idempotent_requests (created_at);
