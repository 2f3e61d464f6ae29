//! What becomes of a step that fails.

use super::*;

#[test]
fn a_failure_is_tried_again_when_it_may_pass() {
    let mut bench = Bench::start(json!({ "steps": [agent("a")] }), json!({}));
    bench.answer("a", Err(CallError::new(ErrorClass::Unavailable, "agent.unavailable", "away")));
    let call = bench.state.calls().remove(0);
    assert_eq!((call.attempt, call.visit.number), (2, 1));
    assert_eq!(call.not_before, Some(facts().started_at + Duration::from_millis(500)));
    bench.answer("a", Ok(json!("at last")));
    assert_eq!(bench.state.status(), RunStatus::Success);
}

#[test]
fn a_failure_that_cannot_pass_fails_the_run_with_its_step_and_code() {
    let mut bench = Bench::start(json!({ "steps": [agent("a"), agent("b")] }), json!({}));
    bench.answer("a", Err(refused()));
    let error = bench.state.error().unwrap();
    assert_eq!((error.step_id.as_deref(), error.code.as_str(), error.attempts), (Some("a"), "agent.refused", 1));
}

#[test]
fn on_error_can_continue_with_null_and_the_error_kept() {
    let definition = json!({ "steps": [
        with(agent("a"), json!({ "onError": "continue" })),
        with(agent("b"), json!({ "message": "{{ a_out }} {{ errors.a.code }}" })),
    ] });
    let mut bench = Bench::start(definition, json!({}));
    bench.answer("a", Err(refused()));
    assert_eq!(*bench.state.calls()[0].input, json!({ "message": "null agent.refused" }));
}

#[test]
fn on_error_can_jump_with_the_error_at_hand() {
    let definition = json!({ "steps": [
        with(agent("a"), json!({ "onError": "rescue" })),
        agent("b"),
        with(agent("rescue"), json!({ "message": "{{ error.stepId }}: {{ error.message }}" })),
    ] });
    let mut bench = Bench::start(definition, json!({}));
    bench.answer("a", Err(refused()));
    assert_eq!(bench.open(), ["rescue"]);
    assert_eq!(*bench.state.calls()[0].input, json!({ "message": "a: no" }));
}

#[test]
fn an_input_that_cannot_be_rendered_fails_the_step_with_the_name() {
    let definition = json!({ "steps": [with(agent("a"), json!({ "message": "{{ nobody }}" }))] });
    let bench = Bench::start(definition, json!({}));
    let error = bench.state.error().unwrap();
    assert_eq!(error.code, "expr.unknown_variable");
    assert!(error.message.contains("nobody"));
}

#[test]
fn the_last_attempt_is_the_last_and_its_number_is_told() {
    let retry = json!({ "retry": { "maxAttempts": 2, "initialDelay": "10s", "jitter": false } });
    let mut bench = Bench::start(json!({ "steps": [with(agent("a"), retry)] }), json!({}));
    bench.answer("a", Err(away()));
    assert_eq!(bench.call("a").not_before, Some(bench.now + 10 * SECOND));
    bench.answer("a", Err(away()));
    let error = bench.state.error().unwrap();
    assert_eq!((error.code.as_str(), error.attempts), ("agent.unavailable", 2));
    assert_eq!(bench.entries("a"), ["step.started", "step.attempt_failed", "step.failed"]);
}

#[test]
fn an_answer_to_another_attempt_than_the_one_under_way_is_nobodys() {
    let mut bench = Bench::start(json!({ "steps": [agent("a")] }), json!({}));
    let first = bench.call("a");
    bench.answer("a", Err(away()));
    assert!(!bench.wants(first));
    assert!(bench.wants(bench.call("a")));
}

#[test]
fn the_retry_policy_of_the_definition_is_for_steps_that_call_somebody() {
    let mut definition = json!({ "retry": { "maxAttempts": 5 }, "steps": [
        { "type": "tool", "id": "t", "toolName": "t" },
        { "type": "workflow", "id": "w", "workflowId": facts().workflow_id },
    ] });
    let mut bench = Bench::start(definition.clone(), json!({}));
    bench.answer("t", Err(away()));
    assert_eq!(bench.call("t").attempt, 2);
    bench.answer("t", Ok(json!(1)));
    let run = bench.start_child("w");
    bench.child_ended(run, RunStatus::Failed, Value::Null);
    assert_eq!(bench.code(), "workflow.failed");
    definition.as_object_mut().unwrap().remove("retry");
    let mut bench = Bench::start(definition, json!({}));
    bench.answer("t", Err(away()));
    assert_eq!(bench.code(), "agent.unavailable", "a tool that nobody declared repeatable is called once");
}

#[test]
fn on_error_can_jump_back_and_the_step_is_another_visit() {
    let definition = json!({ "steps": [
        { "type": "set", "id": "count", "vars": { "n": "n + 1" } },
        with(agent("a"), json!({ "onError": "count", "when": "n < 3" })),
        told("last", "{{ n }} {{ a_out }} {{ error.code }}"),
    ] });
    let mut bench = Bench::start(definition, json!({ "n": 0, "a_out": "nothing" }));
    bench.answer("a", Err(refused()));
    bench.answer("a", Err(refused()));
    assert_eq!(bench.told(), ["3 nothing agent.refused"]);
    assert_eq!(bench.visits("a"), 3);
}

#[test]
fn a_jump_on_an_error_forgets_the_other_chosen_steps() {
    let definition = json!({ "steps": [
        { "type": "condition", "id": "check", "expr": "true", "then": ["a", "b"] },
        with(agent("a"), json!({ "onError": "rescue" })),
        agent("b"),
        agent("rescue"),
    ] });
    let mut bench = Bench::start(definition, json!({}));
    bench.answer("a", Err(refused()));
    let (called, _) = bench.finish(fine);
    assert_eq!(called, ["rescue"]);
}

#[test]
fn a_when_that_cannot_be_judged_fails_its_step() {
    let definition = json!({ "steps": [
        with(agent("a"), json!({ "when": "nobody", "onError": "continue" })),
        told("last", "{{ errors.a.code }} {{ errors.a.attempts }}"),
    ] });
    let bench = Bench::start(definition, json!({}));
    assert_eq!(bench.told(), ["expr.unknown_variable 0"]);
    assert_eq!(bench.entries("a"), ["step.failed"]);
}

#[test]
fn an_error_deep_inside_is_told_by_each_step_around_it_that_goes_on() {
    let inner = json!({ "type": "parallel", "id": "inner", "steps": [agent("a"), agent("b")] });
    let block = json!({ "type": "condition", "id": "check", "expr": "true", "then": [inner] });
    let definition = json!({ "steps": [
        { "type": "forEach", "id": "each", "items": "[1]", "steps": [block], "onError": "continue", "outputVar": "all" },
        told("last", "{{ errors.each.stepId }} {{ errors.each.code }} {{ all }}"),
    ] });
    let mut bench = Bench::start(definition, json!({}));
    bench.answer("b", Err(refused()));
    assert_eq!(bench.told(), ["b agent.refused null"]);
}

#[test]
fn an_output_that_cannot_be_computed_fails_the_run() {
    let definition = json!({ "steps": [agent("a")], "output": { "x": "nobody" } });
    let (_, bench) = Bench::start(definition, json!({})).finish(fine);
    assert_eq!((bench.status(), bench.code()), (RunStatus::Failed, "expr.unknown_variable"));
    assert_eq!(bench.state.error().unwrap().step_id, None);
}

#[test]
fn a_block_that_fails_lets_its_condition_go_on() {
    let definition = json!({ "steps": [
        { "type": "condition", "id": "check", "expr": "true", "outputVar": "was", "onError": "rescue",
          "then": [agent("a"), agent("never")] },
        agent("skipped"),
        told("rescue", "{{ error.stepId }} {{ a_out }}"),
    ] });
    let mut bench = Bench::start(definition, json!({ "a_out": "before" }));
    bench.answer("a", Err(refused()));
    assert_eq!(bench.told(), ["a before"]);
}

#[test]
fn what_was_set_at_any_depth_shows_after_a_step_that_failed_and_goes_on() {
    let set = |id: &str, name: &str| json!({ "type": "set", "id": id, "vars": { name: "1" } });
    let block = |id: &str, steps: Value| json!({ "type": "condition", "id": id, "expr": "true", "then": steps });
    let definition = json!({ "steps": [
        { "type": "parallel", "id": "p", "onError": "continue", "steps": [
            [set("s1", "v1"), block("c1", json!([set("s2", "v2"), block("c2", json!([set("s3", "v3"), agent("a")]))]))],
            [{ "type": "loop", "id": "l", "while": "true", "maxIterations": 2, "steps": [
                { "type": "forEach", "id": "e", "items": "[1, 2]", "steps": [set("s4", "v4"), agent("b")] },
            ] }],
        ] },
        told("last", "{{ v1 }} {{ v2 }} {{ v3 }} {{ v4 }}"),
    ] });
    let mut bench = Bench::start(definition, json!({}));
    bench.answer("a", Err(refused()));
    assert_eq!(bench.told(), ["1 1 1 1"]);
}
