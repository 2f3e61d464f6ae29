//! Calls: a tool, a check of an expression, a condition.

use std::sync::Arc;
use std::time::Duration;

use armilla_domain::call::{CallContext, CallError, ErrorClass};
use armilla_domain::json::{JSON_DEPTH_MAX, is_too_deep};
use serde_json::Value;

use crate::bindings::condition::{EvaluationError, ExpressionError};
use crate::bindings::types::{CallContext as GuestContext, ErrorCode, ToolError};
use crate::error::{CheckError, ExpressionFault};
use crate::info::Answer;
use crate::instance::{Frame, too_large};
use crate::limits::{INPUT_BYTES_MAX, OUTPUT_BYTES_MAX};
use crate::registry::{Plugin, Tool};
use crate::sandbox::Sandbox;

/// In characters of a message that a guest wrote: a sentence, and it goes into the journal.
const GUEST_MESSAGE_CHARS_MAX: usize = 1_000;

impl Sandbox {
    /// Calls a tool with `params`, which must fit its input schema. `plugin` narrows the name, where a workflow gives it.
    pub async fn call_tool(
        &self,
        plugin: Option<&str>,
        tool: &str,
        params: &Value,
        context: &CallContext,
    ) -> Result<Answer<Value>, CallError> {
        let (plugin, tool) = self.find(plugin, tool)?;
        let subject = format!("The tool `{}` of the plugin `{}`", tool.name, plugin.info.name);
        let input = to_json(&subject, params)?;
        tool.input.check(params).map_err(|faults| {
            CallError::permanent("tool.invalid_input", format!("{subject} does not take this input: {faults}"))
        })?;
        let Some(pre) = plugin.tools_pre.clone() else {
            return Err(CallError::permanent("tool.unknown", format!("{subject} is not there")));
        };
        let frame = Frame::of_run(&plugin.info.name, subject.clone(), context);
        let (name, told) = (tool.name.clone(), guest_context(context, self.inner.host.limits.wall));
        let work = self.inner.host.run(&plugin.turns, frame, move |store| {
            Box::pin(async move {
                let plugin = pre.instantiate_async(&mut *store).await?;
                plugin.armilla_plugin_tools().call_call(store, &name, &input, &told).await
            })
        });
        let output = work.await?.map_err(|error| reported(&subject, error))?;
        let value = read_output(&subject, &tool, &output)?;
        Ok(Answer { value, answerer: plugin.answerer() })
    }

    /// Whether an expression can be understood by the evaluator of this name.
    pub async fn check_expression(&self, evaluator: &str, expression: &str) -> Result<(), CheckError> {
        let plugin = self.evaluator(evaluator).map_err(CheckError::Call)?;
        let Some(pre) = plugin.condition_pre.clone() else {
            return Err(CheckError::Call(unknown_evaluator(evaluator)));
        };
        let subject = format!("The evaluator `{evaluator}`");
        if expression.len() > INPUT_BYTES_MAX {
            return Err(CheckError::Call(input_too_large(&subject)));
        }
        let frame = Frame::of_host(&plugin.info.name, subject, "check");
        let text = expression.to_owned();
        let work = self.inner.host.run(&plugin.turns, frame, move |store| {
            Box::pin(async move {
                let plugin = pre.instantiate_async(&mut *store).await?;
                plugin.armilla_plugin_condition().call_check(store, &text).await
            })
        });
        let checked = work.await.map_err(CheckError::Call)?;
        checked.map_err(|ExpressionError { message, offset }| {
            let offset = usize::try_from(offset).unwrap_or(usize::MAX).min(expression.len());
            CheckError::Fault(ExpressionFault { message: shortened(&message), offset })
        })
    }

    /// Judges an expression over `variables`, an object.
    pub async fn evaluate(
        &self,
        evaluator: &str,
        expression: &str,
        variables: &Value,
        context: &CallContext,
    ) -> Result<Answer<bool>, CallError> {
        let plugin = self.evaluator(evaluator)?;
        let Some(pre) = plugin.condition_pre.clone() else {
            return Err(unknown_evaluator(evaluator));
        };
        let subject = format!("The evaluator `{evaluator}`");
        let variables = to_json(&subject, variables)?;
        let frame = Frame::of_run(&plugin.info.name, subject.clone(), context);
        let expression = expression.to_owned();
        let work = self.inner.host.run(&plugin.turns, frame, move |store| {
            Box::pin(async move {
                let plugin = pre.instantiate_async(&mut *store).await?;
                plugin.armilla_plugin_condition().call_evaluate(store, &expression, &variables).await
            })
        });
        let value = work.await?.map_err(|error| match error {
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

    fn find(&self, plugin: Option<&str>, tool: &str) -> Result<(Arc<Plugin>, Arc<Tool>), CallError> {
        let found = self.inner.registry().tools.get(tool).cloned();
        found.filter(|(found, _)| plugin.is_none_or(|name| name == found.info.name)).ok_or_else(|| {
            let place = plugin.map_or_else(String::new, |plugin| format!(" in a plugin `{plugin}`"));
            CallError::permanent("tool.unknown", format!("There is no tool `{tool}`{place}"))
        })
    }

    fn evaluator(&self, name: &str) -> Result<Arc<Plugin>, CallError> {
        self.inner.registry().evaluators.get(name).cloned().ok_or_else(|| unknown_evaluator(name))
    }
}

fn unknown_evaluator(name: &str) -> CallError {
    CallError::permanent("expr.unknown_evaluator", format!("There is no evaluator `{name}`"))
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

fn to_json(subject: &str, value: &Value) -> Result<String, CallError> {
    let text = value.to_string();
    if text.len() > INPUT_BYTES_MAX { Err(input_too_large(subject)) } else { Ok(text) }
}

fn input_too_large(subject: &str) -> CallError {
    CallError::permanent("tool.input_too_large", format!("{subject} takes no more than {INPUT_BYTES_MAX} bytes"))
}

fn read_output(subject: &str, tool: &Tool, output: &str) -> Result<Value, CallError> {
    if output.len() > OUTPUT_BYTES_MAX {
        return Err(too_large(subject));
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

fn shortened(message: &str) -> String {
    match message.char_indices().nth(GUEST_MESSAGE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &message[..end]),
        None => message.to_owned(),
    }
}
