-- Who goes on and who waits in a line, each found without looking at the others; and the runs that a run started, ended or not.
create index runs_going_of_key on runs (workflow_id, concurrency_key)
    where admitted and finished_at is null and concurrency_key is not null;
drop index runs_in_line;
create index runs_in_line on runs (workflow_id, concurrency_key, id) where not admitted and finished_at is null;
drop index runs_of_key;
drop index runs_of_parent;
create index runs_of_parent on runs (parent_run, id) where parent_run is not null;

-- Lists are newest first, whatever they are filtered by.
drop index runs_ended_badly;
create index runs_ended_badly on runs (workspace_id, id) where finished_at is not null and status <> 'success';
