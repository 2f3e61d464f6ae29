//! How deep JSON may nest.

use serde_json::Value;

/// Levels of arrays and objects of a value that enters a run. Far beyond honest data, and half of what the journal's reader
/// takes: groups wrap the results of their branches, and the journal wraps every value, before it is read again.
pub const JSON_DEPTH_MAX: usize = 64;

/// Whether a value nests deeper than [`JSON_DEPTH_MAX`].
pub fn is_too_deep(value: &Value) -> bool {
    nests_deeper_than(JSON_DEPTH_MAX, value)
}

fn nests_deeper_than(levels: usize, value: &Value) -> bool {
    let deeper = |inner: &Value| nests_deeper_than(levels - 1, inner);
    match value {
        Value::Array(items) => levels == 0 || items.iter().any(deeper),
        Value::Object(fields) => levels == 0 || fields.values().any(deeper),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// What a JSON value is, for people.
pub(crate) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// Arrays inside arrays, `levels` deep.
#[cfg(test)]
pub(crate) fn nested(levels: usize) -> Value {
    (0..levels).fold(Value::Null, |inner, _| Value::Array(vec![inner]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sixty_four_levels_of_arrays_or_objects_are_not_too_deep_and_one_more_is() {
        let objects = |levels| (0..levels).fold(json!(1), |inner, _| json!({ "a": 1, "b": inner }));
        assert!(!is_too_deep(&nested(JSON_DEPTH_MAX)) && !is_too_deep(&objects(JSON_DEPTH_MAX)));
        assert!(is_too_deep(&nested(JSON_DEPTH_MAX + 1)) && is_too_deep(&objects(JSON_DEPTH_MAX + 1)));
    }
}
