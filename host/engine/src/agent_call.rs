//! Asks an agent: under its limits, with its prompt, its tools and its secret; and the one that stands in for it where it fails.

mod a2a;
mod circuits;
mod places;

use std::sync::Arc;
use std::time::Duration;

use armilla_agents::{AgentAnswer, AgentCall, ToolOffer};
use armilla_domain::agent::{AgentConfig, AgentProtocol, ModelSettings};
use armilla_domain::call::{Answerer, CallError, ErrorClass, PromptUse};
use armilla_domain::definition::{AgentStep, StepKind};
use armilla_domain::id::WorkspaceId;
use armilla_domain::journal::{Measured, Usage};
use armilla_domain::run::Answered;
use armilla_domain::talk::{self, REMOTE_ID_BYTES_MAX, RemoteTask, Turn, was_refused};
use armilla_domain::template::Scope;
use armilla_store::{AgentForCall, AgentRow, Store, StoreError};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::time::Instant;
use tracing::{error, info, warn};

pub(crate) use self::a2a::cancel_task;
pub(crate) use self::circuits::Circuits;
pub use self::circuits::ENDPOINT_OPEN_FOR;
use self::circuits::speaks_against_the_endpoint;
use self::places::Place;
use crate::executor::{STORE_UNAVAILABLE, Work, check_lease, measured};
use crate::host::Host;
use crate::prompts;

/// How many agents one attempt asks: the step's own, and those that stand in for it.
pub(crate) const AGENTS_ASKED_MAX: usize = 4;

/// An agent as it is now.
pub(crate) struct Known {
    found: AgentForCall,
    config: AgentConfig,
}

/// Makes the call that an agent step owes.
pub(crate) async fn call_agent(host: &Arc<Host>, work: &Work, agent_id: &str) -> Result<Answered, CallError> {
    // A task is asked for where it is worked on.
    let task = talk::task(&work.call.talk);
    let mut agent = known(host, work.workspace, task.map_or(agent_id, |task| task.agent_id.as_str())).await?;
    let mut asked = vec![agent.config.id.clone()];
    // What stands in shares the time of the attempt.
    let until = Instant::now() + work.context.timeout;
    if let Some(Turn::TaskBegun { task, at }) = work.call.talk.last().map(|turn| &**turn) {
        return ask_for_task(host, work, &agent, task, *at).await;
    }
    loop {
        let error = match ask(host, work, &agent, until).await {
            Err(error) if may_pass(&error) && task.is_none() => error,
            settled => return settled,
        };
        let Some(other) = agent.config.fallback_agent_id.clone() else { return Err(error) };
        if asked.len() >= AGENTS_ASKED_MAX || asked.contains(&other) || until <= Instant::now() {
            return Err(error);
        }
        info!(run.id = %work.context.run_id, code = %error.code, "Agent `{}` fails; `{other}` is asked in its place", agent.config.id);
        agent = match known(host, work.workspace, &other).await {
            Ok(agent) => agent,
            Err(missing) => {
                warn!("`{other}`, which stands in for `{}`, cannot be asked: {missing}", agent.config.id);
                return Err(error);
            }
        };
        asked.push(other);
    }
}

/// Whether another agent may do better, and nothing of ours is in the way.
fn may_pass(error: &CallError) -> bool {
    error.class != ErrorClass::Permanent && error.code.starts_with("agent.")
}

/// Read at each call: what was changed before it counts. Calls that begin at the same time share a read.
async fn known(host: &Host, workspace: WorkspaceId, id: &str) -> Result<Arc<Known>, CallError> {
    let (store, of) = (host.store.clone(), id.to_owned());
    let read = move || {
        let (store, id) = (store.clone(), of.clone());
        async move { read_agent(&store, workspace, &id).await.map(Arc::new) }
    };
    let failed = || CallError::permanent("internal", "the host failed while it looked an agent up");
    host.agents_read.get((workspace, id.to_owned()), read).await.unwrap_or_else(|| Err(failed()))
}

async fn read_agent(store: &Store, workspace: WorkspaceId, id: &str) -> Result<Known, CallError> {
    let found = store.agent_for_call(workspace, id).await.map_err(|error| of_store(&error))?;
    let found = found.ok_or_else(|| CallError::permanent("agent.unknown", format!("there is no agent `{id}`")))?;
    let config = serde_json::from_str(&found.agent.config).map_err(|_| {
        CallError::permanent("agent.bad_config", format!("`{id}` has a configuration of another program"))
    })?;
    Ok(Known { found, config })
}

/// Asks for a task that is under way: no new call of the agent, so neither its limits nor its prompt have a say in it.
async fn ask_for_task(
    host: &Arc<Host>,
    work: &Work,
    agent: &Known,
    task: &RemoteTask,
    at: DateTime<Utc>,
) -> Result<Answered, CallError> {
    let Known { found, config } = agent;
    let secret = match &config.auth {
        Some(auth) => Some(secret_of(host, work.workspace, &config.id, &auth.secret).await?),
        None => None,
    };
    check_lease(work)?;
    let call = AgentCall { secret: secret.as_deref(), ..AgentCall::new("", &work.context) };
    match a2a::poll(host, config, call, task, at).await? {
        Asked::Goes(on) => Ok(on),
        Asked::Answered(answer) => {
            let (step, input) = (work.agent_step()?, &*work.call.input);
            take(step, input, &found.agent, &work.call.talk, answer, None)
        }
    }
}

/// Asks one agent once, unless its endpoint is left alone or its limits are reached.
async fn ask(host: &Arc<Host>, work: &Work, agent: &Known, until: Instant) -> Result<Answered, CallError> {
    let Known { found, config } = agent;
    let step = work.agent_step()?;
    let input = &*work.call.input;
    let suffix = input["systemPromptSuffix"].as_str();
    let prompt = prompts::for_call(host, work.workspace, found, config, work.context.run_id, &work.scope).await?;
    let system_prompt = match (prompt.text, suffix) {
        (Some(prompt), Some(suffix)) => Some(format!("{prompt}\n\n{suffix}")),
        (prompt, suffix) => prompt.or(suffix.map(str::to_owned)),
    };
    let secret = match &config.auth {
        Some(auth) => Some(secret_of(host, work.workspace, &config.id, &auth.secret).await?),
        None => None,
    };
    let tools = offers(host, work, step);
    // A step knows best what it wants, and then the version of the prompt that was written for it.
    let model = step.model.as_ref().map_or_else(|| prompt.model.clone(), |own| prompt.model.overridden_by(own));
    let body = mapped_body(host, work, config, system_prompt.as_deref())?;
    let circuit = host.circuits.of(work.workspace, &config.endpoint);
    let admission = circuit.breaker.admit(Instant::now().into_std());
    let admission = admission.map_err(|left| circuit.left_alone(&config.id, left))?;
    let _place = Place::take(host, work, config, until).await?;
    let mut context = work.context.clone();
    context.timeout = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
    let tell = |text: &str| host.deltas.tell(work.context.run_id, text);
    let call = AgentCall {
        system_prompt: system_prompt.as_deref(),
        secret: secret.as_deref(),
        model: Some(&model),
        talk: &work.call.talk,
        tools: &tools,
        output_schema: step.output_schema.as_ref(),
        body: body.as_ref(),
        deltas: host.deltas.is_followed(work.context.run_id).then_some(&tell),
        ..AgentCall::new(input["message"].as_str().unwrap_or_default(), &context)
    };
    // All that came before may have taken its time.
    check_lease(work)?;
    host.deltas.begin(work.context.run_id);
    let asked_at = Instant::now();
    let answer = match config.protocol {
        AgentProtocol::A2a => a2a::tell(host, config, call).await,
        _ => host.agents.call(config, call).await.map(Asked::Answered),
    };
    let had_its_time = context.timeout >= work.context.timeout / 2;
    let fault = answer.as_ref().err().filter(|error| speaks_against_the_endpoint(error, had_its_time));
    if let Some(error) = fault {
        circuit.note(error);
    }
    let is_fault = fault.is_some();
    if admission.settle(Instant::now().into_std(), is_fault) {
        warn!(agent.id = %config.id, "The endpoint of agent `{}` failed too often and is left alone for a while", config.id);
    }
    let usage = match &answer {
        Ok(Asked::Answered(answer)) => usage_of(host, config, &model, answer),
        _ => None,
    };
    if let Some(used) = &prompt.used {
        host.prompt_counts.note_call(work.workspace, &config.id, used, answer.is_ok(), usage, asked_at.elapsed());
    }
    let taken = match answer {
        Ok(Asked::Goes(on)) => Ok(on),
        Ok(Asked::Answered(answer)) => {
            let answer = mapped_answer(host, config, answer);
            answer.and_then(|answer| take(step, input, &found.agent, &work.call.talk, answer, usage))
        }
        Err(error) => Err(error),
    };
    match (taken, prompt.used) {
        (Ok(answered), Some(used)) => Ok(made_with(answered, *used)),
        (Err(error), used) => Err(CallError { prompt: used, ..error }),
        (Ok(answered), None) => Ok(answered),
    }
}

/// The same, with the system prompt that it was made with.
fn made_with(answered: Answered, prompt: PromptUse) -> Answered {
    let with = |measured: Measured| Measured { prompt: Some(Box::new(prompt.clone())), ..measured };
    match answered {
        Answered::Done(value, measured) => Answered::Done(value, with(measured)),
        Answered::Turn(Turn::ToolsAsked { text, calls, measured }) => {
            Answered::Turn(Turn::ToolsAsked { text, calls, measured: with(measured) })
        }
        Answered::Turn(Turn::AnswerRefused { text, why, measured }) => {
            Answered::Turn(Turn::AnswerRefused { text, why, measured: with(measured) })
        }
        other => other,
    }
}

/// What asking an agent gave.
enum Asked {
    /// An answer, or the wish for tools.
    Answered(AgentAnswer),
    /// It works on it, or wants to know something.
    Goes(Answered),
}

/// What an answer means for the visit.
fn take(
    step: &AgentStep,
    input: &Value,
    row: &AgentRow,
    talk: &[Arc<Turn>],
    answer: AgentAnswer,
    usage: Option<Usage>,
) -> Result<Answered, CallError> {
    let id = &row.id;
    if !answer.calls.is_empty() {
        if step.tools.is_empty() {
            let wanted = answer.calls.first().map(|call| call.name.as_str()).unwrap_or_default();
            let message = format!("agent `{id}` asks for the tool `{wanted}`, and its step gives it none");
            return Err(CallError::permanent("agent.unexpected_tool_calls", message));
        }
        if answer.calls.iter().any(|call| call.id.len() > REMOTE_ID_BYTES_MAX) {
            let message = format!("agent `{id}` asks for tools under ids that are too long");
            return Err(CallError::new(ErrorClass::Server, "agent.bad_answer", message));
        }
        let told = json!(answer.calls);
        let (_, measured) = measured(input, told, answerer_of(row), usage);
        return Ok(Answered::Turn(Turn::ToolsAsked { text: answer.text, calls: answer.calls, measured }));
    }
    let Some(schema) = &step.output_schema else {
        return Ok(measured(input, answer.value, answerer_of(row), usage).into());
    };
    match schema.judge(&answer.text) {
        Ok(value) => Ok(measured(input, value, answerer_of(row), usage).into()),
        Err(why) if was_refused(talk) => {
            let message = format!("agent `{id}` was told so, and its answer still is not what the step wants: {why}");
            Err(CallError::permanent("agent.invalid_output", message).with_evidence(&answer.text))
        }
        Err(why) => {
            let (text, measured) = measured(input, Value::String(answer.text), answerer_of(row), usage);
            let text = text.as_str().unwrap_or_default().to_owned();
            Ok(Answered::Turn(Turn::AnswerRefused { text, why, measured }))
        }
    }
}

/// The tools that the agent is told of: those of its step that are there.
fn offers(host: &Host, work: &Work, step: &AgentStep) -> Vec<ToolOffer> {
    let snapshot = host.catalog.snapshot();
    let described = step.tools.iter().filter_map(|tool| {
        let (name, plugin) = (&tool.tool_name, tool.plugin.as_deref());
        let (description, parameters) =
            snapshot.described(work.workspace, &work.plugins, name, plugin, tool.version)?;
        Some(ToolOffer { name: tool.wire_name(), description, parameters })
    });
    described.collect()
}

/// What is sent where the configuration says so: its `request`, over what a call knows.
fn mapped_body(
    host: &Host,
    work: &Work,
    config: &AgentConfig,
    system_prompt: Option<&str>,
) -> Result<Option<Value>, CallError> {
    let Some(request) = &config.request else { return Ok(None) };
    let context = &work.context;
    let refused = match work.call.talk.last().map(|turn| &**turn) {
        Some(Turn::AnswerRefused { why, .. }) => json!(why),
        _ => Value::Null,
    };
    let scope: Scope = [
        ("agentId", json!(config.id)),
        ("message", work.call.input["message"].clone()),
        ("systemPrompt", json!(system_prompt)),
        ("model", json!(config.model)),
        ("outputSchema", json!(work.agent_step()?.output_schema.as_ref().map(|schema| schema.as_written()))),
        ("refused", refused),
        ("runId", json!(context.run_id)),
        ("stepId", json!(context.step_id)),
        ("visit", json!(context.visit)),
        ("attempt", json!(context.attempt)),
    ]
    .into_iter()
    .collect();
    let rendered = host.templates.render_deep(request, &scope).map_err(|error| {
        CallError::permanent("agent.bad_mapping", format!("agent `{}`: `request`: {}", config.id, error.message))
    })?;
    Ok(Some(rendered))
}

/// What the configuration's `response` picks out of an answer.
fn mapped_answer(host: &Host, config: &AgentConfig, answer: AgentAnswer) -> Result<AgentAnswer, CallError> {
    let Some(response) = &config.response else { return Ok(answer) };
    let scope: Scope = [("body", answer.value)].into_iter().collect();
    let picked = host.templates.evaluate(response, &scope);
    let told = |why: &str| {
        CallError::new(ErrorClass::Server, "agent.bad_answer", format!("agent `{}`: `response` {why}", config.id))
            .with_evidence(&answer.text)
    };
    match picked {
        Ok(Value::Null) => Err(told("finds nothing in its answer")),
        Ok(Value::String(text)) => Ok(AgentAnswer { usage: answer.usage, ..AgentAnswer::of_text(text) }),
        Ok(value) => Ok(AgentAnswer { text: value.to_string(), value, ..AgentAnswer::of_text("") }),
        Err(error) => Err(told(&format!("cannot be evaluated over its answer: {}", error.message))),
    }
}

/// The tokens of a call, and what they cost: by the agent's own price, else by the operator's table, by the name of the model that
/// answered or, else, was asked for.
fn usage_of(host: &Host, config: &AgentConfig, model: &ModelSettings, answer: &AgentAnswer) -> Option<Usage> {
    let usage = answer.usage?;
    let asked = model.model_id.as_ref().or(config.model.model_id.as_ref());
    let known = [answer.model.as_ref(), asked].into_iter().flatten().find_map(|model| host.limits.prices.get(model));
    let price = config.price.as_ref().or(known);
    Some(Usage {
        input_tokens: usage.input,
        output_tokens: usage.output,
        cost_micros: price.map(|price| price.micros(usage.input, usage.output)),
    })
}

/// The value of a secret, at the moment of the call.
async fn secret_of(host: &Host, workspace: WorkspaceId, agent_id: &str, name: &str) -> Result<String, CallError> {
    let sealed = host.store.sealed_secret(workspace, name).await.map_err(|error| of_store(&error))?;
    let missing = |detail: &str| {
        CallError::permanent("agent.secret_missing", format!("agent `{agent_id}`: the secret `{name}` {detail}"))
    };
    let sealed = sealed.ok_or_else(|| missing("is not there; `PUT /secrets/:name` sets it"))?;
    host.sealing.open(workspace, name, &sealed).ok_or_else(|| missing("was sealed with another key; set it again"))
}

fn answerer_of(row: &AgentRow) -> Answerer {
    let digest = Sha256::digest(row.config.as_bytes());
    Answerer {
        kind: "agent".into(),
        name: row.id.clone(),
        version: row.version.to_string(),
        digest: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

pub(crate) fn of_store(error: &StoreError) -> CallError {
    if error.is_unavailable() {
        CallError::new(ErrorClass::Unavailable, STORE_UNAVAILABLE, "the agent's configuration could not be read")
    } else {
        error!("The configuration of an agent could not be read: {error}");
        CallError::permanent("internal", "the agent's configuration could not be read")
    }
}

impl Work {
    /// The step that asks.
    fn agent_step(&self) -> Result<&AgentStep, CallError> {
        match &self.workflow.steps[self.call.step].kind {
            StepKind::Agent(step) => Ok(step),
            // Only an agent step owes the call of an agent.
            _ => Err(CallError::permanent("internal", "no agent step owes this call of an agent")),
        }
    }
}
