-- The index of runs that have not ended had the condition that every statement about one run states too. Where few runs go on it looks
-- smaller than the primary key, so Postgres took it for those, and read past every run that had ended since it was last cleaned.
create index runs_going_on on runs (workspace_id, id) where coalesce(finished_at, 'infinity') = 'infinity';
drop index runs_unfinished;
