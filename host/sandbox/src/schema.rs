//! JSON Schemas, compiled once, checked at every call.

use std::sync::Arc;

use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::Value;

use crate::limits::SCHEMA_BYTES_MAX;

/// How many faults a message lists: enough to mend the input at once, few enough to read.
const FAULTS_LISTED_MAX: usize = 10;

/// A schema and what checks it.
pub(crate) struct Schema {
    pub(crate) value: Arc<Value>,
    validator: Validator,
}

impl Schema {
    /// Reads a schema from its text. References out of it are refused, and patterns never backtrack.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > SCHEMA_BYTES_MAX {
            return Err(format!("longer than {SCHEMA_BYTES_MAX} bytes"));
        }
        let value: Value = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
        let validator = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .with_pattern_options(PatternOptions::regex())
            .offline()
            .build(&value)
            .map_err(|error| error.to_string())?;
        Ok(Self { value: Arc::new(value), validator })
    }

    /// What is wrong with `value`, each with its JSON pointer. Values are not repeated: they may be anything.
    pub(crate) fn check(&self, value: &Value) -> Result<(), String> {
        if self.validator.is_valid(value) {
            return Ok(());
        }
        let faults: Vec<String> = self
            .validator
            .iter_errors(value)
            .take(FAULTS_LISTED_MAX)
            .map(|error| {
                let pointer = match error.instance_path().as_str() {
                    "" => "the whole",
                    pointer => pointer,
                };
                format!("{pointer}: {}", error.masked_with("the value"))
            })
            .collect();
        Err(faults.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_fault_has_its_pointer_and_no_value() {
        let schema = Schema::parse(
            r#"{"type":"object","required":["a"],"properties":{"b":{"type":"array","items":{"type":"integer"}}}}"#,
        )
        .unwrap();
        let faults = schema.check(&json!({ "b": [1, "hunter2"] })).unwrap_err();
        assert!(faults.contains("/b/1: "), "{faults}");
        assert!(faults.contains("\"a\" is a required property"), "{faults}");
        assert!(!faults.contains("hunter2"), "{faults}");
        assert_eq!(schema.check(&json!({ "a": 1 })), Ok(()));
    }

    #[test]
    fn a_schema_that_is_none_or_leads_out_is_refused() {
        for text in ["{", r#"{"type":"nonesuch"}"#, r#"{"$ref":"https://example.org/schema.json"}"#] {
            assert!(Schema::parse(text).is_err(), "{text}");
        }
    }
}
