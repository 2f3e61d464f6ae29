-- A workflow is started by what happens after it asked for that, however far the events before had been followed by then.
alter table workflows
    -- The transaction that made events start it: those of later ones do. Null where none did.
    add column on_events_since bigint;
