-- Events of prompts. That an override ended is told once: by the statement that ends it, or by a sweep where time did.
alter table prompt_overrides
    -- Whether an event says that it is over.
    add column end_told boolean not null default false;

-- What was over before there were such events is not told.
update prompt_overrides set end_told = true where ended_at is not null or expires_at <= now();
create index prompt_overrides_to_tell on prompt_overrides ((coalesce(ended_at, expires_at))) where not end_told;

-- What events say of an override, whatever happened to it.
create function override_told(o prompt_overrides) returns jsonb
    language sql stable
    return jsonb_strip_nulls(jsonb_build_object(
        'agentId', o.agent_id, 'overrideId', 'po_' || replace(o.id::text, '-', ''), 'version', o.version, 'hash', o.hash,
        'reason', o.reason, 'expiresAt', to_char(o.expires_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')));
