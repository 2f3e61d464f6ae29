//! Performs one attempt of one call: an agent over HTTP, a tool or an evaluator in the sandbox.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use armilla_domain::call::{Answerer, CallContext, CallError, ErrorClass};
use armilla_domain::definition::Workflow;
use armilla_domain::id::WorkspaceId;
use armilla_domain::journal::{Measured, Usage};
use armilla_domain::plugin::Pin;
use armilla_domain::run::{Answered, Attempt, AttemptResult, Call, CallKind, State};
use armilla_domain::talk::Turn;
use armilla_domain::template::Scope;
use armilla_store::LeasedRun;
use futures::FutureExt;
use serde_json::Value;
use tokio::time::Instant;
use tracing::{debug, error, info};

use crate::ATTEMPT_TIMEOUT_DEFAULT;
use crate::agent_call::call_agent;
use crate::children::Child;
use crate::hold::Hold;
use crate::host::Host;
use crate::pending::{RETRY_DELAY, RETRY_DELAY_MAX};

/// The database could not be reached before anything was asked of the other side: no attempt of the step's.
pub(crate) const STORE_UNAVAILABLE: &str = "store.unavailable";
/// The call was not made, since this host stops or does not hold the run any more: whoever takes it up makes it.
pub(crate) const LEFT_TO_OTHERS: &str = "host.left_to_others";

/// Everything that one attempt needs, so that it does not hold on to the run.
pub(crate) struct Work {
    pub(crate) call: Call,
    hold: Hold,
    pub(crate) context: CallContext,
    pub(crate) workspace: WorkspaceId,
    pub(crate) workflow: Arc<Workflow>,
    /// How many runs stand above this one.
    depth: i32,
    event_depth: i16,
    pub(crate) plugins: Arc<[Pin]>,
    /// What an evaluator's expression and an agent's prompt see.
    pub(crate) scope: Scope,
}

impl Work {
    pub(crate) fn new(host: &Host, run: &LeasedRun, state: &State, hold: &Hold, call: Call) -> Self {
        let step = &state.workflow().steps[call.step];
        // A tool's own limit is the sandbox's affair, and shorter.
        let timeout = step.timeout.unwrap_or(ATTEMPT_TIMEOUT_DEFAULT);
        let deadline = [state.deadline(), call.deadline].into_iter().flatten().min();
        let left = deadline.map(|deadline| crate::time::until(host.clock.now(), deadline));
        let context = CallContext {
            run_id: run.id,
            run_started_at: run.started_at,
            step_id: step.id.clone(),
            visit: call.visit.number,
            attempt: call.attempt,
            turn: call.turn,
            timeout: left.map_or(timeout, |left| timeout.min(left)).max(Duration::from_millis(1)),
            traceparent: run.traceparent.clone(),
        };
        Self {
            scope: match call.kind {
                CallKind::Agent { .. } | CallKind::Evaluator { .. } => state.scope_of(&call.visit.scope),
                // What they are given is in their input.
                CallKind::Tool { .. } | CallKind::Child { .. } => Scope::default(),
            },
            workflow: state.shared_workflow(),
            hold: hold.clone(),
            call,
            context,
            workspace: run.workspace,
            depth: run.depth,
            event_depth: run.event_depth,
            plugins: Arc::clone(state.plugins()),
        }
    }
}

/// Whether a call can touch nothing outside, so that it may be made before what led to it is durable.
pub(crate) fn is_pure(host: &Host, workspace: WorkspaceId, pins: &[Pin], kind: &CallKind) -> bool {
    match kind {
        CallKind::Agent { .. } | CallKind::Child { .. } => false,
        CallKind::Tool { tool_name, plugin, version } => {
            let resolved = host.catalog.snapshot().tool(workspace, pins, tool_name, plugin.as_deref(), *version);
            // One that is not there touches nothing.
            resolved.map_or(true, |resolved| resolved.is_pure())
        }
        CallKind::Evaluator { .. } => true,
    }
}

/// Whether a call may be made again where its step does not say.
pub(crate) fn is_repeatable(host: &Host, workspace: WorkspaceId, pins: &[Pin], kind: &CallKind) -> bool {
    match kind {
        CallKind::Tool { tool_name, plugin, version } => {
            let resolved = host.catalog.snapshot().tool(workspace, pins, tool_name, plugin.as_deref(), *version);
            resolved.is_ok_and(|resolved| resolved.is_pure() || resolved.is_idempotent(tool_name))
        }
        CallKind::Agent { .. } | CallKind::Evaluator { .. } => true,
        CallKind::Child { .. } => false,
    }
}

/// Makes the call. Never panics: a fault of this program ends the attempt, not the run's task.
pub(crate) async fn perform(host: Arc<Host>, work: Work) -> Attempt {
    let began = Instant::now();
    let made = AssertUnwindSafe(call_when_possible(&host, &work)).catch_unwind().await;
    let result = made.unwrap_or_else(|_| {
        error!(run.id = %work.context.run_id, "A call of step `{}` panicked", work.context.step_id);
        Err(CallError::permanent("internal", "the host failed while it made the call"))
    });
    let result = result.and_then(|answer| within_bounds(&host, answer));
    let duration = began.elapsed();
    let CallContext { run_id, step_id, attempt, .. } = &work.context;
    let duration_ms = duration.as_millis() as u64;
    match &result {
        Ok(Answered::NotYet(_)) => {
            debug!(run.id = %run_id, attempt, "The agent of step `{step_id}` of `{run_id}` works")
        }
        Ok(Answered::Turn(_)) => {
            debug!(run.id = %run_id, attempt, duration_ms, "Step `{step_id}` of `{run_id}` goes on")
        }
        Ok(Answered::Done(..)) => {
            debug!(run.id = %run_id, attempt, duration_ms, "Step `{step_id}` of `{run_id}` succeeded")
        }
        Err(error) => {
            info!(run.id = %run_id, attempt, duration_ms, code = %error.code, "Step `{step_id}` of `{run_id}` failed")
        }
    }
    Attempt { call: work.call, result: result.map(|answered| lasted(answered, duration_ms)), duration }
}

/// Makes a call that can touch nothing outside, for a test of a workflow; `None` for any other. Nothing of it is kept but what a
/// plugin's own circuit breaker learns.
pub(crate) async fn perform_pure(
    host: &Arc<Host>,
    workspace: WorkspaceId,
    state: &State,
    call: &Call,
    at_most: Duration,
) -> Option<(AttemptResult, Duration)> {
    let step = &state.workflow().steps[call.step];
    let context = CallContext {
        run_id: state.facts().run_id,
        run_started_at: state.facts().started_at,
        step_id: step.id.clone(),
        visit: call.visit.number,
        attempt: call.attempt,
        turn: 0,
        timeout: step.timeout.unwrap_or(ATTEMPT_TIMEOUT_DEFAULT).min(at_most).max(Duration::from_millis(1)),
        traceparent: None,
    };
    let began = Instant::now();
    let result = match &call.kind {
        CallKind::Agent { .. } | CallKind::Child { .. } => return None,
        CallKind::Tool { tool_name, plugin, version } => {
            let pins = state.plugins();
            match host.resolve_tool(workspace, pins, tool_name, plugin.as_deref(), *version).await {
                Ok(resolved) if !resolved.is_pure() => return None,
                Ok(resolved) => {
                    let answer = host.call_pure_tool(workspace, &resolved, tool_name, &call.input, &context).await;
                    answer.map(|answer| measured(&call.input, answer.value, answer.answerer, None))
                }
                Err(error) => Err(error),
            }
        }
        CallKind::Evaluator { evaluator, expr } => {
            let scope = state.scope_of(&call.visit.scope);
            evaluate(host, workspace, state.plugins(), evaluator, expr, &scope, &context).await
        }
    };
    let duration = began.elapsed();
    let duration_ms = duration.as_millis() as u64;
    Some((result.map(|(value, measured)| (value, Measured { duration_ms, ..measured })), duration))
}

/// The same, with how long it took.
fn lasted(answered: Answered, duration_ms: u64) -> Answered {
    let with = |measured: Measured| Measured { duration_ms, ..measured };
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

/// What is too long for a journal ends its attempt, and says how long it may be.
fn within_bounds(host: &Host, answered: Answered) -> Result<Answered, CallError> {
    let most = host.limits.output_bytes;
    let bytes = match &answered {
        Answered::Done(_, measured) => measured.output_bytes,
        Answered::Turn(turn) => turn.measured().map_or(0, |measured| measured.output_bytes),
        Answered::NotYet(_) => 0,
    };
    if bytes <= most {
        return Ok(answered);
    }
    let message = format!("the output is {bytes} bytes long as JSON, and may be {most}");
    Err(CallError::permanent("step.output_too_large", message))
}

/// Makes the call as soon as the database gives what it takes to make it, within the attempt's own time.
async fn call_when_possible(host: &Arc<Host>, work: &Work) -> Result<Answered, CallError> {
    let began = Instant::now();
    let mut delay = RETRY_DELAY;
    loop {
        let error = match call(host, work).await {
            Err(error) if error.code == STORE_UNAVAILABLE => error,
            made => return made,
        };
        if began.elapsed() + delay >= work.context.timeout {
            return Err(error);
        }
        tokio::select! {
            () = tokio::time::sleep(delay) => delay = (delay * 2).min(RETRY_DELAY_MAX),
            () = host.stopping.cancelled() => {
                return Err(CallError::new(ErrorClass::Unavailable, LEFT_TO_OTHERS, "the host stops"));
            }
        }
    }
}

/// Nothing leaves this host for a run that may be another one's by now.
pub(crate) fn check_lease(work: &Work) -> Result<(), CallError> {
    let lost = || CallError::new(ErrorClass::Unavailable, LEFT_TO_OTHERS, "the run's lease has run out");
    work.hold.is_good().then_some(()).ok_or_else(lost)
}

async fn call(host: &Arc<Host>, work: &Work) -> Result<Answered, CallError> {
    check_lease(work)?;
    match &work.call.kind {
        CallKind::Agent { agent_id } => call_agent(host, work, agent_id).await,
        CallKind::Child { workflow_id, version } => {
            let input = work.call.input["input"].clone();
            let child = Child { workflow: *workflow_id, version: *version, input };
            let run = host
                .start_child(work.workspace, &work.call, &work.context, work.depth, work.event_depth, child)
                .await?;
            let measured =
                Measured { duration_ms: 0, input_bytes: 0, output_bytes: 0, answerer: None, usage: None, prompt: None };
            Ok(Answered::Done(Value::String(run.to_string()), measured))
        }
        CallKind::Tool { tool_name, plugin, version } => {
            let input = &*work.call.input;
            let call = host.call_tool(
                work.workspace,
                &work.plugins,
                tool_name,
                plugin.as_deref(),
                *version,
                input,
                &work.context,
                Some(work.event_depth),
            );
            let answer = call.await?;
            Ok(measured(input, answer.value, answer.answerer, None).into())
        }
        CallKind::Evaluator { evaluator, expr } => {
            let judged = evaluate(host, work.workspace, &work.plugins, evaluator, expr, &work.scope, &work.context);
            Ok(judged.await?.into())
        }
    }
}

async fn evaluate(
    host: &Host,
    workspace: WorkspaceId,
    pins: &[Pin],
    evaluator: &str,
    expr: &str,
    scope: &Scope,
    context: &CallContext,
) -> AttemptResult {
    let variables = scope.to_json();
    let resolved = host.catalog.snapshot().evaluator(workspace, pins, evaluator)?;
    let component = host.component(&resolved, context.timeout).await?;
    let access = host.access(workspace, &resolved.grant);
    let answer = host.sandbox.evaluate(&component, expr, &variables, context, &access).await?;
    Ok(measured(&variables, Value::Bool(answer.value), answer.answerer, None))
}

pub(crate) fn measured(input: &Value, output: Value, answerer: Answerer, usage: Option<Usage>) -> (Value, Measured) {
    let measured = Measured {
        duration_ms: 0,
        input_bytes: json_bytes(input),
        output_bytes: json_bytes(&output),
        answerer: Some(answerer),
        usage,
        prompt: None,
    };
    (output, measured)
}

/// How long a value is as JSON, without writing it down.
fn json_bytes(value: &Value) -> u64 {
    struct Count(u64);

    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len() as u64;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    let mut count = Count(0);
    // A value is always JSON, and counting never fails.
    let _ = serde_json::to_writer(&mut count, value);
    count.0
}
