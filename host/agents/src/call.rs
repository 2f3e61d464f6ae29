//! One call, whatever the protocol.

use std::borrow::Cow;
use std::sync::Arc;

use armilla_domain::agent::{AgentConfig, AgentProtocol, ModelSettings, StructuredOutput};
use armilla_domain::call::{CallContext, CallError};
use armilla_domain::definition::OutputSchema;
use armilla_domain::talk::Turn;
use armilla_egress::{Egress, EgressError, HeaderMap, Method, OutboundAnswer, OutboundRequest};
use serde_json::Value;
use url::Url;

use crate::a2a::Cards;
use crate::answer::AgentAnswer;
use crate::conversation::instruction;
use crate::sse::{Events, Gathering, Told};
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
    /// What was said in the visit before.
    pub talk: &'a [Arc<Turn>],
    /// The tools that the agent may ask for.
    pub tools: &'a [ToolOffer],
    /// What its answer must be.
    pub output_schema: Option<&'a OutputSchema>,
    /// What is sent in place of a protocol's own body, where the agent's configuration maps it.
    pub body: Option<&'a Value>,
    /// Told of each piece of the answer as it comes, where the protocol has pieces; of the whole at once where not.
    pub deltas: Option<&'a Deltas<'a>>,
    /// Whose call this is.
    pub context: &'a CallContext,
}

/// Who is told of each piece of an answer.
pub type Deltas<'a> = dyn Fn(&str) + Send + Sync + 'a;

/// A tool that an agent may ask for.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolOffer {
    /// Its name as models take it.
    pub name: String,
    /// What it does, for the model.
    pub description: String,
    /// JSON Schema of what it takes.
    pub parameters: Value,
}

impl<'a> AgentCall<'a> {
    /// A message, and nothing else.
    pub fn new(message: &'a str, context: &'a CallContext) -> Self {
        Self {
            message,
            system_prompt: None,
            secret: None,
            model: None,
            talk: &[],
            tools: &[],
            output_schema: None,
            body: None,
            deltas: None,
            context,
        }
    }
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
        if !call.tools.is_empty() && matches!(agent.protocol, AgentProtocol::Http | AgentProtocol::A2a) {
            return Err(failure::of_tools(&agent.id));
        }
        if agent.protocol == AgentProtocol::A2a {
            return self.until_done(agent, call).await;
        }
        let structured = agent.structured_output();
        let prompt = prompt_with_schema(&call, structured);
        let call = AgentCall { system_prompt: prompt.as_deref(), ..call };
        let (url, body) = match (agent.protocol, call.body) {
            (_, Some(body)) => (agent.endpoint.clone(), body.clone()),
            (AgentProtocol::Openai, None) => {
                (url_of(agent, &["chat", "completions"])?, openai::request(&call, &model, structured))
            }
            (AgentProtocol::Anthropic, None) => (url_of(agent, &["messages"])?, anthropic::request(&call, &model)),
            (AgentProtocol::Http | AgentProtocol::A2a, None) => {
                (agent.endpoint.clone(), http::request(&agent.id, &call, &model))
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
        match call.deltas {
            Some(deltas) => self.exchange_in_pieces(agent, &call, request, deltas).await,
            None => self.exchange_whole(agent, &call, request).await,
        }
    }

    async fn exchange_whole(
        &self,
        agent: &AgentConfig,
        call: &AgentCall<'_>,
        request: OutboundRequest,
    ) -> Result<AgentAnswer, CallError> {
        let answer = self.answer_to(agent, call, request).await?;
        read(agent, call, answer)
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

    /// As [`Agents::exchange_whole`], and tells of each piece. Servers that know no pieces answer as ever.
    async fn exchange_in_pieces(
        &self,
        agent: &AgentConfig,
        call: &AgentCall<'_>,
        request: OutboundRequest,
        deltas: &Deltas<'_>,
    ) -> Result<AgentAnswer, CallError> {
        let of_egress = |error| failure::of_egress(&agent.id, &error);
        let mut incoming = self.egress.open(request).await.map_err(of_egress)?;
        let mut gathering: Box<dyn Gathering> = match agent.protocol {
            AgentProtocol::Openai if says_events(&incoming.headers) => Box::<openai::Stream>::default(),
            AgentProtocol::Anthropic if says_events(&incoming.headers) => Box::<anthropic::Stream>::default(),
            _ => {
                let mut body = Vec::new();
                while let Some(piece) = incoming.chunk().await.map_err(of_egress)? {
                    body.extend_from_slice(piece.as_ref());
                }
                let mut answer = OutboundAnswer { status: incoming.status, headers: incoming.headers, body };
                if let Some(secret) = call.secret {
                    conceal(&mut answer.body, secret);
                }
                let answer = read(agent, call, answer)?;
                if answer.calls.is_empty() {
                    deltas(&answer.text);
                }
                return Ok(answer);
            }
        };
        if !(200..300).contains(&incoming.status) {
            let answer = OutboundAnswer { status: incoming.status, headers: incoming.headers, body: Vec::new() };
            return Err(failure::of_status(&agent.id, &answer));
        }
        let (mut events, mut told) = (Events::default(), Told::new(deltas, call.secret, CONCEALED));
        let cut = |reason: &str| failure::of_stream(&agent.id, reason);
        loop {
            let piece = match incoming.chunk().await {
                Ok(Some(piece)) => piece,
                Ok(None) => break,
                Err(error @ (EgressError::Timeout { .. } | EgressError::AnswerTooLarge { .. })) => {
                    return Err(of_egress(error));
                }
                Err(_) => return Err(cut("the connection broke in the middle of its stream")),
            };
            for (kind, data) in events.take(piece.as_ref()).map_err(cut)? {
                if let Some(text) = gathering.event(&kind, &data).map_err(cut)? {
                    told.tell(&text);
                }
            }
        }
        told.end();
        let mut answer = gathering.finish().ok_or_else(|| cut("its stream ended before its answer did"))?;
        if let Some(secret) = call.secret
            && answer.text.contains(secret)
        {
            let calls = std::mem::take(&mut answer.calls);
            let concealed = AgentAnswer::of_text(answer.text.replace(secret, CONCEALED));
            answer = AgentAnswer { calls, usage: answer.usage, model: answer.model, ..concealed };
        }
        Ok(answer)
    }
}

/// Reads a whole answer.
fn read(agent: &AgentConfig, call: &AgentCall<'_>, answer: OutboundAnswer) -> Result<AgentAnswer, CallError> {
    if !(200..300).contains(&answer.status) {
        return Err(failure::of_status(&agent.id, &answer));
    }
    if answer.body.iter().all(u8::is_ascii_whitespace) {
        return Err(failure::of_nothing(&agent.id, answer.status));
    }
    let read = match agent.protocol {
        // What the configuration maps is read by it.
        AgentProtocol::Http if call.body.is_some() || agent.response.is_some() => http::whole(&answer.body),
        AgentProtocol::Openai => openai::answer(&answer.body),
        AgentProtocol::Anthropic => anthropic::answer(&answer.body),
        AgentProtocol::Http | AgentProtocol::A2a => http::answer(&answer.body, says_json(&answer.headers)),
    };
    read.map_err(|reason| failure::of_body(&agent.id, reason, &answer))
}

/// The system prompt, and what the answer must be, where no other place of the request says that.
pub(crate) fn prompt_with_schema<'a>(call: &AgentCall<'a>, structured: StructuredOutput) -> Option<Cow<'a, str>> {
    let prompt = call.system_prompt.map(Cow::Borrowed);
    match call.output_schema {
        // OpenAI gives any JSON only to who asks for it in words, too.
        Some(schema) if structured != StructuredOutput::Schema || schema.is_any_json() => {
            let instruction = instruction(schema.as_written());
            Some(Cow::Owned(match prompt {
                Some(prompt) => format!("{prompt}\n\n{instruction}"),
                None => instruction,
            }))
        }
        _ => prompt,
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

fn says_events(headers: &HeaderMap) -> bool {
    essence_of(headers) == "text/event-stream"
}

fn says_json(headers: &HeaderMap) -> bool {
    let essence = essence_of(headers);
    essence == "application/json" || essence.ends_with("+json")
}

/// The media type without its parameters.
pub(crate) fn essence_of(headers: &HeaderMap) -> String {
    let kind = headers.get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
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
