//! Text by key.

use armilla_domain::plugin::permit_kv;

use crate::access::{Access, ServiceError};
use crate::bindings::kv::{Entry, Host, KvError};
use crate::state::State;

/// In bytes of a key.
pub const KV_KEY_BYTES_MAX: usize = 512;
/// In bytes of a value.
pub const KV_VALUE_BYTES_MAX: usize = 256 << 10;
/// Keys that one list gives.
pub const KV_LIST_MAX: u32 = 1_000;

impl State {
    fn permitted(&mut self, namespace: &str, key: &str) -> wasmtime::Result<Result<Access, KvError>> {
        self.count()?;
        if let Err(denial) = permit_kv(&self.given.needs, &self.given.access.grant, namespace) {
            return Ok(Err(KvError::Denied(self.denied(denial))));
        }
        if key.is_empty() || !is_key(key) {
            return Ok(Err(KvError::Refused(format!("a key has 1 to {KV_KEY_BYTES_MAX} bytes, none of them zero"))));
        }
        Ok(Ok(self.given.access.clone()))
    }
}

/// Whether a text can be the beginning of a key. Databases do not take the character U+0000.
fn is_key(text: &str) -> bool {
    text.len() <= KV_KEY_BYTES_MAX && !text.contains('\0')
}

fn failed(error: ServiceError) -> KvError {
    match error {
        ServiceError::Conflict(revision) => KvError::Conflict(revision),
        ServiceError::Refused(why) => KvError::Refused(why),
        ServiceError::Unavailable => KvError::Unavailable(error.to_string()),
    }
}

impl Host for State {
    async fn get(&mut self, namespace: String, key: String) -> wasmtime::Result<Result<Option<Entry>, KvError>> {
        let access = match self.permitted(&namespace, &key)? {
            Ok(access) => access,
            Err(error) => return Ok(Err(error)),
        };
        let work = async move { access.services.kv_get(access.workspace, &namespace, &key).await };
        let found = self.on_host(work).await?;
        Ok(found.map(|entry| entry.map(|entry| Entry { value: entry.value, revision: entry.revision })).map_err(failed))
    }

    async fn put(
        &mut self,
        namespace: String,
        key: String,
        value: String,
        expected: Option<u64>,
    ) -> wasmtime::Result<Result<u64, KvError>> {
        let access = match self.permitted(&namespace, &key)? {
            Ok(access) => access,
            Err(error) => return Ok(Err(error)),
        };
        if value.len() > KV_VALUE_BYTES_MAX {
            return Ok(Err(KvError::Refused(format!("a value has at most {KV_VALUE_BYTES_MAX} bytes"))));
        }
        let work = async move { access.services.kv_put(access.workspace, &namespace, &key, &value, expected).await };
        let put = self.on_host(work).await?;
        Ok(put.map_err(failed))
    }

    async fn delete(
        &mut self,
        namespace: String,
        key: String,
        expected: Option<u64>,
    ) -> wasmtime::Result<Result<bool, KvError>> {
        let access = match self.permitted(&namespace, &key)? {
            Ok(access) => access,
            Err(error) => return Ok(Err(error)),
        };
        let work = async move { access.services.kv_delete(access.workspace, &namespace, &key, expected).await };
        let deleted = self.on_host(work).await?;
        Ok(deleted.map_err(failed))
    }

    async fn list(
        &mut self,
        namespace: String,
        prefix: String,
        after: Option<String>,
        limit: u32,
    ) -> wasmtime::Result<Result<Vec<String>, KvError>> {
        // A prefix may be empty, unlike a key.
        let access = match self.permitted(&namespace, "k")? {
            Ok(access) => access,
            Err(error) => return Ok(Err(error)),
        };
        if !is_key(&prefix) || after.as_ref().is_some_and(|after| !is_key(after)) {
            return Ok(Err(KvError::Refused(format!("a key has 1 to {KV_KEY_BYTES_MAX} bytes, none of them zero"))));
        }
        let limit = limit.min(KV_LIST_MAX);
        let work = async move {
            access.services.kv_list(access.workspace, &namespace, &prefix, after.as_deref(), limit).await
        };
        let listed = self.on_host(work).await?;
        Ok(listed.map_err(failed))
    }
}
