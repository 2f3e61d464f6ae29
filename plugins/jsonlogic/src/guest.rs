//! The component's outer layer: from the contract's types to ours and back.

use crate::{Failure, Invalid};
use exports::armilla::plugin::condition::{EvaluationError, ExpressionError, Guest, PluginInfo};

wit_bindgen::generate!({ path: "../../wit", world: "condition-plugin" });

struct JsonLogic;

export!(JsonLogic);

impl Guest for JsonLogic {
    fn describe() -> PluginInfo {
        PluginInfo {
            name: "jsonlogic".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            description: "Judges conditions in JSONLogic, written as JSON text.".to_owned(),
        }
    }

    fn check(expression: String) -> Result<(), ExpressionError> {
        crate::check(&expression).map_err(ExpressionError::from)
    }

    fn evaluate(expression: String, variables: String) -> Result<bool, EvaluationError> {
        let variables = serde_json::from_str(&variables)
            .map_err(|error| EvaluationError::Failed(format!("the variables are not an object: {error}")))?;
        crate::evaluate(&expression, variables).map_err(|error| match error {
            Failure::Invalid(invalid) => EvaluationError::Invalid(invalid.into()),
            Failure::NotBool(kind) => EvaluationError::NotBoolean(kind.to_owned()),
            Failure::Failed(message) => EvaluationError::Failed(message),
        })
    }
}

impl From<Invalid> for ExpressionError {
    fn from(Invalid { message, offset }: Invalid) -> Self {
        Self { message, offset: u32::try_from(offset).unwrap_or(u32::MAX) }
    }
}
