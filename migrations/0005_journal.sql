-- The journal: append-only, the truth of every run. Partitioned by the run's id, which begins with the milliseconds of its
-- creation (UUID version 7): all entries of a run lie in one partition, a run is read from one index, and old months can be
-- dropped whole.
create table journal (
    run_id uuid not null,
    seq integer not null,
    at timestamptz not null,
    kind text not null,
    scope text,
    step_id text,
    visit integer,
    -- JSON of the entry, as text: nothing is reordered and `\u0000` survives. Null where it is long and lies in journal_bodies.
    body text,
    primary key (run_id, seq)
) partition by range (run_id);

-- Bodies over 8 KiB, so that the journal itself stays small to scan.
create table journal_bodies (
    run_id uuid not null,
    seq integer not null,
    body text not null,
    primary key (run_id, seq)
) partition by range (run_id);

-- What no month has claimed: keeps an append from failing where the clock runs ahead of the partitions.
create table journal_default partition of journal default;
create table journal_bodies_default partition of journal_bodies default;

-- The smallest id of an instant.
create function first_run_id(instant timestamptz) returns uuid
    language sql immutable strict
    return (lpad(to_hex((extract(epoch from instant) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid;

-- Makes the partitions of the month of `instant` and the `ahead` months after it, where they are missing.
create function ensure_journal_partitions(instant timestamptz, ahead integer) returns void
    language plpgsql as $$
declare
    month timestamptz;
    suffix text;
begin
    -- Two hosts may start at once.
    perform pg_advisory_xact_lock(hashtext('ensure_journal_partitions'));
    for step in 0..ahead loop
        month := (date_trunc('month', instant at time zone 'UTC') + make_interval(months => step)) at time zone 'UTC';
        suffix := to_char(month at time zone 'UTC', 'YYYY_MM');
        if to_regclass('journal_' || suffix) is not null then
            continue;
        end if;
        begin
            execute format('create table %I partition of journal for values from (%L) to (%L)',
                'journal_' || suffix, first_run_id(month),
                first_run_id((month at time zone 'UTC' + interval '1 month') at time zone 'UTC'));
            execute format('create table %I partition of journal_bodies for values from (%L) to (%L)',
                'journal_bodies_' || suffix, first_run_id(month),
                first_run_id((month at time zone 'UTC' + interval '1 month') at time zone 'UTC'));
        exception when check_violation then
            -- A host whose clock ran ahead has written runs of this month: they stay where they are, and so does what follows.
            raise warning 'the journal of % stays in the default partition', suffix;
        end;
    end loop;
end
$$;
