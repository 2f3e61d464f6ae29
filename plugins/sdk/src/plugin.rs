use crate::{Context, Error, Needs, Tool, schema};
use std::collections::BTreeSet;

/// The contract's bound on the tools of one plugin.
pub const TOOLS_MAX: usize = 100;

/// In characters: the contract's bound on the names of plugins and tools.
const NAME_CHARS_MAX: usize = 64;

/// A plugin and its tools; [`plugin!`](crate::plugin!) makes a component of it.
pub struct Plugin {
    pub(crate) name: String,
    pub(crate) version: Option<String>,
    pub(crate) description: String,
    pub(crate) needs: Needs,
    pub(crate) tools: Vec<Tool>,
}

impl Plugin {
    /// A plugin without tools yet, that needs nothing.
    ///
    /// - `name` is unique on one host: 1 to 64 of `a-z 0-9 -`, starting with a letter.
    /// - `description` says what it is for, in one or two sentences of plain text.
    pub fn new(name: impl Into<String>, description: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            version: None,
            description: description.into(),
            needs: Needs::default(),
            tools: Vec::new(),
        }
    }

    /// Another version than the crate's.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }

    #[doc(hidden)]
    #[must_use]
    pub fn version_or(mut self, version: &str) -> Self {
        self.version.get_or_insert_with(|| version.to_owned());
        self
    }

    /// Adds a tool: 1 to 100 of them, each with a name of its own.
    #[must_use]
    pub fn tool(mut self, tool: Tool) -> Self {
        self.tools.push(tool);
        self
    }

    /// It sends requests to this host: `api.example.com`, `*.example.com` for any name below, `*` for whatever the operator
    /// names.
    #[must_use]
    pub fn needs_http(mut self, host: impl Into<String>) -> Self {
        self.needs.http_hosts.push(host.into());
        self
    }

    /// It puts this secret into requests; `*` for whatever the operator names.
    #[must_use]
    pub fn needs_secret(mut self, name: impl Into<String>) -> Self {
        self.needs.secrets.push(name.into());
        self
    }

    /// It reads this configuration value; `*` for whatever the operator names.
    #[must_use]
    pub fn needs_config(mut self, key: impl Into<String>) -> Self {
        self.needs.config_keys.push(key.into());
        self
    }

    /// It reads and writes this key-value namespace; `*` for whatever the operator names.
    #[must_use]
    pub fn needs_kv(mut self, namespace: impl Into<String>) -> Self {
        self.needs.kv.push(namespace.into());
        self
    }

    /// Its clock should move, instead of standing at the run's start.
    #[must_use]
    pub fn needs_clock(mut self) -> Self {
        self.needs.clock = true;
        self
    }

    /// Its chance should be one that nobody can foretell, instead of numbers derived from the run.
    #[must_use]
    pub fn needs_random(mut self) -> Self {
        self.needs.random = true;
        self
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is for.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// What it needs.
    pub fn needs(&self) -> &Needs {
        &self.needs
    }

    /// Its tools, in the order in which they were added.
    pub fn tools(&self) -> &[Tool] {
        &self.tools
    }

    /// Runs the tool of this name on `input`, JSON text, and answers with JSON text: what a host does, without its checks
    /// against the schemas.
    pub fn call(&self, tool: &str, input: &str, context: &Context) -> Result<String, Error> {
        let found = self.tools.iter().find(|candidate| candidate.name == tool);
        let found = found.ok_or_else(|| Error::invalid_input(format_args!("there is no tool `{tool}` here")))?;
        (found.run)(input, context)
    }

    /// Why a host would not load this plugin; empty where it would. [`plugin!`](crate::plugin!) makes a test of it.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if !is_name(&self.name, "-") {
            faults.push(format!(
                "the plugin's name `{}` is not 1 to 64 of `a-z 0-9 -`, starting with a letter",
                self.name
            ));
        }
        if self.tools.is_empty() || self.tools.len() > TOOLS_MAX {
            faults.push(format!("a plugin has 1 to {TOOLS_MAX} tools, not {}", self.tools.len()));
        }
        let mut names = BTreeSet::new();
        for tool in &self.tools {
            let name = &tool.name;
            if !is_name(name, "_.-") {
                faults.push(format!(
                    "the tool's name `{name}` is not 1 to 64 of `a-z 0-9 _ . -`, starting with a letter"
                ));
            }
            if !names.insert(name) {
                faults.push(format!("there are two tools `{name}`"));
            }
            let (input, output) = (tool.input_schema(), tool.output_schema());
            if input["type"] != "object" {
                faults.push(format!("the input of `{name}` is not an object"));
            }
            for (which, schema) in [("input", input), ("output", output)] {
                if let Some(fault) = schema::fault(&schema) {
                    faults.push(format!("the {which} schema of `{name}` {fault}"));
                }
            }
        }
        faults
    }
}

fn is_name(name: &str, also: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || also.contains(c);
    name.len() <= NAME_CHARS_MAX && name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Code;
    use schemars::{JsonSchema, Schema, SchemaGenerator};
    use serde::{Deserialize, Serialize};
    use serde_json::{Value, json};
    use std::borrow::Cow;

    /// Two numbers.
    #[derive(Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Sum {
        /// The first.
        first_term: u32,
        /// The second.
        #[serde(default)]
        second_term: u32,
    }

    #[derive(Serialize, JsonSchema)]
    struct Total {
        /// Both together.
        total: u32,
        #[serde(skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    }

    fn sum(input: Sum) -> Result<Total, Error> {
        let total = input.first_term.checked_add(input.second_term);
        Ok(Total { total: total.ok_or_else(|| Error::invalid_input("too large"))?, note: None })
    }

    fn who(_: Sum, context: &Context) -> Result<Value, Error> {
        Ok(json!({ "run": context.run, "attempt": context.attempt }))
    }

    fn calculator() -> Plugin {
        Plugin::new("calculator", "Adds.")
            .tool(Tool::new("sum", "Sum", "Adds two numbers.", sum).read_only())
            .tool(Tool::new("who", "Who", "Says who asks.", who))
    }

    #[derive(Deserialize, JsonSchema)]
    #[serde(tag = "kind", rename_all = "snake_case")]
    #[expect(dead_code, reason = "only its schema is of interest")]
    enum Shape {
        Circle { radius: f64 },
        Square { side: f64 },
    }

    #[derive(Deserialize, Serialize)]
    struct Vast;

    impl JsonSchema for Vast {
        fn schema_name() -> Cow<'static, str> {
            "Vast".into()
        }

        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            schemars::json_schema!({ "type": "object", "description": "x".repeat(schema::SCHEMA_BYTES_MAX) })
        }
    }

    #[test]
    fn a_tool_answers_in_json() {
        let answer = calculator().call("sum", r#"{"firstTerm":1,"secondTerm":2}"#, &Context::example());
        assert_eq!(answer.as_deref(), Ok(r#"{"total":3}"#));
    }

    #[test]
    fn a_tool_can_ask_which_attempt_it_is() {
        let answer = calculator().call("who", r#"{"firstTerm":1}"#, &Context::example()).unwrap();
        assert!(answer.ends_with(r#""attempt":1}"#), "{answer}");
    }

    #[test]
    fn a_tools_own_error_an_unfit_input_and_an_unknown_tool_are_invalid_input() {
        let calculator = calculator();
        for (tool, input) in [
            ("sum", r#"{"firstTerm":4294967295,"secondTerm":1}"#),
            ("sum", r#"{"firstTerm":1,"thirdTerm":1}"#),
            ("sum", "{"),
            ("nonesuch", "{}"),
        ] {
            let error = calculator.call(tool, input, &Context::example()).unwrap_err();
            assert_eq!(error.code(), Code::InvalidInput, "{tool} {input}");
        }
    }

    #[test]
    fn schemas_say_what_the_types_say() {
        let calculator = calculator();
        let schema = calculator.tools()[0].input_schema();
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
        assert_eq!(schema["type"], "object");
        assert_eq!(schema["additionalProperties"], json!(false));
        assert_eq!(schema["required"], json!(["firstTerm"]));
        assert_eq!(schema["properties"]["firstTerm"]["description"], "The first.");
        // What a field defaults to is of no concern in an answer, and what may be left out is not required.
        assert_eq!(calculator.tools()[0].output_schema()["required"], json!(["total"]));
    }

    #[test]
    fn a_choice_of_objects_is_an_object() {
        let plugin = Plugin::new("a", "A.").tool(Tool::new("a", "A", "A.", |_: Shape| Ok::<_, Error>(Value::Null)));
        assert_eq!(plugin.tools()[0].input_schema()["type"], "object");
        assert_eq!(plugin.faults(), Vec::<String>::new());
    }

    #[test]
    fn a_sound_plugin_has_no_faults() {
        assert_eq!(calculator().faults(), Vec::<String>::new());
    }

    #[test]
    fn a_plugin_that_no_host_would_load_says_why() {
        let faulty = Plugin::new("Loud", "Says it louder.")
            .tool(Tool::new("a b", "A", "A.", |_: String| Ok::<_, Error>(Vast)))
            .tool(Tool::new("sum", "Sum", "Adds.", sum))
            .tool(Tool::new("sum", "Sum", "Adds.", sum));
        let faults = faulty.faults();
        for part in
            ["plugin's name `Loud`", "tool's name `a b`", "is not an object", "output schema of `a b`", "two tools"]
        {
            assert!(faults.iter().any(|fault| fault.contains(part)), "{part}: {faults:?}");
        }
        assert!(Plugin::new("empty", "Nothing.").faults()[0].contains("1 to 100 tools"));
    }

    #[test]
    fn the_crates_version_is_the_default() {
        assert_eq!(calculator().version_or("1.2.3").version.as_deref(), Some("1.2.3"));
        assert_eq!(calculator().version("2.0.0").version_or("1.2.3").version.as_deref(), Some("2.0.0"));
    }
}
