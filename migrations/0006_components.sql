-- Components, each once, by the SHA-256 of its bytes. A host that has no machine code for one makes it from here.
create table components (
    digest text primary key,
    bytes bigint not null,
    created_at timestamptz not null default now()
);

-- In pieces, so that neither end holds more of one than it must. Machine formats do not get smaller by compression of values.
create table component_chunks (
    digest text not null references components (digest) on delete cascade,
    n integer not null,
    chunk bytea not null,
    primary key (digest, n)
);
alter table component_chunks alter column chunk set storage external;
