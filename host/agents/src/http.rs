//! Plain JSON: the least that somebody's own server must understand to be an agent.

use armilla_domain::agent::{ModelSettings, answer_value};
use armilla_domain::json::is_too_deep;
use serde_json::{Map, Value, json};

use crate::call::{AgentAnswer, AgentCall};

pub(crate) fn request(agent_id: &str, call: &AgentCall<'_>, model: &ModelSettings) -> Value {
    json!({
        "agentId": agent_id,
        "message": call.message,
        "systemPrompt": call.system_prompt,
        "model": model,
        "runId": call.context.run_id,
        "stepId": call.context.step_id,
        "visit": call.context.visit,
        "attempt": call.context.attempt,
    })
}

/// `{"output": …}` gives that value, `{"message": "…"}` that text, any other JSON is the value itself, and what is not JSON
/// is text, unless the answer says that it is JSON.
pub(crate) fn answer(body: &[u8], says_json: bool) -> Result<AgentAnswer, &'static str> {
    match serde_json::from_slice(body) {
        Ok(value) if is_too_deep(&value) => Err("its answer nests too deep"),
        Ok(Value::Object(fields)) => Ok(of_object(fields)),
        Ok(value) if says_json => Ok(of_value(value)),
        Err(_) if says_json => Err("its answer says that it is JSON and is not"),
        _ => {
            let text = str::from_utf8(body).map_err(|_| "its answer is neither JSON nor text in UTF-8")?;
            Ok(of_value(Value::String(text.to_owned())))
        }
    }
}

fn of_object(mut fields: Map<String, Value>) -> AgentAnswer {
    if let Some(output) = fields.remove("output") {
        return of_value(output);
    }
    match fields.remove("message") {
        Some(message @ Value::String(_)) => of_value(message),
        Some(other) => {
            fields.insert("message".to_owned(), other);
            of_value(Value::Object(fields))
        }
        None => of_value(Value::Object(fields)),
    }
}

fn of_value(value: Value) -> AgentAnswer {
    let (text, value) = match value {
        Value::String(text) => {
            let value = answer_value(&text);
            (text, value)
        }
        other => (other.to_string(), other),
    };
    AgentAnswer { text, value, usage: None, model: None }
}
