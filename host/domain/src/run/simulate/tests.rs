use chrono::DateTime;
use serde_json::{Map, json};

use super::*;
use crate::definition::{Known, check};
use crate::id::{RunId, WorkflowId};
use crate::run::AttemptStatus;

const BOUNDS: SimulationBounds =
    SimulationBounds { entries: 10_000, journal_bytes: 1024 * 1024, output_bytes: 64 * 1024 };

fn workflow(definition: &Value, templates: &Templates) -> Arc<Workflow> {
    let checked = check(definition, &Known::default(), templates).unwrap_or_else(|faults| panic!("{faults:?}"));
    Arc::new(checked.workflow)
}

fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

/// A test of one definition.
struct Bench {
    definition: Value,
    input: Value,
    mocks: Value,
    events: Vec<(String, Value)>,
    recorded: Option<Vec<Entry>>,
    bounds: SimulationBounds,
}

impl Bench {
    fn of(steps: Value) -> Self {
        Self::whole(json!({ "steps": steps }))
    }

    fn whole(definition: Value) -> Self {
        let (input, mocks) = (json!({ "topic": "Tides" }), json!({}));
        Self { definition, input, mocks, events: Vec::new(), recorded: None, bounds: BOUNDS }
    }

    fn with(mocks: Value, steps: Value) -> Self {
        Self { mocks, ..Self::of(steps) }
    }

    /// Drives it to its end; what it asks for is left open.
    fn run(self) -> Simulated {
        self.run_with(|_| None)
    }

    fn run_with(self, answer: impl Fn(&Call) -> Option<Value>) -> Simulated {
        let templates = Templates::new();
        let workflow = workflow(&self.definition, &templates);
        let recorded_from = self.recorded.is_some().then(|| run_id().to_string());
        let (mut mocks, faults) = Mocks::read(&object(self.mocks), recorded_from.as_deref(), &workflow);
        assert_eq!(faults, []);
        if let Some(journal) = &self.recorded {
            mocks.supply(run_id(), journal);
        }
        let facts = RunFacts {
            run_id: run_id(),
            workflow_id: WorkflowId::from_parts(1, [1; 10]),
            started_at: DateTime::from_timestamp(1_700_000_000, 0).unwrap(),
        };
        let mut simulation = Simulation::new(SimulationParts {
            workflow: Arc::clone(&workflow),
            facts: facts.clone(),
            input: self.input,
            plugins: Vec::new(),
            events: self.events,
            mocks,
            repeatable: HashSet::new(),
            bounds: self.bounds,
        });
        loop {
            match simulation.turn(&templates) {
                Turn::GoesOn => {}
                Turn::Over => break,
                Turn::Asks(call) => match answer(&call) {
                    Some(output) => {
                        let measured = measured_of(&call.input, &output);
                        simulation.answer(*call, Ok((output, measured)), Duration::from_millis(1));
                    }
                    None => simulation.leave_open(&call),
                },
            }
        }
        let simulated = simulation.finish();
        let mut replayed = State::new(workflow, facts);
        for entry in &simulated.journal {
            replayed.apply(&entry.event);
        }
        assert_eq!(replayed.variables(), simulated.variables, "the journal is what a run would have written");
        simulated
    }
}

fn run_id() -> RunId {
    RunId::from_parts(1, [1; 10])
}

fn agent(id: &str) -> Value {
    json!({ "type": "agent", "id": id, "agentId": "a", "message": "do {{ input.topic }}", "outputVar": id })
}

fn with(mut step: Value, more: Value) -> Value {
    step.as_object_mut().unwrap().extend(object(more));
    step
}

fn error(class: &str) -> Value {
    json!({ "error": { "code": "agent.unavailable", "message": "nobody answered", "class": class } })
}

/// Which steps were visited, and how each ended.
fn told(simulated: &Simulated) -> Vec<(&str, AttemptStatus)> {
    simulated.path.iter().map(|step| (step.visit.step.as_str(), step.status)).collect()
}

const GOOD: AttemptStatus = AttemptStatus::Success;
const BAD: AttemptStatus = AttemptStatus::Failed;

#[test]
fn a_fixed_output_is_what_the_step_gives() {
    let simulated = Bench::with(json!({ "ask": { "output": { "ok": true } } }), json!([agent("ask")])).run();
    assert_eq!(simulated.status, SimulationStatus::Success);
    assert_eq!(*simulated.variables["ask"], json!({ "ok": true }));
    let step = &simulated.path[0];
    assert_eq!((step.kind, step.attempts, step.status, step.mocked), ("agent", 1, GOOD, true));
    let kinds: Vec<_> = simulated.journal.iter().map(|entry| entry.event.kind()).collect();
    assert_eq!(kinds, ["run.started", "step.started", "step.succeeded", "run.succeeded"]);
    assert_eq!(simulated.duration, Duration::ZERO);
}

#[test]
fn an_error_is_retried_in_no_real_time_and_then_leads_where_the_step_says() {
    let steps = json!([with(agent("ask"), json!({ "onError": "rescue" })), agent("passed"), agent("rescue")]);
    let simulated = Bench::with(json!({ "ask": error("unavailable"), "rescue": { "output": 1 } }), steps).run();
    assert_eq!(told(&simulated), [("ask", BAD), ("rescue", GOOD)]);
    assert_eq!(simulated.path[0].attempts, 3);
    // Waits of 1 s and 2 s, drawn from the middle of their upper halves.
    assert_eq!(simulated.duration, Duration::from_millis(750 + 1_500));
}

#[test]
fn a_permanent_error_is_not_retried() {
    let simulated = Bench::with(json!({ "ask": error("permanent") }), json!([agent("ask")])).run();
    assert_eq!((simulated.status, simulated.path[0].attempts), (SimulationStatus::Failed, 1));
    assert_eq!(simulated.error.unwrap().code, "agent.unavailable");
}

#[test]
fn a_sequence_answers_attempt_after_attempt_and_visit_after_visit_and_its_last_answer_repeats() {
    let steps = json!([
        { "type": "forEach", "id": "each", "items": "[1, 2, 3, 4]", "steps": [agent("ask")], "outputVar": "all" },
    ]);
    let sequence = json!({ "sequence": [{ "output": "a" }, error("timeout"), { "output": "b" }, { "output": "c" }] });
    let simulated = Bench::with(json!({ "ask": sequence }), steps).run();
    assert_eq!(*simulated.variables["all"], json!(["a", "b", "c", "c"]));
    let attempts: Vec<_> = simulated.path[1..].iter().map(|step| step.attempts).collect();
    assert_eq!(attempts, [1, 2, 1, 1]);
}

#[test]
fn an_approval_is_given_where_nobody_says_otherwise() {
    let ask = json!({ "type": "approval", "id": "ask", "message": "Go?", "timeout": "7d", "outputVar": "ask" });
    let decided = |mocks| Value::clone(&Bench::with(mocks, json!([ask])).run().variables["ask"]);
    let decision = decided(json!({}));
    assert_eq!((&decision["approved"], &decision["by"]), (&json!(true), &json!("test")));
    let decision = decided(json!({ "ask": { "output": { "approved": false, "note": "not today" } } }));
    assert_eq!((&decision["approved"], &decision["note"]), (&json!(false), &json!("not today")));
    let late = json!({ "error": { "code": "approval.timeout", "message": "nobody decided in time" } });
    let simulated = Bench::with(json!({ "ask": late }), json!([ask])).run();
    assert_eq!(simulated.error.unwrap().code, "approval.timeout");
}

#[test]
fn an_event_that_is_there_is_taken_and_one_that_is_mocked_comes() {
    let wait = json!({ "type": "wait", "id": "paid", "event": "paid", "match": "event.sum > 5", "outputVar": "paid" });
    let events = vec![("paid".to_owned(), json!({ "sum": 1 })), ("paid".to_owned(), json!({ "sum": 9 }))];
    let simulated = Bench { events, ..Bench::of(json!([wait])) }.run();
    assert_eq!(*simulated.variables["paid"], json!({ "sum": 9 }));
    assert!(!simulated.path[0].mocked);
    let simulated = Bench::with(json!({ "paid": { "output": { "sum": 7 } } }), json!([wait])).run();
    assert_eq!((&*simulated.variables["paid"], simulated.path[0].mocked), (&json!({ "sum": 7 }), true));
}

#[test]
fn an_event_that_never_comes_is_waited_for_or_is_late() {
    let wait = json!({ "type": "wait", "id": "paid", "event": "paid" });
    let simulated = Bench::of(json!([wait])).run();
    assert_eq!((simulated.status, simulated.missing), (SimulationStatus::Waiting, vec!["paid".to_owned()]));
    let simulated = Bench::of(json!([with(wait.clone(), json!({ "timeout": "3d", "onError": "continue" }))])).run();
    assert_eq!((simulated.status, simulated.missing), (SimulationStatus::Success, vec![]));
    assert_eq!(simulated.duration, Duration::from_secs(3 * 86_400));
    let simulated = Bench::whole(json!({ "timeout": "1h", "steps": [wait] })).run();
    assert_eq!((simulated.status, simulated.duration), (SimulationStatus::TimedOut, Duration::from_secs(3_600)));
}

#[test]
fn time_passes_at_once_and_the_journal_tells_when() {
    let simulated = Bench::of(json!([
        { "type": "wait", "id": "week", "duration": "7d" },
        { "type": "wait", "id": "then", "until": "2023-12-01T00:00:00Z" },
    ]))
    .run();
    assert_eq!(simulated.status, SimulationStatus::Success);
    let end: DateTime<Utc> = "2023-12-01T00:00:00Z".parse().unwrap();
    assert_eq!(simulated.journal.last().unwrap().at, end);
    assert_eq!(simulated.journal[2].at - simulated.journal[1].at, chrono::Duration::days(7));
}

#[test]
fn a_call_without_a_mock_is_told_and_what_does_not_depend_on_it_goes_on() {
    let nap = json!({ "type": "wait", "id": "nap", "duration": "1h" });
    let group = json!({ "type": "parallel", "id": "both", "steps": [agent("open"), [nap, agent("ask")]] });
    let simulated = Bench::with(json!({ "ask": { "output": 1 } }), json!([group, agent("after")])).run();
    assert_eq!((simulated.status, &simulated.missing[..]), (SimulationStatus::Unmocked, &["open".to_owned()][..]));
    let running = AttemptStatus::Running;
    assert_eq!(told(&simulated), [("both", running), ("open", running), ("nap", GOOD), ("ask", GOOD)]);
    assert_eq!(simulated.duration, Duration::from_secs(3_600));
}

#[test]
fn a_call_without_a_mock_is_not_late() {
    for definition in [
        json!({ "timeout": "1h", "steps": [agent("open")] }),
        json!({ "steps": [with(agent("open"), json!({ "totalTimeout": "1h" }))] }),
        json!({ "steps": [{ "type": "parallel", "id": "p", "timeout": "1h", "steps": [agent("open")] }] }),
    ] {
        let simulated = Bench::whole(definition).run();
        assert_eq!((simulated.status, simulated.duration), (SimulationStatus::Unmocked, Duration::ZERO));
    }
}

#[test]
fn what_is_asked_for_may_be_answered_for_real() {
    let tool = json!({ "type": "tool", "id": "t", "toolName": "x", "outputVar": "t" });
    let simulated = Bench::of(json!([tool])).run_with(|_| Some(json!("real")));
    assert_eq!((simulated.status, &*simulated.variables["t"]), (SimulationStatus::Success, &json!("real")));
    assert!(!simulated.path[0].mocked);
}

#[test]
fn a_workflow_step_takes_its_output_without_a_run() {
    let child = WorkflowId::from_parts(1, [2; 10]);
    let steps = json!([{ "type": "workflow", "id": "child", "workflowId": child, "outputVar": "child" }]);
    let simulated = Bench::with(json!({ "child": { "output": { "n": 1 } } }), steps.clone()).run();
    assert_eq!(*simulated.variables["child"], json!({ "n": 1 }));
    assert_eq!(Bench::of(steps).run().missing, ["child"]);
}

#[test]
fn a_recorded_run_answers_visit_by_visit_and_attempt_by_attempt() {
    let steps = json!([
        with(agent("ask"), json!({ "onError": "continue" })),
        { "type": "condition", "id": "again", "expr": "ask is none", "then": "ask" },
    ]);
    let sequence = json!({ "sequence": [error("permanent"), error("server"), { "output": "at last" }] });
    let first = Bench::with(json!({ "ask": sequence }), steps.clone()).run();
    let shown = |simulated: &Simulated| {
        let path = simulated.path.iter().map(|step| (step.visit.clone(), step.attempts, step.status));
        path.collect::<Vec<_>>()
    };
    let again = Bench { recorded: Some(first.journal.clone()), ..Bench::of(steps.clone()) }.run();
    assert_eq!((again.status, shown(&again)), (SimulationStatus::Success, shown(&first)));
    // A visit that was never recorded is not made up.
    let longer = with(steps[1].clone(), json!({ "expr": "true" }));
    let longer = Bench { recorded: Some(first.journal), ..Bench::of(json!([steps[0], longer])) }.run();
    assert_eq!((longer.status, longer.missing), (SimulationStatus::Unmocked, vec!["ask".to_owned()]));
}

#[test]
fn a_journal_is_bounded_in_entries_and_in_bytes_and_an_answer_in_bytes() {
    let forever = json!([
        { "type": "set", "id": "s", "vars": { "x": "1" } },
        { "type": "condition", "id": "c", "expr": "true", "then": "s" },
    ]);
    let endless = Bench::whole(json!({ "maxSteps": 100_000, "steps": forever }));
    let simulated = Bench { bounds: SimulationBounds { entries: 100, ..BOUNDS }, ..endless }.run();
    assert_eq!(simulated.error.unwrap().code, "test.too_many_entries");
    assert!((100..120).contains(&simulated.journal.len()), "{}", simulated.journal.len());

    let long = json!({ "ask": { "output": "x".repeat(500) } });
    let heavy = || Bench::with(long.clone(), json!([agent("ask")]));
    let simulated = Bench { bounds: SimulationBounds { journal_bytes: 400, ..BOUNDS }, ..heavy() }.run();
    assert_eq!(simulated.error.unwrap().code, "run.too_large");
    let simulated = Bench { bounds: SimulationBounds { output_bytes: 400, ..BOUNDS }, ..heavy() }.run();
    assert_eq!(simulated.error.unwrap().code, "step.output_too_large");
}

#[test]
fn every_fault_of_the_mocks_is_found_with_its_place() {
    let templates = Templates::new();
    let workflow = workflow(
        &json!({ "steps": [
            agent("a"),
            { "type": "set", "id": "s", "vars": { "x": "1" } },
            { "type": "condition", "id": "judged", "expr": "x", "evaluator": "cel", "then": "ok" },
            { "type": "approval", "id": "ok", "message": "Go?" },
        ] }),
        &templates,
    );
    let mocks = json!({
        "a": { "output": 1, "error": { "code": "x", "message": "y" } },
        "s": { "output": 1 },
        "nonesuch": { "output": 1 },
        "judged": { "sequence": [{ "output": true }, { "output": "yes" }, 7, {}] },
        "ok": { "output": { "approved": "yes", "note": 1 } },
    });
    let (_, faults) = Mocks::read(&object(mocks), Some("wf_1"), &workflow);
    let mut places: Vec<_> = faults.iter().map(|fault| (fault.pointer.as_str(), fault.code.as_str())).collect();
    places.sort_unstable();
    assert_eq!(
        places,
        [
            ("/mocks/a", "mock.form"),
            ("/mocks/judged/sequence/1/output", "mock.type"),
            ("/mocks/judged/sequence/2", "mock.type"),
            ("/mocks/judged/sequence/3", "mock.form"),
            ("/mocks/nonesuch", "mock.unknown_step"),
            ("/mocks/ok/output/approved", "mock.type"),
            ("/mocks/ok/output/note", "mock.type"),
            ("/mocks/s", "mock.not_mockable"),
            ("/recordedFrom", "mock.type"),
        ]
    );
    let read = |mock: Value| Mocks::read(&object(json!({ "a": mock })), None, &workflow).1;
    for (mock, place) in [
        (json!(null), "/mocks/a"),
        (json!({}), "/mocks/a"),
        (json!({ "outputs": 1 }), "/mocks/a/outputs"),
        (json!({ "sequence": [] }), "/mocks/a/sequence"),
        (json!({ "sequence": vec![json!({ "output": 1 }); MOCK_SEQUENCE_MAX + 1] }), "/mocks/a/sequence"),
        (json!({ "recorded": 7 }), "/mocks/a/recorded"),
        (json!({ "error": { "code": "", "message": "m" } }), "/mocks/a/error/code"),
        (json!({ "error": { "code": "c", "message": "m", "class": "odd" } }), "/mocks/a/error/class"),
    ] {
        let faults = read(mock.clone());
        assert_eq!(faults.iter().map(|fault| fault.pointer.as_str()).collect::<Vec<_>>(), [place], "{mock}");
    }
}
