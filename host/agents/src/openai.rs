//! Chat completions, as OpenAI defined them and many servers speak them.

use armilla_domain::agent::{ModelSettings, answer_value};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::call::{AgentAnswer, AgentCall, TokenUsage};

pub(crate) fn request(call: &AgentCall<'_>, model: &ModelSettings) -> Value {
    let mut messages = Vec::new();
    if let Some(prompt) = call.system_prompt {
        messages.push(json!({ "role": "system", "content": prompt }));
    }
    messages.push(json!({ "role": "user", "content": call.message }));

    let mut body = json!({ "messages": messages, "stream": false });
    // Absent rather than null: several servers refuse null.
    if let Some(id) = &model.model_id {
        body["model"] = json!(id);
    }
    if let Some(temperature) = model.temperature {
        body["temperature"] = json!(temperature);
    }
    if let Some(tokens) = model.max_output_tokens {
        body["max_tokens"] = json!(tokens);
    }
    body
}

pub(crate) fn answer(body: &[u8]) -> Result<AgentAnswer, &'static str> {
    let completion: Completion = serde_json::from_slice(body).map_err(|_| "its answer is not a chat completion")?;
    let choice = completion.choices.into_iter().next().ok_or("its answer has no `choices`")?;
    let text = choice.message.content.ok_or("its answer has no text in `choices[0].message.content`")?;
    // An odd account of the tokens does not spoil the answer.
    let tokens = |name| completion.usage[name].as_u64();
    let usage =
        tokens("prompt_tokens").zip(tokens("completion_tokens")).map(|(input, output)| TokenUsage { input, output });
    Ok(AgentAnswer { value: answer_value(&text), text, usage, model: completion.model })
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
}
