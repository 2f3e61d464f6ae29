//! Reads a task or a message, of either version, into how far the agent has got.

use std::time::Duration;

use armilla_domain::call::{CallError, ErrorClass};
use serde::Deserialize;
use serde_json::Value;

use super::answer::{self, Part};
use super::card::Interface;
use super::{A2aProgress, A2aTask, QUESTION_CHARS_MAX, TASK_ID_BYTES_MAX, fault, poll_after_of};
use crate::failure;

/// What is known of a task before it is read.
pub(crate) struct Reading<'a> {
    pub turns: u32,
    pub polls: u32,
    pub retry_after: Option<Duration>,
    /// The task that was asked for; none where any may come.
    pub asked_for: Option<&'a A2aTask>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Task {
    id: String,
    context_id: Option<String>,
    status: Status,
    artifacts: Option<Vec<Artifact>>,
}

#[derive(Deserialize)]
struct Status {
    state: String,
    message: Option<Message>,
}

#[derive(Deserialize)]
struct Artifact {
    parts: Option<Vec<Part>>,
}

#[derive(Deserialize)]
struct Message {
    #[serde(alias = "content")]
    parts: Option<Vec<Part>>,
}

/// What an agent gives for a message.
enum Given {
    Task(Task),
    Message(Message),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Working,
    Completed,
    InputRequired,
    Failed,
    Rejected,
    Canceled,
    AuthRequired,
}

impl State {
    /// In the words of either version.
    fn of(text: &str) -> Option<Self> {
        match text {
            "TASK_STATE_SUBMITTED" | "TASK_STATE_WORKING" | "submitted" | "working" => Some(Self::Working),
            "TASK_STATE_COMPLETED" | "completed" => Some(Self::Completed),
            "TASK_STATE_INPUT_REQUIRED" | "input-required" => Some(Self::InputRequired),
            "TASK_STATE_FAILED" | "failed" => Some(Self::Failed),
            "TASK_STATE_REJECTED" | "rejected" => Some(Self::Rejected),
            // The protocol buffers of 0.3 spell it with two l.
            "TASK_STATE_CANCELED" | "TASK_STATE_CANCELLED" | "canceled" => Some(Self::Canceled),
            "TASK_STATE_AUTH_REQUIRED" | "auth-required" => Some(Self::AuthRequired),
            _ => None,
        }
    }
}

/// How far an agent has got, by the result of a message or of a question for its task.
pub(crate) fn progress(
    agent: &str,
    interface: &Interface,
    result: &Value,
    reading: &Reading<'_>,
) -> Result<A2aProgress, CallError> {
    let wraps_data = interface.wraps_data();
    let task = match given(agent, result, reading.asked_for.is_some())? {
        Given::Message(message) => {
            return answer::of(agent, [message.parts.unwrap_or_default()], wraps_data).map(A2aProgress::Done);
        }
        Given::Task(task) => task,
    };
    let state = checked(agent, &task, reading.asked_for)?;
    let said = task.status.message.and_then(|message| message.parts).unwrap_or_default();
    let kept = A2aTask { id: task.id, context_id: task.context_id.filter(|id| !id.is_empty()), turns: reading.turns };
    match state {
        State::Working => {
            let poll_after = poll_after_of(reading.polls, reading.retry_after);
            Ok(A2aProgress::Working { task: kept, poll_after })
        }
        State::InputRequired => {
            let question = answer::of(agent, [said], wraps_data)?.text;
            let question = match question.trim() {
                "" => "The agent asks for input and does not say which.".to_owned(),
                asked => asked.chars().take(QUESTION_CHARS_MAX).collect(),
            };
            Ok(A2aProgress::InputRequired { task: kept, question })
        }
        State::Completed => {
            let artifacts: Vec<_> =
                task.artifacts.unwrap_or_default().into_iter().filter_map(|one| one.parts).collect();
            // Many an agent says its answer where the protocol has its last word.
            let answer = if artifacts.iter().all(Vec::is_empty) {
                answer::of(agent, [said], wraps_data)
            } else {
                answer::of(agent, artifacts, wraps_data)
            };
            answer.map(A2aProgress::Done)
        }
        ended @ (State::Failed | State::Rejected | State::Canceled | State::AuthRequired) => {
            let said = answer::of(agent, [said], wraps_data).map(|answer| answer.text).unwrap_or_default();
            let (class, code, happened) = match ended {
                State::Rejected => (ErrorClass::Permanent, fault::TASK_REJECTED, "it rejected the task"),
                State::Canceled => (ErrorClass::Permanent, fault::TASK_CANCELED, "its task was canceled"),
                State::AuthRequired => (ErrorClass::Permanent, fault::AUTH_REQUIRED, "it wants an authorization"),
                // The other side failed, as with a 5xx.
                _ => (ErrorClass::Server, fault::TASK_FAILED, "its task failed"),
            };
            Err(fault::of_task(agent, class, code, happened, &said))
        }
    }
}

/// Whether the task that was to be ended has.
pub(crate) fn has_ended(agent: &str, result: &Value, asked_for: &A2aTask) -> Result<bool, CallError> {
    match given(agent, result, true)? {
        Given::Message(_) => Ok(false),
        Given::Task(task) => {
            let state = checked(agent, &task, Some(asked_for))?;
            Ok(matches!(state, State::Completed | State::Failed | State::Rejected | State::Canceled))
        }
    }
}

/// 1.0 wraps what a message gives by its name, and 0.3 says it in `kind`; a task that was asked for comes bare.
fn given(agent: &str, result: &Value, is_task: bool) -> Result<Given, CallError> {
    let bad = |what: &str| failure::of_answer(agent, &format!("its answer is not {what}"));
    let read_task = |value: &Value| Task::deserialize(value).map(Given::Task).map_err(|_| bad("a task"));
    let read_message = |value: &Value| Message::deserialize(value).map(Given::Message).map_err(|_| bad("a message"));
    if is_task {
        return read_task(result);
    }
    match (result.get("task"), result.get("message"), result["kind"].as_str()) {
        (Some(task @ Value::Object(_)), ..) => read_task(task),
        (_, Some(message @ Value::Object(_)), _) => read_message(message),
        (_, _, Some("message")) => read_message(result),
        (_, _, Some("task")) => read_task(result),
        _ => Err(bad("a task or a message")),
    }
}

fn checked(agent: &str, task: &Task, asked_for: Option<&A2aTask>) -> Result<State, CallError> {
    let ids = [Some(&task.id), task.context_id.as_ref()];
    if task.id.is_empty() || ids.into_iter().flatten().any(|id| id.len() > TASK_ID_BYTES_MAX) {
        let reason = format!("the ids of its task are not of 1 to {TASK_ID_BYTES_MAX} bytes");
        return Err(failure::of_answer(agent, &reason));
    }
    if asked_for.is_some_and(|asked_for| asked_for.id != task.id) {
        return Err(failure::of_answer(agent, "it answers with another task than was asked for"));
    }
    State::of(&task.status.state).ok_or_else(|| {
        let state = failure::line(&task.status.state);
        failure::of_answer(agent, &format!("its task is in the state `{state}`, which there is not"))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::card::{Binding, Version};
    use super::*;

    const BEGUN: Reading<'_> = Reading { turns: 1, polls: 0, retry_after: None, asked_for: None };

    fn read(
        version: Version,
        binding: Binding,
        result: &Value,
        reading: &Reading<'_>,
    ) -> Result<A2aProgress, CallError> {
        progress("tester", &Interface::of(version, binding), result, reading)
    }

    fn kept(turns: u32) -> A2aTask {
        A2aTask { id: "t-1".into(), context_id: Some("c-1".into()), turns }
    }

    fn done(result: Result<A2aProgress, CallError>) -> Value {
        match result.unwrap() {
            A2aProgress::Done(answer) => answer.value,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_task_of_either_version_works_asks_and_ends() {
        let v1 = |state: &str, rest: Value| {
            let mut task = json!({ "id": "t-1", "contextId": "c-1", "status": { "state": state }, "artifacts": [] });
            task["status"]["message"] =
                json!({ "messageId": "m", "role": "ROLE_AGENT", "parts": [{ "text": "Where to?" }] });
            task["artifacts"] = rest;
            json!({ "task": task })
        };
        let v03 = |state: &str, rest: Value| {
            let message = json!({ "kind": "message", "messageId": "m", "role": "agent", "parts": [{ "kind": "text", "text": "Where to?" }] });
            json!({ "kind": "task", "id": "t-1", "contextId": "c-1", "status": { "state": state, "message": message }, "artifacts": rest })
        };
        let of_buffers = |state: &str, rest: Value| {
            let message = json!({ "messageId": "m", "role": "ROLE_AGENT", "content": [{ "text": "Where to?" }] });
            json!({ "task": { "id": "t-1", "contextId": "c-1", "status": { "state": state, "message": message }, "artifacts": rest } })
        };
        let part_v1 = json!([{ "artifactId": "a", "parts": [{ "data": { "n": 1 } }] }]);
        let part_v03 = json!([{ "artifactId": "a", "parts": [{ "kind": "data", "data": { "n": 1 } }] }]);
        let of_buffers_part = json!([{ "artifactId": "a", "parts": [{ "data": { "data": { "n": 1 } } }] }]);
        for (version, binding, working, asks, ended) in [
            (
                Version::V1,
                Binding::JsonRpc,
                v1("TASK_STATE_WORKING", json!(null)),
                v1("TASK_STATE_INPUT_REQUIRED", json!([])),
                v1("TASK_STATE_COMPLETED", part_v1),
            ),
            (
                Version::V03,
                Binding::JsonRpc,
                v03("submitted", json!(null)),
                v03("input-required", json!([])),
                v03("completed", part_v03),
            ),
            (
                Version::V03,
                Binding::HttpJson,
                of_buffers("TASK_STATE_SUBMITTED", json!(null)),
                of_buffers("TASK_STATE_INPUT_REQUIRED", json!([])),
                of_buffers("TASK_STATE_COMPLETED", of_buffers_part),
            ),
        ] {
            let expected = A2aProgress::Working { task: kept(1), poll_after: Duration::from_millis(250) };
            assert_eq!(read(version, binding, &working, &BEGUN).unwrap(), expected);
            let second = Reading { turns: 2, ..BEGUN };
            let expected = A2aProgress::InputRequired { task: kept(2), question: "Where to?".into() };
            assert_eq!(read(version, binding, &asks, &second).unwrap(), expected);
            assert_eq!(done(read(version, binding, &ended, &BEGUN)), json!({ "n": 1 }));
        }
    }

    #[test]
    fn a_message_is_an_answer_at_once() {
        let v1 = json!({ "message": { "messageId": "m", "role": "ROLE_AGENT", "parts": [{ "text": "Hello" }] } });
        assert_eq!(done(read(Version::V1, Binding::HttpJson, &v1, &BEGUN)), json!("Hello"));
        let v03 = json!({ "kind": "message", "messageId": "m", "role": "agent", "parts": [{ "kind": "text", "text": "Hello" }] });
        assert_eq!(done(read(Version::V03, Binding::JsonRpc, &v03, &BEGUN)), json!("Hello"));
    }

    #[test]
    fn a_task_without_artifacts_has_answered_with_its_last_word_or_with_nothing() {
        let mut task = json!({ "task": { "id": "t-1", "status": { "state": "TASK_STATE_COMPLETED" } } });
        assert_eq!(done(read(Version::V1, Binding::JsonRpc, &task, &BEGUN)), json!(null));
        task["task"]["status"]["message"] = json!({ "parts": [{ "text": "Done." }] });
        assert_eq!(done(read(Version::V1, Binding::JsonRpc, &task, &BEGUN)), json!("Done."));
    }

    #[test]
    fn each_bad_end_of_a_task_has_its_code_and_what_the_agent_said_of_it() {
        for (state, code, class) in [
            ("failed", "agent.task_failed", ErrorClass::Server),
            ("rejected", "agent.task_rejected", ErrorClass::Permanent),
            ("canceled", "agent.task_canceled", ErrorClass::Permanent),
            ("auth-required", "agent.auth_required", ErrorClass::Permanent),
        ] {
            let said = json!({ "parts": [{ "kind": "text", "text": "No\npaper." }] });
            let task = json!({ "kind": "task", "id": "t-1", "status": { "state": state, "message": said } });
            let error = read(Version::V03, Binding::JsonRpc, &task, &BEGUN).unwrap_err();
            assert_eq!((error.code.as_ref(), error.class), (code, class));
            assert!(error.message.contains("No paper."), "{error}");
            assert!(super::super::a2a_task_is_over(&error));
        }
    }

    #[test]
    fn what_is_no_task_or_not_the_one_that_was_asked_for_is_a_bad_answer() {
        let other = kept(1);
        let asked = Reading { asked_for: Some(&other), ..BEGUN };
        let working = |id: &str| json!({ "id": id, "status": { "state": "TASK_STATE_WORKING" } });
        assert!(read(Version::V1, Binding::JsonRpc, &working("t-1"), &asked).is_ok());
        for (result, reading) in [
            (working("t-2"), &asked),
            (json!(null), &asked),
            (json!({ "task": working("t-1") }), &asked),
            (working("t-1"), &BEGUN),
            (json!({ "task": working("") }), &BEGUN),
            (json!({ "task": working(&"x".repeat(TASK_ID_BYTES_MAX + 1)) }), &BEGUN),
            (json!({ "task": { "id": "t-1", "status": { "state": "TASK_STATE_UNSPECIFIED" } } }), &BEGUN),
            (json!({ "task": { "id": "t-1" } }), &BEGUN),
            (json!({ "task": [] }), &BEGUN),
            (json!([]), &BEGUN),
        ] {
            let error = read(Version::V1, Binding::JsonRpc, &result, reading).unwrap_err();
            assert_eq!((error.code.as_ref(), error.class), ("agent.bad_answer", ErrorClass::Server), "{result}");
        }
    }

    #[test]
    fn a_question_is_bounded_and_is_never_empty() {
        let asks = |parts: Value| json!({ "task": { "id": "t-1", "status": { "state": "TASK_STATE_INPUT_REQUIRED", "message": { "parts": parts } } } });
        let question = |result: &Value| match read(Version::V1, Binding::JsonRpc, result, &BEGUN).unwrap() {
            A2aProgress::InputRequired { question, .. } => question,
            other => panic!("{other:?}"),
        };
        let long = question(&asks(json!([{ "text": "é".repeat(QUESTION_CHARS_MAX + 1) }])));
        assert_eq!(long.chars().count(), QUESTION_CHARS_MAX);
        assert!(question(&asks(json!([]))).contains("does not say"));
    }
}
