-- Calls of agents that are bounded across hosts: one row per agent, changed by one statement for each call, so that two hosts can never both
-- take the last place. A place whose host died is free again when its time is up, or when that host is back.
create table agent_limits (
    workspace_id uuid not null references workspaces (id),
    agent_id text not null,
    -- The calls under way: which, on which host, and until when they are believed.
    calls uuid[] not null default '{}',
    hosts uuid[] not null default '{}',
    believed_until timestamptz[] not null default '{}',
    -- When the next call fits an even pace (GCRA's theoretical arrival time).
    next_at timestamptz not null default '-infinity',
    primary key (workspace_id, agent_id)
);

-- What agents were, so that a change can be looked at and taken back.
create table agent_versions (
    workspace_id uuid not null references workspaces (id),
    agent_id text not null,
    version integer not null check (version >= 1),
    -- JSON: an agent's configuration.
    config text not null,
    created_by text,
    -- The earlier version whose configuration it took up again.
    restored_from integer,
    created_at timestamptz not null default now(),
    primary key (workspace_id, agent_id, version)
);
insert into agent_versions (workspace_id, agent_id, version, config, created_at)
select workspace_id, id, version, config, updated_at from agents;

-- Tokens of a run's agent calls and what they cost, as JSON; written when it ends.
alter table run_results add column usage text;
