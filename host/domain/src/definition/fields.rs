//! Reads the fields of one JSON object and keeps every fault it meets.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::call::ErrorClass;
use crate::duration::parse_duration;
use crate::fault::{FAULTS_MAX, Fault, pointer};
pub(super) use crate::json::kind_of;
use crate::retry::{ATTEMPTS_MAX, RetryPolicy};

/// Where faults and warnings of one definition gather.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) faults: Vec<Fault>,
    pub(super) warnings: Vec<Fault>,
}

impl Findings {
    pub(super) fn fault(&mut self, pointer: impl Into<String>, code: &str, detail: impl Into<String>) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(Fault::new(pointer, code, detail));
        }
    }

    pub(super) fn warn(&mut self, pointer: impl Into<String>, code: &str, detail: impl Into<String>) {
        if self.warnings.len() < FAULTS_MAX {
            self.warnings.push(Fault::new(pointer, code, detail));
        }
    }
}

/// One JSON object under examination.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    pub(super) object: &'a Map<String, Value>,
    pub(super) pointer: &'a str,
}

impl<'a> Fields<'a> {
    pub(super) fn at(&self, key: &str) -> String {
        pointer(self.pointer, key)
    }

    pub(super) fn get(&self, key: &str) -> Option<&'a Value> {
        self.object.get(key)
    }

    /// Faults for every field that is not in `known`.
    pub(super) fn only(&self, known: &[&[&str]], what: &str, findings: &mut Findings) {
        for key in self.object.keys() {
            if !known.iter().any(|names| names.contains(&key.as_str())) {
                findings.fault(self.at(key), "definition.unknown_field", format!("{what} has no field `{key}`"));
            }
        }
    }

    /// Faults for fields that the language has and this version does not run.
    pub(super) fn not_yet(&self, names: &[&str], findings: &mut Findings) {
        for name in names {
            if self.object.contains_key(*name) {
                findings.fault(
                    self.at(name),
                    "definition.unsupported",
                    format!("`{name}` is not supported by this version"),
                );
            }
        }
    }

    pub(super) fn text(&self, key: &str, findings: &mut Findings) -> Option<&'a str> {
        match self.get(key)? {
            Value::String(text) => Some(text),
            other => {
                findings.fault(self.at(key), "definition.type", format!("`{key}` is {}, not text", kind_of(other)));
                None
            }
        }
    }

    pub(super) fn required_text(&self, key: &str, findings: &mut Findings) -> Option<&'a str> {
        match self.text(key, findings) {
            Some("") => {
                findings.fault(self.at(key), "definition.empty", format!("`{key}` is empty"));
                None
            }
            None if !self.object.contains_key(key) => {
                findings.fault(self.at(key), "definition.missing", format!("`{key}` is missing"));
                None
            }
            found => found,
        }
    }

    pub(super) fn whole_number(&self, key: &str, least: u64, most: u64, findings: &mut Findings) -> Option<u64> {
        let value = self.get(key)?;
        match value.as_u64() {
            Some(number) if (least..=most).contains(&number) => Some(number),
            _ => {
                let detail = format!("`{key}` is a whole number from {least} to {most}");
                findings.fault(self.at(key), "definition.range", detail);
                None
            }
        }
    }

    pub(super) fn duration(&self, key: &str, findings: &mut Findings) -> Option<Duration> {
        let text = self.text(key, findings)?;
        parse_duration(text)
            .map_err(|error| findings.fault(self.at(key), "definition.duration", format!("`{key}`: {error}")))
            .ok()
    }

    pub(super) fn retry(&self, findings: &mut Findings) -> Option<RetryPolicy> {
        let place = self.at("retry");
        let Some(object) = self.get("retry")?.as_object() else {
            findings.fault(place, "definition.type", "`retry` is an object");
            return None;
        };
        let fields = Fields { object, pointer: &place };
        fields.only(&[&["maxAttempts", "initialDelay", "multiplier", "maxDelay", "jitter", "on"]], "`retry`", findings);
        let mut policy = RetryPolicy::agent_default();
        if let Some(attempts) = fields.whole_number("maxAttempts", 1, ATTEMPTS_MAX.into(), findings) {
            policy.max_attempts = attempts as u32;
        }
        if let Some(delay) = fields.duration("initialDelay", findings) {
            policy.initial_delay = delay;
        }
        if let Some(delay) = fields.duration("maxDelay", findings) {
            policy.max_delay = delay;
        }
        match fields.get("multiplier").map(Value::as_f64) {
            None => {}
            Some(Some(multiplier)) if (1.0..=100.0).contains(&multiplier) => policy.multiplier = multiplier,
            Some(_) => {
                findings.fault(fields.at("multiplier"), "definition.range", "`multiplier` is a number from 1 to 100");
            }
        }
        match fields.get("jitter") {
            None => {}
            Some(Value::Bool(jitter)) => policy.jitter = *jitter,
            Some(_) => findings.fault(fields.at("jitter"), "definition.type", "`jitter` is true or false"),
        }
        if let Some(on) = fields.get("on") {
            match serde_json::from_value::<Vec<ErrorClass>>(on.clone()) {
                // Every step without a policy of its own gets a copy of it.
                Ok(classes) if classes.len() <= 5 && !classes.contains(&ErrorClass::Permanent) => policy.on = classes,
                _ => findings.fault(
                    fields.at("on"),
                    "definition.value",
                    "`on` is an array of `timeout`, `unavailable`, `rateLimited`, `server`, `tool`",
                ),
            }
        }
        Some(policy)
    }
}
