//! Chat completions, as OpenAI defined them and many servers speak them: <https://platform.openai.com/docs/api-reference/chat>.

use std::collections::BTreeMap;
use std::sync::Arc;

use armilla_domain::agent::{ModelSettings, StructuredOutput};
use armilla_domain::talk::ToolAsked;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::answer::{AgentAnswer, TokenUsage, arguments_of, usage_of};
use crate::call::AgentCall;
use crate::conversation::{Said, said};
use crate::sse::Gathering;

/// What a schema is called in a request, which wants a name for it.
const SCHEMA_NAME: &str = "answer";

pub(crate) fn request(call: &AgentCall<'_>, model: &ModelSettings, structured: StructuredOutput) -> Value {
    let mut messages = Vec::new();
    if let Some(prompt) = call.system_prompt {
        messages.push(json!({ "role": "system", "content": prompt }));
    }
    messages.push(json!({ "role": "user", "content": call.message }));
    messages.extend(said(call.talk).map(message));

    let streams = call.deltas.is_some();
    let mut body = json!({ "messages": messages, "stream": streams });
    if streams {
        body["stream_options"] = json!({ "include_usage": true });
    }
    // Absent rather than null: several servers refuse null.
    if let Some(id) = &model.model_id {
        body["model"] = json!(id);
    }
    if let Some(temperature) = model.temperature {
        body["temperature"] = json!(temperature);
    }
    if let Some(tokens) = model.max_output_tokens {
        // Its newer models refuse the older name, which is the one that everybody else knows.
        let name = if model.provider.as_deref() == Some("openai") { "max_completion_tokens" } else { "max_tokens" };
        body[name] = json!(tokens);
    }
    if !call.tools.is_empty() {
        let tool = |tool: &crate::call::ToolOffer| {
            json!({ "type": "function", "function": {
                "name": tool.name, "description": tool.description, "parameters": tool.parameters,
            } })
        };
        body["tools"] = call.tools.iter().map(tool).collect();
    }
    if let Some(schema) = call.output_schema {
        match structured {
            StructuredOutput::Schema if !schema.is_any_json() => {
                let wanted = json!({ "name": SCHEMA_NAME, "schema": schema.as_written() });
                body["response_format"] = json!({ "type": "json_schema", "json_schema": wanted });
            }
            StructuredOutput::Schema | StructuredOutput::Json => {
                body["response_format"] = json!({ "type": "json_object" });
            }
            StructuredOutput::None => {}
        }
    }
    body
}

fn message(said: Said<'_>) -> Value {
    match said {
        Said::ToolCalls { text, calls } => {
            let calls: Vec<Value> = calls
                .iter()
                .map(|ToolAsked { id, name, arguments }| {
                    // As the model wrote it, where it is no JSON.
                    let arguments = match &**arguments {
                        Value::String(text) => text.clone(),
                        value => value.to_string(),
                    };
                    json!({ "id": id, "type": "function", "function": { "name": name, "arguments": arguments } })
                })
                .collect();
            let content = if text.is_empty() { Value::Null } else { json!(text) };
            json!({ "role": "assistant", "content": content, "tool_calls": calls })
        }
        Said::ToolResult { id, text, .. } => json!({ "role": "tool", "tool_call_id": id, "content": text }),
        Said::Agent(text) => json!({ "role": "assistant", "content": text }),
        Said::User(text) => json!({ "role": "user", "content": text }),
    }
}

pub(crate) fn answer(body: &[u8]) -> Result<AgentAnswer, &'static str> {
    let completion: Completion = serde_json::from_slice(body).map_err(|_| "its answer is not a chat completion")?;
    let choice = completion.choices.into_iter().next().ok_or("its answer has no `choices`")?;
    let calls = choice.message.tool_calls.unwrap_or_default();
    let calls: Vec<ToolAsked> = calls
        .into_iter()
        .map(|ToolCall { id, function }| ToolAsked {
            id,
            arguments: Arc::new(arguments_of(&function.arguments)),
            name: function.name,
        })
        .collect();
    let text = match choice.message.content {
        Some(text) => text,
        None if !calls.is_empty() => String::new(),
        None => return Err("its answer has no text in `choices[0].message.content`"),
    };
    Ok(AgentAnswer {
        calls,
        usage: usage_of(&completion.usage, "prompt_tokens", "completion_tokens"),
        model: completion.model,
        ..AgentAnswer::of_text(text)
    })
}

#[derive(Deserialize)]
struct Completion {
    choices: Vec<Choice>,
    model: Option<String>,
    #[serde(default)]
    usage: Value,
}

#[derive(Deserialize)]
struct Choice {
    message: Message,
}

#[derive(Deserialize)]
struct Message {
    content: Option<String>,
    tool_calls: Option<Vec<ToolCall>>,
}

#[derive(Deserialize)]
struct ToolCall {
    id: String,
    function: Function,
}

#[derive(Deserialize)]
struct Function {
    name: String,
    /// JSON, as text.
    #[serde(default)]
    arguments: String,
}

/// A completion that comes in pieces.
#[derive(Default)]
pub(crate) struct Stream {
    text: String,
    /// By the index that each piece names.
    calls: BTreeMap<u64, (String, String, String)>,
    usage: Option<TokenUsage>,
    model: Option<String>,
    is_whole: bool,
}

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<ChunkChoice>,
    model: Option<String>,
    #[serde(default)]
    usage: Value,
    #[serde(default)]
    error: Value,
}

#[derive(Deserialize)]
struct ChunkChoice {
    #[serde(default)]
    delta: Delta,
    finish_reason: Option<String>,
}

#[derive(Default, Deserialize)]
struct Delta {
    content: Option<String>,
    #[serde(default)]
    tool_calls: Option<Vec<CallDelta>>,
}

#[derive(Deserialize)]
struct CallDelta {
    #[serde(default)]
    index: u64,
    id: Option<String>,
    function: Option<FunctionDelta>,
}

#[derive(Deserialize)]
struct FunctionDelta {
    name: Option<String>,
    arguments: Option<String>,
}

impl Gathering for Stream {
    fn event(&mut self, _kind: &str, data: &str) -> Result<Option<String>, &'static str> {
        if data == "[DONE]" {
            self.is_whole = true;
            return Ok(None);
        }
        let chunk: Chunk =
            serde_json::from_str(data).map_err(|_| "a piece of its stream is not a chunk of a completion")?;
        if !chunk.error.is_null() {
            return Err("it broke its stream off with an error");
        }
        self.model = chunk.model.or(self.model.take());
        self.usage = usage_of(&chunk.usage, "prompt_tokens", "completion_tokens").or(self.usage);
        let Some(choice) = chunk.choices.into_iter().next() else { return Ok(None) };
        for CallDelta { index, id, function } in choice.delta.tool_calls.unwrap_or_default() {
            let call = self.calls.entry(index).or_default();
            if let Some(id) = id.filter(|id| !id.is_empty()) {
                call.0 = id;
            }
            if let Some(FunctionDelta { name, arguments }) = function {
                call.1 = name.filter(|name| !name.is_empty()).unwrap_or(std::mem::take(&mut call.1));
                call.2.push_str(&arguments.unwrap_or_default());
            }
        }
        self.is_whole |= choice.finish_reason.is_some();
        let text = choice.delta.content.unwrap_or_default();
        self.text.push_str(&text);
        Ok((!text.is_empty()).then_some(text))
    }

    fn finish(self: Box<Self>) -> Option<AgentAnswer> {
        let calls = self.calls.into_values().map(|(id, name, arguments)| ToolAsked {
            id,
            name,
            arguments: Arc::new(arguments_of(&arguments)),
        });
        let calls = calls.collect();
        let answer = AgentAnswer { calls, usage: self.usage, model: self.model, ..AgentAnswer::of_text(self.text) };
        self.is_whole.then_some(answer)
    }
}
