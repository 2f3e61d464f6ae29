//! What plugins ask of the host, done with the database.

use armilla_domain::id::WorkspaceId;
use armilla_sandbox::{KvEntry, SecretValue, Served, ServiceError, Services};
use armilla_store::{KV_KEYS_PER_NAMESPACE_MAX, KvChange, Store, StoreError};
use tracing::{error, warn};

use crate::SealingKey;

/// Secrets and key-value namespaces of a database.
pub(crate) struct StoreServices {
    pub(crate) store: Store,
    pub(crate) sealing: SealingKey,
}

fn failed(error: StoreError) -> ServiceError {
    if !error.is_unavailable() {
        error!("A plugin's request to the store failed: {error}");
    }
    ServiceError::Unavailable
}

fn settled<T>(change: KvChange<T>) -> Result<T, ServiceError> {
    match change {
        KvChange::Made(made) => Ok(made),
        KvChange::Conflict(revision) => Err(ServiceError::Conflict(revision.map(i64::cast_unsigned))),
        KvChange::Full => {
            Err(ServiceError::Refused(format!("the namespace holds {KV_KEYS_PER_NAMESPACE_MAX} keys already")))
        }
    }
}

/// A revision past what the database counts to is at least not the one that is there.
fn as_stored(expected: Option<u64>) -> Option<i64> {
    expected.map(|expected| i64::try_from(expected).unwrap_or(i64::MAX))
}

impl Services for StoreServices {
    fn secret<'a>(&'a self, workspace: WorkspaceId, name: &'a str) -> Served<'a, Option<SecretValue>> {
        Box::pin(async move {
            let Some(sealed) = self.store.sealed_secret(workspace, name).await.map_err(failed)? else {
                return Ok(None);
            };
            let opened = self.sealing.open(workspace, name, &sealed);
            if opened.is_none() {
                warn!(secret.name = name, "The secret `{name}` was sealed with another key; set it again");
            }
            Ok(opened.map(SecretValue::new))
        })
    }

    fn kv_get<'a>(&'a self, workspace: WorkspaceId, namespace: &'a str, key: &'a str) -> Served<'a, Option<KvEntry>> {
        Box::pin(async move {
            let row = self.store.kv_get(workspace, namespace, key).await.map_err(failed)?;
            Ok(row.map(|row| KvEntry {
                value: String::from_utf8_lossy(&row.value).into_owned(),
                revision: row.revision.cast_unsigned(),
            }))
        })
    }

    fn kv_put<'a>(
        &'a self,
        workspace: WorkspaceId,
        namespace: &'a str,
        key: &'a str,
        value: &'a str,
        expected: Option<u64>,
    ) -> Served<'a, u64> {
        Box::pin(async move {
            let put = self.store.kv_put(workspace, namespace, key, value.as_bytes(), as_stored(expected)).await;
            settled(put.map_err(failed)?).map(i64::cast_unsigned)
        })
    }

    fn kv_delete<'a>(
        &'a self,
        workspace: WorkspaceId,
        namespace: &'a str,
        key: &'a str,
        expected: Option<u64>,
    ) -> Served<'a, bool> {
        Box::pin(async move {
            settled(self.store.kv_delete(workspace, namespace, key, as_stored(expected)).await.map_err(failed)?)
        })
    }

    fn kv_list<'a>(
        &'a self,
        workspace: WorkspaceId,
        namespace: &'a str,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: u32,
    ) -> Served<'a, Vec<String>> {
        Box::pin(async move { self.store.kv_list(workspace, namespace, prefix, after, limit).await.map_err(failed) })
    }
}
