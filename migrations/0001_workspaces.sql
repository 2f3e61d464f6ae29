-- Everything belongs to a workspace. A workspace comes into being with the first thing made in it: the one who signs tokens
-- says which workspaces there are.
create table workspaces (
    id uuid primary key,
    created_at timestamptz not null default now()
);
