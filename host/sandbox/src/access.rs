//! What a plugin may touch during one call, and who does it for it.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use armilla_domain::id::WorkspaceId;
use armilla_domain::plugin::Grant;

/// Whose call it is, and what was granted.
#[derive(Clone)]
pub struct Access {
    /// The workspace that calls: its secrets, its key-value namespaces, its turns.
    pub workspace: WorkspaceId,
    /// What it granted the plugin.
    pub grant: Arc<Grant>,
    /// Does what lies outside of the sandbox.
    pub services: Arc<dyn Services>,
}

/// A future of a service.
pub type Served<'a, T> = Pin<Box<dyn Future<Output = Result<T, ServiceError>> + Send + 'a>>;

/// Keeps secrets and key-value namespaces. It has two implementations: the database, and memory for calls without a server.
/// What is permitted was judged before.
pub trait Services: Send + Sync {
    /// The value of a secret; `None` where there is none of this name.
    fn secret<'a>(&'a self, workspace: WorkspaceId, name: &'a str) -> Served<'a, Option<SecretValue>>;

    /// What is kept under a key.
    fn kv_get<'a>(&'a self, workspace: WorkspaceId, namespace: &'a str, key: &'a str) -> Served<'a, Option<KvEntry>>;

    /// Keeps a value; `expected` as the contract has it.
    fn kv_put<'a>(
        &'a self,
        workspace: WorkspaceId,
        namespace: &'a str,
        key: &'a str,
        value: &'a str,
        expected: Option<u64>,
    ) -> Served<'a, u64>;

    /// Removes a key, and says whether it was there.
    fn kv_delete<'a>(
        &'a self,
        workspace: WorkspaceId,
        namespace: &'a str,
        key: &'a str,
        expected: Option<u64>,
    ) -> Served<'a, bool>;

    /// Keys that begin with `prefix`, in the order of their bytes, from after `after` on.
    fn kv_list<'a>(
        &'a self,
        workspace: WorkspaceId,
        namespace: &'a str,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: u32,
    ) -> Served<'a, Vec<String>>;
}

/// A secret's value. It is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretValue(String);

impl SecretValue {
    /// Takes the value.
    pub fn new(value: String) -> Self {
        Self(value)
    }

    /// The value, for the one place that puts it into a request.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretValue(…)")
    }
}

/// What is kept under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvEntry {
    /// The value.
    pub value: String,
    /// Its revision, from 1.
    pub revision: u64,
}

/// Why a service did nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServiceError {
    /// The key is not at the expected revision but at this one.
    #[error("the key is at another revision")]
    Conflict(Option<u64>),
    /// A bound was met.
    #[error("{0}")]
    Refused(String),
    /// Try later.
    #[error("the store does not answer at the moment")]
    Unavailable,
}

/// Secrets and key-value namespaces in memory: for calls that belong to no server.
#[derive(Debug, Default)]
pub struct MemoryServices {
    secrets: BTreeMap<String, SecretValue>,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    revision: u64,
    entries: BTreeMap<(String, String), KvEntry>,
}

impl MemoryServices {
    /// Nothing kept, and these secrets.
    pub fn new(secrets: impl IntoIterator<Item = (String, SecretValue)>) -> Self {
        Self { secrets: secrets.into_iter().collect(), kept: Mutex::default() }
    }

    fn change<T>(&self, change: impl FnOnce(&mut Kept) -> T) -> T {
        change(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Kept {
    fn expect(&self, place: &(String, String), expected: Option<u64>) -> Result<(), ServiceError> {
        let actual = self.entries.get(place).map(|entry| entry.revision);
        match expected {
            None => Ok(()),
            Some(0) if actual.is_none() => Ok(()),
            Some(expected) if actual == Some(expected) => Ok(()),
            Some(_) => Err(ServiceError::Conflict(actual)),
        }
    }
}

fn place(namespace: &str, key: &str) -> (String, String) {
    (namespace.to_owned(), key.to_owned())
}

impl Services for MemoryServices {
    fn secret<'a>(&'a self, _: WorkspaceId, name: &'a str) -> Served<'a, Option<SecretValue>> {
        Box::pin(async move { Ok(self.secrets.get(name).cloned()) })
    }

    fn kv_get<'a>(&'a self, _: WorkspaceId, namespace: &'a str, key: &'a str) -> Served<'a, Option<KvEntry>> {
        Box::pin(async move { Ok(self.change(|kept| kept.entries.get(&place(namespace, key)).cloned())) })
    }

    fn kv_put<'a>(
        &'a self,
        _: WorkspaceId,
        namespace: &'a str,
        key: &'a str,
        value: &'a str,
        expected: Option<u64>,
    ) -> Served<'a, u64> {
        Box::pin(async move {
            self.change(|kept| {
                let place = place(namespace, key);
                kept.expect(&place, expected)?;
                kept.revision += 1;
                let entry = KvEntry { value: value.to_owned(), revision: kept.revision };
                kept.entries.insert(place, entry);
                Ok(kept.revision)
            })
        })
    }

    fn kv_delete<'a>(
        &'a self,
        _: WorkspaceId,
        namespace: &'a str,
        key: &'a str,
        expected: Option<u64>,
    ) -> Served<'a, bool> {
        Box::pin(async move {
            self.change(|kept| {
                let place = place(namespace, key);
                kept.expect(&place, expected)?;
                Ok(kept.entries.remove(&place).is_some())
            })
        })
    }

    fn kv_list<'a>(
        &'a self,
        _: WorkspaceId,
        namespace: &'a str,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: u32,
    ) -> Served<'a, Vec<String>> {
        Box::pin(async move {
            Ok(self.change(|kept| {
                let keys = kept.entries.keys().filter(|(of, _)| of == namespace).map(|(_, key)| key);
                let keys = keys.filter(|key| key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after));
                keys.take(limit as usize).cloned().collect()
            }))
        })
    }
}
