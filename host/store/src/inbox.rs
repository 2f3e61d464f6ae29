//! What runs are told while they go on: written by anybody, taken in by the journal's own statement.

use armilla_domain::id::{RunId, WorkspaceId};
use armilla_domain::run::{Message, RunStatus};
use uuid::Uuid;

use crate::{CLAIMS_WITHOUT_PROGRESS_MAX, Store, StoreError};

/// Messages that may wait for one run: more than any honest sender has under way, few enough to be read at once.
pub const INBOX_MAX: i64 = 1_000;

/// Bytes of messages that are read at once: what is left is read a moment later.
const INBOX_READ_BYTES_MAX: i64 = 4 * 1024 * 1024;

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// It waits for the run.
    Yes,
    /// There is no such run.
    NoSuchRun,
    /// The run has ended, or does what the message could not change.
    NotNow(RunStatus),
    /// Too many messages wait for it already.
    Full,
}

impl Store {
    /// Tells a run something, if it is doing one of `only_while`; any that is not final where empty. What it keeps must fit into
    /// `journal_bytes_max` with what it has and what waits for it; only signals are many or long. To go on or to end gives a run another
    /// chance that stopped hosts.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn tell_run(
        &self,
        workspace: WorkspaceId,
        run: RunId,
        message: &Message,
        only_while: &[RunStatus],
        journal_bytes_max: i64,
    ) -> Result<Told, StoreError> {
        let body = serde_json::to_string(message).map_err(|error| StoreError::Corrupt(error.to_string()))?;
        let words: Vec<&str> = only_while.iter().map(|status| status.as_str()).collect();
        let told = sqlx::query!(
            r#"with run as (
                select id, status, finished_at is null and (cardinality($4::text[]) = 0 or status = any($4::text[])) as fits,
                    not $8 or (
                        select count(*) < $5 and coalesce(sum(octet_length(i.body)), 0) + octet_length($3) + runs.journal_bytes <= $9
                        from run_inbox i where i.run_id = runs.id
                    ) as has_room
                from runs where id = $1 and workspace_id = $2
            ), told as (
                insert into run_inbox (run_id, body) select id, $3 from run where fits and has_room returning run_id
            ), again as (
                update runs set claims = 0 from told where runs.id = told.run_id and $6 and runs.claims > $7
            )
            select status as "status!", fits as "fits!", has_room as "has_room!" from run"#,
            run.uuid(),
            workspace.uuid(),
            body,
            &words as &[&str],
            INBOX_MAX,
            matches!(message, Message::Resume { .. } | Message::Cancel { .. }),
            CLAIMS_WITHOUT_PROGRESS_MAX,
            matches!(message, Message::Signal { .. }),
            journal_bytes_max,
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(match told {
            None => Told::NoSuchRun,
            Some(row) if !row.fits => {
                let status = RunStatus::from_word(&row.status);
                Told::NotNow(status.ok_or_else(|| StoreError::Corrupt(format!("no run is `{}`", row.status)))?)
            }
            Some(row) if !row.has_room => Told::Full,
            Some(_) => Told::Yes,
        })
    }

    /// What waits for a run, in the order in which it came; not more than can be held at once, and at least one.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn inbox(&self, run: RunId) -> Result<Vec<(i64, Message)>, StoreError> {
        let rows = sqlx::query!(
            r#"select id as "id!", body as "body!" from (
                select id, body, sum(octet_length(body)) over (order by id) - octet_length(body) as before
                from run_inbox where run_id = $1 order by id limit $2
            ) m where before < $3 order by id"#,
            run.uuid(),
            INBOX_MAX,
            INBOX_READ_BYTES_MAX,
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|row| {
                let message = serde_json::from_str(&row.body);
                let message = message.map_err(|error| StoreError::Corrupt(format!("a message for {run}: {error}")))?;
                Ok((row.id, message))
            })
            .collect()
    }

    /// Which of these runs have messages.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn with_messages(&self, runs: &[RunId]) -> Result<Vec<RunId>, StoreError> {
        let runs: Vec<Uuid> = runs.iter().map(|run| run.uuid()).collect();
        let told = sqlx::query_scalar!("select distinct run_id from run_inbox where run_id = any($1)", &runs);
        Ok(told.fetch_all(&self.pool).await?.into_iter().map(RunId::from_uuid).collect())
    }

    /// Removes messages that came after the ends of their runs, an hour later.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn delete_dead_letters(&self) -> Result<u64, StoreError> {
        let done = sqlx::query!(
            "delete from run_inbox i where i.created_at < now() - interval '1 hour'
                and not exists (select from runs r where r.id = i.run_id and (r.finished_at is null or r.finished_at > now() - interval '1 hour'))"
        );
        Ok(done.execute(&self.pool).await?.rows_affected())
    }

    /// Tells every run to end whose parent has ended, and which was not told yet. The parent's own end tells those that it
    /// knows of; this finds one that began in the same moment.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn cancel_orphans(&self) -> Result<Vec<RunId>, StoreError> {
        let message =
            Message::Cancel { by: "armilla".to_owned(), reason: Some("the run that started it has ended".to_owned()) };
        let body = serde_json::to_string(&message).map_err(|error| StoreError::Corrupt(error.to_string()))?;
        let orphans = sqlx::query_scalar!(
            r#"insert into run_inbox (run_id, body)
            select r.id, $1 from runs r join runs parent on parent.id = r.parent_run
            where r.parent_run is not null and r.finished_at is null and parent.finished_at < now() - interval '2 seconds'
                and not exists (select from run_inbox i where i.run_id = r.id and i.body like '{"kind":"cancel"%')
            returning run_id"#,
            body
        );
        Ok(orphans.fetch_all(&self.pool).await?.into_iter().map(RunId::from_uuid).collect())
    }

    /// Gives runs another chance that stopped hosts and are told to end: whoever takes one up reads that before anything else.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn let_cancelled_runs_end(&self) -> Result<Vec<RunId>, StoreError> {
        let let_go = sqlx::query_scalar!(
            r#"update runs set claims = 0
            where id in (select i.run_id from run_inbox i where i.body like '{"kind":"cancel"%') and claims > $1
                and finished_at is null and lease_owner is null
            returning id"#,
            CLAIMS_WITHOUT_PROGRESS_MAX,
        );
        Ok(let_go.fetch_all(&self.pool).await?.into_iter().map(RunId::from_uuid).collect())
    }
}
