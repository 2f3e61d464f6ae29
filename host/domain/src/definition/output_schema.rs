//! What an agent's answer must be.

use std::sync::Arc;

use serde_json::Value;

use super::InputSchema;
use crate::agent::json_of_text;

/// Faults that an agent is told of at once: it reads them all again.
const FAULTS_TOLD_MAX: usize = 10;

/// The `outputSchema` of an agent step: as written, for the agent, and compiled.
#[derive(Debug, Clone)]
pub struct OutputSchema {
    schema: Arc<Value>,
    compiled: InputSchema,
}

impl PartialEq for OutputSchema {
    fn eq(&self, other: &Self) -> bool {
        self.schema == other.schema
    }
}

impl OutputSchema {
    /// Compiles a schema, under the bounds of [`InputSchema`].
    ///
    /// # Errors
    /// The pointer into the schema, and what is wrong there.
    pub fn parse(schema: &Value) -> Result<Self, (String, String)> {
        Ok(Self { compiled: InputSchema::parse(schema)?, schema: Arc::new(schema.clone()) })
    }

    /// As it was written.
    pub fn as_written(&self) -> &Arc<Value> {
        &self.schema
    }

    /// Whether any JSON will do.
    pub fn is_any_json(&self) -> bool {
        self.schema.as_object().is_some_and(serde_json::Map::is_empty)
    }

    /// The value of an answer: of its whole text, or of the one code fence it consists of.
    ///
    /// # Errors
    /// What is wrong with it, for the agent to mend. It repeats nothing of the answer but names and places.
    pub fn judge(&self, text: &str) -> Result<Value, String> {
        let value = json_of_text(text).map_err(|why| format!("it is not JSON ({why})"))?;
        let faults = self.compiled.faults(&value);
        if faults.is_empty() {
            return Ok(value);
        }
        let told: Vec<String> = faults
            .iter()
            .take(FAULTS_TOLD_MAX)
            .map(|fault| {
                let place = if fault.pointer.is_empty() { "the whole" } else { fault.pointer.as_str() };
                format!("{place}: {}", fault.detail)
            })
            .collect();
        Err(format!("it does not fit the schema ({})", told.join("; ")))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_is_the_json_of_its_whole_text_and_fits() {
        let schema =
            json!({ "type": "object", "required": ["score"], "properties": { "score": { "type": "number" } } });
        let schema = OutputSchema::parse(&schema).unwrap();
        assert_eq!(schema.judge(" {\"score\": 1} ").unwrap(), json!({ "score": 1 }));
        assert_eq!(schema.judge("```json\n{\"score\": 1}\n```").unwrap(), json!({ "score": 1 }));
        assert!(schema.judge("Here you are: {\"score\": 1}").unwrap_err().contains("not JSON"));
        let why = schema.judge("{\"score\": \"hunter2\"}").unwrap_err();
        assert!(why.contains("/score") && !why.contains("hunter2"), "{why}");
        assert!(schema.judge("{}").unwrap_err().contains("score"));
    }

    #[test]
    fn any_json_will_do_where_the_schema_is_empty() {
        let schema = OutputSchema::parse(&json!({})).unwrap();
        assert!(schema.is_any_json());
        assert_eq!(schema.judge("7").unwrap(), json!(7));
        assert!(schema.judge("seven").is_err());
    }
}
