//! What Mustache's specification says of interpolation, as far as Jinja says the same.

use serde_json::{Value, json};

use super::*;
use crate::template::Templates;

/// A template that declares what it is given, rendered with that.
fn rendered(template: &str, given: Value) -> String {
    let templates = Templates::new();
    let kind = |value: &Value| match value {
        Value::String(_) => "string",
        Value::Number(_) => "number",
        Value::Bool(_) => "boolean",
        Value::Array(_) => "array",
        _ => "object",
    };
    let given = given.as_object().unwrap();
    let declared: serde_json::Map<_, _> =
        given.iter().map(|(name, value)| (name.clone(), json!({ "type": kind(value) }))).collect();
    let checked = check_template(&templates, "t", template, Some(&json!(declared)), &Library::default()).unwrap();
    templates.render(template, &values(&checked.variables, given, "/variables").unwrap()).unwrap()
}

#[test]
fn text_without_tags_is_left_as_it_is() {
    for text in ["Nothing to put in.", "a { b } c", "50 % of {this}", "{ {name} }", ""] {
        assert_eq!(rendered(text, json!({})), text);
    }
}

#[test]
fn a_name_is_replaced_by_its_value_and_nothing_is_escaped() {
    assert_eq!(rendered("Dear {{ reader }},", json!({ "reader": "Ada" })), "Dear Ada,");
    assert_eq!(rendered("{{a}}{{b}}{{a}}", json!({ "a": "x", "b": "y" })), "xyx");
    assert_eq!(rendered("{{ code }}", json!({ "code": "a < b && \"c\" > 'd'" })), "a < b && \"c\" > 'd'");
    assert_eq!(rendered("{{ a }}", json!({ "a": "{{ b }}" })), "{{ b }}", "a value is no template");
}

#[test]
fn integers_and_decimals_are_written_as_numbers() {
    assert_eq!(rendered("{{ age }} years", json!({ "age": 42 })), "42 years");
    assert_eq!(rendered("{{ depth }}", json!({ "depth": -7 })), "-7");
    assert_eq!(rendered("{{ big }}", json!({ "big": u64::MAX })), "18446744073709551615");
    assert_eq!(rendered("{{ price }} euros", json!({ "price": 2.75 })), "2.75 euros");
    assert_eq!(rendered("{{ small }}", json!({ "small": 0.001 })), "0.001");
}

#[test]
fn dotted_names_go_into_objects() {
    let order = json!({ "order": { "buyer": { "name": "Ada" }, "total": 3.5 } });
    assert_eq!(rendered("{{ order.buyer.name }} pays {{ order.total }}", order.clone()), "Ada pays 3.5");
    assert_eq!(rendered("{{ order.buyer.name }}", order.clone()), rendered("{{ order['buyer'].name }}", order));
    // What an object does not have is empty, at any depth; what was never declared is an error.
    assert_eq!(rendered("({{ a.b.c }})", json!({ "a": {} })), "()");
}

#[test]
fn blanks_inside_a_tag_mean_nothing_and_around_it_are_kept() {
    for tag in ["{{word}}", "{{ word }}", "{{   word}}", "{{word\t}}", "{{\n  word\n}}"] {
        assert_eq!(rendered(&format!("| {tag} |"), json!({ "word": "tide" })), "| tide |");
    }
    assert_eq!(rendered("  {{ word }}\n", json!({ "word": "tide" })), "  tide", "the last line end is the file's");
    assert_eq!(rendered("a\n{{ word }}\nb", json!({ "word": "tide" })), "a\ntide\nb");
}
