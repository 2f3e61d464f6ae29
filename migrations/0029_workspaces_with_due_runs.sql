-- Each workspace of which a run is due, or will be, found by one look at the index `runs_due` for each of them: however many runs there are.
create view workspaces_with_due_runs as
with recursive spaces as (
    (select workspace_id from runs where due_at is not null order by workspace_id limit 1)
    union all
    select (select r.workspace_id from runs r where r.due_at is not null and r.workspace_id > s.workspace_id
        order by r.workspace_id limit 1)
    from spaces s where s.workspace_id is not null
)
select workspace_id from spaces where workspace_id is not null;
