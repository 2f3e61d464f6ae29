//! Where control goes.

use super::*;

fn pipeline() -> Value {
    json!({ "steps": [
        agent("review"),
        { "type": "condition", "id": "check", "expr": "review_out.approved", "then": "publish", "else": "revise" },
        agent("publish"),
        agent("revise"),
    ] })
}

#[test]
fn an_approved_review_publishes_and_does_not_revise() {
    let (called, bench) =
        Bench::start(pipeline(), json!({ "topic": "tea" })).finish(|_| Ok(json!({ "approved": true })));
    assert_eq!(called, ["review", "publish"]);
    assert_eq!(bench.state.status(), RunStatus::Success);
}

#[test]
fn a_refused_review_revises_and_does_not_publish() {
    let (called, bench) = Bench::start(pipeline(), json!({})).finish(|_| Ok(json!({ "approved": false })));
    assert_eq!(called, ["review", "revise"]);
    assert_eq!(bench.state.status(), RunStatus::Success);
}

#[test]
fn a_branch_step_goes_on_where_its_next_says_or_on_the_main_line() {
    let definition = json!({ "steps": [
        { "type": "condition", "id": "check", "expr": "input.fast", "then": "quick", "else": ["one", "two"] },
        with(agent("quick"), json!({ "next": "last" })),
        agent("one"),
        agent("two"),
        agent("middle"),
        agent("last"),
    ] });
    let (called, _) = Bench::start(definition.clone(), json!({ "fast": true })).finish(fine);
    assert_eq!(called, ["quick", "last"]);
    let (called, _) = Bench::start(definition, json!({ "fast": false })).finish(fine);
    assert_eq!(called, ["one", "two", "middle", "last"]);
}

#[test]
fn a_condition_without_the_chosen_way_goes_on() {
    let definition = json!({ "steps": [
        { "type": "condition", "id": "check", "expr": "false", "then": "extra" },
        agent("extra"),
        agent("last"),
    ] });
    assert_eq!(Bench::start(definition, json!({})).finish(fine).0, ["last"]);
}

#[test]
fn an_inline_block_hands_control_back_after_the_condition() {
    let definition = json!({ "steps": [
        { "type": "condition", "id": "check", "expr": "true", "then": [agent("inner"), agent("inner2")] },
        with(agent("last"), json!({ "message": "{{ inner_out }}" })),
    ] });
    let (called, bench) = Bench::start(definition, json!({})).finish(fine);
    assert_eq!(called, ["inner", "inner2", "last"]);
    assert_eq!(bench.var("inner2_out"), json!("inner2 1"));
}

#[test]
fn a_jump_back_is_a_loop_of_visits_that_max_steps_ends() {
    let definition = json!({ "maxSteps": 7, "steps": [
        agent("again"),
        { "type": "condition", "id": "check", "expr": "true", "then": "again" },
    ] });
    let (called, bench) = Bench::start(definition, json!({})).finish(fine);
    assert_eq!(called.len(), 4);
    assert_eq!(bench.state.status(), RunStatus::Failed);
    assert_eq!(bench.state.error().unwrap().code, "definition.max_steps");
    assert_eq!(bench.var("again_out"), json!("again 4"));
}

#[test]
fn a_step_whose_when_does_not_hold_is_skipped_and_recorded() {
    let definition = json!({ "steps": [with(agent("a"), json!({ "when": "input.go" })), agent("b")] });
    let (called, bench) = Bench::start(definition, json!({ "go": false })).finish(fine);
    assert_eq!(called, ["b"]);
    assert!(matches!(&bench.journal[1], Event::StepSkipped { visit } if visit.step == "a"));
}

#[test]
fn the_output_picks_what_the_run_answers() {
    let definition = json!({ "steps": [agent("a")], "output": { "answer": "a_out", "topic": "input.topic" } });
    let (_, bench) = Bench::start(definition, json!({ "topic": "tea" })).finish(|_| Ok(json!([1, 2])));
    assert_eq!(bench.state.output(), json!({ "answer": [1, 2], "topic": "tea" }));
}

#[test]
fn a_plugin_judges_an_expression_as_a_call() {
    let definition = json!({ "steps": [
        { "type": "condition", "id": "check", "evaluator": "cel", "expr": "n > 1 ? true : false", "then": "yes" },
        agent("yes"),
    ] });
    let mut bench = Bench::start(definition, json!({ "n": 2 }));
    let kind = bench.state.calls().remove(0).kind;
    assert_eq!(kind, CallKind::Evaluator { evaluator: "cel".into(), expr: "n > 1 ? true : false".into() });
    bench.answer("check", Ok(json!(true)));
    assert_eq!(bench.open(), ["yes"]);
}
