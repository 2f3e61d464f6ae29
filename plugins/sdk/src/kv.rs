//! Text by key, in namespaces that an operator granted, kept by the host across calls, runs and restarts. Plugins that are
//! granted the same namespace share it.
//!
//! ```no_run
//! use armilla_plugin::{Error, kv};
//!
//! /// Counts up, and notices when somebody else counted in between: then the engine calls again.
//! fn count(key: &str) -> Result<u64, Error> {
//!     let counters = kv::Namespace::open("counters");
//!     let (count, revision) = counters.get_json(key)?.unwrap_or((0, 0));
//!     counters.put_json_if(key, &(count + 1), revision)?;
//!     Ok(count + 1)
//! }
//! ```

use crate::{Denial, host};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;

/// What is kept under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Up to 262,144 bytes.
    pub value: String,
    /// Grows with every change of the namespace, from 1.
    pub revision: u64,
}

/// A namespace of keys: each is 1 to 512 bytes long.
#[derive(Clone, Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// The namespace of this name. Whether it was granted shows when it is used.
    pub fn open(name: impl Into<String>) -> Self {
        Self { name: name.into() }
    }

    /// What is kept under `key`, if anything.
    pub fn get(&self, key: &str) -> Result<Option<Entry>, Error> {
        host::kv_get(&self.name, key)
    }

    /// What is kept under `key` read as JSON, and its revision. A value that does not fit is a failure.
    pub fn get_json<T: DeserializeOwned>(&self, key: &str) -> Result<Option<(T, u64)>, crate::Error> {
        let Some(Entry { value, revision }) = self.get(key)? else { return Ok(None) };
        let value = serde_json::from_str(&value).map_err(|error| {
            crate::Error::failed(format_args!("what is kept is not the JSON it should be: {error}"))
        })?;
        Ok(Some((value, revision)))
    }

    /// Keeps `value` under `key`, whatever is there, and gives its new revision.
    pub fn put(&self, key: &str, value: &str) -> Result<u64, Error> {
        host::kv_put(&self.name, key, value, None)
    }

    /// Keeps `value` under `key` if that is still at the revision `expected`, or is not there where `expected` is 0; else it
    /// is a [conflict](Error::Conflict). Gives the new revision.
    pub fn put_if(&self, key: &str, value: &str, expected: u64) -> Result<u64, Error> {
        host::kv_put(&self.name, key, value, Some(expected))
    }

    /// Like [`put`](Self::put), with a value that is written as JSON.
    pub fn put_json(&self, key: &str, value: &(impl Serialize + ?Sized)) -> Result<u64, crate::Error> {
        Ok(self.put(key, &to_json(value)?)?)
    }

    /// Like [`put_if`](Self::put_if), with a value that is written as JSON.
    pub fn put_json_if(
        &self,
        key: &str,
        value: &(impl Serialize + ?Sized),
        expected: u64,
    ) -> Result<u64, crate::Error> {
        Ok(self.put_if(key, &to_json(value)?, expected)?)
    }

    /// Removes `key`, and says whether it was there.
    pub fn delete(&self, key: &str) -> Result<bool, Error> {
        host::kv_delete(&self.name, key, None)
    }

    /// Removes `key` if it is still at the revision `expected`; else it is a [conflict](Error::Conflict).
    pub fn delete_if(&self, key: &str, expected: u64) -> Result<bool, Error> {
        host::kv_delete(&self.name, key, Some(expected))
    }

    /// Up to `limit` keys, at most 1,000, that begin with `prefix`, in the order of their bytes, from after `after` on.
    pub fn list(&self, prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<String>, Error> {
        host::kv_list(&self.name, prefix, after, limit)
    }
}

fn to_json(value: &(impl Serialize + ?Sized)) -> Result<String, crate::Error> {
    serde_json::to_string(value)
        .map_err(|error| crate::Error::failed(format_args!("the value cannot be written as JSON: {error}")))
}

/// Why nothing was read or changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The namespace was not granted.
    Denied(Denial),
    /// The key is not at the expected revision but at this one; `None` where there is no such key.
    Conflict(Option<u64>),
    /// The key is empty or longer than 512 bytes, the value too long, or the namespace full.
    Refused(String),
    /// The store does not answer at the moment.
    Unavailable(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(denial) => denial.fmt(f),
            Self::Conflict(Some(revision)) => write!(f, "the key is at revision {revision}, not at the expected one"),
            Self::Conflict(None) => f.write_str("the key is not there, at no revision"),
            Self::Refused(message) | Self::Unavailable(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Code, config, secrets};

    #[test]
    fn without_a_host_nothing_is_kept() {
        let notes = Namespace::open("notes");
        let nothing = Err(Error::Unavailable("the key-value store is there only inside a host".to_owned()));
        assert_eq!(notes.put("a", "1"), nothing);
        assert_eq!(notes.put_if("a", "1", 0), nothing);
        assert!(notes.get("a").is_err());
        assert!(notes.delete("a").is_err());
        assert!(notes.delete_if("a", 1).is_err());
        assert!(notes.list("", None, 10).is_err());
        assert_eq!(notes.get_json::<u8>("a").unwrap_err().code(), Code::Unavailable);
    }

    #[test]
    fn what_json_cannot_hold_is_not_kept() {
        let keyed_by_list = std::collections::BTreeMap::from([(vec![1], 1)]);
        assert_eq!(Namespace::open("notes").put_json("a", &keyed_by_list).unwrap_err().code(), Code::Failed);
    }

    #[test]
    fn without_a_host_configuration_and_secrets_are_denied() {
        assert_eq!(config::get("REGION").unwrap_err().capability, "config:REGION");
        let denial = secrets::get("api-key").unwrap_err();
        assert_eq!(denial.to_string(), "secrets are there only inside a host (secret:api-key)");
    }
}
