//! Messages, as Anthropic defined them: <https://docs.anthropic.com/en/api/messages>.

use armilla_domain::agent::{ModelSettings, answer_value};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::call::{AgentAnswer, AgentCall, TokenUsage};

/// The protocol's version, which every request names.
pub(crate) const VERSION: &str = "2023-06-01";
/// The protocol wants a bound where the agent has none: several pages of text.
const OUTPUT_TOKENS_DEFAULT: u64 = 4_096;

pub(crate) fn request(call: &AgentCall<'_>, model: &ModelSettings) -> Value {
    let mut body = json!({
        "model": model.model_id,
        "max_tokens": model.max_output_tokens.unwrap_or(OUTPUT_TOKENS_DEFAULT),
        "messages": [{ "role": "user", "content": call.message }],
    });
    if let Some(prompt) = call.system_prompt {
        body["system"] = json!(prompt);
    }
    if let Some(temperature) = model.temperature {
        body["temperature"] = json!(temperature);
    }
    body
}

pub(crate) fn answer(body: &[u8]) -> Result<AgentAnswer, &'static str> {
    let message: Message = serde_json::from_slice(body).map_err(|_| "its answer is not a message")?;
    let text: String = message.content.into_iter().filter_map(|block| block.text).collect();
    if text.is_empty() {
        return Err("its answer has no text in `content`");
    }
    // An odd account of the tokens does not spoil the answer.
    let tokens = |name| message.usage[name].as_u64();
    let usage = tokens("input_tokens").zip(tokens("output_tokens")).map(|(input, output)| TokenUsage { input, output });
    Ok(AgentAnswer { value: answer_value(&text), text, usage, model: message.model })
}

#[derive(Deserialize)]
struct Message {
    content: Vec<Block>,
    model: Option<String>,
    #[serde(default)]
    usage: Value,
}

/// A part of a message: text, or something else, which nobody asked for.
#[derive(Deserialize)]
struct Block {
    text: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

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
