//! A workflow step starts another run and waits for it.

use super::*;

fn child(more: Value) -> Value {
    let own = json!({ "type": "workflow", "id": "sub", "workflowId": facts().workflow_id, "version": 3,
                      "input": { "n": "{{ input.n }}" }, "outputVar": "sub_out" });
    with(own, more)
}

fn waiting(more: Value) -> Bench {
    Bench::start(json!({ "steps": [child(more), told("after", "{{ sub_out }}")] }), json!({ "n": 4 }))
}

#[test]
fn a_child_run_is_owed_with_its_input_then_started_then_waited_for() {
    let mut bench = waiting(json!({}));
    let call = bench.call("sub");
    assert_eq!(call.kind, CallKind::Child { workflow_id: facts().workflow_id, version: Some(3) });
    assert_eq!(call.input["input"], json!({ "n": 4 }));
    let run = bench.start_child("sub");
    assert_eq!((bench.open(), bench.state.children()), (vec![], vec![(call.visit.clone(), run)]));
    assert!(!bench.wants(call), "a second run would be nobody's");
    assert!(bench.child_ended(run, RunStatus::Success, json!({ "answer": 42 })));
    assert_eq!(bench.told(), [r#"{"answer":42}"#]);
    assert_eq!(bench.entries("sub"), ["step.started", "step.child_started", "step.succeeded"]);
    assert_eq!((bench.state.children(), bench.state.take_abandoned()), (vec![], vec![]));
}

#[test]
fn a_child_run_that_ends_badly_fails_the_step_with_how() {
    let ways = [
        (RunStatus::Failed, "workflow.failed"),
        (RunStatus::Cancelled, "workflow.cancelled"),
        (RunStatus::TimedOut, "workflow.timed_out"),
    ];
    for (status, code) in ways {
        let mut bench = waiting(json!({}));
        let run = bench.start_child("sub");
        bench.child_ended(run, status, Value::Null);
        assert_eq!((bench.code(), bench.status()), (code, RunStatus::Failed));
        assert_eq!(bench.state.take_abandoned(), [], "it has ended");
    }
}

#[test]
fn a_retry_policy_gives_a_failed_child_run_a_successor_but_not_a_cancelled_one() {
    let retry = json!({ "retry": { "maxAttempts": 2, "initialDelay": "10s", "jitter": false } });
    let mut bench = waiting(retry.clone());
    let first = bench.start_child("sub");
    bench.child_ended(first, RunStatus::Failed, Value::Null);
    let call = bench.call("sub");
    assert_eq!((call.attempt, call.not_before), (2, Some(bench.now + 10 * SECOND)));
    let second = bench.start_child("sub");
    assert_ne!(first, second);
    assert!(!bench.child_ended(first, RunStatus::Success, json!(1)), "nobody waits for the first any more");
    bench.child_ended(second, RunStatus::TimedOut, Value::Null);
    assert_eq!(bench.state.error().unwrap().attempts, 2);

    let mut bench = waiting(retry);
    let run = bench.start_child("sub");
    bench.child_ended(run, RunStatus::Cancelled, Value::Null);
    assert_eq!(bench.code(), "workflow.cancelled");
}

#[test]
fn a_child_run_that_cannot_be_started_fails_the_step() {
    let mut bench = waiting(json!({ "onError": "continue" }));
    bench.answer("sub", Err(CallError::permanent("workflow.unknown", "there is no such workflow")));
    assert_eq!(bench.told(), ["null"]);
}

#[test]
fn the_end_of_a_run_that_is_no_child_of_ours_means_nothing() {
    let mut bench = waiting(json!({}));
    bench.start_child("sub");
    assert!(!bench.child_ended(facts().run_id, RunStatus::Success, json!(1)));
}

#[test]
fn child_runs_of_a_group_that_fails_fast_are_abandoned() {
    let group = json!({ "type": "parallel", "id": "p", "onError": "continue", "steps": [
        child(json!({})),
        [{ "type": "condition", "id": "c", "expr": "true", "then": [child(json!({ "id": "deep", "outputVar": "deep_out" }))] }],
        agent("a"),
    ] });
    let mut bench = Bench::start(json!({ "steps": [group, agent("last")] }), json!({ "n": 1 }));
    let runs = [bench.start_child("sub"), bench.start_child("deep")];
    assert_eq!(bench.state.take_abandoned(), []);
    bench.answer("a", Err(refused()));
    assert_eq!(bench.open(), ["last"]);
    let mut abandoned = bench.state.take_abandoned();
    abandoned.sort();
    assert_eq!(abandoned, runs);
    assert_eq!(bench.state.take_abandoned(), [], "each is told once");
    assert!(!bench.child_ended(runs[0], RunStatus::Success, json!(1)));
}

#[test]
fn a_child_run_whose_time_is_up_is_abandoned() {
    for on_error in ["fail", "continue"] {
        let mut bench = waiting(json!({ "timeout": "1m", "onError": on_error }));
        let run = bench.start_child("sub");
        bench.pass(60 * SECOND);
        assert_eq!(bench.state.take_abandoned(), [run]);
        assert!(!bench.child_ended(run, RunStatus::Cancelled, Value::Null));
    }
}

#[test]
fn child_runs_are_abandoned_when_the_run_ends_however_it_does() {
    let ends: [fn(&mut Bench); 4] = [
        |bench| bench.cancel(),
        |bench| bench.write(bench.state.time_out()),
        |bench| bench.answer("a", Ok(json!("return"))),
        |bench| bench.answer("a", Ok(json!("fail"))),
    ];
    for end in ends {
        let body = json!([
            agent("a"),
            { "type": "return", "id": "r", "when": "a_out == 'return'" },
            { "type": "fail", "id": "f", "message": "no" },
        ]);
        let definition = json!({ "steps": [{ "type": "parallel", "id": "p", "steps": [child(json!({})), body] }] });
        let mut bench = Bench::start(definition, json!({ "n": 1 }));
        let run = bench.start_child("sub");
        end(&mut bench);
        assert!(bench.status().is_final());
        assert_eq!((bench.state.take_abandoned(), bench.state.children()), (vec![run], vec![]));
    }
}
