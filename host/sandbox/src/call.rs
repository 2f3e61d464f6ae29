//! Calls: a tool, a check of an expression, a condition.

use std::sync::Arc;
use std::time::Duration;

use armilla_domain::call::{Answerer, CallContext, CallError, ErrorClass};
use armilla_domain::json::{JSON_DEPTH_MAX, is_too_deep};
use armilla_domain::plugin::{Denial, Grant};
use chrono::DateTime;
use serde_json::Value;

use crate::access::Access;
use crate::bindings::condition::{EvaluationError, ExpressionError};
use crate::bindings::types::{CallContext as GuestContext, ErrorCode, ToolError};
use crate::error::{CheckError, ExpressionFault};
use crate::instance::{Frame, Ran, Used, too_large};
use crate::limits::{INPUT_BYTES_MAX, Limits};
use crate::plugin::{Plugin, Tool};
use crate::results::ResultKey;
use crate::sandbox::Sandbox;

/// In characters of a message that a guest wrote: a sentence, and it goes into the journal.
const GUEST_MESSAGE_CHARS_MAX: usize = 1_000;

/// A result, and who gave it.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer<T> {
    /// The result.
    pub value: T,
    /// The plugin that gave it: name, version, and the digest that says exactly what ran.
    pub answerer: Answerer,
}

/// How a tool's call ended.
#[derive(Debug)]
pub struct Called {
    /// Its answer, or why there is none.
    pub result: Result<Answer<Value>, CallError>,
    /// The capabilities it asked for and was not granted, whatever it made of that.
    pub denied: Vec<String>,
    /// What it used.
    pub used: Used,
}

impl Sandbox {
    /// Calls a tool with `params`, which must fit its input schema.
    pub async fn call_tool(
        &self,
        plugin: &Arc<Plugin>,
        tool: &str,
        params: &Value,
        context: &CallContext,
        access: &Access,
    ) -> Called {
        let subject = format!("The tool `{tool}` of the plugin `{}`", plugin.description.name);
        let done = |result| Called { result, denied: Vec::new(), used: Used::default() };
        let Some(found) = plugin.tool(tool) else {
            let message = format!("The plugin `{}` has no tool `{tool}`", plugin.description.name);
            return done(Err(CallError::permanent("tool.unknown", message)));
        };
        let input = match check_input(&subject, found, params) {
            Ok(input) => input,
            Err(error) => return done(Err(error)),
        };
        let answer = |value| Answer { value, answerer: plugin.answerer() };
        let key = (access.grant.cache_results && access.grant.is_pure())
            .then(|| ResultKey::new(access.workspace, &plugin.digest, tool, &input));
        if let Some(kept) = key.and_then(|key| self.results.get(&key)) {
            return done(Ok(answer(Value::clone(&kept))));
        }

        let limits = self.inner.host.limits.under(&access.grant.limits);
        let ran = self.run_tool(plugin, tool, input, context, access, &subject, limits).await;
        let denied: Vec<String> = ran.denied.iter().map(|denial| denial.capability.clone()).collect();
        let result = ran.result.and_then(|answered| answered.map_err(|error| reported(&subject, error)));
        let result = result.map_err(|error| blame_the_grant(&subject, error, &ran.denied));
        let result = result.and_then(|output| {
            let value = read_output(&subject, found, &output, limits.output_bytes)?;
            if let Some(key) = key {
                self.results.keep(key, output.len(), &value);
            }
            Ok(answer(value))
        });
        Called { result, denied, used: ran.used }
    }

    #[expect(clippy::too_many_arguments, reason = "one call's parts, taken apart by its caller")]
    async fn run_tool(
        &self,
        plugin: &Arc<Plugin>,
        tool: &str,
        input: String,
        context: &CallContext,
        access: &Access,
        subject: &str,
        limits: Limits,
    ) -> Ran<Result<String, ToolError>> {
        let Some(pre) = plugin.tools_pre.clone() else {
            let error = CallError::permanent("tool.unknown", format!("{subject} is not there"));
            return Ran::refused(error);
        };
        let frame = frame(plugin, subject.to_owned(), access, limits).of_run(context);
        let gate = self.gates.of(&self.inner.host, access.workspace, &plugin.digest, &limits);
        let (tool, told) = (tool.to_owned(), guest_context(context, limits.wall));
        let work = self.inner.host.run(&gate, frame, move |store| {
            Box::pin(async move {
                let plugin = pre.instantiate_async(&mut *store).await?;
                plugin.armilla_plugin_tools().call_call(store, &tool, &input, &told).await
            })
        });
        work.await
    }

    /// Whether an expression can be understood by an evaluator.
    pub async fn check_expression(
        &self,
        plugin: &Arc<Plugin>,
        expression: &str,
        access: &Access,
    ) -> Result<(), CheckError> {
        let subject = format!("The evaluator `{}`", plugin.description.name);
        let Some(pre) = plugin.condition_pre.clone() else {
            return Err(CheckError::Call(no_evaluator(plugin)));
        };
        let access = &without_capabilities(access);
        if expression.len() > INPUT_BYTES_MAX {
            return Err(CheckError::Call(input_too_large(&subject)));
        }
        let limits = self.inner.host.limits.under(&access.grant.limits);
        let gate = self.gates.of(&self.inner.host, access.workspace, &plugin.digest, &limits);
        let text = expression.to_owned();
        let work = self.inner.host.run(&gate, frame(plugin, subject, access, limits), move |store| {
            Box::pin(async move {
                let plugin = pre.instantiate_async(&mut *store).await?;
                plugin.armilla_plugin_condition().call_check(store, &text).await
            })
        });
        let checked = work.await.result.map_err(CheckError::Call)?;
        checked.map_err(|ExpressionError { message, offset }| {
            let offset = usize::try_from(offset).unwrap_or(usize::MAX).min(expression.len());
            CheckError::Fault(ExpressionFault { message: shortened(&message), offset })
        })
    }

    /// Judges an expression over `variables`, an object.
    pub async fn evaluate(
        &self,
        plugin: &Arc<Plugin>,
        expression: &str,
        variables: &Value,
        context: &CallContext,
        access: &Access,
    ) -> Result<Answer<bool>, CallError> {
        let subject = format!("The evaluator `{}`", plugin.description.name);
        let Some(pre) = plugin.condition_pre.clone() else { return Err(no_evaluator(plugin)) };
        let access = &without_capabilities(access);
        let variables = to_json(&subject, variables)?;
        let limits = self.inner.host.limits.under(&access.grant.limits);
        let gate = self.gates.of(&self.inner.host, access.workspace, &plugin.digest, &limits);
        let frame = frame(plugin, subject.clone(), access, limits).of_run(context);
        let expression = expression.to_owned();
        let work = self.inner.host.run(&gate, frame, move |store| {
            Box::pin(async move {
                let plugin = pre.instantiate_async(&mut *store).await?;
                plugin.armilla_plugin_condition().call_evaluate(store, &expression, &variables).await
            })
        });
        let value = work.await.result?.map_err(|error| match error {
            EvaluationError::Invalid(ExpressionError { message, offset }) => CallError::permanent(
                "expr.invalid",
                format!("{subject} cannot read the expression: {} (at byte {offset})", shortened(&message)),
            ),
            EvaluationError::NotBoolean(what) => CallError::permanent(
                "expr.type",
                format!("{subject} found {}, where an expression must be true or false", shortened(&what)),
            ),
            EvaluationError::Failed(message) => {
                CallError::permanent("expr.failed", format!("{subject} cannot judge: {}", shortened(&message)))
            }
        })?;
        Ok(Answer { value, answerer: plugin.answerer() })
    }
}

/// A call that belongs to no run yet.
fn frame(plugin: &Plugin, subject: String, access: &Access, limits: Limits) -> Frame {
    Frame {
        plugin: plugin.description.name.clone(),
        subject,
        needs: plugin.description.needs.clone(),
        access: access.clone(),
        limits,
        now: DateTime::UNIX_EPOCH,
        key: "check".to_owned(),
        timeout: Duration::MAX,
    }
}

/// An evaluator is a pure function, whatever was granted to the tools beside it: an expression is judged again after a crash, and
/// checked whenever somebody writes one.
fn without_capabilities(access: &Access) -> Access {
    let Grant { log_level, limits, .. } = *access.grant;
    let grant = Arc::new(Grant { log_level, limits, ..Grant::default() });
    Access { workspace: access.workspace, grant, services: Arc::clone(&access.services) }
}

fn no_evaluator(plugin: &Plugin) -> CallError {
    let message = format!("The plugin `{}` is no evaluator", plugin.description.name);
    CallError::permanent("expr.unknown_evaluator", message)
}

fn guest_context(context: &CallContext, wall: Duration) -> GuestContext {
    GuestContext {
        run: context.run_id.to_string(),
        step: context.step_id.clone(),
        visit: context.visit,
        attempt: context.attempt,
        idempotency_key: context.idempotency_key(),
        timeout_milliseconds: u64::try_from(context.timeout.min(wall).as_millis()).unwrap_or(u64::MAX),
    }
}

fn check_input(subject: &str, tool: &Tool, params: &Value) -> Result<String, CallError> {
    let input = to_json(subject, params)?;
    tool.input.check(params).map_err(|faults| {
        CallError::permanent("tool.invalid_input", format!("{subject} does not take this input: {faults}"))
    })?;
    Ok(input)
}

fn to_json(subject: &str, value: &Value) -> Result<String, CallError> {
    let text = value.to_string();
    if text.len() > INPUT_BYTES_MAX { Err(input_too_large(subject)) } else { Ok(text) }
}

fn input_too_large(subject: &str) -> CallError {
    CallError::permanent("tool.input_too_large", format!("{subject} takes no more than {INPUT_BYTES_MAX} bytes"))
}

pub(crate) fn read_output(subject: &str, tool: &Tool, output: &str, bytes_max: usize) -> Result<Value, CallError> {
    if output.len() > bytes_max {
        return Err(too_large(subject, bytes_max));
    }
    let bad = |what: String| CallError::permanent("tool.bad_output", format!("{subject} answered {what}"));
    let value: Value = serde_json::from_str(output).map_err(|error| bad(format!("with what is not JSON: {error}")))?;
    if is_too_deep(&value) {
        return Err(bad(format!("with more than {JSON_DEPTH_MAX} levels of arrays and objects")));
    }
    if let Some(schema) = &tool.output {
        schema.check(&value).map_err(|faults| bad(format!("against its own schema: {faults}")))?;
    }
    Ok(value)
}

/// A call that failed after it was denied something failed for that reason, as far as anybody can tell: it reported a failure or
/// gave up by a trap. One that met a limit failed for that.
fn blame_the_grant(subject: &str, error: CallError, denied: &[Denial]) -> CallError {
    let blamed = REPORTED_CODES.contains(&&*error.code) || error.code == "tool.trap";
    match denied {
        [] => error,
        _ if !blamed => error,
        [first, rest @ ..] => {
            let others = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
            let message = format!("{subject}: {}{others}", first.message);
            CallError::permanent("tool.capability_denied", message)
        }
    }
}

/// The codes of what a guest reports that could do no more: others name a cause of their own.
const REPORTED_CODES: [&str; 2] = ["tool.denied", "tool.failed"];

/// An error that the guest reports itself.
fn reported(subject: &str, error: ToolError) -> CallError {
    let (class, code) = match error.code {
        ErrorCode::InvalidInput => (ErrorClass::Permanent, "tool.invalid_input"),
        ErrorCode::Denied => (ErrorClass::Permanent, "tool.denied"),
        ErrorCode::Unavailable => (ErrorClass::Unavailable, "tool.unavailable"),
        ErrorCode::RateLimited => (ErrorClass::RateLimited, "tool.rate_limited"),
        ErrorCode::Failed if error.retryable => (ErrorClass::Tool, "tool.failed"),
        ErrorCode::Failed => (ErrorClass::Permanent, "tool.failed"),
    };
    let mut reported = CallError::new(class, code, format!("{subject}: {}", shortened(&error.message)));
    reported.retry_after = error.retry_after_milliseconds.map(|millis| Duration::from_millis(millis.into()));
    reported
}

pub(crate) fn shortened(message: &str) -> String {
    match message.char_indices().nth(GUEST_MESSAGE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &message[..end]),
        None => message.to_owned(),
    }
}
