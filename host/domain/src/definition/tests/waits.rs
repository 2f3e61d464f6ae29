//! Steps that wait.

use super::*;

fn wait(more: Value) -> Vec<(String, String)> {
    let mut step = json!({ "type": "wait", "id": "w" });
    step.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    faults_of(step)
}

#[test]
fn a_wait_is_for_one_thing() {
    assert_eq!(wait(json!({})), pairs([("/steps/0", "definition.missing")]));
    assert_eq!(wait(json!({ "duration": "1s", "event": "go" })), pairs([("/steps/0", "definition.missing")]));
    assert_eq!(wait(json!({ "duration": 5 })), pairs([("/steps/0/duration", "definition.type")]));
}

#[test]
fn a_duration_and_a_timestamp_are_checked_unless_they_are_templates() {
    assert_eq!(wait(json!({ "duration": "soon" })), pairs([("/steps/0/duration", "definition.duration")]));
    assert_eq!(wait(json!({ "duration": "367d" })), pairs([("/steps/0/duration", "definition.duration")]));
    assert_eq!(wait(json!({ "until": "tomorrow" })), pairs([("/steps/0/until", "definition.value")]));
    assert_eq!(wait(json!({ "until": "2030-01-31" })), pairs([("/steps/0/until", "definition.value")]));
    assert_eq!(wait(json!({ "duration": "{{ x" })), pairs([("/steps/0/duration", "definition.template")]));
    assert_eq!(wait(json!({ "until": "{{ x }}" })), []);
}

#[test]
fn only_a_wait_for_an_event_has_a_match_and_a_bound() {
    let expected = pairs([
        ("/steps/0/match", "definition.unknown_field"),
        ("/steps/0/timeout", "definition.unknown_field"),
        ("/steps/0/totalTimeout", "definition.unknown_field"),
    ]);
    let more = json!({ "match": "true", "timeout": "1s", "totalTimeout": "1s" });
    for (key, text) in [("duration", "1s"), ("until", "2030-01-31T08:00:00Z")] {
        let mut more = more.clone();
        more[key] = json!(text);
        assert_eq!(wait(more), expected);
    }
    let mut more = more;
    more["event"] = json!("go");
    assert_eq!(wait(more), []);
}

#[test]
fn an_event_has_a_name_and_a_match_that_parses() {
    assert_eq!(wait(json!({ "event": "" })), pairs([("/steps/0/event", "definition.empty")]));
    for name in ["a b", "a/b", "{{ x }}", &"x".repeat(129)] {
        assert_eq!(wait(json!({ "event": name })), pairs([("/steps/0/event", "definition.value")]), "{name}");
        assert!(check_event_name(name).is_err());
    }
    assert_eq!(check_event_name("order.paid:v2_x-y"), Ok(()));
    assert_eq!(wait(json!({ "event": "go", "match": "1 +" })), pairs([("/steps/0/match", "definition.expression")]));
}

#[test]
fn an_approval_asks_something_of_roles_that_exist() {
    let approval = |more: Value| {
        let mut step = json!({ "type": "approval", "id": "a", "message": "?" });
        step.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        faults_of(step)
    };
    assert_eq!(approval(json!({ "message": "" })), pairs([("/steps/0/message", "definition.empty")]));
    assert_eq!(approval(json!({ "message": "{{ x" })), pairs([("/steps/0/message", "definition.template")]));
    assert_eq!(
        approval(json!({ "approvers": ["admin", "boss", 3] })),
        pairs([("/steps/0/approvers/1", "definition.value"), ("/steps/0/approvers/2", "definition.value")])
    );
    for approvers in [json!([]), json!("admin")] {
        assert_eq!(approval(json!({ "approvers": approvers })), pairs([("/steps/0/approvers", "definition.type")]));
    }
    assert_eq!(approval(json!({ "onTimeout": "shrug" })), pairs([("/steps/0/onTimeout", "definition.value")]));
}

#[test]
fn a_workflow_step_names_a_workflow_and_gives_an_object() {
    let child = |more: Value| {
        let mut step = json!({ "type": "workflow", "id": "w", "workflowId": "wf_00000000000070008000000000000001" });
        step.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        faults_of(step)
    };
    assert_eq!(
        faults_of(json!({ "type": "workflow", "id": "w" })),
        pairs([("/steps/0/workflowId", "definition.missing")])
    );
    assert_eq!(child(json!({ "workflowId": "mine" })), pairs([("/steps/0/workflowId", "definition.value")]));
    assert_eq!(child(json!({ "version": 0 })), pairs([("/steps/0/version", "definition.range")]));
    assert_eq!(child(json!({ "input": [] })), pairs([("/steps/0/input", "definition.type")]));
    assert_eq!(child(json!({ "input": { "a": ["{{ x"] } })), pairs([("/steps/0/input/a/0", "definition.template")]));
}

#[test]
fn a_workflow_that_does_not_exist_yet_is_a_warning() {
    let id = "wf_00000000000070008000000000000001";
    let definition = json!({ "steps": [{ "type": "workflow", "id": "w", "workflowId": id }] });
    let found = checked(&definition).unwrap().warnings;
    assert_eq!((found[0].pointer.as_str(), found[0].code.as_str()), ("/steps/0/workflowId", "definition.unknown_name"));
    let known = Known { workflows: [id.parse().unwrap()].into(), ..Known::default() };
    assert_eq!(check(&definition, &known, &Templates::new()).unwrap().warnings, []);
}
