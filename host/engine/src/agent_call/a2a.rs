//! Agents that make a task of a message: told once, asked until it is done, from whatever host.

use std::sync::Arc;
use std::time::Duration;

use armilla_agents::{A2aProgress, A2aTask, AgentCall, POLL_FIRST, POLL_MAX, a2a_task_is_over};
use armilla_domain::agent::AgentConfig;
use armilla_domain::call::{CallContext, CallError, ErrorClass};
use armilla_domain::id::WorkspaceId;
use armilla_domain::journal::Visit;
use armilla_domain::run::Answered;
use armilla_domain::talk::{RemoteTask, Turn};
use armilla_store::LeasedRun;
use chrono::{DateTime, Utc};
use tokio::time::Instant;
use tracing::{info, warn};

use super::{Asked, known as known_agent, secret_of};
use crate::host::Host;

/// How long a request to give a task up may take.
const CANCEL_MAX: Duration = Duration::from_secs(30);

/// Tells the agent its message, or what it wanted to know: what is due after the turns so far.
pub(super) async fn tell(host: &Host, config: &AgentConfig, call: AgentCall<'_>) -> Result<Asked, CallError> {
    let progress = match call.talk.last().map(|turn| &**turn) {
        Some(Turn::InputGiven { input, .. }) => {
            let told = input.as_str().map_or_else(|| input.to_string(), str::to_owned);
            // Its own words are in the conversation already.
            let call = AgentCall { message: &told, system_prompt: None, output_schema: None, ..call };
            let task = armilla_domain::talk::task(call.talk).map(known);
            host.agents.a2a_send(config, call, task.as_ref()).await?
        }
        Some(Turn::AnswerRefused { text, why, .. }) => {
            let told = format!("{}\n\nYou answered: {text}\n\nThat cannot be used: {why}", call.message);
            host.agents.a2a_send(config, AgentCall { message: &told, ..call }, None).await?
        }
        _ => host.agents.a2a_send(config, call, None).await?,
    };
    Ok(match progress {
        A2aProgress::Working { task, .. } => Asked::Goes(Answered::Turn(begun(config, task, host.clock.now()))),
        other => settled(config, other),
    })
}

/// Asks how far a task has got that was begun at `at`. An exchange that fails says nothing of the task, so it is made again, for as long
/// as the attempt may last.
pub(super) async fn poll(
    host: &Host,
    config: &AgentConfig,
    call: AgentCall<'_>,
    task: &RemoteTask,
    at: DateTime<Utc>,
) -> Result<Asked, CallError> {
    // A clock that is behind the one that wrote this knows no better than that some time has passed.
    let age = (host.clock.now() - at).to_std().unwrap_or(POLL_FIRST);
    if age < POLL_FIRST {
        return Ok(Asked::Goes(Answered::NotYet(POLL_FIRST - age)));
    }
    let (began, task, mut wait) = (Instant::now(), known(task), POLL_FIRST);
    loop {
        let error = match host.agents.a2a_get(config, call, &task, polls_of(age)).await {
            Ok(progress) => return Ok(settled(config, progress)),
            Err(error) if error.class == ErrorClass::Permanent || a2a_task_is_over(&error) => return Err(error),
            Err(error) => error,
        };
        wait = error.retry_after.unwrap_or(wait * 2).clamp(POLL_FIRST, POLL_MAX);
        if began.elapsed() + wait >= call.context.timeout {
            return Err(error);
        }
        tokio::time::sleep(wait).await;
    }
}

fn settled(config: &AgentConfig, progress: A2aProgress) -> Asked {
    match progress {
        A2aProgress::Done(answer) => Asked::Answered(answer),
        A2aProgress::Working { poll_after, .. } => Asked::Goes(Answered::NotYet(poll_after)),
        A2aProgress::InputRequired { task, question } => {
            Asked::Goes(Answered::Turn(Turn::InputRequired { task: remembered(config, task), question }))
        }
    }
}

fn begun(config: &AgentConfig, task: A2aTask, at: DateTime<Utc>) -> Turn {
    Turn::TaskBegun { task: remembered(config, task), at }
}

fn remembered(config: &AgentConfig, task: A2aTask) -> RemoteTask {
    let A2aTask { id, context_id, turns } = task;
    RemoteTask { agent_id: config.id.clone(), id, context_id, turns }
}

fn known(task: &RemoteTask) -> A2aTask {
    A2aTask { id: task.id.clone(), context_id: task.context_id.clone(), turns: task.turns }
}

/// Asks an agent to give up a task that its run waits for no more. Whether it does is its own affair, so nobody waits for that.
pub(crate) fn cancel_task(host: &Arc<Host>, run: &LeasedRun, visit: Visit, task: RemoteTask) {
    let (host, workspace) = (Arc::clone(host), run.workspace);
    let context = CallContext {
        run_id: run.id,
        run_started_at: run.started_at,
        step_id: visit.step,
        visit: visit.number,
        attempt: 1,
        turn: 0,
        timeout: CANCEL_MAX,
        traceparent: run.traceparent.clone(),
    };
    tokio::spawn(async move {
        let cancelled = cancel(&host, workspace, &context, &task).await;
        match cancelled {
            Ok(true) => info!(run.id = %context.run_id, "The task of agent `{}` was cancelled", task.agent_id),
            Ok(false) => info!(run.id = %context.run_id, "The task of agent `{}` was asked to end", task.agent_id),
            Err(error) => warn!(run.id = %context.run_id, "The task of agent `{}` goes on: {error}", task.agent_id),
        }
    });
}

async fn cancel(
    host: &Host,
    workspace: WorkspaceId,
    context: &CallContext,
    task: &RemoteTask,
) -> Result<bool, CallError> {
    let agent = known_agent(host, workspace, &task.agent_id).await?;
    let config = &agent.config;
    let secret = match &config.auth {
        Some(auth) => Some(secret_of(host, workspace, &config.id, &auth.secret).await?),
        None => None,
    };
    let call = AgentCall { secret: secret.as_deref(), ..AgentCall::new("", context) };
    host.agents.a2a_cancel(config, call, &known(task)).await
}

/// How often a task of this age will have been asked for, if each wait was twice the one before: what the next wait follows from, on
/// whatever host.
fn polls_of(age: Duration) -> u32 {
    let steps = age.min(POLL_MAX * 4).as_millis() / POLL_FIRST.as_millis();
    (steps + 1).ilog2()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_for_a_task_grows_with_its_age() {
        let polls = [250, 500, 1_000, 4_000, 60_000, 86_400_000].map(|ms| polls_of(Duration::from_millis(ms)));
        assert_eq!(polls, [1, 1, 2, 4, 7, 8]);
    }
}
