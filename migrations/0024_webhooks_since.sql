-- A webhook is told what happens after it was enabled, however far the events before had been followed by then.
alter table webhooks
    -- The transaction that enabled it last: it is told the events of later ones.
    add column since bigint not null default 0;
