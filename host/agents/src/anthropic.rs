//! Messages, as Anthropic defined them: <https://docs.anthropic.com/en/api/messages>.

use std::collections::BTreeMap;
use std::sync::Arc;

use armilla_domain::agent::ModelSettings;
use armilla_domain::talk::ToolAsked;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::answer::{AgentAnswer, arguments_of, usage_of};
use crate::call::AgentCall;
use crate::conversation::{Said, said};
use crate::sse::Gathering;

/// The protocol's version, which every request names.
pub(crate) const VERSION: &str = "2023-06-01";
/// The protocol wants a bound where the agent has none: several pages of text.
const OUTPUT_TOKENS_DEFAULT: u64 = 4_096;

pub(crate) fn request(call: &AgentCall<'_>, model: &ModelSettings) -> Value {
    let mut messages = vec![json!({ "role": "user", "content": call.message })];
    for said in said(call.talk) {
        add(&mut messages, said);
    }
    let mut body = json!({
        "model": model.model_id,
        "max_tokens": model.max_output_tokens.unwrap_or(OUTPUT_TOKENS_DEFAULT),
        "messages": messages,
    });
    if call.deltas.is_some() {
        body["stream"] = json!(true);
    }
    if let Some(prompt) = call.system_prompt {
        body["system"] = json!(prompt);
    }
    if let Some(temperature) = model.temperature {
        body["temperature"] = json!(temperature);
    }
    if !call.tools.is_empty() {
        let tool = |tool: &crate::call::ToolOffer| json!({ "name": tool.name, "description": tool.description, "input_schema": tool.parameters });
        body["tools"] = call.tools.iter().map(tool).collect();
    }
    body
}

fn add(messages: &mut Vec<Value>, said: Said<'_>) {
    let message = match said {
        Said::ToolCalls { text, calls } => {
            let mut blocks = Vec::new();
            if !text.is_empty() {
                blocks.push(json!({ "type": "text", "text": text }));
            }
            for ToolAsked { id, name, arguments } in calls {
                // The protocol takes an object alone.
                let input = if arguments.is_object() { Value::clone(arguments) } else { json!({ "input": arguments }) };
                blocks.push(json!({ "type": "tool_use", "id": id, "name": name, "input": input }));
            }
            json!({ "role": "assistant", "content": blocks })
        }
        Said::ToolResult { id, text, failed } => {
            let block = json!({ "type": "tool_result", "tool_use_id": id, "content": text, "is_error": failed });
            // The results of one round stand in one message.
            if let Some(Value::Array(blocks)) = messages.last_mut().map(|last| &mut last["content"])
                && blocks.iter().all(|block| block["type"] == "tool_result")
            {
                blocks.push(block);
                return;
            }
            json!({ "role": "user", "content": [block] })
        }
        Said::Agent(text) => json!({ "role": "assistant", "content": text }),
        Said::User(text) => json!({ "role": "user", "content": text }),
    };
    messages.push(message);
}

pub(crate) fn answer(body: &[u8]) -> Result<AgentAnswer, &'static str> {
    let message: Message = serde_json::from_slice(body).map_err(|_| "its answer is not a message")?;
    let (mut text, mut calls) = (String::new(), Vec::new());
    for block in message.content {
        text.push_str(&block.text.unwrap_or_default());
        if let (Some("tool_use"), Some(id), Some(name)) = (block.kind.as_deref(), block.id, block.name) {
            calls.push(ToolAsked { id, name, arguments: Arc::new(block.input) });
        }
    }
    if text.is_empty() && calls.is_empty() {
        return Err("its answer has no text in `content`");
    }
    let usage = usage_of(&message.usage, "input_tokens", "output_tokens");
    Ok(AgentAnswer { calls, usage, model: message.model, ..AgentAnswer::of_text(text) })
}

#[derive(Deserialize)]
struct Message {
    content: Vec<Block>,
    model: Option<String>,
    #[serde(default)]
    usage: Value,
}

/// A part of a message: text, a tool call, or something else, which nobody asked for.
#[derive(Deserialize)]
struct Block {
    #[serde(rename = "type")]
    kind: Option<String>,
    text: Option<String>,
    id: Option<String>,
    name: Option<String>,
    #[serde(default)]
    input: Value,
}

/// A message that comes in pieces.
#[derive(Default)]
pub(crate) struct Stream {
    text: String,
    /// By the index of their blocks.
    calls: BTreeMap<u64, (String, String, String)>,
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    model: Option<String>,
    is_whole: bool,
}

impl Gathering for Stream {
    fn event(&mut self, _kind: &str, data: &str) -> Result<Option<String>, &'static str> {
        let event: Value = serde_json::from_str(data).map_err(|_| "a piece of its stream is not JSON")?;
        let index = event["index"].as_u64().unwrap_or(0);
        match event["type"].as_str().unwrap_or_default() {
            "message_start" => {
                self.model = event["message"]["model"].as_str().map(str::to_owned);
                self.input_tokens = event["message"]["usage"]["input_tokens"].as_u64();
                self.output_tokens = event["message"]["usage"]["output_tokens"].as_u64();
            }
            "content_block_start" if event["content_block"]["type"] == "tool_use" => {
                let text = |name: &str| event["content_block"][name].as_str().unwrap_or_default().to_owned();
                self.calls.insert(index, (text("id"), text("name"), String::new()));
            }
            "content_block_delta" => {
                if let (Some(piece), Some(call)) = (event["delta"]["partial_json"].as_str(), self.calls.get_mut(&index))
                {
                    call.2.push_str(piece);
                }
                if let Some(text) = event["delta"]["text"].as_str().filter(|text| !text.is_empty()) {
                    self.text.push_str(text);
                    return Ok(Some(text.to_owned()));
                }
            }
            "message_delta" => {
                self.output_tokens = event["usage"]["output_tokens"].as_u64().or(self.output_tokens);
            }
            "message_stop" => self.is_whole = true,
            "error" => return Err("it broke its stream off with an error"),
            // Pings, and what later versions of the protocol add.
            _ => {}
        }
        Ok(None)
    }

    fn finish(self: Box<Self>) -> Option<AgentAnswer> {
        let calls = self.calls.into_values().map(|(id, name, input)| ToolAsked {
            id,
            name,
            arguments: Arc::new(arguments_of(&input)),
        });
        let calls = calls.collect();
        let told = json!({ "input_tokens": self.input_tokens, "output_tokens": self.output_tokens });
        let usage = usage_of(&told, "input_tokens", "output_tokens");
        let answer = AgentAnswer { calls, usage, model: self.model, ..AgentAnswer::of_text(self.text) };
        self.is_whole.then_some(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::TokenUsage;

    #[test]
    fn the_texts_of_a_message_are_one_answer_and_other_blocks_are_left_out() {
        let body = json!({ "type": "message", "model": "m-1", "content": [
            { "type": "thinking", "thinking": "Hm." }, { "type": "text", "text": "{\"approved\":" }, { "type": "text", "text": " true}" },
        ], "usage": { "input_tokens": 7, "output_tokens": 3 } });
        let answer = answer(body.to_string().as_bytes()).unwrap();
        assert_eq!(answer.value, json!({ "approved": true }));
        assert_eq!((answer.usage, answer.model.as_deref()), (Some(TokenUsage { input: 7, output: 3 }), Some("m-1")));
    }

    #[test]
    fn what_is_no_message_or_has_no_text_is_told() {
        assert_eq!(answer(b"<html>").unwrap_err(), "its answer is not a message");
        assert_eq!(answer(br#"{"content": []}"#).unwrap_err(), "its answer has no text in `content`");
    }
}
