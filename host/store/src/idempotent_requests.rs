//! Requests that take place once, however often they come: what was asked for under a key, and what was answered.

use armilla_domain::id::WorkspaceId;

use crate::{IDEMPOTENCY_HOURS, Store, StoreError};

/// How a request with a key stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyedRequest {
    /// It is the first one with this key, and the key is its own from now on.
    First,
    /// The key is another one's.
    Before {
        /// SHA-256 of who asked for what.
        digest: String,
        /// What was answered, sealed; absent while it is worked on, and where that came to no answer.
        answer: Option<Vec<u8>>,
    },
}

impl Store {
    /// Gives a key to the first request that comes with it, for [`IDEMPOTENCY_HOURS`].
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn take_key(&self, workspace: WorkspaceId, key: &str, digest: &str) -> Result<KeyedRequest, StoreError> {
        // Two that come at once see each other only in a second statement.
        let taken = sqlx::query_scalar!(
            r#"insert into idempotent_requests (workspace_id, key, digest) values ($1, $2, $3)
            on conflict (workspace_id, key) do update set digest = excluded.digest, answer = null, created_at = now()
                where idempotent_requests.created_at < now() - make_interval(hours => $4)
            returning true as "taken!""#,
            workspace.uuid(),
            key,
            digest,
            IDEMPOTENCY_HOURS,
        );
        if taken.fetch_optional(&self.pool).await?.is_some() {
            return Ok(KeyedRequest::First);
        }
        let before = sqlx::query!(
            "select digest, answer from idempotent_requests where workspace_id = $1 and key = $2",
            workspace.uuid(),
            key,
        );
        // One that was given back in between is as good as one that is worked on: whoever asks again has it.
        let before = before.fetch_optional(&self.pool).await?;
        Ok(before.map_or_else(
            || KeyedRequest::Before { digest: digest.to_owned(), answer: None },
            |row| KeyedRequest::Before { digest: row.digest, answer: row.answer },
        ))
    }

    /// Keeps what a request was answered, for those that repeat it.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn keep_answer(&self, workspace: WorkspaceId, key: &str, answer: &[u8]) -> Result<(), StoreError> {
        let kept = sqlx::query!(
            "update idempotent_requests set answer = $3 where workspace_id = $1 and key = $2",
            workspace.uuid(),
            key,
            answer,
        );
        kept.execute(&self.pool).await?;
        Ok(())
    }

    /// Gives a key back whose request did nothing.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn give_key_back(&self, workspace: WorkspaceId, key: &str) -> Result<(), StoreError> {
        let gone = sqlx::query!(
            "delete from idempotent_requests where workspace_id = $1 and key = $2 and answer is null",
            workspace.uuid(),
            key,
        );
        gone.execute(&self.pool).await?;
        Ok(())
    }
}
