//! The `text` plugin: tools for plain text. Each has a module with its input, its output and one function, and a file in
//! `tools/` that says the same to callers.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod extract;
#[cfg(target_arch = "wasm32")]
#[expect(unsafe_code, reason = "the generated half of the component's interface speaks raw pointers")]
mod guest;
mod pattern;
mod plain;
mod replace;
mod slugify;
mod split;
mod word_count;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The tools' names, texts and schemas: JSON objects with the fields `name`, `title`, `description`, `inputSchema` and
/// `outputSchema`.
pub const TOOLS: [&str; 6] = [
    include_str!("../tools/extract.json"),
    include_str!("../tools/replace.json"),
    include_str!("../tools/split.json"),
    include_str!("../tools/slugify.json"),
    include_str!("../tools/word_count.json"),
    include_str!("../tools/plain.json"),
];

/// The input is not what the tool takes. Nothing else can go wrong here: every tool is a total function of good input.
#[derive(Debug, PartialEq)]
pub struct InvalidInput(pub String);

/// Runs the tool of this name on JSON text and gives JSON text.
pub fn call(tool: &str, input: &str) -> Result<String, InvalidInput> {
    match tool {
        "text.extract" => run(input, extract::extract),
        "text.replace" => run(input, replace::replace),
        "text.split" => run(input, split::split),
        "text.slugify" => run(input, |input| Ok(slugify::slugify(&input))),
        "text.word_count" => run(input, |input| Ok(word_count::word_count(&input))),
        "text.plain" => run(input, |input| Ok(plain::plain(&input))),
        other => Err(InvalidInput(format!("there is no tool `{other}` here"))),
    }
}

fn run<I: DeserializeOwned, O: Serialize>(
    input: &str,
    tool: impl FnOnce(I) -> Result<O, InvalidInput>,
) -> Result<String, InvalidInput> {
    let input = serde_json::from_str(input).map_err(|error| InvalidInput(error.to_string()))?;
    serde_json::to_string(&tool(input)?).map_err(|error| InvalidInput(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn every_described_tool_can_be_called_with_its_own_example() {
        for tool in TOOLS {
            let tool: Value = serde_json::from_str(tool).unwrap();
            let name = tool["name"].as_str().unwrap();
            for (place, schema) in [("input", &tool["inputSchema"]), ("output", &tool["outputSchema"])] {
                assert_eq!(schema["examples"].as_array().unwrap().len(), 1, "{name} {place}");
            }
            let output = call(name, &tool["inputSchema"]["examples"][0].to_string()).unwrap();
            let output: Value = serde_json::from_str(&output).unwrap();
            assert_eq!(output, tool["outputSchema"]["examples"][0], "{name}");
        }
    }

    #[test]
    fn an_unknown_tool_and_an_unknown_field_are_refused() {
        assert!(call("text.shout", "{}").is_err());
        assert!(call("text.slugify", &json!({ "text": "a", "colour": "red" }).to_string()).is_err());
    }
}
