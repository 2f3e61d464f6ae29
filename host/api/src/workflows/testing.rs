//! Tests of workflows: what is sent and answered.

use std::sync::Arc;

use armilla_domain::id::WorkflowId;
use armilla_domain::journal::{Entry, Event, Failure, Signal};
use armilla_domain::run::{AttemptStatus, PathStep, Simulated, SimulationStatus};
use armilla_engine::TestWorkflow as TestCommand;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::runs::{FailureSchema, StepBody, StepStatusSchema};
use crate::wire::{Timestamp, present};

/// A test of a workflow.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TestWorkflow {
    /// What the run works on: it must fit the `inputSchema`. An empty object where absent.
    #[serde(default)]
    pub input: Map<String, Value>,
    /// Which version is tested; the newest where absent.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = i32, required = false, minimum = 1)]
    pub version: Option<i32>,
    /// What is tested in place of a version, and is kept nowhere: the workflow language.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Object, required = false)]
    pub definition: Option<Value>,
    /// By step: what answers it.
    #[serde(default)]
    #[schema(value_type = std::collections::BTreeMap<String, TestMockSchema>, required = false)]
    pub mocks: Map<String, Value>,
    /// Events that are there from the start, in this order: at most 100.
    #[serde(default)]
    #[schema(required = false)]
    pub events: Vec<TestEvent>,
    /// A run of the workspace: it answers, visit by visit, for every step that has no mock.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = String, required = false, example = "run_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")]
    pub recorded_from: Option<String>,
}

/// An event that is there from the start.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TestEvent {
    /// Its name.
    #[schema(example = "payment.received")]
    pub name: String,
    /// What it brings; null where absent.
    #[serde(default)]
    pub payload: Value,
}

impl TestWorkflow {
    /// The command, for this workflow.
    pub(super) fn into_command(self, workflow: WorkflowId) -> TestCommand {
        let Self { input, version, definition, mocks, events, recorded_from } = self;
        let events = events.into_iter().map(|TestEvent { name, payload }| (name, payload)).collect();
        TestCommand { workflow, version, definition, input: Value::Object(input), mocks, events, recorded_from }
    }
}

/// What a test came to.
#[derive(Debug, Serialize, ToSchema)]
pub struct TestResponse {
    /// The test.
    pub test: TestBody,
}

/// What a test came to.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Test)]
pub struct TestBody {
    /// How it ended.
    #[schema(value_type = TestStatusSchema)]
    pub status: SimulationStatus,
    /// Every visit of a step, in the order in which they began.
    pub path: Vec<TestPathStep>,
    /// Every variable that a step set.
    #[schema(value_type = Object)]
    pub vars: Value,
    /// What the definition's `output` picked, where it ended well; else null.
    pub output: Value,
    /// Why it ended badly; null unless it did. A code that begins with `test.` tells of a bound of the test, not of the workflow.
    #[schema(required = true, value_type = Option<FailureSchema>)]
    pub error: Option<Failure>,
    /// The journal that a run would have written.
    #[schema(value_type = Vec<TestEntrySchema>)]
    pub journal: Vec<TestEntryBody>,
    /// Every attempt of every visit, as `GET /runs/{id}/steps` gives those of a run.
    pub steps: Vec<StepBody>,
    /// The steps that need a mock, or an event, for the test to get further.
    pub missing: Vec<String>,
    /// How long the run would have waited, in milliseconds: calls take no time.
    pub virtual_duration_ms: u64,
}

/// One visit of a step.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TestPathStep {
    /// The step's id in the definition.
    pub step_id: String,
    /// The step's type.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The list it ran in, as the steps of a run say it.
    #[schema(example = "gather:1:0")]
    pub scope: String,
    /// Which execution of the step this is, from 1.
    #[schema(minimum = 1)]
    pub visit: u32,
    /// How many attempts were made; 0 where nothing is called.
    pub attempts: u32,
    /// How it stands, or ended.
    #[schema(value_type = StepStatusSchema)]
    pub status: AttemptStatus,
    /// Whether a mock answered it, a recorded one and the approval that every test gives included.
    pub mocked: bool,
}

/// One entry of the journal. It is written out as it is sent: a test's journal may weigh as much as a run's.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TestEntryBody {
    number: usize,
    at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    step_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    visit: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    #[serde(flatten)]
    what: What,
}

/// The event, with its kind.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum What {
    /// Its own number gives way to the entry's; the step that took it calls it so too.
    Signal {
        kind: &'static str,
        signal: u64,
        name: String,
        payload: Arc<Value>,
        by: String,
    },
    Other(Event),
}

impl From<Simulated> for TestBody {
    fn from(simulated: Simulated) -> Self {
        let vars = simulated.variables.into_iter().map(|(name, value)| (name, Value::clone(&value)));
        let journal = simulated.journal.into_iter().enumerate();
        Self {
            status: simulated.status,
            path: simulated.path.into_iter().map(TestPathStep::from).collect(),
            vars: Value::Object(vars.collect()),
            output: simulated.output,
            error: simulated.error,
            journal: journal.map(|(place, entry)| TestEntryBody::new(place + 1, entry)).collect(),
            steps: simulated.steps.into_iter().map(StepBody::from).collect(),
            missing: simulated.missing,
            virtual_duration_ms: simulated.duration.as_millis() as u64,
        }
    }
}

impl From<PathStep> for TestPathStep {
    fn from(PathStep { visit, kind, attempts, status, mocked }: PathStep) -> Self {
        let (step_id, scope, visit) = (visit.step, visit.scope.to_string(), visit.number);
        Self { step_id, kind, scope, visit, attempts, status, mocked }
    }
}

impl TestEntryBody {
    fn new(number: usize, Entry { at, event }: Entry) -> Self {
        let visit = event.visit().cloned();
        let (step_id, scope) =
            (visit.as_ref().map(|visit| visit.step.clone()), visit.as_ref().map(|v| v.scope.to_string()));
        let kind = event.kind();
        let what = match event {
            Event::SignalReceived { signal: Signal { number, name, payload, by } } => {
                What::Signal { kind, signal: number, name, payload, by }
            }
            other => What::Other(other),
        };
        Self { number, at: at.into(), step_id, visit: visit.map(|visit| visit.number), scope, what }
    }
}

/// One entry of the journal. Its other fields are those of its kind.
#[derive(ToSchema)]
#[schema(as = TestEntry, rename_all = "camelCase")]
#[expect(dead_code, reason = "a schema, never a value")]
struct TestEntrySchema {
    /// Its place, from 1.
    #[schema(minimum = 1)]
    number: usize,
    /// When, by the clock of the test.
    at: Timestamp,
    /// What happened.
    #[schema(example = "step.succeeded")]
    kind: String,
    /// The step that it tells of; absent where it tells of the run itself.
    #[schema(nullable = false)]
    step_id: Option<String>,
    /// Which execution of the step; absent likewise.
    #[schema(nullable = false, minimum = 1)]
    visit: Option<u32>,
    /// The list in which the step runs; absent likewise.
    #[schema(nullable = false)]
    scope: Option<String>,
}

// Mocks are read by the domain, which knows what each step may be given; these say what it takes.

/// What answers a step: one of these. An agent and a tool give any JSON, a condition of a plugin true or false, an approval
/// `{ "approved", "note" }`, a wait for an event its payload, a workflow its output.
#[derive(ToSchema)]
#[schema(as = TestMock, rename_all = "camelCase")]
#[expect(dead_code, reason = "a schema, never a value")]
struct TestMockSchema {
    /// What it gives, at every attempt.
    #[schema(required = false)]
    output: Value,
    /// How it fails, at every attempt.
    #[schema(required = false)]
    error: TestErrorSchema,
    /// One answer for each attempt, visit after visit; the last repeats.
    #[schema(required = false, min_items = 1, max_items = 1000)]
    sequence: Vec<TestAnswerSchema>,
    /// A run of the workspace: what it recorded for this step, visit by visit.
    #[schema(required = false, example = "run_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")]
    recorded: String,
}

/// One answer: one of these.
#[derive(ToSchema)]
#[schema(as = TestAnswer, rename_all = "camelCase")]
#[expect(dead_code, reason = "a schema, never a value")]
struct TestAnswerSchema {
    /// What the step gives.
    #[schema(required = false)]
    output: Value,
    /// How it fails.
    #[schema(required = false)]
    error: TestErrorSchema,
}

/// How an attempt fails.
#[derive(ToSchema)]
#[schema(as = TestError, rename_all = "camelCase")]
#[expect(dead_code, reason = "a schema, never a value")]
struct TestErrorSchema {
    /// Stable and dotted.
    #[schema(min_length = 1, max_length = 64, example = "agent.unavailable")]
    code: String,
    /// For people.
    #[schema(min_length = 1, max_length = 4_000)]
    message: String,
    /// What a retry policy judges it by; `permanent`, which is not tried again, where absent.
    #[schema(required = false)]
    class: TestErrorClassSchema,
}

/// What a retry policy judges an error by.
#[derive(ToSchema)]
#[schema(as = TestErrorClass, rename_all = "camelCase")]
#[expect(dead_code, reason = "a schema, never a value")]
enum TestErrorClassSchema {
    Timeout,
    Unavailable,
    RateLimited,
    Server,
    Tool,
    Permanent,
}

/// How a test ended: as a run would, `waiting` for an event that nobody sends, or `unmocked` where a call would leave the
/// process and no mock answers it.
#[derive(ToSchema)]
#[schema(as = TestStatus, rename_all = "camelCase")]
#[expect(dead_code, reason = "a schema, never a value")]
enum TestStatusSchema {
    Success,
    Failed,
    TimedOut,
    Waiting,
    Unmocked,
}

#[cfg(test)]
mod tests {
    use armilla_domain::call::ErrorClass;
    use armilla_domain::journal::Visit;
    use serde_json::json;
    use utoipa::PartialSchema;

    use super::*;

    #[test]
    fn the_words_of_the_domain_are_the_documented_ones() {
        let classes = [
            ErrorClass::Timeout,
            ErrorClass::Unavailable,
            ErrorClass::RateLimited,
            ErrorClass::Server,
            ErrorClass::Tool,
            ErrorClass::Permanent,
        ];
        assert_eq!(json!(TestErrorClassSchema::schema())["enum"], json!(classes));
        let statuses = [
            SimulationStatus::Success,
            SimulationStatus::Failed,
            SimulationStatus::TimedOut,
            SimulationStatus::Waiting,
            SimulationStatus::Unmocked,
        ];
        assert_eq!(json!(TestStatusSchema::schema())["enum"], json!(statuses));
        let sequence = &json!(TestMockSchema::schema())["properties"]["sequence"];
        assert_eq!(sequence["maxItems"], json!(armilla_domain::run::MOCK_SEQUENCE_MAX));
    }

    #[test]
    fn an_entry_keeps_its_own_number_beside_that_of_a_signal() {
        let signal = Signal { number: 1, name: "paid".into(), payload: json!(7).into(), by: "test".into() };
        let entry = Entry { at: chrono::DateTime::UNIX_EPOCH, event: Event::SignalReceived { signal } };
        assert_eq!(
            json!(TestEntryBody::new(2, entry)),
            json!({
                "number": 2, "at": "1970-01-01T00:00:00.000Z", "kind": "signal.received",
                "signal": 1, "name": "paid", "payload": 7, "by": "test",
            })
        );
        let visit = Visit { step: "ask".into(), number: 1, ..Visit::default() };
        let entry = Entry { at: chrono::DateTime::UNIX_EPOCH, event: Event::StepSkipped { visit } };
        assert_eq!(
            json!(TestEntryBody::new(3, entry)),
            json!({
                "number": 3, "at": "1970-01-01T00:00:00.000Z", "kind": "step.skipped",
                "stepId": "ask", "visit": 1, "scope": "",
            })
        );
    }
}
