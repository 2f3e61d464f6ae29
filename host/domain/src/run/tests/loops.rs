//! A loop makes pass after pass.

use super::*;

fn repeat(more: Value, steps: Value) -> Value {
    with(json!({ "type": "loop", "id": "again", "outputVar": "passes", "maxIterations": 10, "steps": steps }), more)
}

fn count() -> Value {
    json!({ "type": "set", "id": "count", "vars": { "n": "n + 1", "seen": "seen + [iteration]" } })
}

fn counted(more: Value) -> Bench {
    Bench::start(json!({ "steps": [repeat(more, json!([count()]))] }), json!({ "n": 0, "seen": [] }))
}

#[test]
fn while_is_tested_before_each_pass() {
    let bench = counted(json!({ "while": "n < 3" }));
    assert_eq!((bench.var("passes"), bench.var("seen")), (json!(3), json!([1, 2, 3])));
    let bench = counted(json!({ "while": "n < 0" }));
    assert_eq!((bench.var("passes"), bench.visits("count")), (json!(0), 0));
}

#[test]
fn until_is_tested_after_each_pass() {
    assert_eq!(counted(json!({ "until": "n >= 3" })).var("passes"), json!(3));
    assert_eq!(counted(json!({ "until": "true" })).var("passes"), json!(1));
}

#[test]
fn max_iterations_ends_a_loop_well() {
    let bench = counted(json!({ "while": "true", "maxIterations": 4 }));
    assert_eq!((bench.var("passes"), bench.status()), (json!(4), RunStatus::Success));
    assert_eq!(counted(json!({ "until": "false", "maxIterations": 1 })).var("passes"), json!(1));
}

#[test]
fn a_test_sees_how_many_passes_were_made() {
    assert_eq!(counted(json!({ "while": "iteration < 2" })).var("passes"), json!(2));
    assert_eq!(counted(json!({ "until": "iteration == 2" })).var("passes"), json!(2));
}

#[test]
fn a_pass_sees_what_the_one_before_it_set() {
    let body = json!([told("draft", "{{ iteration }} after {{ last }}"), { "type": "set", "id": "keep", "vars": { "last": "draft_out" } }]);
    let definition =
        json!({ "steps": [repeat(json!({ "until": "draft_out.good" }), body), told("end", "{{ last.n }}")] });
    let mut bench = Bench::start(definition, json!({ "last": "nothing" }));
    assert_eq!(bench.told(), ["1 after nothing"]);
    bench.answer("draft", Ok(json!({ "n": 1, "good": false })));
    assert_eq!(bench.told(), [r#"2 after {"n":1,"good":false}"#]);
    bench.answer("draft", Ok(json!({ "n": 2, "good": true })));
    assert_eq!(bench.told(), ["2"]);
}

#[test]
fn iteration_is_unknown_outside_its_loop() {
    let definition =
        json!({ "steps": [repeat(json!({ "until": "true" }), json!([agent("a")])), told("b", "{{ iteration }}")] });
    let (_, bench) = Bench::start(definition, json!({})).finish(fine);
    assert_eq!(bench.code(), "expr.unknown_variable");
}

#[test]
fn passes_count_towards_max_steps() {
    let mut definition = json!({ "steps": [repeat(json!({ "while": "true" }), json!([count()]))] });
    definition["maxSteps"] = json!(6);
    let bench = Bench::start(definition, json!({ "n": 0, "seen": [] }));
    assert_eq!((bench.code(), bench.visits("count")), ("definition.max_steps", 2));
}

#[test]
fn a_pass_that_fails_fails_the_loop() {
    let definition = json!({ "steps": [
        repeat(json!({ "until": "false", "onError": "continue" }), json!([count(), agent("a")])),
        told("last", "{{ errors.again.stepId }} {{ passes }} {{ n }}"),
    ] });
    let mut bench = Bench::start(definition, json!({ "n": 0, "seen": [] }));
    bench.answer("a", Ok(json!(1)));
    bench.answer("a", Err(refused()));
    assert_eq!(bench.told(), ["a null 2"]);
}

#[test]
fn a_test_that_cannot_be_judged_fails_the_loop() {
    assert_eq!(counted(json!({ "while": "nobody" })).code(), "expr.unknown_variable");
    let bench = counted(json!({ "until": "nobody" }));
    assert_eq!((bench.code(), bench.visits("count")), ("expr.unknown_variable", 1));
}

#[test]
fn loops_nest_and_each_has_its_own_iteration() {
    let inner = json!({ "type": "loop", "id": "inner", "while": "iteration < 2", "maxIterations": 5, "steps": [
        { "type": "set", "id": "note", "vars": { "seen": "seen + [iteration]" } },
    ] });
    let outer = repeat(
        json!({ "while": "iteration < 2" }),
        json!([{ "type": "set", "id": "mark", "vars": { "seen": "seen + ['outer', iteration]" } }, inner]),
    );
    let bench = Bench::start(json!({ "steps": [outer] }), json!({ "seen": [] }));
    assert_eq!(bench.var("seen"), json!(["outer", 1, 1, 2, "outer", 2, 1, 2]));
}

#[test]
fn a_loop_whose_time_is_up_makes_no_more_passes_though_it_never_waits() {
    let definition = json!({ "maxSteps": 100_000, "steps": [repeat(
        json!({ "while": "true", "timeout": "1m", "maxIterations": 10_000 }),
        json!([count(), { "type": "wait", "id": "nap", "duration": "50s" }]),
    )] });
    let mut bench = Bench::start(definition, json!({ "n": 0, "seen": [] }));
    bench.pass(50 * SECOND);
    assert_eq!(bench.var("seen"), json!([1]));
    assert_eq!((bench.status(), bench.visits("count")), (RunStatus::Running, 2));
    bench.pass(10 * SECOND);
    assert_eq!(bench.code(), "step.timeout");

    let busy = json!({ "maxSteps": 100_000, "steps": [repeat(
        json!({ "while": "true", "timeout": "1m", "maxIterations": 10_000 }),
        json!([count()]),
    )] });
    let workflow = bench::workflow(&busy);
    let mut state = State::new(workflow, facts());
    let input = std::sync::Arc::new(json!({ "n": 0, "seen": [] }));
    state.apply(&Event::RunStarted { input, plugins: Vec::new() });
    let now = facts().started_at;
    assert_eq!(state.decide(&bench::TEMPLATES, now).len(), DECISIONS_PER_TURN_MAX);
    state.decide(&bench::TEMPLATES, now + 61 * SECOND);
    assert_eq!(state.error().unwrap().message, "the step took longer than 1m");
}
