//! What a run's input must fit.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::{Map, Value};

use crate::fault::{FAULTS_MAX, Fault};

/// Subschemas of a schema once every `$ref` is replaced by what it names: each is work for each value it judges, and a few
/// lines of references that double can stand for more of them than there is time.
pub const INPUT_SCHEMA_WEIGHT_MAX: usize = 10_000;
/// How deep subschemas nest once every `$ref` is replaced: both compiling and judging recurse as deep.
const INPUT_SCHEMA_DEPTH_MAX: usize = 64;

/// The compiled `inputSchema` of a definition. Cheap to clone.
#[derive(Debug, Clone)]
pub struct InputSchema {
    validator: Arc<Validator>,
    properties: Option<Arc<Map<String, Value>>>,
}

impl InputSchema {
    /// Compiles a schema: JSON Schema 2020-12, patterns in linear time, nothing fetched.
    ///
    /// # Errors
    /// The pointer into the schema, and what is wrong there.
    pub(crate) fn parse(schema: &Value) -> Result<Self, (String, String)> {
        let whole = |detail| (String::new(), detail);
        Expansion { root: schema, known: HashMap::new(), open: HashSet::new() }.of(schema, 0).map_err(whole)?;
        let validator = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .with_pattern_options(PatternOptions::regex())
            .offline()
            .build(schema)
            .map_err(|error| (error.instance_path().to_string(), format!("not a JSON Schema 2020-12: {error}")))?;
        let properties = schema.get("properties").and_then(Value::as_object).cloned().map(Arc::new);
        Ok(Self { validator: Arc::new(validator), properties })
    }

    /// What is wrong with an input, up to [`FAULTS_MAX`], with pointers into it. Its values are not repeated: they may be anything.
    pub fn faults(&self, input: &Value) -> Vec<Fault> {
        let errors = self.validator.iter_errors(input).take(FAULTS_MAX);
        errors
            .map(|error| Fault::new(error.instance_path().to_string(), "input.schema", error.masked().to_string()))
            .collect()
    }

    /// The fields that the schema describes, if it describes any.
    pub(super) fn properties(&self) -> Option<&Map<String, Value>> {
        self.properties.as_deref()
    }
}

/// Keywords whose value is an object of names and schemas.
const NAMED_SCHEMAS: [&str; 6] =
    ["properties", "patternProperties", "dependentSchemas", "dependencies", "$defs", "definitions"];
/// Keywords whose value is no schema, whatever it looks like.
const DATA: [&str; 4] = ["const", "enum", "default", "examples"];

/// How much a schema stands for.
struct Expansion<'a> {
    root: &'a Value,
    /// Subschemas and depth of what was counted already, by address: the schema does not move while it is counted.
    known: HashMap<*const Value, (usize, usize)>,
    open: HashSet<*const Value>,
}

impl<'a> Expansion<'a> {
    /// Subschemas and depth of what `value`, `depth` levels down, stands for.
    fn of(&mut self, value: &'a Value, depth: usize) -> Result<(usize, usize), String> {
        let address: *const Value = value;
        let found = match self.known.get(&address) {
            Some(found) => *found,
            // How often a schema that contains itself judges one value grows with each level of that value.
            None if !self.open.insert(address) => return Err("a schema cannot contain itself by `$ref`".to_owned()),
            None => {
                // Checked on the way down, since this recurses as deep itself.
                bounded(1, depth)?;
                let found = match value {
                    Value::Object(keywords) => self.of_keywords(keywords, depth)?,
                    Value::Array(schemas) => self.sum(schemas.iter(), depth)?,
                    Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => (1, 0),
                };
                self.open.remove(&address);
                self.known.insert(address, found);
                found
            }
        };
        bounded(found.0, depth + found.1)?;
        Ok(found)
    }

    fn of_keywords(&mut self, keywords: &'a Map<String, Value>, depth: usize) -> Result<(usize, usize), String> {
        let mut inner: Vec<&'a Value> = Vec::new();
        for (keyword, value) in keywords {
            match (keyword.as_str(), value) {
                (keyword, _) if DATA.contains(&keyword) => {}
                // Another base would give every pointer another meaning.
                ("$id", Value::String(_)) if depth > 0 => return Err("only the whole schema has an `$id`".to_owned()),
                ("$ref" | "$dynamicRef", Value::String(reference)) => inner.push(self.resolve(reference)?),
                (keyword, Value::Object(named)) if NAMED_SCHEMAS.contains(&keyword) => inner.extend(named.values()),
                (_, value) => inner.push(value),
            }
        }
        self.sum(inner.into_iter(), depth)
    }

    fn sum(&mut self, inner: impl Iterator<Item = &'a Value>, depth: usize) -> Result<(usize, usize), String> {
        let (mut nodes, mut levels) = (1, 1);
        for value in inner {
            let found = if value.is_object() || value.is_array() { self.of(value, depth + 1)? } else { (1, 0) };
            (nodes, levels) = (bounded(nodes + found.0, depth)?, levels.max(found.1 + 1));
        }
        Ok((nodes, levels))
    }

    fn resolve(&self, reference: &str) -> Result<&'a Value, String> {
        let pointer = reference.strip_prefix('#').filter(|pointer| !pointer.contains('%'));
        pointer
            .and_then(|pointer| self.root.pointer(pointer))
            .ok_or_else(|| "a `$ref` is a pointer to a part of the same schema, such as `#/$defs/name`".to_owned())
    }
}

fn bounded(nodes: usize, depth: usize) -> Result<usize, String> {
    if nodes > INPUT_SCHEMA_WEIGHT_MAX || depth > INPUT_SCHEMA_DEPTH_MAX {
        return Err(format!(
            "with every `$ref` replaced, a schema has at most {INPUT_SCHEMA_WEIGHT_MAX} parts, nested at most {INPUT_SCHEMA_DEPTH_MAX} deep"
        ));
    }
    Ok(nodes)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refusal(schema: &Value) -> String {
        InputSchema::parse(schema).map(drop).unwrap_err().1
    }

    /// `count` definitions, each of which has what `body` makes of a reference to the next.
    fn row(count: usize, body: impl Fn(Value) -> Value) -> Value {
        let mut definitions = Map::from_iter([(format!("d{count}"), json!({ "type": "object" }))]);
        for n in 0..count {
            definitions.insert(format!("d{n}"), body(json!({ "$ref": format!("#/$defs/d{}", n + 1) })));
        }
        json!({ "$defs": definitions, "$ref": "#/$defs/d0" })
    }

    #[test]
    fn faults_have_their_place_in_the_input_and_no_value() {
        let schema = json!({ "required": ["a"], "properties": { "b": { "items": { "pattern": "^[0-9]+$" } } } });
        let schema = InputSchema::parse(&schema).unwrap();
        let faults = schema.faults(&json!({ "b": ["1", "hunter2"] }));
        let places: Vec<_> = faults.iter().map(|fault| (fault.pointer.as_str(), fault.code.as_str())).collect();
        assert_eq!(places, [("", "input.schema"), ("/b/1", "input.schema")]);
        assert!(!format!("{faults:?}").contains("hunter2"), "{faults:?}");
        assert_eq!(schema.faults(&json!({ "a": 1 })), []);
        assert_eq!(schema.faults(&json!({ "a": 1, "b": vec!["x"; 1_000] })).len(), FAULTS_MAX);
    }

    #[test]
    fn a_pattern_takes_time_in_proportion_to_the_text() {
        let schema = InputSchema::parse(&json!({ "properties": { "a": { "pattern": "^(a+)+$" } } })).unwrap();
        assert_eq!(schema.faults(&json!({ "a": "a".repeat(100_000) + "!" })).len(), 1);
        assert!(InputSchema::parse(&json!({ "pattern": "(a)\\1" })).is_err());
    }

    #[test]
    fn references_that_double_are_refused_before_anything_is_compiled() {
        let doubling = row(40, |next| json!({ "allOf": [next, next] }));
        assert!(refusal(&doubling).contains("10000"));
        let many: Map<String, Value> = (0..20_000).map(|n| (n.to_string(), json!(true))).collect();
        assert!(refusal(&json!({ "properties": many })).contains("10000"));
        assert!(InputSchema::parse(&row(5, |next| json!({ "allOf": [next, next] }))).is_ok());
    }

    #[test]
    fn references_that_nest_without_end_are_refused() {
        for schema in [row(200, |next| next), row(100, |next| json!({ "properties": { "a": next } }))] {
            assert!(refusal(&schema).contains("64"));
        }
        for schema in [
            json!({ "$ref": "#" }),
            json!({ "properties": { "a": { "allOf": [{ "$ref": "#" }, { "$ref": "#" }] } } }),
            json!({ "$defs": { "a": { "$ref": "#/$defs/b" }, "b": { "$ref": "#/$defs/a" } } }),
        ] {
            assert!(refusal(&schema).contains("itself"), "{schema}");
        }
    }

    #[test]
    fn the_deepest_schema_fits_a_small_stack() {
        let deepest = (1..=INPUT_SCHEMA_DEPTH_MAX).rev().find_map(|n| {
            InputSchema::parse(&row(n, |next| json!({ "anyOf": [next] }))).ok().map(|schema| (n, schema))
        });
        let (count, _) = deepest.unwrap();
        let small = std::thread::Builder::new().stack_size(1 << 20);
        let judged = small.spawn(move || {
            let schema = InputSchema::parse(&row(count, |next| json!({ "anyOf": [next] }))).unwrap();
            schema.faults(&json!(1)).len()
        });
        assert_eq!(judged.unwrap().join().unwrap(), 1);
    }

    #[test]
    fn what_leads_out_of_the_schema_or_hides_where_it_leads_is_refused() {
        for reference in ["https://example.org/a.json", "#anchor", "#/$defs/%61", "#/$defs/b", "other"] {
            let schema = json!({ "$defs": { "a": { "$anchor": "anchor" } }, "$ref": reference });
            assert!(refusal(&schema).contains("`$ref`"), "{reference}");
        }
        assert!(refusal(&json!({ "$defs": { "a": { "$id": "https://example.org/b" } } })).contains("`$id`"));
    }

    #[test]
    fn data_and_names_that_look_like_references_are_neither() {
        let schema = json!({ "$id": "https://example.org/a", "properties": {
            "$ref": { "const": { "$ref": "x" } }, "enum": { "type": "string" }, "$id": { "type": "string" },
        } });
        assert!(InputSchema::parse(&schema).unwrap().properties().unwrap().contains_key("enum"));
    }
}
