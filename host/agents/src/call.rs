//! One call, whatever the protocol.

use std::borrow::Cow;
use std::sync::Arc;

use armilla_domain::agent::{AgentConfig, AgentProtocol, ModelSettings};
use armilla_domain::call::{CallContext, CallError};
use armilla_egress::{Egress, HeaderMap, Method, OutboundAnswer, OutboundRequest};
use serde_json::Value;
use url::Url;

use crate::a2a::Cards;
use crate::{ANSWER_BYTES_MAX, anthropic, failure, headers, http, openai};

/// What stands in an answer where it repeated a secret.
const CONCEALED: &str = "[secret]";

/// Calls agents. Cloning it is cheap.
#[derive(Clone)]
pub struct Agents {
    egress: Egress,
    pub(crate) cards: Arc<Cards>,
}

/// What one call says.
#[derive(Clone, Copy)]
pub struct AgentCall<'a> {
    /// The message, as rendered.
    pub message: &'a str,
    /// The system prompt, as rendered; none for the agent's own.
    pub system_prompt: Option<&'a str>,
    /// The value of the secret that the agent's configuration names, where it names one.
    pub secret: Option<&'a str>,
    /// What the step wants otherwise than the agent's configuration.
    pub model: Option<&'a ModelSettings>,
    /// Whose call this is.
    pub context: &'a CallContext,
}

/// What an agent answered.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentAnswer {
    /// As text, for people.
    pub text: String,
    /// As a value, for the workflow's variables.
    pub value: Value,
    /// What it cost, where the agent says so.
    pub usage: Option<TokenUsage>,
    /// The model that answered, where the agent says so.
    pub model: Option<String>,
}

/// Tokens of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TokenUsage {
    /// Tokens read.
    pub input: u64,
    /// Tokens written.
    pub output: u64,
}

impl Agents {
    /// Calls agents through `egress`.
    pub fn new(egress: Egress) -> Self {
        Self { egress, cards: Arc::default() }
    }

    /// Calls an agent once, for as long as the context or, if that is less, the agent's own limit says. One that speaks A2A and makes a task
    /// of it is asked for that until it ends; whoever can write a task down calls [`Agents::a2a_send`] instead.
    ///
    /// # Errors
    /// Those of the `agent.` family, each with the class that a retry policy judges it by.
    pub async fn call(&self, agent: &AgentConfig, call: AgentCall<'_>) -> Result<AgentAnswer, CallError> {
        let model = match call.model {
            Some(over) => Cow::Owned(agent.model.overridden_by(over)),
            None => Cow::Borrowed(&agent.model),
        };
        let (url, body, read): (_, _, fn(&OutboundAnswer) -> _) = match agent.protocol {
            AgentProtocol::A2a => return self.until_done(agent, call).await,
            AgentProtocol::Openai => {
                let url = url_of(agent, &["chat", "completions"])?;
                (url, openai::request(&call, &model), |answer| openai::answer(&answer.body))
            }
            AgentProtocol::Anthropic => {
                let url = url_of(agent, &["messages"])?;
                (url, anthropic::request(&call, &model), |answer| anthropic::answer(&answer.body))
            }
            AgentProtocol::Http => {
                let body = http::request(&agent.id, &call, &model);
                (agent.endpoint.clone(), body, |answer| http::answer(&answer.body, says_json(&answer.headers)))
            }
        };
        let request = OutboundRequest {
            method: Method::POST,
            url,
            headers: headers::of(agent, &call)?,
            body: body.to_string().into_bytes(),
            timeout: agent.limits.timeout.map_or(call.context.timeout, |limit| limit.min(call.context.timeout)),
            answer_bytes_max: ANSWER_BYTES_MAX,
        };
        let answer = self.answer_to(agent, &call, request).await?;
        if !(200..300).contains(&answer.status) {
            return Err(failure::of_status(&agent.id, &answer));
        }
        read(&answer).map_err(|reason| failure::of_answer(&agent.id, reason))
    }

    /// The answer to one request, whatever its status, without the secret that it may repeat.
    pub(crate) async fn answer_to(
        &self,
        agent: &AgentConfig,
        call: &AgentCall<'_>,
        request: OutboundRequest,
    ) -> Result<OutboundAnswer, CallError> {
        let mut answer = self.egress.send(request).await.map_err(|error| failure::of_egress(&agent.id, &error))?;
        if let Some(secret) = call.secret {
            // Before anything of it is read: what an agent repeats must not end up in a journal or a log.
            conceal(&mut answer.body, secret);
        }
        Ok(answer)
    }
}

/// The endpoint with the protocol's path; a query of the endpoint stays where it is.
pub(crate) fn url_of(agent: &AgentConfig, path: &[&str]) -> Result<String, CallError> {
    let bad = || failure::of_endpoint(&agent.id);
    let mut url = Url::parse(&agent.endpoint).map_err(|_| bad())?;
    url.path_segments_mut().map_err(|()| bad())?.pop_if_empty().extend(path);
    Ok(url.into())
}

/// Puts a word in the place of a secret, wherever it stands in the text of an answer.
fn conceal(body: &mut Vec<u8>, secret: &str) {
    if let Ok(text) = str::from_utf8(body)
        && text.contains(secret)
    {
        *body = text.replace(secret, CONCEALED).into_bytes();
    }
}

fn says_json(headers: &HeaderMap) -> bool {
    let kind = headers.get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || essence.ends_with("+json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_an_agent_repeats_is_concealed() {
        let mut body = br#"{"error": "no such key: k3y-k3y, k3y-k3y"}"#.to_vec();
        conceal(&mut body, "k3y-k3y");
        assert_eq!(body, br#"{"error": "no such key: [secret], [secret]"}"#);
        let mut binary = vec![0xff, b'k'];
        conceal(&mut binary, "k");
        assert_eq!(binary, [0xff, b'k'], "what is no text is no answer either");
    }
}
