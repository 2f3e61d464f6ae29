use armilla_domain::id::{PromptOverrideId, WorkspaceId};
use armilla_domain::journal::{Measured, ScopePath, Visit};
use serde_json::json;
use utoipa::PartialSchema;

use super::*;

#[test]
fn the_domain_s_types_are_documented_as_they_are_sent() {
    fits::<FailureSchema>(&Failure {
        step_id: Some("a".into()),
        code: "a.b".into(),
        message: String::new(),
        attempts: 1,
        evidence: Some("<html>".into()),
    });
    fits::<FailureSchema>(&Failure::new(None, "a.b", ""));
    fits::<AnswererSchema>(&Answerer {
        kind: "agent".into(),
        name: String::new(),
        version: String::new(),
        digest: String::new(),
    });
    let usage = Usage { input_tokens: 1, output_tokens: 2, cost_micros: Some(1_500_000) };
    fits::<UsageSchema>(&UsageBody::from(usage));
    fits::<UsageSchema>(&UsageBody::from(Usage { cost_micros: None, ..usage }));
    fits::<PromptUseSchema>(&PromptUse { version: Some(1), hash: "a".into(), ..PromptUse::default() });
    fits::<PromptUseSchema>(&PromptUse {
        version: None,
        hash: "a".into(),
        label: Some("production".into()),
        override_id: Some(PromptOverrideId::from_parts(1, [1; 10])),
        own_text: true,
        includes: vec!["tone@3".into()],
    });
    for status in [RunStatus::Queued, RunStatus::Running, RunStatus::Success, RunStatus::Failed, RunStatus::TimedOut] {
        fits::<RunStatusSchema>(&status);
    }
    for status in [
        AttemptStatus::Running,
        AttemptStatus::Success,
        AttemptStatus::Failed,
        AttemptStatus::Skipped,
        AttemptStatus::Cancelled,
    ] {
        fits::<StepStatusSchema>(&status);
    }
}

/// That `value` fits the schema of `T`, and has no field that the schema does not know.
fn fits<T: PartialSchema>(value: &impl Serialize) {
    let mut schema = json!(T::schema());
    if schema["type"] == "object" {
        schema["additionalProperties"] = json!(false);
    }
    let value = json!(value);
    let faults: Vec<_> =
        jsonschema::draft202012::new(&schema).unwrap().iter_errors(&value).map(|e| e.to_string()).collect();
    assert!(faults.is_empty(), "{value} does not fit {schema}: {faults:?}");
}

fn run() -> RunView {
    RunView {
        id: RunId::from_parts(1, [1; 10]),
        workflow: WorkflowId::from_uuid(WorkspaceId::DEFAULT.uuid()),
        version: 1,
        status: RunStatus::TimedOut,
        input: Arc::new(json!({})),
        vars: json!({ "draft": "…" }),
        output: Value::Null,
        error: None,
        created_at: chrono::DateTime::UNIX_EPOCH,
        started_at: None,
        finished_at: None,
        parent: None,
        forked_from: None,
        usage: None,
    }
}

#[test]
fn a_run_that_is_under_way_says_null_where_something_is_still_to_come() {
    let sent = json!(RunResponse { run: run().into() });
    assert_eq!(sent["run"]["status"], "timedOut");
    assert_eq!(sent["run"]["createdAt"], "1970-01-01T00:00:00.000Z");
    for absent in ["finishedAt", "startedAt", "output", "error"] {
        assert_eq!(sent["run"].get(absent), Some(&Value::Null), "{absent}");
    }
    assert_eq!(sent["run"]["vars"], json!({ "draft": "…" }));
}

#[test]
fn a_list_says_nothing_of_what_a_run_works_on() {
    let sent = json!(RunSummaryBody::from(&run()));
    for left_out in ["input", "vars", "output"] {
        assert_eq!(sent.get(left_out), None, "{left_out}");
    }
    assert_eq!(sent.get("error"), Some(&Value::Null));
}

#[test]
fn a_step_is_told_with_its_place_and_who_answered() {
    let group = Visit { scope: ScopePath::default(), step: "group".into(), number: 2 };
    let answerer = Answerer { kind: "agent".into(), name: "a".into(), version: "1".into(), digest: "d".into() };
    let measured = Measured {
        duration_ms: 7,
        input_bytes: 1,
        output_bytes: 1,
        answerer: Some(answerer),
        usage: Some(Usage { input_tokens: 1, output_tokens: 2, cost_micros: Some(3) }),
        prompt: None,
    };
    let record = AttemptRecord {
        visit: Visit { scope: ScopePath::inside(&group, 0), step: "draft".into(), number: 3 },
        attempt: 1,
        status: AttemptStatus::Success,
        input: Arc::new(json!({ "message": "m" })),
        output: Arc::new(json!("text")),
        error: None,
        started_at: chrono::DateTime::UNIX_EPOCH,
        finished_at: Some(chrono::DateTime::UNIX_EPOCH),
        duration_ms: Some(7),
        measured: Some(measured),
        turns: Vec::new(),
        prompt: Some(PromptUse { version: Some(3), hash: "h".into(), ..PromptUse::default() }),
        child: None,
        deadline: None,
    };
    assert_eq!(
        json!(StepBody::from((record, "agent"))),
        json!({
            "stepId": "draft", "type": "agent", "scope": "group:2:0", "visit": 3, "attempt": 1, "status": "success",
            "input": { "message": "m" }, "output": "text", "error": null,
            "startedAt": "1970-01-01T00:00:00.000Z", "finishedAt": "1970-01-01T00:00:00.000Z", "durationMs": 7,
            "answerer": { "kind": "agent", "name": "a", "version": "1", "digest": "d" },
            "usage": { "inputTokens": 1, "outputTokens": 2, "costUsd": 0.000_003 }, "turns": [], "prompt": { "version": 3, "hash": "h" }, "index": 0, "childRunId": null, "deadline": null,
        })
    );
}
