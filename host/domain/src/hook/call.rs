//! What becomes of a call that is believed.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Hook, Scheme, Verification};
use crate::call::CallError;
use crate::json::is_too_deep;
use crate::template::{Scope, TEMPLATE_OUTPUT_BYTES_MAX, Templates};

/// Headers that prove who somebody is, so that no expression sees them.
const PRIVATE_HEADERS: [&str; 3] = ["authorization", "cookie", "proxy-authorization"];

/// A call of a hook.
#[derive(Debug, Clone)]
pub struct Call {
    /// Such as `POST`.
    pub method: String,
    /// By their names in small letters.
    pub headers: BTreeMap<String, String>,
    /// The query's parameters; of several with one name, the last.
    pub query: BTreeMap<String, String>,
    /// The body: what its JSON says, a form's fields, or text; null where there is none.
    pub body: Value,
}

/// What is to be done about a call.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Nothing: `when` does not hold.
    Ignored,
    /// Nothing but to give this back: so Slack finds out whether somebody is there who has the secret.
    Challenged(String),
    /// A run is to be started, unless one of the same key was.
    Start {
        /// What it is given.
        input: Value,
        /// What tells it from others; nothing where each call counts.
        key: Option<String>,
    },
}

impl Hook {
    /// What is to be done about `call`.
    ///
    /// # Errors
    /// Those of expressions, and `expr.limit` where the input nests too deep.
    pub fn judge(&self, templates: &Templates, call: Call) -> Result<Verdict, CallError> {
        if self.verify.as_ref().is_some_and(|verify| verify.scheme == Scheme::Slack)
            && call.body.get("type").is_some_and(|kind| kind == "url_verification")
            && let Some(challenge) = call.body.get("challenge").and_then(Value::as_str)
        {
            return Ok(Verdict::Challenged(challenge.to_owned()));
        }
        let scope = scope_of(call, self.verify.as_ref());
        if let Some(when) = &self.when
            && !templates.holds(when, &scope)?
        {
            return Ok(Verdict::Ignored);
        }
        let key = match self.deduplicate_by.as_deref().or(self.verify.as_ref().and_then(|by| by.scheme.delivery_id())) {
            None => None,
            Some(expression) => match templates.evaluate(expression, &scope)? {
                Value::Null => None,
                Value::String(text) => Some(text).filter(|text| !text.is_empty()),
                other => Some(other.to_string()),
            },
        };
        let input = match &self.input {
            None => json!({ "body": scope.get("body").map(|body| (**body).clone()) }),
            Some(fields) => {
                let mut room = TEMPLATE_OUTPUT_BYTES_MAX;
                let fields = fields.iter().map(|(name, expression)| {
                    Ok((name.clone(), templates.evaluate_within(expression, &scope, &mut room)?))
                });
                Value::Object(fields.collect::<Result<Map<_, _>, CallError>>()?)
            }
        };
        if is_too_deep(&input) {
            return Err(CallError::permanent("expr.limit", "the input nests too deep"));
        }
        Ok(Verdict::Start { input, key })
    }
}

fn scope_of(call: Call, verify: Option<&Verification>) -> Scope {
    let Call { method, headers, query, body } = call;
    let proof = verify.map(Verification::proof_header);
    let texts = |all: BTreeMap<String, String>| -> Map<String, Value> {
        all.into_iter().map(|(name, value)| (name, Value::String(value))).collect()
    };
    let mut headers = texts(headers);
    headers.retain(|name, _| !PRIVATE_HEADERS.contains(&name.as_str()) && Some(name.as_str()) != proof);
    [
        ("body", body),
        ("headers", Value::Object(headers)),
        ("query", Value::Object(texts(query))),
        ("method", Value::String(method)),
    ]
    .into_iter()
    .collect()
}
