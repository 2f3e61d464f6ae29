//! Requests that take place once, however often they come: whatever they ask for, but for a run to be started, which knows its keys itself.

use armilla_domain::id::WorkspaceId;
use armilla_store::{KeyedRequest, StoreError};

use crate::{CommandError, Engine};

/// Where a request with an idempotency key stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Repeat {
    /// It is the first one, and is to be carried out.
    First,
    /// The first one was answered so.
    Answered(String),
    /// The first one is worked on still, or came to an end that nobody knows.
    Unsettled,
    /// The key was used for another request.
    Other,
}

impl Engine {
    /// Gives `key` to the request that `digest` tells from others, or says what became of the one that has it.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn begin_request(&self, workspace: WorkspaceId, key: &str, digest: &str) -> Result<Repeat, CommandError> {
        let (known, answer) = match self.host.store.take_key(workspace, key, digest).await? {
            KeyedRequest::First => return Ok(Repeat::First),
            KeyedRequest::Before { digest, answer } => (digest, answer),
        };
        if known != digest {
            return Ok(Repeat::Other);
        }
        let Some(sealed) = answer else { return Ok(Repeat::Unsettled) };
        let answer = self.host.sealing.open(workspace, &sealed_as(key), &sealed);
        // One that another key of secrets has sealed is as good as lost.
        Ok(answer.map_or(Repeat::Unsettled, Repeat::Answered))
    }

    /// Keeps what the first request with a key was answered. Sealed, since it may hold a secret that is shown once.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn keep_answer(&self, workspace: WorkspaceId, key: &str, answer: &str) -> Result<(), CommandError> {
        let sealed = self.host.sealing.seal(workspace, &sealed_as(key), answer, self.host.chance.nonce());
        let sealed = sealed.ok_or_else(|| StoreError::Corrupt("an answer could not be sealed".to_owned()))?;
        Ok(self.host.store.keep_answer(workspace, key, &sealed).await?)
    }

    /// Gives a key back whose request did nothing, so that it can be used again.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn give_key_back(&self, workspace: WorkspaceId, key: &str) -> Result<(), CommandError> {
        Ok(self.host.store.give_key_back(workspace, key).await?)
    }
}

/// No secret has a blank in its name.
fn sealed_as(key: &str) -> String {
    format!("answer to {key}")
}
