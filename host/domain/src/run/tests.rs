use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;
use serde_json::{Value, json};

use super::*;
use crate::call::{CallError, ErrorClass};
use crate::definition::{Known, check};
use crate::id::{RunId, WorkflowId};
use crate::journal::{Event, Measured};
use crate::template::Templates;

type Answer = Result<Value, CallError>;

/// A run whose calls are answered by the test, one at a time, in the order in which they become due.
struct Bench {
    templates: Templates,
    workflow: Arc<crate::definition::Workflow>,
    state: State,
    journal: Vec<Event>,
}

impl Bench {
    fn start(definition: Value, input: Value) -> Self {
        let templates = Templates::new();
        let checked = check(&definition, &Known::default(), &templates).unwrap_or_else(|faults| panic!("{faults:?}"));
        let workflow = Arc::new(checked.workflow);
        let mut bench =
            Self { templates, state: State::new(Arc::clone(&workflow), facts()), workflow, journal: vec![] };
        bench.write(Event::RunStarted { input: Arc::new(input), plugins: Vec::new() });
        bench
    }

    fn write(&mut self, event: Event) {
        self.state.apply(&event);
        self.journal.push(event);
        loop {
            let decided = self.state.decide(&self.templates, facts().started_at);
            assert!(decided.len() <= DECISIONS_PER_TURN_MAX);
            if decided.is_empty() {
                break;
            }
            self.journal.extend(decided);
        }
        self.check_replay();
    }

    /// A host that starts from the journal alone must owe the same calls.
    fn check_replay(&self) {
        let mut replayed = State::new(Arc::clone(&self.workflow), facts());
        for event in &self.journal {
            replayed.apply(event);
        }
        assert_eq!(replayed.decide(&self.templates, facts().started_at), [], "the journal holds every decision");
        let owed = |state: &State| format!("{:?}", state.calls());
        assert_eq!(owed(&replayed), owed(&self.state));
        assert_eq!(replayed.variables(), self.state.variables());
    }

    fn open(&self) -> Vec<String> {
        self.state.calls().into_iter().map(|call| call.visit.step).collect()
    }

    fn answer(&mut self, step: &str, answer: Answer) {
        let call = self.state.calls().into_iter().find(|call| call.visit.step == step).expect(step);
        let measured = Measured { duration_ms: 1, input_bytes: 1, output_bytes: 1, answerer: None, usage: None };
        let attempt =
            Attempt { call, result: answer.map(|value| (value, measured)), duration: Duration::from_millis(1) };
        let event = self.state.judge(attempt, false, facts().started_at, 0.0).unwrap();
        self.write(event);
    }

    /// Answers everything with `answer` until the run ends, and says which steps were called.
    fn finish(mut self, answer: impl Fn(&Call) -> Answer) -> (Vec<String>, Self) {
        let mut called = Vec::new();
        while let Some(call) = self.state.calls().into_iter().next() {
            called.push(call.visit.step.clone());
            self.answer(&call.visit.step.clone(), answer(&call));
        }
        (called, self)
    }

    fn var(&self, name: &str) -> Value {
        self.state.variables().get(name).map(|value| Value::clone(value)).unwrap_or_default()
    }
}

fn facts() -> RunFacts {
    RunFacts {
        run_id: RunId::from_parts(1, [1; 10]),
        workflow_id: WorkflowId::from_parts(1, [1; 10]),
        started_at: DateTime::from_timestamp(1_700_000_000, 0).unwrap(),
    }
}

fn agent(id: &str) -> Value {
    json!({ "type": "agent", "id": id, "agentId": "a", "message": "do {{ input.topic }}", "outputVar": format!("{id}_out") })
}

fn with(mut step: Value, more: Value) -> Value {
    step.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    step
}

fn fine(call: &Call) -> Answer {
    Ok(json!(format!("{} {}", call.visit.step, call.visit.number)))
}

fn refused() -> CallError {
    CallError::permanent("agent.refused", "no")
}

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
fn branches_are_owed_at_the_same_time_and_their_results_are_named() {
    let definition = json!({ "steps": [
        { "type": "parallel", "id": "both", "outputVar": "results", "steps": [agent("a"), [agent("b"), agent("c")]] },
        with(agent("last"), json!({ "message": "{{ results.a }} {{ c_out }}" })),
    ] });
    let mut bench = Bench::start(definition, json!({}));
    assert_eq!(bench.open(), ["a", "b"]);
    bench.answer("b", Ok(json!("B")));
    assert_eq!(bench.open(), ["a", "c"]);
    bench.answer("a", Ok(json!("A")));
    bench.answer("c", Ok(json!("C")));
    assert_eq!(bench.open(), ["last"]);
    assert_eq!(bench.var("results"), json!({ "a": "A", "b": "C" }));
    assert_eq!(*bench.state.calls()[0].input, json!({ "message": "A C" }));
}

#[test]
fn a_branch_does_not_see_what_another_one_sets() {
    let definition = json!({ "steps": [{ "type": "parallel", "id": "both", "steps": [
        agent("a"),
        [agent("b"), with(agent("c"), json!({ "message": "{{ a_out }}" }))],
    ] }] });
    let mut bench = Bench::start(definition, json!({}));
    bench.answer("a", Ok(json!("A")));
    bench.answer("b", Ok(json!("B")));
    assert_eq!(bench.state.error().unwrap().code, "expr.unknown_variable");
}

#[test]
fn a_branch_does_not_see_the_errors_of_another_one_and_what_follows_sees_both() {
    let tolerant = |id: &str| with(agent(id), json!({ "onError": "continue" }));
    let definition = json!({ "steps": [
        { "type": "parallel", "id": "both", "steps": [
            tolerant("a"),
            [tolerant("b"), with(agent("c"), json!({ "message": "{{ errors.a.code }}|{{ errors.b.code }}" }))],
        ] },
        with(agent("last"), json!({ "message": "{{ errors.a.code }}|{{ errors.b.code }}" })),
    ] });
    let mut bench = Bench::start(definition, json!({}));
    bench.answer("a", Err(refused()));
    bench.answer("b", Err(refused()));
    assert_eq!(*bench.state.calls()[0].input, json!({ "message": "|agent.refused" }));
    bench.answer("c", Ok(json!("C")));
    assert_eq!(*bench.state.calls()[0].input, json!({ "message": "agent.refused|agent.refused" }));
}

#[test]
fn max_concurrency_bounds_the_branches_under_way() {
    let definition = json!({ "steps": [
        { "type": "parallel", "id": "three", "maxConcurrency": 2, "steps": [agent("a"), agent("b"), agent("c")] },
    ] });
    let mut bench = Bench::start(definition, json!({}));
    assert_eq!(bench.open(), ["a", "b"]);
    bench.answer("b", Ok(json!(1)));
    assert_eq!(bench.open(), ["a", "c"]);
}

#[test]
fn the_first_failure_ends_a_group_and_lets_the_other_branches_go() {
    let definition = json!({ "steps": [{ "type": "parallel", "id": "both", "steps": [agent("a"), agent("b")] }] });
    let mut bench = Bench::start(definition, json!({}));
    let late = bench.state.calls().into_iter().find(|call| call.visit.step == "b").unwrap();
    bench.answer("a", Err(refused()));
    assert_eq!(bench.open(), [""; 0]);
    assert_eq!(bench.state.error().unwrap().step_id.as_deref(), Some("a"));
    assert!(!bench.state.is_open(&late.visit), "an answer that comes later is nobody's");
}

#[test]
fn a_group_that_waits_for_all_fails_after_the_last() {
    let definition = json!({ "steps": [
        { "type": "parallel", "id": "both", "onFailure": "waitAll", "onError": "continue", "steps": [agent("a"), agent("b")] },
        agent("last"),
    ] });
    let mut bench = Bench::start(definition, json!({}));
    bench.answer("a", Err(refused()));
    assert_eq!(bench.open(), ["b"]);
    bench.answer("b", Ok(json!("B")));
    assert_eq!(bench.open(), ["last"]);
    assert_eq!(bench.var("b_out"), json!("B"));
}

#[test]
fn groups_nest() {
    let inner = json!({ "type": "parallel", "id": "inner", "steps": [agent("a"), agent("b")] });
    let definition = json!({ "steps": [{ "type": "parallel", "id": "outer", "outputVar": "all", "steps": [[inner, agent("c")], agent("d")] }] });
    let (called, bench) = Bench::start(definition, json!({})).finish(fine);
    assert_eq!(called, ["a", "b", "c", "d"]);
    assert_eq!(bench.var("all"), json!({ "inner": "c 1", "d": "d 1" }));
}

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
fn a_step_whose_when_does_not_hold_is_skipped_and_recorded() {
    let definition = json!({ "steps": [with(agent("a"), json!({ "when": "input.go" })), agent("b")] });
    let (called, bench) = Bench::start(definition, json!({ "go": false })).finish(fine);
    assert_eq!(called, ["b"]);
    assert!(matches!(&bench.journal[1], Event::StepSkipped { visit } if visit.step == "a"));
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

#[test]
fn a_run_that_takes_too_long_owes_nothing_any_more() {
    let definition = json!({ "timeout": "10m", "steps": [agent("a")] });
    let mut bench = Bench::start(definition, json!({}));
    assert_eq!(bench.state.deadline(), Some(facts().started_at + Duration::from_secs(600)));
    bench.write(bench.state.time_out());
    assert_eq!(bench.open(), [""; 0]);
    assert_eq!(bench.state.status(), RunStatus::TimedOut);
}
