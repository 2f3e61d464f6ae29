//! Agent2Agent, versions 1.0 and 0.3, by JSON-RPC and by HTTP+JSON: <https://a2a-protocol.org>.
//!
//! An agent answers a message at once, or makes a task of it, which outlives the connection and the host that began it. So one call
//! here is one exchange: what it gives can be written down before the next one, and whoever reads it goes on from there.

mod answer;
mod card;
mod cards;
mod fault;
mod task;
mod wire;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use armilla_domain::agent::AgentConfig;
use armilla_domain::call::{CallContext, CallError, ErrorClass};
use armilla_domain::talk::REMOTE_ID_BYTES_MAX;
use armilla_egress::{HeaderMap, HeaderValue, Method, OutboundRequest};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use self::card::Interface;
pub(crate) use self::cards::Cards;
use self::task::Reading;
use self::wire::Operation;
use crate::answer::AgentAnswer;
use crate::call::{AgentCall, Agents, prompt_with_schema, url_of};
use crate::{ANSWER_BYTES_MAX, failure, headers};

/// A card is a page of JSON; larger ones describe hundreds of skills, none of which is read here.
pub const CARD_BYTES_MAX: usize = 256 * 1024;
/// How long a card is believed, where its server does not want it shorter: an agent that moves is found again within minutes.
pub const CARD_AGE_MAX: Duration = Duration::from_secs(5 * 60);
/// Cards kept at once, a few hundred bytes each: more than the agents that one host calls within [`CARD_AGE_MAX`].
pub const CARDS_MAX: usize = 256;
/// In bytes. Agents name tasks by UUIDs mostly, and the journal keeps this of each.
pub const TASK_ID_BYTES_MAX: usize = REMOTE_ID_BYTES_MAX;
/// Of what an agent asks: a page or two, since people are shown it.
pub const QUESTION_CHARS_MAX: usize = 10_000;
/// How soon a new task is asked for: many end within a second.
pub const POLL_FIRST: Duration = Duration::from_millis(250);
/// How seldom an old one is: an answer that took minutes may come half a minute late.
pub const POLL_MAX: Duration = Duration::from_secs(30);

/// A card comes quickly or not at all, and the rest of the time is for the answer.
const CARD_TIMEOUT: Duration = Duration::from_secs(10);
const WELL_KNOWN: [&str; 2] = [".well-known", "agent-card.json"];

/// A task that an agent works on: what has to be remembered of it to go on, from any host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct A2aTask {
    /// The agent's id of the task, at most [`TASK_ID_BYTES_MAX`].
    pub id: String,
    /// The agent's id of the conversation that the task belongs to, as long at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_id: Option<String>,
    /// How many messages the task has been sent, from 1. The next one is named by it.
    pub turns: u32,
}

/// How far an agent has got.
#[derive(Debug, Clone, PartialEq)]
pub enum A2aProgress {
    /// It has answered.
    Done(AgentAnswer),
    /// It works.
    Working {
        /// What on.
        task: A2aTask,
        /// How long to wait before asking again: between [`POLL_FIRST`] and [`POLL_MAX`], unless the agent wants it longer.
        poll_after: Duration,
    },
    /// It goes on when it is sent an answer to its question.
    InputRequired {
        /// What it waits with.
        task: A2aTask,
        /// What it asks, at most [`QUESTION_CHARS_MAX`].
        question: String,
    },
}

impl Agents {
    /// Sends a message: to begin with, or as the answer to what `task` asked. Comes back at once where the agent makes a task of it, as the
    /// protocol wants; an agent that answers without one may take as long as the call does.
    ///
    /// The message's id and the `Idempotency-Key` follow from the visit and the number of the message, so a message that is sent again can be
    /// told from a new one.
    ///
    /// # Errors
    /// Those of [`Agents::call`], and where the task has ended badly: `agent.task_failed`, which may be tried again, and
    /// `agent.task_rejected`, `agent.task_canceled`, `agent.task_not_found` and `agent.auth_required`, which may not.
    pub async fn a2a_send(
        &self,
        agent: &AgentConfig,
        call: AgentCall<'_>,
        task: Option<&A2aTask>,
    ) -> Result<A2aProgress, CallError> {
        self.send_within(agent, &call, task, limit_of(agent, call.context)).await
    }

    /// Asks how far a task has got. `polls` is how often that was asked before, by which the next wait grows.
    ///
    /// # Errors
    /// Those of [`Agents::a2a_send`]. [`a2a_task_is_over`] tells those that say something of the task from those of the exchange, after which
    /// the task can be asked for again.
    pub async fn a2a_get(
        &self,
        agent: &AgentConfig,
        call: AgentCall<'_>,
        task: &A2aTask,
        polls: u32,
    ) -> Result<A2aProgress, CallError> {
        self.get_within(agent, &call, task, polls, limit_of(agent, call.context)).await
    }

    /// Asks an agent to end a task, and gives whether it has ended, however it did. An agent may need a while, or not be able to.
    ///
    /// # Errors
    /// Those of the exchange, and `agent.task_not_cancelable`. A task that the agent does not know any more has ended.
    pub async fn a2a_cancel(
        &self,
        agent: &AgentConfig,
        call: AgentCall<'_>,
        task: &A2aTask,
    ) -> Result<bool, CallError> {
        let exchanged = self.exchange(agent, &call, &Operation::Cancel(task), limit_of(agent, call.context)).await;
        match exchanged {
            Ok((_, answer)) => task::has_ended(&agent.id, &answer.body, task),
            Err(error) if error.code == fault::TASK_NOT_FOUND => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Sends a message and asks for its task until that ends, for as long as the call may take.
    pub(crate) async fn until_done(&self, agent: &AgentConfig, call: AgentCall<'_>) -> Result<AgentAnswer, CallError> {
        let limit = limit_of(agent, call.context);
        let started = Instant::now();
        let mut progress = self.send_within(agent, &call, None, limit).await?;
        for polls in 1.. {
            let (task, poll_after) = match progress {
                A2aProgress::Done(answer) => return Ok(answer),
                A2aProgress::Working { task, poll_after } => (task, poll_after),
                A2aProgress::InputRequired { question, .. } => return Err(fault::of_question(&agent.id, &question)),
            };
            let left = limit.saturating_sub(started.elapsed()).saturating_sub(poll_after);
            if left.is_zero() {
                break;
            }
            tokio::time::sleep(poll_after).await;
            progress = match self.get_within(agent, &call, &task, polls, left).await {
                // The task goes on, whatever became of the question.
                Err(error) if error.class != ErrorClass::Permanent && !a2a_task_is_over(&error) => {
                    A2aProgress::Working { task, poll_after: poll_after_of(polls, error.retry_after) }
                }
                other => other?,
            };
        }
        Err(fault::of_slow_task(&agent.id, limit))
    }

    async fn send_within(
        &self,
        agent: &AgentConfig,
        call: &AgentCall<'_>,
        task: Option<&A2aTask>,
        limit: Duration,
    ) -> Result<A2aProgress, CallError> {
        let model = call.model.map_or(Cow::Borrowed(&agent.model), |over| Cow::Owned(agent.model.overridden_by(over)));
        if model.asks_for_anything() {
            return Err(fault::of_model(&agent.id));
        }
        if !call.tools.is_empty() {
            return Err(failure::of_tools(&agent.id));
        }
        let prompt = prompt_with_schema(call, agent.structured_output());
        let turns = task.map_or(1, |task| task.turns.saturating_add(1));
        let operation = Operation::Send {
            message_id: &message_id(call.context, turns),
            texts: [prompt.as_deref(), Some(call.message)],
            task,
        };
        let (interface, answer) = self.exchange(agent, call, &operation, limit).await?;
        let reading = Reading { turns, polls: 0, retry_after: failure::retry_after(&answer.headers), asked_for: None };
        task::progress(&agent.id, &interface, &answer.body, &reading)
    }

    async fn get_within(
        &self,
        agent: &AgentConfig,
        call: &AgentCall<'_>,
        task: &A2aTask,
        polls: u32,
        limit: Duration,
    ) -> Result<A2aProgress, CallError> {
        let (interface, answer) = self.exchange(agent, call, &Operation::Get(task), limit).await?;
        let retry_after = failure::retry_after(&answer.headers);
        let reading = Reading { turns: task.turns, polls, retry_after, asked_for: Some(task) };
        task::progress(&agent.id, &interface, &answer.body, &reading)
    }

    /// One operation at the interface that the agent's card names. What comes back is the operation's result, out of its envelope.
    async fn exchange(
        &self,
        agent: &AgentConfig,
        call: &AgentCall<'_>,
        operation: &Operation<'_>,
        limit: Duration,
    ) -> Result<(Interface, Exchanged), CallError> {
        let started = Instant::now();
        let interfaces = self.interfaces(agent, call, limit).await?;
        let interface = card::choose(&interfaces, agent, call.secret.is_some())?.clone();

        let mut headers = headers::of(agent, call)?;
        headers.insert("a2a-version", HeaderValue::from_static(interface.version.name()));
        match operation {
            Operation::Send { message_id, .. } => {
                headers.insert("idempotency-key", header(message_id)?);
            }
            // A question may have another answer each time that it is asked.
            Operation::Get(_) | Operation::Cancel(_) => drop(headers.remove("idempotency-key")),
        }
        let rpc_id = format!("{}:{}", call.context.idempotency_key(), call.context.attempt);
        let request = wire::request(&interface, operation, &rpc_id).ok_or_else(|| fault::of_card_url(&agent.id))?;
        let outgoing = OutboundRequest {
            method: request.method,
            url: request.url,
            headers,
            body: request.body,
            timeout: limit.saturating_sub(started.elapsed()),
            answer_bytes_max: ANSWER_BYTES_MAX,
        };
        let result = match self.answer_to(agent, call, outgoing).await {
            Ok(answer) => wire::result(&agent.id, &interface, operation, &rpc_id, &answer)
                .map(|body| Exchanged { body, headers: answer.headers }),
            Err(error) => Err(error),
        };
        if result.as_ref().is_err_and(fault::may_be_moved) {
            self.cards.forget(&cards::key(agent, call.secret));
        }
        Ok((interface, result?))
    }

    /// What the agent's card says of where it is spoken with, most wanted first; never empty.
    async fn interfaces(
        &self,
        agent: &AgentConfig,
        call: &AgentCall<'_>,
        limit: Duration,
    ) -> Result<Arc<[Interface]>, CallError> {
        let key = cards::key(agent, call.secret);
        if let Some(known) = self.cards.get(&key, Instant::now()) {
            return Ok(known);
        }
        let mut headers = headers::of(agent, call)?;
        for name in ["content-type", "idempotency-key"] {
            headers.remove(name);
        }
        let is_card = url::Url::parse(&agent.endpoint).is_ok_and(|url| url.path().ends_with(".json"));
        let outgoing = OutboundRequest {
            method: Method::GET,
            url: if is_card { agent.endpoint.clone() } else { url_of(agent, &WELL_KNOWN)? },
            headers,
            body: Vec::new(),
            timeout: limit.min(CARD_TIMEOUT),
            answer_bytes_max: CARD_BYTES_MAX,
        };
        let answer = self.answer_to(agent, call, outgoing).await.map_err(fault::of_card)?;
        if !(200..300).contains(&answer.status) {
            return Err(fault::of_card(failure::of_status(&agent.id, &answer)));
        }
        let interfaces: Arc<[Interface]> = card::interfaces(&agent.id, &answer.body)?.into();
        self.cards.put(key, Arc::clone(&interfaces), Instant::now(), cards::age(&answer.headers));
        Ok(interfaces)
    }
}

/// What an operation gave.
struct Exchanged {
    body: serde_json::Value,
    headers: HeaderMap,
}

/// Whether an error says that the task has ended, or waits for what this cannot give it; after any other the task goes on.
pub fn a2a_task_is_over(error: &CallError) -> bool {
    fault::OF_TASKS.contains(&error.code.as_ref())
}

fn limit_of(agent: &AgentConfig, context: &CallContext) -> Duration {
    agent.limits.timeout.map_or(context.timeout, |limit| limit.min(context.timeout))
}

/// The first message's is the visit's idempotency key, as with every other protocol.
fn message_id(context: &CallContext, turns: u32) -> String {
    match turns {
        1 => context.idempotency_key(),
        later => format!("{}:{later}", context.idempotency_key()),
    }
}

fn poll_after_of(polls: u32, asked: Option<Duration>) -> Duration {
    let usual = POLL_FIRST.saturating_mul(2_u32.saturating_pow(polls)).min(POLL_MAX);
    // Nobody who asks to be left alone means to be asked without a pause.
    asked.map_or(usual, |asked| asked.max(POLL_FIRST))
}

fn header(text: &str) -> Result<HeaderValue, CallError> {
    HeaderValue::try_from(text).map_err(|_| CallError::permanent("agent.bad_call", "the step's id fits into no header"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_waits_between_two_questions_grow_up_to_a_bound_and_heed_the_agent_s_wish() {
        let waits = [0, 1, 2, 6, 7, 400].map(|polls| poll_after_of(polls, None).as_millis());
        assert_eq!(waits, [250, 500, 1_000, 16_000, 30_000, 30_000]);
        assert_eq!(poll_after_of(0, Some(Duration::from_secs(90))), Duration::from_secs(90));
        assert_eq!(poll_after_of(9, Some(Duration::ZERO)), POLL_FIRST);
    }

    #[test]
    fn a_task_is_written_as_the_journal_keeps_it() {
        let task = A2aTask { id: "t-1".into(), context_id: Some("c-1".into()), turns: 2 };
        let written = serde_json::json!({ "id": "t-1", "contextId": "c-1", "turns": 2 });
        assert_eq!(serde_json::to_value(&task).unwrap(), written);
        assert_eq!(serde_json::from_value::<A2aTask>(written).unwrap(), task);
    }
}
