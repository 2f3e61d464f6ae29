-- When any host may take a run up: its beginning, the end of its lease, or the end of what it waits for. Null where it has ended,
-- or where only a message can wake it. One column, so that one index finds everything there is to do, and nothing that is done.
alter table runs rename column lease_until to due_at;

alter table runs
    -- The version it began with; workflow_version is the one that a retry may have gone over to.
    add column first_version integer,
    -- The run that waits for this one, and how many stand above it.
    add column parent_run uuid,
    add column depth integer not null default 0,
    -- Runs of one key that go on at once, where the workflow bounds them; one that is not admitted waits for its turn.
    add column concurrency_key text,
    add column concurrency_max integer,
    add column admitted boolean not null default true,
    -- The code of the failure that ended it, to be filtered by.
    add column error_code text,
    -- The run that its journal was begun from.
    add column forked_from uuid,
    -- When it may be removed.
    add column retain_until timestamptz;
update runs set first_version = workflow_version;
update runs set due_at = coalesce(due_at, now()) where finished_at is null;
alter table runs alter column first_version set not null;

drop index runs_unfinished;
-- What a host looks for, by workspace, so that each workspace has its turn.
create index runs_due on runs (workspace_id, due_at) where due_at is not null;
create index runs_leased on runs (lease_owner) where lease_owner is not null;
create index runs_unfinished on runs (workspace_id, id) where finished_at is null;
create index runs_ended_badly on runs (workspace_id, status, id) where finished_at is not null and status <> 'success';
create index runs_of_parent on runs (parent_run) where parent_run is not null and finished_at is null;
create index runs_of_key on runs (workflow_id, concurrency_key, id) where concurrency_key is not null and finished_at is null;
create index runs_in_line on runs (workflow_id, concurrency_key) where not admitted and finished_at is null;
create index runs_to_remove on runs (retain_until) where retain_until is not null;

-- What somebody tells a run. A row lies here until the run's journal has taken it in, in the statement that removes it. Rows of
-- other runs are never touched by it, so that runs which tell each other of their ends cannot lock each other out.
create table run_inbox (
    id bigint generated always as identity primary key,
    run_id uuid not null,
    -- JSON.
    body text not null,
    created_at timestamptz not null default now()
);
create index run_inbox_of_run on run_inbox (run_id, id);

-- Decisions that runs wait for, and what became of them: written with the journal entry that asks.
create table approvals (
    id uuid primary key,
    workspace_id uuid not null references workspaces (id),
    run_id uuid not null,
    scope text not null,
    step_id text not null,
    visit integer not null,
    message text not null,
    -- The roles that may decide.
    approvers text[] not null,
    -- open, approved, denied, expired, withdrawn
    status text not null default 'open',
    expires_at timestamptz,
    created_at timestamptz not null default now(),
    decided_at timestamptz,
    decided_by text,
    note text,
    unique (run_id, scope, step_id, visit)
);
create index approvals_of_workspace on approvals (workspace_id, id);
create index approvals_open on approvals (workspace_id, id) where status = 'open';

-- Keys by which callers make sure that a repeated request starts nothing twice.
create table idempotency_keys (
    workspace_id uuid not null references workspaces (id),
    key text not null,
    -- SHA-256 of what was asked for.
    digest text not null,
    run_id uuid not null,
    created_at timestamptz not null default now(),
    primary key (workspace_id, key)
);
create index idempotency_keys_by_age on idempotency_keys (created_at);

-- Drops the journal's partitions of months of which no run is left and whose end is past. Says how many.
create function drop_empty_journal_partitions(instant timestamptz) returns integer
    language plpgsql as $$
declare
    partition text;
    month timestamptz;
    dropped integer := 0;
begin
    perform set_config('lock_timeout', '2s', true);
    for partition in
        select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'journal'::regclass and c.relname ~ '^journal_\d{4}_\d{2}$'
    loop
        month := (to_char(to_date(right(partition, 7), 'YYYY_MM'), 'YYYY-MM-DD') || ' 00:00:00+00')::timestamptz;
        continue when (month at time zone 'UTC' + interval '1 month') at time zone 'UTC' > instant;
        continue when exists (
            select from runs where id >= first_run_id(month)
                and id < first_run_id((month at time zone 'UTC' + interval '1 month') at time zone 'UTC')
        );
        execute format('drop table %I', partition);
        execute format('drop table if exists %I', 'journal_bodies_' || right(partition, 7));
        dropped := dropped + 1;
    end loop;
    return dropped;
end
$$;
