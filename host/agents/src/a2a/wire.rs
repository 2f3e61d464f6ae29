//! How an operation is written and its result read, for each version and each way to carry it.

use armilla_domain::call::CallError;
use armilla_egress::{Method, OutboundAnswer};
use serde_json::{Value, json};
#[cfg(test)]
use url::Url;

use super::card::{Binding, Interface, Version};
use super::{A2aTask, fault};
use crate::failure;

/// What is asked of an agent.
pub(crate) enum Operation<'a> {
    /// To take a message, whose texts become parts of their own.
    Send { message_id: &'a str, texts: [Option<&'a str>; 2], task: Option<&'a A2aTask> },
    /// To say how far a task is.
    Get(&'a A2aTask),
    /// To end it.
    Cancel(&'a A2aTask),
}

/// An operation as an HTTP request.
pub(crate) struct Request {
    pub method: Method,
    pub url: String,
    pub body: Vec<u8>,
}

/// The request of an operation; none where the interface's URL can have no path.
pub(crate) fn request(interface: &Interface, operation: &Operation<'_>, rpc_id: &str) -> Option<Request> {
    let parameters = parameters(interface, operation);
    match interface.binding {
        Binding::JsonRpc => {
            let method = rpc_method(interface.version, operation);
            let body = json!({ "jsonrpc": "2.0", "id": rpc_id, "method": method, "params": parameters });
            Some(Request { method: Method::POST, url: interface.url.to_string(), body: body.to_string().into_bytes() })
        }
        Binding::HttpJson => over_http(interface, operation, &parameters),
    }
}

fn rpc_method(version: Version, operation: &Operation<'_>) -> &'static str {
    match (version, operation) {
        (Version::V1, Operation::Send { .. }) => "SendMessage",
        (Version::V1, Operation::Get(_)) => "GetTask",
        (Version::V1, Operation::Cancel(_)) => "CancelTask",
        (Version::V03, Operation::Send { .. }) => "message/send",
        (Version::V03, Operation::Get(_)) => "tasks/get",
        (Version::V03, Operation::Cancel(_)) => "tasks/cancel",
    }
}

fn over_http(interface: &Interface, operation: &Operation<'_>, parameters: &Value) -> Option<Request> {
    let mut url = interface.url.clone();
    {
        let mut path = url.path_segments_mut().ok()?;
        path.pop_if_empty();
        match interface.version {
            Version::V1 => path.extend(&interface.tenant),
            Version::V03 => path.push("v1"),
        };
        match operation {
            Operation::Send { .. } => path.push("message:send"),
            Operation::Get(task) => path.extend(["tasks", &task.id]),
            Operation::Cancel(task) => path.extend(["tasks", &format!("{}:cancel", task.id)]),
        };
    }
    let (method, body) = match (operation, interface.version) {
        (Operation::Get(_), _) => {
            url.query_pairs_mut().append_pair("historyLength", "0");
            return Some(Request { method: Method::GET, url: url.into(), body: Vec::new() });
        }
        (Operation::Cancel(task), Version::V03) => (Method::POST, json!({ "name": format!("tasks/{}", task.id) })),
        _ => (Method::POST, parameters.clone()),
    };
    Some(Request { method, url: url.into(), body: body.to_string().into_bytes() })
}

/// No history is asked for: what was said before is known, and would count against the bound of the answer.
fn parameters(interface: &Interface, operation: &Operation<'_>) -> Value {
    let mut parameters = match operation {
        Operation::Send { message_id, texts, task } => {
            let at_once = match interface.version {
                Version::V1 => json!({ "historyLength": 0, "returnImmediately": true }),
                Version::V03 => json!({ "historyLength": 0, "blocking": false }),
            };
            json!({ "message": message(interface, message_id, texts, *task), "configuration": at_once })
        }
        Operation::Get(task) => json!({ "id": task.id, "historyLength": 0 }),
        Operation::Cancel(task) => json!({ "id": task.id }),
    };
    if let (Version::V1, Some(tenant)) = (interface.version, &interface.tenant) {
        parameters["tenant"] = json!(tenant);
    }
    parameters
}

fn message(interface: &Interface, id: &str, texts: &[Option<&str>; 2], task: Option<&A2aTask>) -> Value {
    let texts = texts.iter().flatten();
    let mut message = match (interface.version, interface.binding) {
        (Version::V1, _) => {
            let parts: Vec<Value> = texts.map(|text| json!({ "text": text })).collect();
            json!({ "role": "ROLE_USER", "parts": parts })
        }
        (Version::V03, Binding::JsonRpc) => {
            let parts: Vec<Value> = texts.map(|text| json!({ "kind": "text", "text": text })).collect();
            json!({ "kind": "message", "role": "user", "parts": parts })
        }
        // The JSON of its protocol buffers, as the servers that there are read it.
        (Version::V03, Binding::HttpJson) => {
            let parts: Vec<Value> = texts.map(|text| json!({ "text": text })).collect();
            json!({ "role": "ROLE_USER", "content": parts })
        }
    };
    message["messageId"] = json!(id);
    if let Some(task) = task {
        message["taskId"] = json!(task.id);
        // Absent rather than null, which the strict readers of protocol buffers refuse.
        if let Some(context) = &task.context_id {
            message["contextId"] = json!(context);
        }
    }
    message
}

/// The result of an operation, out of what carries it.
///
/// # Errors
/// What the agent says has gone wrong, and `agent.bad_answer` for what is no answer to this.
pub(crate) fn result(
    agent: &str,
    interface: &Interface,
    operation: &Operation<'_>,
    rpc_id: &str,
    answer: &OutboundAnswer,
) -> Result<Value, CallError> {
    let body: Option<Value> = serde_json::from_slice(&answer.body).ok();
    let is_success = (200..300).contains(&answer.status);
    let carries_error = interface.binding == Binding::JsonRpc
        && body.as_ref().is_some_and(|body| body.get("error").is_some_and(Value::is_object));
    if !is_success || carries_error {
        return Err(fault::of_answer(agent, operation, answer, body.as_ref()));
    }
    let bad = |reason| failure::of_body(agent, reason, answer);
    let mut body = body.ok_or_else(|| bad("its answer is not JSON"))?;
    match interface.binding {
        Binding::HttpJson => Ok(body),
        Binding::JsonRpc if body["id"] != json!(rpc_id) => Err(bad("its answer is one to another request")),
        Binding::JsonRpc => match body.get_mut("result") {
            Some(result) => Ok(result.take()),
            None => Err(bad("its answer has neither `result` nor `error`")),
        },
    }
}

impl Interface {
    /// Whether what a part holds as data stands in an object of its own, as in the protocol buffers of 0.3.
    pub(crate) fn wraps_data(&self) -> bool {
        self.version == Version::V03 && self.binding == Binding::HttpJson
    }

    #[cfg(test)]
    pub(crate) fn of(version: Version, binding: Binding) -> Self {
        Self { url: Url::parse("http://h/a?k=1").unwrap(), binding, version, tenant: Some("us/1".into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(version: Version, binding: Binding, operation: &Operation<'_>) -> (String, Value) {
        let request = request(&Interface::of(version, binding), operation, "r-1").unwrap();
        let body = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
        (format!("{} {}", request.method, request.url), body)
    }

    fn task() -> A2aTask {
        A2aTask { id: "t/1".into(), context_id: Some("c-1".into()), turns: 1 }
    }

    #[test]
    fn a_message_is_written_as_each_version_and_binding_reads_it() {
        let task = task();
        let first = Operation::Send { message_id: "m-1", texts: [Some("Be brief."), Some("Hello")], task: None };
        let later = Operation::Send { message_id: "m-2", texts: [None, Some("Rome")], task: Some(&task) };

        let (line, body) = written(Version::V1, Binding::JsonRpc, &first);
        assert_eq!(line, "POST http://h/a?k=1");
        let params = json!({ "tenant": "us/1", "configuration": { "historyLength": 0, "returnImmediately": true },
            "message": { "messageId": "m-1", "role": "ROLE_USER", "parts": [{ "text": "Be brief." }, { "text": "Hello" }] } });
        assert_eq!(body, json!({ "jsonrpc": "2.0", "id": "r-1", "method": "SendMessage", "params": params }));

        let (line, body) = written(Version::V1, Binding::HttpJson, &later);
        assert_eq!(line, "POST http://h/a/us%2F1/message:send?k=1");
        let message = json!({ "messageId": "m-2", "taskId": "t/1", "contextId": "c-1", "role": "ROLE_USER", "parts": [{ "text": "Rome" }] });
        assert_eq!(body["message"], message);

        let (_, body) = written(Version::V03, Binding::JsonRpc, &later);
        let params = json!({ "configuration": { "historyLength": 0, "blocking": false },
            "message": { "kind": "message", "messageId": "m-2", "taskId": "t/1", "contextId": "c-1", "role": "user",
                "parts": [{ "kind": "text", "text": "Rome" }] } });
        assert_eq!(body, json!({ "jsonrpc": "2.0", "id": "r-1", "method": "message/send", "params": params }));

        let (line, body) = written(Version::V03, Binding::HttpJson, &first);
        assert_eq!(line, "POST http://h/a/v1/message:send?k=1");
        assert_eq!(body["message"]["content"], json!([{ "text": "Be brief." }, { "text": "Hello" }]));
    }

    #[test]
    fn a_task_is_asked_for_and_ended_as_each_version_and_binding_reads_it() {
        let task = task();
        for (version, binding, get, cancel) in [
            (Version::V1, Binding::JsonRpc, "GetTask", "CancelTask"),
            (Version::V03, Binding::JsonRpc, "tasks/get", "tasks/cancel"),
        ] {
            let (_, body) = written(version, binding, &Operation::Get(&task));
            assert_eq!((&body["method"], &body["params"]["id"]), (&json!(get), &json!("t/1")));
            assert_eq!(body["params"]["historyLength"], 0);
            let (_, body) = written(version, binding, &Operation::Cancel(&task));
            assert_eq!((&body["method"], &body["params"]["id"]), (&json!(cancel), &json!("t/1")));
        }
        let (line, _) = written(Version::V1, Binding::HttpJson, &Operation::Get(&task));
        assert_eq!(line, "GET http://h/a/us%2F1/tasks/t%2F1?k=1&historyLength=0");
        let (line, _) = written(Version::V03, Binding::HttpJson, &Operation::Get(&task));
        assert_eq!(line, "GET http://h/a/v1/tasks/t%2F1?k=1&historyLength=0");
        let (line, body) = written(Version::V1, Binding::HttpJson, &Operation::Cancel(&task));
        assert_eq!(line, "POST http://h/a/us%2F1/tasks/t%2F1:cancel?k=1");
        assert_eq!(body, json!({ "id": "t/1", "tenant": "us/1" }));
        let (line, body) = written(Version::V03, Binding::HttpJson, &Operation::Cancel(&task));
        assert_eq!(line, "POST http://h/a/v1/tasks/t%2F1:cancel?k=1");
        assert_eq!(body, json!({ "name": "tasks/t/1" }));
    }
}
