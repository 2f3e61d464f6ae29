use serde_json::{Value, json};

use super::*;
use crate::fault::Fault;
use crate::template::{Scope, Templates};

fn declared(value: &Value) -> Result<Vec<Variable>, Vec<(String, String)>> {
    let mut faults = Vec::new();
    let variables = read_variables(value, "/variables", &Templates::new(), &mut faults);
    if faults.is_empty() { Ok(variables) } else { Err(told(faults)) }
}

fn told(faults: Vec<Fault>) -> Vec<(String, String)> {
    faults.into_iter().map(|fault| (fault.pointer, fault.code)).collect()
}

fn fault(place: &str, code: &str) -> (String, String) {
    (place.to_owned(), code.to_owned())
}

#[test]
fn the_three_ways_to_declare_give_one_shape() {
    let canonical = json!([
        { "name": "language", "type": "string", "required": true },
        { "name": "lines", "type": "integer", "required": false, "default": 3, "description": "How many" },
    ]);
    for value in [
        json!(["language", { "name": "lines", "type": "integer", "default": 3, "description": "How many" }]),
        json!({ "language": {}, "lines": { "type": "integer", "default": 3, "description": "How many", "required": false } }),
        json!({ "language": "string", "lines": { "name": "lines", "type": "integer", "default": 3, "description": "How many" } }),
        canonical.clone(),
    ] {
        assert_eq!(json!(declared(&value).unwrap()), canonical, "{value}");
    }
    assert_eq!(declared(&json!([{ "name": "a", "default": null, "required": false }])).unwrap()[0].default, None);
}

#[test]
fn what_cannot_be_declared_is_refused_at_its_place() {
    for (value, place, code) in [
        (json!("a"), "/variables", "prompt.value"),
        (json!(["a b"]), "/variables/0", "prompt.variable_name"),
        (json!(["range"]), "/variables/0", "prompt.variable_name"),
        (json!(["not"]), "/variables/0", "prompt.variable_name"),
        (json!(["true"]), "/variables/0", "prompt.variable_name"),
        (json!(["9a"]), "/variables/0", "prompt.variable_name"),
        (json!([{}]), "/variables/0/name", "prompt.missing"),
        (json!({ "a": 1 }), "/variables/a", "prompt.value"),
        (json!({ "a": { "name": "b" } }), "/variables/a/name", "prompt.value"),
        (json!([{ "name": "a", "type": "text" }]), "/variables/0/type", "prompt.value"),
        (json!([{ "name": "a", "type": 1 }]), "/variables/0/type", "prompt.value"),
        (json!([{ "name": "a", "type": "integer", "default": 1.5 }]), "/variables/0/default", "prompt.variable_type"),
        (json!([{ "name": "a", "required": true, "default": "x" }]), "/variables/0/required", "prompt.value"),
        (json!([{ "name": "a", "required": 1 }]), "/variables/0/required", "prompt.value"),
        (json!([{ "name": "a", "description": 1 }]), "/variables/0/description", "prompt.value"),
        (json!([{ "name": "a", "kind": "string" }]), "/variables/0/kind", "prompt.unknown_field"),
        (json!(vec!["a"; 101]), "/variables", "prompt.limit"),
    ] {
        assert_eq!(declared(&value), Err(vec![fault(place, code)]), "{value}");
    }
}

#[test]
fn missing_unknown_and_wrongly_typed_variables_are_errors_that_name_them() {
    let all = declared(&json!({
        "s": "string", "n": "number", "i": "integer", "b": "boolean", "a": "array", "o": "object",
        "d": { "default": "x" }, "free": { "required": false },
    }))
    .unwrap();
    let good = json!({ "s": "", "n": 1.5, "i": 2, "b": false, "a": [1], "o": {} });
    let scope = values(&all, good.as_object().unwrap(), "/variables").unwrap();
    assert_eq!(scope.get("d").unwrap().as_ref(), &json!("x"));
    assert_eq!(scope.get("free").unwrap().as_ref(), &Value::Null);

    let bad = json!({ "s": 1, "n": "1", "i": 2.5, "b": 0, "a": {}, "d": 7, "extra": 1 });
    let faults = values(&all, bad.as_object().unwrap(), "/variables").unwrap_err();
    assert!(
        faults.iter().all(|fault| fault.detail.contains(&format!("`{}`", fault.pointer.rsplit('/').next().unwrap())))
    );
    let wrong = |name: &str| fault(&format!("/variables/{name}"), "prompt.variable_type");
    assert_eq!(
        told(faults),
        [
            wrong("s"),
            wrong("n"),
            wrong("i"),
            wrong("b"),
            wrong("a"),
            fault("/variables/o", "prompt.missing_variable"),
            wrong("d"),
            fault("/variables/extra", "prompt.unknown_variable"),
        ]
    );
    let null = json!({ "s": null });
    let faults = values(&all[..1], null.as_object().unwrap(), "/variables").unwrap_err();
    assert_eq!(told(faults), [wrong("s")], "null is no text");
}

#[test]
fn a_run_gets_the_defaults_of_what_its_prompt_includes() {
    let all = declared(&json!({ "tone": { "default": "plain" }, "topic": "string" })).unwrap();
    let scope: Scope = [("other", json!(1))].into_iter().collect();
    let scope = defaults_in(scope, &all);
    assert_eq!(scope.get("tone").unwrap().as_ref(), &json!("plain"));
    assert!(scope.get("topic").is_none(), "what must be given is missed by its name");
    let set: Scope = [("tone", json!("curt"))].into_iter().collect();
    assert_eq!(defaults_in(set, &all).get("tone").unwrap().as_ref(), &json!("curt"));
}
