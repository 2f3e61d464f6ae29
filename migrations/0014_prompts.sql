-- Prompt templates: texts with declared variables, which others include by their names. A version never changes.
create table prompt_templates (
    id uuid primary key,
    workspace_id uuid not null references workspaces (id),
    name text not null,
    category text,
    -- The newest one.
    version integer not null check (version >= 1),
    -- How often it was rendered, by itself and inside of others.
    usage_count bigint not null default 0,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    unique (workspace_id, name)
);
create index prompt_templates_of_workspace on prompt_templates (workspace_id, id);
create index prompt_templates_of_category on prompt_templates (workspace_id, category, id);

create table prompt_template_versions (
    template_id uuid not null references prompt_templates (id) on delete cascade,
    version integer not null check (version >= 1),
    template text not null,
    -- JSON: an array of what it declares.
    variables text not null,
    -- What it includes: the names, and those with their versions that stay on one, as `name@version`.
    included text[] not null,
    pinned text[] not null,
    created_by text not null,
    created_at timestamptz not null default now(),
    primary key (template_id, version)
);

-- Versions of an agent's prompt. A version never changes; the newest one is in effect where nothing else says so.
create table prompt_versions (
    workspace_id uuid not null,
    agent_id text not null,
    version integer not null check (version >= 1),
    system_prompt text not null,
    -- JSON: the settings of the model that it comes with. Null where it sets none.
    model text,
    -- SHA-256, in hexadecimal, of the text; of the text, a zero byte and the settings where it comes with some.
    hash text not null,
    -- The label that it was made with; it may have moved since.
    label text,
    message text,
    restored_from integer,
    -- Not known of what is older than this table.
    author text,
    created_at timestamptz not null default now(),
    primary key (workspace_id, agent_id, version),
    foreign key (workspace_id, agent_id) references agents (workspace_id, id) on delete cascade
);

insert into prompt_versions (workspace_id, agent_id, version, system_prompt, hash, created_at)
select workspace_id, id, 1, text, encode(sha256(convert_to(text, 'UTF8')), 'hex'), updated_at
from (
    select workspace_id, id, updated_at,
        -- Text of the database cannot hold that character; such a prompt is used out of the configuration until it is changed.
        case when position('\u0000' in config) = 0 then config::json ->> 'systemPromptTemplate' end as text
    from agents
) a
where text is not null;

-- Names of versions that move, and every move. A move to no version is the label's end.
create table prompt_labels (
    workspace_id uuid not null,
    agent_id text not null,
    label text not null,
    version integer not null,
    moved_by text not null,
    message text,
    moved_at timestamptz not null default now(),
    primary key (workspace_id, agent_id, label),
    foreign key (workspace_id, agent_id, version) references prompt_versions (workspace_id, agent_id, version) on delete cascade
);

create table prompt_label_moves (
    id bigint generated always as identity primary key,
    workspace_id uuid not null,
    agent_id text not null,
    label text not null,
    from_version integer,
    to_version integer,
    moved_by text not null,
    message text,
    moved_at timestamptz not null default now(),
    foreign key (workspace_id, agent_id) references agents (workspace_id, id) on delete cascade
);
create index prompt_label_moves_of_label on prompt_label_moves (workspace_id, agent_id, label, id);

-- Prompts that agents have for a while. Whether one is over is judged by `expires_at` in the statement that asks, so that it ends
-- on time with no host up.
create table prompt_overrides (
    id uuid primary key,
    workspace_id uuid not null,
    agent_id text not null,
    -- A text of its own, or a version.
    system_prompt text,
    version integer,
    -- That of the text, or of the version.
    hash text not null,
    reason text,
    -- For which runs: a part of them from 0 to 1, or these; for all where both are null.
    share double precision,
    runs uuid[],
    owner text not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    -- When, by whom and how it ended before its time: `ended` or `replaced`.
    ended_at timestamptz,
    ended_by text,
    ended_how text,
    check ((system_prompt is null) <> (version is null)),
    check ((ended_at is null) = (ended_how is null)),
    foreign key (workspace_id, agent_id) references agents (workspace_id, id) on delete cascade
);
create index prompt_overrides_of_agent on prompt_overrides (workspace_id, agent_id, id);
create index prompt_overrides_open on prompt_overrides (workspace_id, agent_id, expires_at) where ended_at is null;

-- What was done with a prompt: of a version (0 for an override's own text), under an override (the nil id for none).
create table prompt_metrics (
    workspace_id uuid not null,
    agent_id text not null,
    version integer not null,
    override_id uuid not null,
    calls bigint not null,
    failures bigint not null,
    input_tokens bigint not null,
    output_tokens bigint not null,
    duration_ms bigint not null,
    primary key (workspace_id, agent_id, version, override_id),
    foreign key (workspace_id, agent_id) references agents (workspace_id, id) on delete cascade
);
create index prompt_metrics_of_override on prompt_metrics (override_id);
