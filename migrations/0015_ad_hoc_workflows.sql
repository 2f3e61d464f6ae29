-- A pipeline and a chat run as workflows too, which nobody wrote: `pipeline`, `chat`. Such a workflow's id is a digest of what
-- it does, so the same one is one row, however often it runs. Null for those that somebody made.
alter table workflows add column origin text check (origin in ('pipeline', 'chat'));

-- Lists have only those that somebody made.
drop index workflows_of_workspace;
create index workflows_of_workspace on workflows (workspace_id, id) where deleted_at is null and origin is null;
