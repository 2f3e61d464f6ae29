-- The W3C `traceparent` of who started the run that a delivery tells of; each try is sent as a span of that trace.
alter table webhook_deliveries add column traceparent text;
