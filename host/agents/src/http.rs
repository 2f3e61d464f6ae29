//! Plain JSON: the least that somebody's own server must understand to be an agent.

use armilla_domain::agent::{ModelSettings, answer_value};
use armilla_domain::json::is_too_deep;
use armilla_domain::talk::Turn;
use serde_json::{Map, Value, json};

use crate::answer::AgentAnswer;
use crate::call::AgentCall;
use crate::conversation::complaint;

pub(crate) fn request(agent_id: &str, call: &AgentCall<'_>, model: &ModelSettings) -> Value {
    let mut body = json!({
        "agentId": agent_id,
        "message": call.message,
        "systemPrompt": call.system_prompt,
        "model": model,
        "runId": call.context.run_id,
        "stepId": call.context.step_id,
        "visit": call.context.visit,
        "attempt": call.context.attempt,
    });
    if let Some(schema) = call.output_schema {
        body["outputSchema"] = Value::clone(schema.as_written());
    }
    if let Some(Turn::AnswerRefused { text, why, .. }) = call.talk.last().map(|turn| &**turn) {
        body["refused"] = json!({ "answer": text, "why": complaint(why) });
    }
    body
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

/// The whole answer as a value, for a configuration that says what is what in it.
pub(crate) fn whole(body: &[u8]) -> Result<AgentAnswer, &'static str> {
    let value: Value = match serde_json::from_slice(body) {
        Ok(value) if is_too_deep(&value) => return Err("its answer nests too deep"),
        Ok(value) => value,
        Err(_) => {
            Value::String(str::from_utf8(body).map_err(|_| "its answer is neither JSON nor text in UTF-8")?.to_owned())
        }
    };
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    Ok(AgentAnswer { value, ..AgentAnswer::of_text(text) })
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
    AgentAnswer { value, ..AgentAnswer::of_text(text) }
}
