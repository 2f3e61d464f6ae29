-- What is listed must not take the longer the more there is that was not asked for.

-- Runs of some time whose ids are older: those of children begin with the time of the run that waits for them. An entry for every 32 pages costs
-- next to nothing to keep.
create index runs_by_creation on runs using brin (created_at) with (pages_per_range = 32, autosummarize = on);

-- Events of a type that few of them have. Of those that are left out every run that goes well has one or more, so they are soon found.
create index events_told_seldom on events (workspace_id, transaction, id)
    where type not in ('run.started', 'run.succeeded', 'step.succeeded');

-- The smallest id of an instant; no id is older than 1970.
create or replace function first_run_id(instant timestamptz) returns uuid
    language sql immutable strict
    return (lpad(to_hex(greatest((extract(epoch from instant) * 1000)::bigint, 0)), 12, '0') || repeat('0', 20))::uuid;
