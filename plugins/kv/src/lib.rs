//! The `kv` plugin: keeps JSON by key, in namespaces that an operator granted.

#![cfg_attr(test, allow(clippy::unwrap_used))]

use armilla_plugin::kv::{self, Entry, Namespace};
use armilla_plugin::{Error, Plugin, Tool};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// How many keys a call lists that does not say.
const KEYS_DEFAULT: u32 = 100;

/// The contract's bound on the keys of one listing.
const KEYS_MAX: u32 = 1_000;

/// The contract's bound on a key, in bytes. The schema counts characters, and the host looks again.
const KEY_BYTES_MAX: usize = 512;

/// In characters; a granted namespace is never as long.
const NAMESPACE_CHARS_MAX: usize = 64;

armilla_plugin::plugin! {
    Plugin::new("kv", "Keeps JSON by key across runs, in namespaces that an operator granted.")
        .needs_kv("*")
        .tool(
            Tool::new("kv.get", "Get a value", "Reads what is kept under a key, and its revision.", get)
                .read_only()
                .idempotent()
                .closed_world(),
        )
        .tool(
            Tool::new(
                "kv.put",
                "Keep a value",
                "Keeps a JSON value under a key. With `ifRevision` only if nobody changed the key in between.",
                put,
            )
            .closed_world(),
        )
        .tool(
            Tool::new("kv.delete", "Delete a value", "Removes a key and what is kept under it.", delete)
                .idempotent()
                .closed_world(),
        )
        .tool(
            Tool::new("kv.list", "List keys", "Lists the keys that begin with a prefix, in order, page by page.", list)
                .read_only()
                .idempotent()
                .closed_world(),
        )
}

/// Which value to read.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Get {
    /// The namespace, as it was granted.
    #[schemars(length(min = 1, max = NAMESPACE_CHARS_MAX))]
    namespace: String,
    /// The key.
    #[schemars(length(min = 1, max = KEY_BYTES_MAX))]
    key: String,
}

/// What is kept.
#[derive(Debug, PartialEq, Serialize, JsonSchema)]
struct Kept {
    /// Whether the key is there.
    found: bool,
    /// What is kept under it; null where it is not there. Text that is not JSON, kept by another plugin, is given as a string.
    value: Value,
    /// Its revision, for `ifRevision`; 0 where it is not there.
    revision: u64,
}

fn get(input: Get) -> Result<Kept, Error> {
    Ok(kept(Namespace::open(input.namespace).get(&input.key)?))
}

fn kept(entry: Option<Entry>) -> Kept {
    match entry {
        Some(Entry { value, revision }) => {
            let value = serde_json::from_str(&value).unwrap_or(Value::String(value));
            Kept { found: true, value, revision }
        }
        None => Kept { found: false, value: Value::Null, revision: 0 },
    }
}

/// What to keep where.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Put {
    /// The namespace, as it was granted.
    #[schemars(length(min = 1, max = NAMESPACE_CHARS_MAX))]
    namespace: String,
    /// The key.
    #[schemars(length(min = 1, max = KEY_BYTES_MAX))]
    key: String,
    /// Any JSON value, of up to 262,144 bytes.
    value: Value,
    /// The revision that the key must still have; 0 means that it must not be there. Without it whatever is there is replaced.
    if_revision: Option<u64>,
}

/// Where it is now.
#[derive(Debug, Serialize, JsonSchema)]
struct Revision {
    /// The key's new revision.
    revision: u64,
}

fn put(input: Put) -> Result<Revision, Error> {
    let namespace = Namespace::open(input.namespace);
    let value = input.value.to_string();
    let revision = match input.if_revision {
        Some(expected) => namespace.put_if(&input.key, &value, expected),
        None => namespace.put(&input.key, &value),
    };
    Ok(Revision { revision: revision.map_err(|error| refusal(error, input.if_revision))? })
}

/// What to remove.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Delete {
    /// The namespace, as it was granted.
    #[schemars(length(min = 1, max = NAMESPACE_CHARS_MAX))]
    namespace: String,
    /// The key.
    #[schemars(length(min = 1, max = KEY_BYTES_MAX))]
    key: String,
    /// The revision that the key must still have.
    if_revision: Option<u64>,
}

/// What was removed.
#[derive(Debug, Serialize, JsonSchema)]
struct Deleted {
    /// Whether the key was there.
    deleted: bool,
}

fn delete(input: Delete) -> Result<Deleted, Error> {
    let namespace = Namespace::open(input.namespace);
    let deleted = match input.if_revision {
        Some(expected) => namespace.delete_if(&input.key, expected),
        None => namespace.delete(&input.key),
    };
    Ok(Deleted { deleted: deleted.map_err(|error| refusal(error, input.if_revision))? })
}

/// The tool's error. A conflict is not worth another attempt: the same revision would be expected again.
fn refusal(error: kv::Error, expected: Option<u64>) -> Error {
    match error {
        kv::Error::Conflict(revision) => {
            let now =
                revision.map_or_else(|| "is not there".to_owned(), |revision| format!("is at revision {revision}"));
            Error::failed(format!("the key {now}, not at revision {}", expected.unwrap_or_default()))
                .details(json!({ "conflict": true, "revision": revision, "expected": expected }))
        }
        other => other.into(),
    }
}

/// Which keys to list.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct List {
    /// The namespace, as it was granted.
    #[schemars(length(min = 1, max = NAMESPACE_CHARS_MAX))]
    namespace: String,
    /// What the keys begin with.
    #[serde(default)]
    #[schemars(length(max = KEY_BYTES_MAX))]
    prefix: String,
    /// The key after which to begin: `next` of the page before.
    #[schemars(length(max = KEY_BYTES_MAX))]
    after: Option<String>,
    /// How many keys to give at most.
    #[serde(default = "keys_default")]
    #[schemars(range(min = 1, max = KEYS_MAX))]
    limit: u32,
}

fn keys_default() -> u32 {
    KEYS_DEFAULT
}

/// One page of keys.
#[derive(Debug, PartialEq, Serialize, JsonSchema)]
struct Keys {
    /// The keys, in the order of their bytes.
    keys: Vec<String>,
    /// What to give as `after` for the next page; null where this is the last one.
    next: Option<String>,
}

fn list(input: List) -> Result<Keys, Error> {
    let limit = input.limit.clamp(1, KEYS_MAX);
    let keys = Namespace::open(input.namespace).list(&input.prefix, input.after.as_deref(), limit)?;
    Ok(page(keys, limit))
}

/// A full page may be the last one: the next is empty then.
fn page(keys: Vec<String>, limit: u32) -> Keys {
    let next = if keys.len() < limit as usize { None } else { keys.last().cloned() };
    Keys { keys, next }
}

#[cfg(test)]
mod tests {
    use super::*;
    use armilla_plugin::{Code, Context};

    fn call(tool: &str, input: &Value) -> Error {
        plugin().call(tool, &input.to_string(), &Context::example()).unwrap_err()
    }

    #[test]
    fn without_a_host_every_tool_says_that_there_is_no_store() {
        for (tool, input) in [
            ("kv.get", json!({ "namespace": "notes", "key": "a" })),
            ("kv.put", json!({ "namespace": "notes", "key": "a", "value": null })),
            ("kv.put", json!({ "namespace": "notes", "key": "a", "value": [1], "ifRevision": 0 })),
            ("kv.delete", json!({ "namespace": "notes", "key": "a", "ifRevision": 3 })),
            ("kv.list", json!({ "namespace": "notes" })),
        ] {
            assert_eq!(call(tool, &input).code(), Code::Unavailable, "{tool}");
        }
    }

    #[test]
    fn an_input_that_does_not_fit_is_refused() {
        for (tool, input) in [
            ("kv.get", json!({ "key": "a" })),
            ("kv.put", json!({ "namespace": "notes", "key": "a" })),
            ("kv.put", json!({ "namespace": "notes", "key": "a", "value": 1, "ifRevision": -1 })),
            ("kv.list", json!({ "namespace": "notes", "sort": "up" })),
        ] {
            assert_eq!(call(tool, &input).code(), Code::InvalidInput, "{tool} {input}");
        }
    }

    #[test]
    fn what_is_kept_is_read_as_json_or_as_text() {
        let entry = |value: &str| Some(Entry { value: value.to_owned(), revision: 7 });
        let found = |value: Value| Kept { found: true, value, revision: 7 };
        assert_eq!(kept(entry(r#"{"a":[1]}"#)), found(json!({ "a": [1] })));
        assert_eq!(kept(entry("null")), found(Value::Null));
        assert_eq!(kept(entry("plain words")), found(json!("plain words")));
        assert_eq!(kept(None), Kept { found: false, value: Value::Null, revision: 0 });
    }

    #[test]
    fn a_conflict_says_what_is_there_and_is_not_retried() {
        let error = refusal(kv::Error::Conflict(Some(5)), Some(3));
        assert_eq!(error.message(), "the key is at revision 5, not at revision 3");
        assert_eq!((error.code(), error.is_retryable()), (Code::Failed, false));
        assert_eq!(error.more(), Some(&json!({ "conflict": true, "revision": 5, "expected": 3 })));
        assert_eq!(refusal(kv::Error::Conflict(None), Some(3)).message(), "the key is not there, not at revision 3");
    }

    #[test]
    fn a_full_page_says_where_the_next_one_begins() {
        let keys = || vec!["a".to_owned(), "b".to_owned()];
        assert_eq!(page(keys(), 2).next.as_deref(), Some("b"));
        assert_eq!(page(keys(), 3).next, None);
        assert_eq!(page(Vec::new(), 1).next, None);
    }

    #[test]
    fn the_operator_names_the_namespaces() {
        assert_eq!(plugin().needs().kv, ["*"]);
    }
}
