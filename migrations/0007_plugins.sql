-- A plugin is a name and its versions. A version never changes; a pointer says which one new runs use. What belongs to the
-- default workspace can be called from every workspace, under grants of its own.
create table plugins (
    workspace_id uuid not null references workspaces (id),
    name text not null,
    enabled boolean not null default true,
    active_version integer,
    last_version integer not null check (last_version >= 1),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (workspace_id, name)
);

create table plugin_versions (
    workspace_id uuid not null,
    name text not null,
    version integer not null check (version >= 1),
    digest text not null references components (digest),
    bytes bigint not null,
    -- What the component says of itself: JSON, asked once.
    description text not null,
    -- Where it came from: `upload`, `folder:<file>`, `oci:<reference with digest>`.
    source text not null,
    -- The name of the trusted key that signed it, where it was signed.
    signed_by text,
    created_by text not null,
    created_at timestamptz not null default now(),
    -- Runs that are on this version go on with that one, where an operator said so.
    replaced_by integer,
    primary key (workspace_id, name, version),
    unique (workspace_id, name, digest),
    foreign key (workspace_id, name) references plugins (workspace_id, name) on delete cascade
);
create index plugin_versions_of_component on plugin_versions (digest);

-- Which version was made active when and by whom: what a rollback goes back along.
create table plugin_activations (
    id bigint generated always as identity primary key,
    workspace_id uuid not null,
    name text not null,
    version integer not null,
    by text not null,
    at timestamptz not null default now(),
    foreign key (workspace_id, name) references plugins (workspace_id, name) on delete cascade
);
create index plugin_activations_of_plugin on plugin_activations (workspace_id, name, id);

-- What a workspace granted a plugin, every revision of it: the newest is in force, the others tell who changed what when. A
-- plugin that is deleted leaves its grants' history behind, and a new one of the same name starts without any.
create table plugin_grants (
    revision bigint generated always as identity primary key,
    -- Whose grant it is.
    workspace_id uuid not null references workspaces (id),
    -- Whose plugin it is.
    owner_id uuid not null,
    name text not null,
    -- JSON.
    body text not null,
    by text not null,
    at timestamptz not null default now()
);
create index plugin_grants_of_plugin on plugin_grants (workspace_id, owner_id, name, revision);

-- Counts every change of the tables above, so that hosts see with one cheap question whether there is anything to read.
create table plugin_changes (
    one boolean primary key default true check (one),
    revision bigint not null
);
insert into plugin_changes (revision) values (0);

-- Components on their way in: compiling one can take longer than a caller waits.
create table plugin_loads (
    id uuid primary key,
    workspace_id uuid not null references workspaces (id),
    status text not null,
    name text,
    version integer,
    -- Why it failed: JSON with `code` and `detail`.
    problem text,
    created_at timestamptz not null default now(),
    finished_at timestamptz
);

-- The components that a run stays on, where it uses any: what keeps them from being deleted while it goes on.
alter table runs add column plugins text[];
