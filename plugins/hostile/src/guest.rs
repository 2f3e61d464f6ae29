//! The component's outer layer: from the contract's types to ours and back.

use armilla::plugin::log::{self, Level};
use armilla::plugin::types::{ErrorCode, Needs};
use exports::armilla::plugin::tools::{CallContext, Description, Guest, PluginInfo, Tool, ToolError};
use serde_json::{Value, json};

use crate::errands;
use crate::guise::guise;

wit_bindgen::generate!({ path: "../../wit", world: "tool-plugin" });

struct Hostile;

export!(Hostile);

impl Guest for Hostile {
    fn describe() -> Description {
        let mut plain = Description {
            plugin: PluginInfo {
                name: "hostile".to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                description: "Test only: does what no plugin should.".to_owned(),
            },
            tools: crate::TOOLS.iter().map(|name| tool(name)).collect(),
            needs: everything(),
        };
        match guise() {
            "no-needs" => plain.needs = nothing(),
            "traps" => panic!("it does not say what it is"),
            "loops" => loop {
                std::hint::black_box(0);
            },
            "name" => plain.plugin.name = "Not A Name".to_owned(),
            "no-version" => plain.plugin.version = String::new(),
            "tool-name" => plain.tools.push(tool("../../etc/passwd")),
            "twins" => plain.tools.push(tool("echo")),
            "no-tools" => plain.tools.clear(),
            "many-tools" => plain.tools = (0..101).map(|n| tool(&format!("tool{n}"))).collect(),
            "long-text" => plain.tools[0].description = "x".repeat(1 << 20),
            "bad-host" => plain.needs.http_hosts = vec!["https://example.com/".to_owned()],
            "many-needs" => plain.needs.kv = (0..101).map(|n| n.to_string()).collect(),
            other => {
                if let Some(schema) = schema_of(other) {
                    plain.tools[0].input_schema = schema;
                }
            }
        }
        plain
    }

    fn call(tool: String, input: String, _context: CallContext) -> Result<String, ToolError> {
        let parsed = serde_json::from_str(&input).unwrap_or_default();
        let answer = errands::run(&tool, &parsed)
            .unwrap_or_else(|| crate::call(&tool, &input, |line| log::write(Level::Info, line)).map_err(str::to_owned));
        answer.map_err(|message| ToolError {
            code: ErrorCode::Failed,
            message,
            retryable: true,
            retry_after_milliseconds: Some(250),
            details: None,
        })
    }
}

fn everything() -> Needs {
    let all = || vec!["*".to_owned()];
    Needs { http_hosts: all(), secrets: all(), config_keys: all(), kv: all(), clock: true, random: true }
}

fn nothing() -> Needs {
    let none = Vec::new;
    Needs { http_hosts: none(), secrets: none(), config_keys: none(), kv: none(), clock: false, random: false }
}

/// Schemas that are none, or that cost more than there is.
fn schema_of(guise: &str) -> Option<String> {
    Some(match guise {
        "schema-text" => "{ this is not JSON".to_owned(),
        "schema-type" => json!({ "type": "nonesuch" }).to_string(),
        "schema-away" => json!({ "$ref": "https://example.org/schema.json" }).to_string(),
        "schema-long" => json!({ "description": "x".repeat(1 << 20) }).to_string(),
        "schema-itself" => json!({ "$ref": "#" }).to_string(),
        "schema-round" => {
            let half = |other: &str| json!({ "anyOf": [{ "$ref": other }] });
            json!({ "$defs": { "a": half("#/$defs/b"), "b": half("#/$defs/a") }, "$ref": "#/$defs/a" }).to_string()
        }
        "schema-doubles" => {
            let doubled = |n: u32| json!({ "allOf": vec![json!({ "$ref": format!("#/$defs/d{}", n + 1) }); 2] });
            let mut definitions: serde_json::Map<String, Value> =
                (0..60).map(|n| (format!("d{n}"), doubled(n))).collect();
            definitions.insert("d60".to_owned(), json!({ "type": "object" }));
            json!({ "$defs": definitions, "$ref": "#/$defs/d0" }).to_string()
        }
        _ => return None,
    })
}

fn tool(name: &str) -> Tool {
    // The tools from `exit` on answer in shapes of their own.
    let answers_text = crate::TOOLS.iter().take_while(|tool| **tool != "exit").any(|tool| *tool == name);
    Tool {
        name: name.to_owned(),
        title: name.to_owned(),
        description: "Test only.".to_owned(),
        input_schema: r#"{"type":"object"}"#.to_owned(),
        output_schema: answers_text.then(|| r#"{"type":"object","required":["text"]}"#.to_owned()),
        read_only: None,
        destructive: None,
        idempotent: None,
        open_world: None,
    }
}
