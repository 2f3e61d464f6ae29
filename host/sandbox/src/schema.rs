//! JSON Schemas, compiled once, checked at every call.

use std::collections::HashMap;
use std::sync::Arc;

use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::{Map, Value};

use crate::limits::SCHEMA_BYTES_MAX;

/// Parts of a schema once every `$ref` is replaced by what it names: a few lines of references that double stand for more of
/// them than there is time, and every one is work for each value.
const PARTS_MAX: usize = 10_000;
/// How deep they nest then: both compiling and checking recurse as deep.
const DEPTH_MAX: usize = 64;
/// Keywords whose value is an object of names and schemas.
const NAMED_SCHEMAS: [&str; 6] =
    ["properties", "patternProperties", "dependentSchemas", "dependencies", "$defs", "definitions"];
/// Keywords whose value is no schema, whatever it looks like.
const DATA: [&str; 4] = ["const", "enum", "default", "examples"];

/// Comparisons that judging one value may take at most: every part of the schema by every part of the value. It runs on the host's
/// own threads, where nothing interrupts it.
const WORK_MAX: usize = 20_000_000;

/// How many faults a message lists: enough to mend the input at once, few enough to read.
const FAULTS_LISTED_MAX: usize = 10;

/// A schema and what checks it.
pub(crate) struct Schema {
    pub(crate) value: Arc<Value>,
    /// What judging one part of a value costs.
    parts: usize,
    validator: Validator,
}

impl Schema {
    /// Reads a schema from its text. References out of it are refused, and patterns never backtrack.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > SCHEMA_BYTES_MAX {
            return Err(format!("longer than {SCHEMA_BYTES_MAX} bytes"));
        }
        let value: Value = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
        let (parts, _) = Weighing { root: &value, known: HashMap::new() }.weigh(&value, 0)?;
        let validator = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .with_pattern_options(PatternOptions::regex())
            .offline()
            .build(&value)
            .map_err(|error| error.to_string())?;
        Ok(Self { value: Arc::new(value), parts, validator })
    }

    /// What is wrong with `value`, each with its JSON pointer. Values are not repeated: they may be anything.
    pub(crate) fn check(&self, value: &Value) -> Result<(), String> {
        if self.parts.saturating_mul(parts_of(value)) > WORK_MAX {
            return Err("schema and value together are more work than judging may take".to_owned());
        }
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

/// Of how many values a value consists, itself included.
fn parts_of(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(parts_of).sum::<usize>(),
        Value::Object(fields) => 1 + fields.values().map(parts_of).sum::<usize>(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 1,
    }
}

/// Finds out how much a schema stands for.
struct Weighing<'a> {
    root: &'a Value,
    /// Parts and depth of what was weighed already, by address: the schema does not move meanwhile. Nothing is known yet of one
    /// that is being weighed.
    known: HashMap<*const Value, Option<(usize, usize)>>,
}

impl<'a> Weighing<'a> {
    /// Parts and depth of what `value`, `depth` levels down, stands for.
    fn weigh(&mut self, value: &'a Value, depth: usize) -> Result<(usize, usize), String> {
        let address: *const Value = value;
        match self.known.get(&address) {
            Some(Some(found)) => return bounded(*found, depth),
            Some(None) => return Err("it contains itself by `$ref`".to_owned()),
            None => {}
        }
        // On the way down, too: this recurses as deep itself.
        bounded((1, 1), depth)?;
        self.known.insert(address, None);
        let mut found = (1, 1);
        for inner in self.inside(value, depth)? {
            let (parts, levels) = self.weigh(inner, depth + 1)?;
            found = bounded((found.0 + parts, found.1.max(levels + 1)), depth)?;
        }
        self.known.insert(address, Some(found));
        Ok(found)
    }

    fn inside(&self, value: &'a Value, depth: usize) -> Result<Vec<&'a Value>, String> {
        let keywords: &'a Map<String, Value> = match value {
            Value::Object(keywords) => keywords,
            Value::Array(schemas) => return Ok(schemas.iter().collect()),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return Ok(Vec::new()),
        };
        let mut inner = Vec::new();
        for (keyword, value) in keywords {
            match (keyword.as_str(), value) {
                // Compared one by one, but never descended into.
                ("enum", Value::Array(choices)) => inner.extend(choices.iter().filter(|choice| !choice.is_object())),
                (keyword, _) if DATA.contains(&keyword) => {}
                // Another base would give every pointer another meaning.
                ("$id", Value::String(_)) if depth > 0 => return Err("a part of it has an `$id`".to_owned()),
                ("$ref" | "$dynamicRef" | "$recursiveRef", Value::String(reference)) => {
                    let pointer = reference.strip_prefix('#').filter(|pointer| !pointer.contains('%'));
                    let target = pointer.and_then(|pointer| self.root.pointer(pointer));
                    inner.push(target.ok_or("a `$ref` in it is no pointer to a part of it, such as `#/$defs/name`")?);
                }
                (keyword, Value::Object(named)) if NAMED_SCHEMAS.contains(&keyword) => inner.extend(named.values()),
                (_, value) => inner.push(value),
            }
        }
        Ok(inner)
    }
}

fn bounded((parts, levels): (usize, usize), depth: usize) -> Result<(usize, usize), String> {
    if parts > PARTS_MAX || depth + levels > DEPTH_MAX {
        return Err(format!(
            "with every `$ref` replaced it has more than {PARTS_MAX} parts, or nests more than {DEPTH_MAX} deep"
        ));
    }
    Ok((parts, levels))
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

    #[test]
    fn a_schema_that_stands_for_more_than_there_is_time_is_refused() {
        let doubled = |n: usize| json!({ "allOf": vec![json!({ "$ref": format!("#/$defs/{}", n + 1) }); 2] });
        let doubling = |count: usize| {
            let mut definitions: Map<String, Value> = (0..count).map(|n| (n.to_string(), doubled(n))).collect();
            definitions.insert(count.to_string(), json!({ "type": "object" }));
            json!({ "$defs": definitions, "$ref": "#/$defs/0" }).to_string()
        };
        assert!(Schema::parse(&doubling(60)).is_err());
        assert!(Schema::parse(&doubling(5)).is_ok());
        assert!(Schema::parse(r##"{"properties":{"a":{"$ref":"#"}}}"##).is_err());
        assert!(Schema::parse(r##"{"properties":{"$ref":{"const":{"$ref":"#"}}}}"##).is_ok());
    }
}
