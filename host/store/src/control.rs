//! Runs that begin again: retries and forks.

use armilla_domain::id::{RunId, WorkspaceId};
use armilla_domain::journal::Entry;
use armilla_domain::run::Message;

use crate::events::NewEvent;
use crate::journal::{INLINE_BODY_BYTES_MAX, Rows};
use crate::{Store, StoreError};

/// A run that has ended and is to go on.
#[derive(Debug)]
pub struct Retry {
    /// The run.
    pub run: RunId,
    /// How many entries its journal had when this was decided.
    pub journal_len: i32,
    /// The version of the definition that it goes on with.
    pub version: i32,
    /// What its journal says about it.
    pub entry: Entry,
}

/// A run that begins with a part of another one's journal.
#[derive(Debug)]
pub struct Fork<'a> {
    /// The new run.
    pub id: RunId,
    /// The other one.
    pub from: RunId,
    /// So many of its entries.
    pub entries: i32,
    /// The version of the definition that it goes on with.
    pub version: i32,
    /// What its journal says about it.
    pub entry: &'a Entry,
    /// What is told of it.
    pub event: &'a NewEvent,
}

impl Store {
    /// Lets runs go on that had ended badly, all of them or none, and gives them `messages`; what they were told before their ends
    /// and did not take in means nothing any more. Says whether they still stood so.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn retry_runs(&self, retries: &[Retry], messages: &[(RunId, Message)]) -> Result<bool, StoreError> {
        let mut transaction = self.pool.begin().await?;
        for retry in retries {
            if !retry_run(&mut transaction, retry).await? {
                transaction.rollback().await?;
                return Ok(false);
            }
        }
        for (run, message) in messages {
            let body = serde_json::to_string(message).map_err(|error| StoreError::Corrupt(error.to_string()))?;
            sqlx::query!("insert into run_inbox (run_id, body) values ($1, $2)", run.uuid(), body)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(true)
    }

    /// Makes a run of the beginning of another one's journal. Says whether the other one was there.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn fork_run(&self, workspace: WorkspaceId, fork: &Fork<'_>) -> Result<bool, StoreError> {
        let rows = Rows::of(std::slice::from_ref(fork.entry))?;
        let body = rows.body.first().map_or("", String::as_str);
        let made = sqlx::query_scalar!(
            r#"with source as (
                select workflow_id, first_version, traceparent, plugins, concurrency_key, concurrency_max, event_depth
                from runs where id = $2 and workspace_id = $3
            ), made as (
                insert into runs (id, workspace_id, workflow_id, workflow_version, first_version, status, journal_len,
                    journal_bytes, created_at, started_at, due_at, traceparent, plugins, concurrency_key, concurrency_max,
                    admitted, forked_from, event_depth)
                select $1, $3, s.workflow_id, $5, s.first_version, 'queued', $4 + 1,
                    octet_length($7) + (select coalesce(sum(octet_length(coalesce(j.body, b.body))), 0) from journal j
                        left join journal_bodies b on b.run_id = j.run_id and b.seq = j.seq
                        where j.run_id = $2 and j.seq <= $4),
                    $6, $6, case when s.concurrency_key is null then now() end, s.traceparent, s.plugins, s.concurrency_key,
                    s.concurrency_max, s.concurrency_key is null, $2, s.event_depth
                from source s
                returning id, event_depth
            ), taken_over as (
                insert into journal (run_id, seq, at, kind, scope, step_id, visit, body)
                select made.id, j.seq, j.at, j.kind, j.scope, j.step_id, j.visit, j.body
                from made, journal j where j.run_id = $2 and j.seq <= $4
            ), bodies as (
                insert into journal_bodies (run_id, seq, body)
                select made.id, b.seq, b.body from made, journal_bodies b where b.run_id = $2 and b.seq <= $4
                union all
                select made.id, $4 + 1, $7 from made where octet_length($7) > $9
            ), entry as (
                insert into journal (run_id, seq, at, kind, body)
                select made.id, $4 + 1, $6, $8, case when octet_length($7) <= $9 then $7 end from made
            ), told as (
                insert into events (id, workspace_id, type, data, depth) select $10, $3, $11, $12, made.event_depth from made
            )
            select count(*) as "made!" from made"#,
            fork.id.uuid(),
            fork.from.uuid(),
            workspace.uuid(),
            fork.entries,
            fork.version,
            fork.entry.at,
            body,
            fork.entry.event.kind(),
            INLINE_BODY_BYTES_MAX,
            fork.event.id.uuid(),
            fork.event.kind.as_str(),
            fork.event.data,
        );
        Ok(made.fetch_one(&self.pool).await? == 1)
    }
}

async fn retry_run(connection: &mut sqlx::PgConnection, retry: &Retry) -> Result<bool, StoreError> {
    let rows = Rows::of(std::slice::from_ref(&retry.entry))?;
    let body = rows.body.first().map_or("", String::as_str);
    let gone_on = sqlx::query_scalar!(
        r#"with again as (
            update runs set status = 'queued', finished_at = null, due_at = case when concurrency_key is null then now() end,
                admitted = concurrency_key is null, retain_until = null, error_code = null, claims = 0,
                workflow_version = $3, journal_len = journal_len + 1, journal_bytes = journal_bytes + octet_length($5)
            where id = $1 and journal_len = $2 and finished_at is not null and status <> 'success'
            returning id
        ), entry as (
            insert into journal (run_id, seq, at, kind, body)
            select id, $2 + 1, $4, $6, case when octet_length($5) <= $7 then $5 end from again
        ), bodies as (
            insert into journal_bodies (run_id, seq, body) select id, $2 + 1, $5 from again where octet_length($5) > $7
        ), results as (delete from run_results using again where run_results.run_id = again.id),
        letters as (delete from run_inbox using again where run_inbox.run_id = again.id)
        select count(*) as "again!" from again"#,
        retry.run.uuid(),
        retry.journal_len,
        retry.version,
        retry.entry.at,
        body,
        retry.entry.event.kind(),
        INLINE_BODY_BYTES_MAX,
    );
    Ok(gone_on.fetch_one(connection).await? == 1)
}
