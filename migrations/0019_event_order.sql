-- Events in an order in which none comes late: by the transaction that wrote them, then by their ids. What follows events (deliveries,
-- triggers, streams) reads up to the oldest transaction that still goes on, so nothing is passed over, whichever host commits first.
alter table events rename to events_before;
alter index events_pkey rename to events_before_pkey;
alter index events_of_workspace rename to events_before_of_workspace;

-- Partitioned by id, which begins with the milliseconds (UUID version 7), so that old months can be dropped whole.
create table events (
    id uuid not null,
    workspace_id uuid not null,
    type text not null,
    at timestamptz not null default now(),
    -- JSON: an object.
    data text not null,
    -- How many events and runs in turn led to it, where a run that an event started brought it about.
    depth smallint not null default 0,
    -- The id of the transaction that wrote it.
    transaction bigint not null default (pg_current_xact_id()::text::bigint),
    primary key (id)
) partition by range (id);
create index events_in_order on events (workspace_id, transaction, id);
create table events_default partition of events default;

-- Makes the partitions of the month of `instant` and the `ahead` months after it, where they are missing.
create function ensure_event_partitions(instant timestamptz, ahead integer) returns void
    language plpgsql as $$
declare
    month timestamptz;
    suffix text;
begin
    -- Two hosts may start at once.
    perform pg_advisory_xact_lock(hashtext('ensure_event_partitions'));
    for step in 0..ahead loop
        month := (date_trunc('month', instant at time zone 'UTC') + make_interval(months => step)) at time zone 'UTC';
        suffix := to_char(month at time zone 'UTC', 'YYYY_MM');
        continue when to_regclass('events_' || suffix) is not null;
        begin
            execute format('create table %I partition of events for values from (%L) to (%L)',
                'events_' || suffix, first_run_id(month),
                first_run_id((month at time zone 'UTC' + interval '1 month') at time zone 'UTC'));
        exception when check_violation then
            -- A host whose clock ran ahead has written events of this month: they stay where they are, and so does what follows.
            raise warning 'the events of % stay in the default partition', suffix;
        end;
    end loop;
end
$$;

-- Drops the partitions of months that ended before `instant`. Says how many.
create function drop_event_partitions_before(instant timestamptz) returns integer
    language plpgsql as $$
declare
    partition text;
    month timestamptz;
    dropped integer := 0;
begin
    perform set_config('lock_timeout', '2s', true);
    for partition in
        select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'events'::regclass and c.relname ~ '^events_\d{4}_\d{2}$'
    loop
        month := (to_char(to_date(right(partition, 7), 'YYYY_MM'), 'YYYY-MM-DD') || ' 00:00:00+00')::timestamptz;
        continue when (month at time zone 'UTC' + interval '1 month') at time zone 'UTC' > instant;
        execute format('drop table %I', partition);
        dropped := dropped + 1;
    end loop;
    return dropped;
end
$$;

select ensure_event_partitions(now(), 3);
-- Those that are there already lie in the default partition or in this month's.
insert into events (id, workspace_id, type, at, data) select id, workspace_id, type, at, data from events_before;
drop table events_before;

-- How far somebody has followed the events of a workspace.
create table event_cursors (
    consumer text not null,
    workspace_id uuid not null references workspaces (id),
    transaction bigint not null,
    event_id uuid not null,
    primary key (consumer, workspace_id)
);
