//! A run whose outside world is the test.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::call::CallError;
use crate::definition::{Known, Workflow, check};
use crate::id::{RunId, WorkflowId};
use crate::journal::{Event, Measured, Variables};
use crate::run::{Attempt, Call, DECISIONS_PER_TURN_MAX, Message, RunFacts, RunStatus, State};
use crate::template::Templates;

pub(super) type Answer = Result<Value, CallError>;

pub(super) static TEMPLATES: LazyLock<Templates> = LazyLock::new(Templates::new);

/// A run whose calls, messages and clock the test moves, one at a time.
pub(super) struct Bench {
    pub(super) workflow: Arc<Workflow>,
    pub(super) versions: BTreeMap<i32, Arc<Workflow>>,
    pub(super) state: State,
    pub(super) journal: Vec<Event>,
    pub(super) now: DateTime<Utc>,
    children: u8,
}

pub(super) fn facts() -> RunFacts {
    RunFacts {
        run_id: RunId::from_parts(1, [1; 10]),
        workflow_id: WorkflowId::from_parts(1, [1; 10]),
        started_at: DateTime::from_timestamp(1_700_000_000, 0).unwrap(),
    }
}

pub(super) fn workflow(definition: &Value) -> Arc<Workflow> {
    let checked = check(definition, &Known::default(), &TEMPLATES).unwrap_or_else(|faults| panic!("{faults:?}"));
    Arc::new(checked.workflow)
}

/// All that a host can ask of a state.
pub(super) fn seen_of(state: &State) -> String {
    format!(
        "{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{:?}",
        state.status(),
        state.calls(),
        state.children(),
        state.approvals(),
        state.next_wake(),
        state.variables(),
        state.deadline(),
        state.signals_waiting(),
        state.output(),
        state.error(),
    )
}

impl Bench {
    pub(super) fn start(definition: Value, input: Value) -> Self {
        let workflow = workflow(&definition);
        let mut bench = Self {
            state: State::new(Arc::clone(&workflow), facts()),
            workflow,
            versions: BTreeMap::new(),
            journal: vec![],
            now: facts().started_at,
            children: 0,
        };
        bench.write(Event::RunStarted { input: Arc::new(input), plugins: Vec::new() });
        bench
    }

    /// Writes an entry from outside, and all that follow from it.
    pub(super) fn write(&mut self, event: Event) {
        self.state.apply(&event);
        self.journal.push(event);
        self.decide();
    }

    pub(super) fn decide(&mut self) {
        let before = self.journal.len();
        loop {
            let decided = self.state.decide(&TEMPLATES, self.now);
            assert!(decided.len() <= DECISIONS_PER_TURN_MAX);
            if decided.is_empty() {
                break;
            }
            self.journal.extend(decided);
        }
        for length in before..=self.journal.len() {
            self.check_replay(length);
        }
    }

    /// A host that starts from so many entries alone must decide the others and then see the same.
    fn check_replay(&self, length: usize) {
        let mut replayed = self.replay(length);
        let mut decided = Vec::new();
        loop {
            let more = replayed.decide(&TEMPLATES, self.now);
            if more.is_empty() {
                break;
            }
            decided.extend(more);
        }
        assert_eq!(decided, self.journal[length..]);
        assert_eq!(seen_of(&replayed), seen_of(&self.state));
    }

    /// The state that so many entries give, each as the store would give it back.
    fn replay(&self, length: usize) -> State {
        let mut state = State::new(Arc::clone(&self.workflow), facts());
        for (version, workflow) in &self.versions {
            state.know_version(*version, Arc::clone(workflow));
        }
        for event in &self.journal[..length] {
            let stored = Event::from_body(&event.to_body().unwrap(), event.visit().cloned()).unwrap();
            assert_eq!(stored, *event);
            state.apply(&stored);
        }
        state
    }

    /// Lets time pass.
    pub(super) fn pass(&mut self, time: Duration) {
        self.now += time;
        self.decide();
    }

    /// Gives the run a message, and says whether it meant anything.
    pub(super) fn receive(&mut self, message: Message) -> bool {
        let event = self.state.receive(message, self.now, 0.0);
        event.map(|event| self.write(event)).is_some()
    }

    pub(super) fn signal(&mut self, name: &str, payload: Value) -> bool {
        self.receive(Message::Signal { name: name.into(), payload: Arc::new(payload), by: "someone".into() })
    }

    /// Decides the first open approval of a step.
    pub(super) fn decision(&mut self, step: &str, approved: bool) -> bool {
        let visit = self.state.approvals().into_iter().find(|open| open.visit.step == step).expect(step).visit;
        self.receive(Message::Decision { visit, approved, by: "someone".into(), note: None })
    }

    /// Starts the run that the first owed call of a `workflow` step asks for.
    pub(super) fn start_child(&mut self, step: &str) -> RunId {
        self.children += 1;
        let run = RunId::from_parts(2, [self.children; 10]);
        self.answer(step, Ok(json!(run.to_string())));
        run
    }

    pub(super) fn child_ended(&mut self, run: RunId, status: RunStatus, output: Value) -> bool {
        self.receive(Message::ChildEnded { run, status, output: Arc::new(output), error: None })
    }

    pub(super) fn cancel(&mut self) {
        assert!(self.receive(Message::Cancel { by: "someone".into(), reason: None }));
    }

    pub(super) fn pause(&mut self) {
        assert!(self.receive(Message::Pause { by: "someone".into(), reason: None }));
    }

    pub(super) fn resume(&mut self) {
        assert!(self.receive(Message::Resume { by: "someone".into() }));
    }

    pub(super) fn retry(&mut self) {
        self.retry_with(None, json!({}));
    }

    pub(super) fn retry_with(&mut self, version: Option<i32>, vars: Value) {
        let by = "someone".to_owned();
        self.write(Event::RunRetried { by, version, vars: variables(&vars), since: self.now });
    }

    /// Makes a version of the definition known.
    pub(super) fn know(&mut self, version: i32, definition: &Value) {
        let workflow = workflow(definition);
        self.state.know_version(version, Arc::clone(&workflow));
        self.versions.insert(version, workflow);
    }

    /// Another run that takes over so many entries.
    pub(super) fn fork(&self, length: usize, vars: Value) -> Self {
        let mut fork = Self {
            workflow: Arc::clone(&self.workflow),
            versions: self.versions.clone(),
            state: self.replay(length),
            journal: self.journal[..length].to_vec(),
            now: self.now,
            children: 100,
        };
        let (run, by) = (facts().run_id, "someone".to_owned());
        fork.write(Event::RunForked { run, by, vars: variables(&vars), since: self.now });
        fork
    }

    /// How many entries stand before the first that tells of a step.
    pub(super) fn before(&self, step: &str) -> usize {
        self.journal.iter().position(|event| event.visit().is_some_and(|visit| visit.step == step)).expect(step)
    }

    /// The steps whose calls are owed.
    pub(super) fn open(&self) -> Vec<String> {
        self.state.calls().into_iter().map(|call| call.visit.step).collect()
    }

    /// What the owed calls are given.
    pub(super) fn inputs(&self) -> Vec<Value> {
        self.state.calls().into_iter().map(|call| Value::clone(&call.input)).collect()
    }

    /// What the owed calls of agents are told.
    pub(super) fn told(&self) -> Vec<String> {
        self.inputs().into_iter().map(|input| input["message"].as_str().unwrap().to_owned()).collect()
    }

    pub(super) fn call(&self, step: &str) -> Call {
        self.state.calls().into_iter().find(|call| call.visit.step == step).expect(step)
    }

    /// Answers the first owed call of a step.
    pub(super) fn answer(&mut self, step: &str, answer: Answer) {
        self.answer_call(self.call(step), answer);
    }

    /// Answers the owed call that was told this.
    pub(super) fn answer_told(&mut self, message: &str, answer: Answer) {
        let told = |call: &Call| call.input["message"] == message;
        let call = self.state.calls().into_iter().find(told).expect(message);
        self.answer_call(call, answer);
    }

    fn answer_call(&mut self, call: Call, answer: Answer) {
        let event = self.state.judge(attempt(call, answer), false, self.now, 0.0).unwrap();
        self.write(event);
    }

    /// Whether an answer still means anything.
    pub(super) fn wants(&self, call: Call) -> bool {
        self.state.judge(attempt(call, Ok(json!("late"))), false, self.now, 0.0).is_some()
    }

    /// Answers everything with `answer` until nothing is owed, and says which steps were called.
    pub(super) fn finish(mut self, answer: impl Fn(&Call) -> Answer) -> (Vec<String>, Self) {
        let mut called = Vec::new();
        while let Some(call) = self.state.calls().into_iter().next() {
            called.push(call.visit.step.clone());
            let answer = answer(&call);
            self.answer_call(call, answer);
        }
        (called, self)
    }

    pub(super) fn var(&self, name: &str) -> Value {
        self.state.variables().get(name).map(|value| Value::clone(value)).unwrap_or_default()
    }

    pub(super) fn code(&self) -> &str {
        self.state.error().map_or("", |error| error.code.as_str())
    }

    pub(super) fn status(&self) -> RunStatus {
        self.state.status()
    }

    /// How many visits of a step there were.
    pub(super) fn visits(&self, step: &str) -> u32 {
        let visits = self.journal.iter().filter_map(Event::visit).filter(|visit| visit.step == step);
        visits.map(|visit| visit.number).max().unwrap_or(0)
    }

    /// The kinds of entries that tell of a step.
    pub(super) fn entries(&self, step: &str) -> Vec<&'static str> {
        let of_step = self.journal.iter().filter(|event| event.visit().is_some_and(|visit| visit.step == step));
        of_step.map(Event::kind).collect()
    }
}

pub(super) fn attempt(call: Call, answer: Answer) -> Attempt {
    let measured =
        Measured { duration_ms: 1, input_bytes: 1, output_bytes: 1, answerer: None, usage: None, prompt: None };
    Attempt { call, result: answer.map(|value| (value, measured).into()), duration: Duration::from_millis(1) }
}

pub(super) fn variables(vars: &Value) -> Variables {
    let vars = vars.as_object().into_iter().flatten();
    vars.map(|(name, value)| (name.clone(), Arc::new(value.clone()))).collect()
}
