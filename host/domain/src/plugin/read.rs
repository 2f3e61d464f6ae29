//! Reads a grant as an operator wrote it: every fault at once, and an unknown word is a fault, never nothing.

use std::time::Duration;

use serde_json::{Map, Value};

use super::grant::{
    CONCURRENCY_MAX, CPU_MAX, Grant, GrantLimits, HOST_CALLS_MAX, HTTP_BYTES_MAX, HttpGrant, LogLevel,
    MEMORY_BYTES_MAX, MEMORY_BYTES_MIN, QUEUE_MAX, SecretGrant, TIMEOUT_MAX,
};
use super::pattern::check_host_pattern;
use crate::duration::{format_duration, parse_duration};
use crate::fault::{FAULTS_MAX, Fault, pointer};

/// What a grant may name.
const FIELDS: [&str; 9] = ["http", "secrets", "kv", "config", "clock", "random", "logLevel", "limits", "cacheResults"];
const LIMITS: [&str; 8] =
    ["memoryBytes", "cpu", "timeout", "outputBytes", "concurrency", "queue", "hostCalls", "httpBytes"];
/// Longer lists are a sign that `*` is meant.
const RULES_MAX: usize = 100;
/// In bytes of a secret's, a namespace's or a key's name.
const NAME_BYTES_MAX: usize = 64;
/// In bytes of one configuration value.
const CONFIG_VALUE_BYTES_MAX: usize = 16 << 10;
/// In bytes of JSON that one call may answer: an output ends up in the journal.
const OUTPUT_BYTES_MAX: u64 = 1 << 20;

impl Grant {
    /// Reads a grant.
    ///
    /// # Errors
    /// Every fault, up to [`FAULTS_MAX`], each with its JSON pointer.
    pub fn check(value: &Value) -> Result<Self, Vec<Fault>> {
        let mut reader = Reader { faults: Vec::new() };
        let grant = reader.grant(value);
        if reader.faults.is_empty() { Ok(grant) } else { Err(reader.faults) }
    }
}

struct Reader {
    faults: Vec<Fault>,
}

impl Reader {
    fn fault(&mut self, at: impl Into<String>, code: &str, detail: impl Into<String>) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(Fault::new(at, code, detail));
        }
    }

    fn object<'a>(&mut self, value: &'a Value, at: &str, known: &[&str]) -> Option<&'a Map<String, Value>> {
        let Some(object) = value.as_object() else {
            self.fault(at, "grant.type", "must be an object");
            return None;
        };
        for key in object.keys().filter(|key| !known.contains(&key.as_str())) {
            let code = if at.is_empty() { "grant.unknown_capability" } else { "grant.unknown_field" };
            self.fault(pointer(at, key), code, format!("`{key}` is none of {}", listed(known)));
        }
        Some(object)
    }

    fn grant(&mut self, value: &Value) -> Grant {
        let mut grant = Grant::default();
        let Some(object) = self.object(value, "", &FIELDS) else { return grant };
        if let Some(rules) = object.get("http") {
            grant.http = self.list(rules, "/http", Self::http);
        }
        if let Some(secrets) = object.get("secrets") {
            grant.secrets = self.list(secrets, "/secrets", Self::secret);
        }
        if let Some(namespaces) = object.get("kv") {
            grant.kv = self.list(namespaces, "/kv", Self::name);
        }
        if let Some(config) = object.get("config") {
            self.config(config, &mut grant);
        }
        grant.clock = self.flag(object, "clock");
        grant.random = self.flag(object, "random");
        grant.cache_results = self.flag(object, "cacheResults");
        if let Some(level) = object.get("logLevel") {
            match serde_json::from_value::<LogLevel>(level.clone()) {
                Ok(level) => grant.log_level = level,
                Err(_) => self.fault("/logLevel", "grant.value", "must be debug, info, warn, error or off"),
            }
        }
        if let Some(limits) = object.get("limits") {
            grant.limits = self.limits(limits);
        }
        if grant.cache_results && !grant.is_pure() {
            let detail = "results can be kept only for a plugin that is granted nothing else, since then they follow from the input";
            self.fault("/cacheResults", "grant.cache_impure", detail);
        }
        grant
    }

    fn list<T>(&mut self, value: &Value, at: &str, read: fn(&mut Self, &Value, &str) -> Option<T>) -> Vec<T> {
        let Some(items) = value.as_array() else {
            self.fault(at, "grant.type", "must be an array");
            return Vec::new();
        };
        if items.len() > RULES_MAX {
            self.fault(at, "grant.too_many", format!("has more than {RULES_MAX} entries"));
            return Vec::new();
        }
        items.iter().enumerate().filter_map(|(index, item)| read(self, item, &pointer(at, index))).collect()
    }

    fn http(&mut self, value: &Value, at: &str) -> Option<HttpGrant> {
        // A bare host is what most grants are.
        let (host, object) = match value {
            Value::String(host) => (host.as_str(), None),
            _ => {
                let object = self.object(value, at, &["host", "schemes", "ports", "methods"])?;
                match object.get("host").and_then(Value::as_str) {
                    Some(host) => (host, Some(object)),
                    None => {
                        self.fault(pointer(at, "host"), "grant.missing", "must be a host's name, `*.name` or `*`");
                        return None;
                    }
                }
            }
        };
        self.host(host, at);
        let words = |reader: &mut Self, field: &str, default: &[&str], good: fn(&str) -> bool, what: &str| {
            let default = || default.iter().map(|word| (*word).to_owned()).collect();
            let Some(value) = object.and_then(|object| object.get(field)) else { return default() };
            let words: Option<Vec<String>> = value
                .as_array()
                .map(|words| words.iter().filter_map(|word| word.as_str().map(str::to_owned)).collect());
            match words {
                Some(words) if !words.is_empty() && words.iter().all(|word| good(word)) => words,
                _ => {
                    reader.fault(pointer(at, field), "grant.value", format!("must be an array of {what}"));
                    default()
                }
            }
        };
        let schemes = words(self, "schemes", &["https"], |word| matches!(word, "http" | "https"), "`https`, `http`");
        let method = |word: &str| {
            word == "*" || !word.is_empty() && word.len() <= 32 && word.bytes().all(|b| b.is_ascii_uppercase())
        };
        let methods = words(self, "methods", &["GET", "HEAD"], method, "methods in capitals, or `*`");
        let mut ports = Vec::new();
        if let Some(value) = object.and_then(|object| object.get("ports")) {
            let read = value.as_array().map(|ports| {
                let ports: Option<Vec<u16>> = ports
                    .iter()
                    .map(|port| port.as_u64().and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0))
                    .collect();
                ports
            });
            match read.flatten() {
                Some(read) if !read.is_empty() => ports = read,
                _ => self.fault(pointer(at, "ports"), "grant.value", "must be an array of ports from 1 to 65535"),
            }
        }
        Some(HttpGrant { host: host.to_owned(), schemes, ports, methods })
    }

    fn host(&mut self, host: &str, at: &str) {
        if let Err(why) = check_host_pattern(host) {
            self.fault(at, "grant.host", format!("`{}` {why}", host.escape_debug()));
        }
    }

    fn secret(&mut self, value: &Value, at: &str) -> Option<SecretGrant> {
        let object = self.object(value, at, &["name", "hosts"])?;
        let name = match object.get("name") {
            Some(name) => self.name(name, &pointer(at, "name"))?,
            None => {
                self.fault(pointer(at, "name"), "grant.missing", "must be a secret's name");
                return None;
            }
        };
        let Some(hosts) = object.get("hosts") else {
            let detail = "must name the hosts that the secret may be sent to";
            self.fault(pointer(at, "hosts"), "grant.missing", detail);
            return None;
        };
        let place = pointer(at, "hosts");
        let hosts = self.list(hosts, &place, |reader, value, at| match value.as_str() {
            Some(host) => {
                reader.host(host, at);
                Some(host.to_owned())
            }
            None => {
                reader.fault(at, "grant.type", "must be a host's name");
                None
            }
        });
        if hosts.is_empty() {
            self.fault(place, "grant.value", "must name at least one host");
        }
        Some(SecretGrant { name, hosts })
    }

    fn name(&mut self, value: &Value, at: &str) -> Option<String> {
        let good = |name: &str| {
            (1..=NAME_BYTES_MAX).contains(&name.len())
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        };
        match value.as_str() {
            Some(name) if good(name) => Some(name.to_owned()),
            _ => {
                self.fault(at, "grant.name", format!("must be a name: 1 to {NAME_BYTES_MAX} of A-Z a-z 0-9 - _ ."));
                None
            }
        }
    }

    fn config(&mut self, value: &Value, grant: &mut Grant) {
        let Some(values) = value.as_object() else {
            self.fault("/config", "grant.type", "must be an object of texts");
            return;
        };
        if values.len() > RULES_MAX {
            self.fault("/config", "grant.too_many", format!("has more than {RULES_MAX} entries"));
            return;
        }
        for (key, value) in values {
            let at = pointer("/config", key);
            let Some(key) = self.name(&Value::from(key.as_str()), &at) else { continue };
            match value.as_str() {
                Some(text) if text.len() <= CONFIG_VALUE_BYTES_MAX && !text.contains('\0') => {
                    grant.config.insert(key, text.to_owned());
                }
                _ => {
                    let detail = format!("must be text of up to {CONFIG_VALUE_BYTES_MAX} bytes without U+0000");
                    self.fault(at, "grant.value", detail);
                }
            }
        }
    }

    fn flag(&mut self, object: &Map<String, Value>, key: &str) -> bool {
        match object.get(key) {
            None => false,
            Some(Value::Bool(flag)) => *flag,
            Some(_) => {
                self.fault(pointer("", key), "grant.type", "must be true or false");
                false
            }
        }
    }

    fn limits(&mut self, value: &Value) -> GrantLimits {
        let Some(object) = self.object(value, "/limits", &LIMITS) else { return GrantLimits::default() };
        GrantLimits {
            memory_bytes: self.number(object, "memoryBytes", MEMORY_BYTES_MIN, MEMORY_BYTES_MAX),
            cpu: self.duration(object, "cpu", CPU_MAX),
            timeout: self.duration(object, "timeout", TIMEOUT_MAX),
            output_bytes: self.number(object, "outputBytes", 1, OUTPUT_BYTES_MAX),
            concurrency: self.number(object, "concurrency", 1, CONCURRENCY_MAX),
            queue: self.number(object, "queue", 0, QUEUE_MAX),
            host_calls: self.number(object, "hostCalls", 0, HOST_CALLS_MAX),
            http_bytes: self.number(object, "httpBytes", 0, HTTP_BYTES_MAX),
        }
    }

    fn number(&mut self, object: &Map<String, Value>, key: &str, least: u64, most: u64) -> Option<u64> {
        let value = object.get(key)?;
        let number = value.as_u64().filter(|number| (least..=most).contains(number));
        if number.is_none() {
            let detail = format!("must be a whole number from {least} to {most}");
            self.fault(pointer("/limits", key), "grant.range", detail);
        }
        number
    }

    fn duration(&mut self, object: &Map<String, Value>, key: &str, most: Duration) -> Option<Duration> {
        let value = object.get(key)?;
        let read = value.as_str().and_then(|text| parse_duration(text).ok());
        let read = read.filter(|duration| (Duration::from_millis(1)..=most).contains(duration));
        if read.is_none() {
            let detail = format!("must be a duration from 1ms to {}, such as `250ms`", format_duration(most));
            self.fault(pointer("/limits", key), "grant.range", detail);
        }
        read
    }
}

fn listed(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}
