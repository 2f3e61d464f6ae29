//! What a definition may say, and what is said of one that may not.

mod concurrency;
mod control;
mod flow;
mod variables;
mod waits;

use serde_json::{Value, json};

use super::*;
use crate::fault::Fault;
use crate::template::Templates;

fn checked(definition: &Value) -> Result<Checked, Vec<Fault>> {
    check(definition, &Known::default(), &Templates::new())
}

fn faults(definition: &Value) -> Vec<(String, String)> {
    let found = checked(definition).err().unwrap_or_default();
    found.into_iter().map(|fault| (fault.pointer, fault.code)).collect()
}

/// The faults of a definition whose only step is this one.
fn faults_of(step: Value) -> Vec<(String, String)> {
    faults(&json!({ "steps": [step] }))
}

/// The step that a definition of this one step gives.
fn step_of(step: Value) -> Step {
    checked(&json!({ "steps": [step] })).unwrap_or_else(|faults| panic!("{faults:?}")).workflow.steps.remove(0)
}

/// Codes and places of the warnings, those of unknown agents apart.
fn warnings(definition: &Value) -> Vec<(String, String)> {
    let found = checked(definition).unwrap_or_else(|faults| panic!("{faults:?}")).warnings;
    let found = found.into_iter().filter(|warning| warning.code != "definition.unknown_name");
    found.map(|warning| (warning.pointer, warning.code)).collect()
}

fn pairs<const N: usize>(expected: [(&str, &str); N]) -> Vec<(String, String)> {
    expected.iter().map(|(pointer, code)| ((*pointer).to_owned(), (*code).to_owned())).collect()
}

fn agent(id: &str) -> Value {
    json!({ "type": "agent", "id": id, "agentId": "a", "message": "hello" })
}

#[test]
fn the_documented_example_is_accepted_exactly_as_it_stands() {
    let definition: Value = serde_json::from_str(
        r#"{ "steps": [
  { "type": "agent", "id": "research", "agentId": "research-agent", "message": "Research {{topic}}", "outputVar": "research_output" },
  { "type": "agent", "id": "draft", "agentId": "writer-agent", "message": "Write article using: {{research_output}}", "outputVar": "draft" },
  { "type": "agent", "id": "review", "agentId": "review-agent", "message": "Review: {{draft}}", "outputVar": "feedback" },
  { "type": "condition", "id": "check", "expr": "feedback.approved", "then": "publish", "else": "revise" },
  { "type": "agent", "id": "publish", "agentId": "ops-agent", "message": "Publish: {{draft}}" },
  { "type": "agent", "id": "revise", "agentId": "writer-agent", "message": "Revise using: {{feedback}}", "outputVar": "draft" }
] }"#,
    )
    .unwrap();
    let known = Known {
        agents: ["research-agent", "writer-agent", "review-agent", "ops-agent"].map(str::to_owned).into(),
        ..Known::default()
    };
    let checked = check(&definition, &known, &Templates::new()).unwrap();
    assert_eq!(checked.warnings, []);
    let branch_steps: Vec<_> =
        checked.workflow.steps.iter().filter(|s| s.is_branch_step).map(|s| s.id.as_str()).collect();
    assert_eq!(branch_steps, ["publish", "revise"]);
}

#[test]
fn every_fault_is_named_at_once_with_its_place() {
    let definition = json!({
        "maxSteps": 0,
        "timeout": "soon",
        "surprise": true,
        "steps": [
            { "type": "agent", "id": "a b", "agentId": "x", "message": "{{ broken" },
            { "type": "agent", "id": "twice", "message": "no agent" },
            { "type": "agent", "id": "twice", "agentId": "x", "message": 7 },
            { "type": "teleport", "id": "nowhere" },
            { "type": "condition", "id": "c", "expr": "1 +", "then": "missing" },
            { "type": "tool", "id": "t", "toolName": "jq", "params": [] },
        ]
    });
    assert_eq!(
        faults(&definition),
        pairs([
            ("/surprise", "definition.unknown_field"),
            ("/timeout", "definition.duration"),
            ("/maxSteps", "definition.range"),
            ("/steps/0/id", "definition.step_id"),
            ("/steps/0/message", "definition.template"),
            ("/steps/1/agentId", "definition.missing"),
            ("/steps/2/id", "definition.duplicate_id"),
            ("/steps/2/message", "definition.type"),
            ("/steps/3/type", "definition.step_type"),
            ("/steps/4/expr", "definition.expression"),
            ("/steps/5/params", "definition.type"),
            ("/steps/4/then", "definition.unknown_step"),
        ])
    );
}

#[test]
fn a_definition_that_is_not_an_object_or_has_no_steps_is_refused() {
    assert_eq!(faults(&json!([])), pairs([("", "definition.type")]));
    assert_eq!(faults(&json!({})), pairs([("/steps", "definition.missing")]));
    assert_eq!(faults(&json!({ "steps": [] })), pairs([("/steps", "definition.empty")]));
    assert_eq!(faults(&json!({ "steps": [7] })), pairs([("/steps/0", "definition.type")]));
}

#[test]
fn what_this_version_does_not_run_is_said_and_not_ignored() {
    let definition = json!({ "schedule": "daily", "steps": [
        { "type": "agent", "id": "a", "agentId": "x", "message": "m" },
    ] });
    let expected = [("/schedule", "definition.unsupported")];
    assert_eq!(faults(&definition), pairs(expected));
}

#[test]
fn a_jump_stays_in_its_list() {
    let definition = json!({ "steps": [
        { "type": "parallel", "id": "p", "steps": [
            [agent("a"), { "type": "condition", "id": "c", "expr": "true", "then": "outside" }],
            agent("b"),
        ] },
        agent("outside"),
    ] });
    assert_eq!(faults(&definition), pairs([("/steps/0/steps/0/1/then", "definition.jump_out")]));
}

#[test]
fn a_step_that_nothing_leads_to_is_a_fault() {
    let mut first = agent("first");
    first["next"] = json!("last");
    let definition = json!({ "steps": [first, agent("forgotten"), agent("last")] });
    assert_eq!(faults(&definition), pairs([("/steps/1", "definition.unreachable")]));
}

#[test]
fn two_branches_that_write_one_variable_are_a_fault() {
    let write = |id: &str| json!({ "type": "agent", "id": id, "agentId": "a", "message": "m", "outputVar": "same" });
    let definition =
        json!({ "steps": [{ "type": "parallel", "id": "p", "steps": [write("a"), [agent("x"), write("b")]] }] });
    assert_eq!(faults(&definition), pairs([("/steps/0/steps/1", "definition.contested_variable")]));
}

#[test]
fn a_variable_is_a_name_that_is_free() {
    let with = |name: &str| json!({ "steps": [{ "type": "agent", "id": "a", "agentId": "x", "message": "m", "outputVar": name }] });
    for name in ["input", "secrets", "1st", "a-b", ""] {
        assert_eq!(faults(&with(name)), pairs([("/steps/0/outputVar", "definition.variable_name")]), "{name}");
    }
    assert!(checked(&with("_draft2")).is_ok());
}

#[test]
fn names_that_do_not_exist_yet_are_warnings() {
    let definition = json!({ "steps": [
        agent("a"),
        { "type": "tool", "id": "t", "toolName": "jq" },
        { "type": "condition", "id": "c", "expr": "x ? y", "evaluator": "cel", "then": [agent("z")] },
    ] });
    let places: Vec<_> = checked(&definition).unwrap().warnings.into_iter().map(|w| w.pointer).collect();
    assert_eq!(places, ["/steps/0/agentId", "/steps/1/toolName", "/steps/2/evaluator", "/steps/2/then/0/agentId"]);
}

#[test]
fn a_variable_that_nothing_sets_is_a_warning_where_the_input_is_described() {
    let definition = json!({
        "inputSchema": { "type": "object", "properties": { "topic": {} } },
        "steps": [
            { "type": "agent", "id": "a", "agentId": "x", "message": "{{topic}} {{later}} {{typo}} {{input.other}}" },
            { "type": "agent", "id": "b", "agentId": "x", "message": "m", "outputVar": "later" },
            { "type": "agent", "id": "c", "agentId": "x", "message": "{{later}}" },
        ]
    });
    let warnings = checked(&definition).unwrap().warnings;
    let unset: Vec<_> = warnings.iter().filter(|w| w.code == "definition.unset_variable").collect();
    assert_eq!(unset.len(), 2, "{unset:?}");
    assert!(unset[0].detail.contains("`later`") && unset[1].detail.contains("`typo`"), "{unset:?}");
}

#[test]
fn an_input_schema_that_is_none_is_a_fault() {
    let definition = json!({ "inputSchema": { "type": "objekt" }, "steps": [agent("a")] });
    assert_eq!(faults(&definition), pairs([("/inputSchema/type", "definition.schema")]));
}

#[test]
fn a_definition_has_a_bound_on_its_steps_and_on_its_depth() {
    let many: Vec<_> = (0..=STEPS_MAX).map(|n| agent(&format!("s{n}"))).collect();
    assert_eq!(faults(&json!({ "steps": many })), pairs([("/steps/500", "definition.too_large")]));

    let mut nested = agent("deep");
    for level in 0..=NESTING_MAX {
        nested = json!({ "type": "parallel", "id": format!("p{level}"), "steps": [nested] });
    }
    let codes: Vec<_> = faults(&json!({ "steps": [nested] })).into_iter().map(|(_, code)| code).collect();
    assert!(codes.contains(&"definition.too_large".to_owned()), "{codes:?}");
}

#[test]
fn a_retry_policy_is_read_whole_and_bounded() {
    let with = |retry: Value| json!({ "retry": retry, "steps": [agent("a")] });
    let policy = json!({ "maxAttempts": 5, "initialDelay": "2s", "maxDelay": "10s", "multiplier": 3, "jitter": false, "on": ["server"] });
    let retry = checked(&with(policy)).unwrap().workflow.steps[0].retry.clone().unwrap();
    assert_eq!((retry.max_attempts, retry.multiplier, retry.jitter), (5, 3.0, false));
    assert_eq!(
        faults(&with(json!({ "maxAttempts": 101, "multiplier": 0.5, "on": ["permanent"], "often": 1 }))),
        pairs([
            ("/retry/often", "definition.unknown_field"),
            ("/retry/maxAttempts", "definition.range"),
            ("/retry/multiplier", "definition.range"),
            ("/retry/on", "definition.value"),
        ])
    );
}

#[test]
fn params_have_a_bound_on_their_depth_their_keys_and_their_templates_but_not_on_plain_text() {
    let with = |params: Value| json!({ "steps": [{ "type": "tool", "id": "t", "toolName": "jq", "params": params }] });
    assert!(checked(&with(json!({ "plain": vec!["text"; 10_000], "rendered": vec!["{{ a }}"; 100] }))).is_ok());
    let too_large = pairs([("/steps/0/params", "definition.too_large")]);
    assert_eq!(faults(&with(json!({ "rendered": vec!["{{ a }}"; 101] }))), too_large);
    assert_eq!(faults(&with(json!({ "deep": crate::json::nested(64) }))), too_large);
    assert_eq!(faults(&with(json!({ "k".repeat(257): "{{ a }}" }))), too_large);
}
