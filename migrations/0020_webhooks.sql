-- Webhooks: where events are sent to, and what became of each.
create table webhooks (
    id uuid primary key,
    workspace_id uuid not null references workspaces (id),
    -- JSON: what it was configured to be.
    config text not null,
    enabled boolean not null,
    -- Why, where nobody disabled it: failing, gone.
    disabled_reason text,
    -- Why its filter failed, and when it last did.
    filter_fault text,
    filter_fault_at timestamptz,
    -- How its endpoint has answered lately: failures and pauses in a row, and what it may be asked at once.
    failures integer not null default 0,
    failing_since timestamptz,
    told boolean not null default false,
    pauses integer not null default 0,
    paused_until timestamptz,
    share integer,
    -- The theoretical arrival time of the next call, where it has a rate.
    arrival timestamptz,
    -- When something of it may be sent. Null where nothing waits. Set to a later time only by who has looked under the row's lock.
    due_at timestamptz,
    created_by text not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
create index webhooks_of_workspace on webhooks (workspace_id, id);
create index webhooks_due on webhooks (due_at) where due_at is not null and enabled;

-- What deliveries are signed with. The one before signs too while receivers change to the new one.
create table webhook_keys (
    id uuid primary key,
    webhook_id uuid not null references webhooks (id) on delete cascade,
    -- v1, v1a
    scheme text not null,
    -- Sealed with a key that is not here.
    sealed bytea not null,
    -- What is no secret of it.
    public_key text,
    -- Null for the present one.
    valid_until timestamptz,
    created_at timestamptz not null default now()
);
create index webhook_keys_of_webhook on webhook_keys (webhook_id);

-- One event on its way to one webhook. It outlives its webhook, for whoever asks what was sent.
create table webhook_deliveries (
    id uuid primary key,
    workspace_id uuid not null,
    webhook_id uuid not null,
    event_id uuid not null,
    event_type text not null,
    -- The place in the order in which they are sent, where that matters.
    place bigint not null generated always as identity,
    -- What is sent, to the byte; each try sends the same.
    body bytea not null,
    -- Whether the webhook's tool has made the body.
    transformed boolean not null default false,
    -- pending, succeeded, failed, captured, skipped
    status text not null default 'pending',
    -- Why it ended so, where an attempt does not say.
    reason text,
    -- Attempts so far, and those since it was last begun.
    attempts integer not null default 0,
    tries integer not null default 0,
    -- When it is tried; while a host is at it, when the host is given up.
    due_at timestamptz,
    claimed_by uuid,
    -- How often it was claimed: whoever claimed it before has nothing to say any more.
    claims integer not null default 0,
    created_at timestamptz not null default now(),
    ended_at timestamptz,
    check ((status = 'pending') = (due_at is not null)),
    check ((status = 'pending') = (ended_at is null))
);
-- An event is one delivery of a webhook, whoever makes it.
create unique index webhook_deliveries_of_event on webhook_deliveries (webhook_id, event_id);
create index webhook_deliveries_of_webhook on webhook_deliveries (webhook_id, id);
create index webhook_deliveries_of_workspace on webhook_deliveries (workspace_id, id);
create index webhook_deliveries_failed on webhook_deliveries (workspace_id, webhook_id, id) where status = 'failed';
-- Few among many, and what people look for.
create index webhook_deliveries_of_status on webhook_deliveries (workspace_id, status, id) where status in ('failed', 'captured', 'skipped');
create index webhook_deliveries_due on webhook_deliveries (webhook_id, due_at, place) where status = 'pending';
create index webhook_deliveries_in_order on webhook_deliveries (webhook_id, place) where status = 'pending';
create index webhook_deliveries_claimed on webhook_deliveries (webhook_id, due_at) where claimed_by is not null;

-- One try of a delivery: the request as it was sent, but for the body, which is the delivery's, and what came back.
create table webhook_attempts (
    delivery_id uuid not null references webhook_deliveries (id) on delete cascade,
    number integer not null,
    -- When it began, by the host's clock.
    at timestamptz not null,
    -- succeeded, failed, captured, skipped
    outcome text not null,
    url text not null,
    -- JSON: a list of pairs.
    request_headers text not null,
    status integer,
    answer_headers text,
    -- The first bytes of the answer's body, and whether there were more.
    answer_body bytea,
    answer_cut boolean not null default false,
    -- The far end of the connection.
    peer text,
    -- The phases, in microseconds.
    resolving_us bigint,
    connecting_us bigint,
    waiting_us bigint,
    reading_us bigint,
    total_us bigint not null,
    -- Why there is no answer, or not all of it, or none was asked for: for programs, for people.
    error text,
    error_detail text,
    -- When it is tried again, and why then.
    retry_at timestamptz,
    retry_reason text,
    primary key (delivery_id, number)
);

-- Whether deliveries of a workspace are made and signed, but not sent.
alter table workspaces add column webhook_test_mode boolean not null default false;
