//! Steps that call somebody: agents and tools.

use serde_json::{Map, Value};

use super::fields::{Fields, kind_of};
use super::step::{COMMON, Reader};
use super::{AGENT_TOOLS_MAX, AgentStep, AgentTool, OutputSchema, StepIndex, ToolStep};
use crate::agent::ModelSettings;
use crate::fault::{Fault, pointer};
use crate::talk::{TOOL_ROUNDS_DEFAULT, TOOL_ROUNDS_MAX};

impl Reader<'_> {
    pub(super) fn read_agent(&mut self, fields: Fields<'_>, index: StepIndex) -> Option<AgentStep> {
        let own =
            ["outputVar", "agentId", "message", "systemPromptSuffix", "model", "outputSchema", "tools", "maxRounds"];
        fields.only(&[&COMMON, &own], "an agent step", self.findings);
        let agent_id = fields.required_text("agentId", self.findings);
        let message = fields.required_text("message", self.findings);
        let suffix = fields.text("systemPromptSuffix", self.findings);
        for (key, source) in [("message", message), ("systemPromptSuffix", suffix)] {
            if let Some(source) = source {
                self.check_template(source, fields.at(key), index);
            }
        }
        let model = self.read_step_model(fields);
        let output_schema = self.read_output_schema(fields);
        let tools = self.read_agent_tools(fields);
        let rounds = fields.whole_number("maxRounds", 1, TOOL_ROUNDS_MAX.into(), self.findings);
        if rounds.is_some() && !fields.object.contains_key("tools") {
            let detail = "`maxRounds` bounds how often the agent asks for `tools`, and there are none";
            self.findings.fault(fields.at("maxRounds"), "definition.pointless", detail);
        }
        Some(AgentStep {
            agent_id: agent_id?.to_owned(),
            message: message?.to_owned(),
            system_prompt_suffix: suffix.map(str::to_owned),
            model,
            output_schema,
            tools,
            max_rounds: rounds.map_or(TOOL_ROUNDS_DEFAULT, |rounds| rounds as u32),
        })
    }

    fn read_step_model(&mut self, fields: Fields<'_>) -> Option<ModelSettings> {
        let value = fields.get("model")?;
        let place = fields.at("model");
        match ModelSettings::check_for_step(value) {
            Ok(model) => Some(model),
            Err(faults) => {
                for Fault { pointer, detail, .. } in faults {
                    self.findings.fault(format!("{place}{pointer}"), "definition.model", detail);
                }
                None
            }
        }
    }

    fn read_output_schema(&mut self, fields: Fields<'_>) -> Option<OutputSchema> {
        let schema = fields.get("outputSchema")?;
        let place = fields.at("outputSchema");
        if !schema.is_object() {
            self.findings.fault(place, "definition.type", "`outputSchema` is an object; `{}` is any JSON");
            return None;
        }
        let parsed = OutputSchema::parse(schema);
        parsed.map_err(|(inner, why)| self.findings.fault(format!("{place}{inner}"), "definition.schema", why)).ok()
    }

    fn read_agent_tools(&mut self, fields: Fields<'_>) -> Vec<AgentTool> {
        let Some(value) = fields.get("tools") else { return Vec::new() };
        let place = fields.at("tools");
        let Some(items) = value.as_array() else {
            self.findings.fault(place, "definition.type", "`tools` is an array of names of tools, or of objects");
            return Vec::new();
        };
        if items.len() > AGENT_TOOLS_MAX {
            let detail = format!("an agent step has at most {AGENT_TOOLS_MAX} tools");
            self.findings.fault(place, "definition.too_large", detail);
            return Vec::new();
        }
        let mut tools: Vec<AgentTool> = Vec::new();
        for (position, item) in items.iter().enumerate() {
            let place = pointer(&place, position);
            let Some(tool) = self.read_agent_tool(item, &place) else { continue };
            match tools.iter().find(|other| other.wire_name() == tool.wire_name()) {
                Some(other) => {
                    let detail = format!(
                        "a model cannot tell `{}` from `{}`, which stands before it",
                        tool.tool_name, other.tool_name
                    );
                    self.findings.fault(place, "definition.duplicate_tool", detail);
                }
                None => tools.push(tool),
            }
        }
        tools
    }

    fn read_agent_tool(&mut self, item: &Value, place: &str) -> Option<AgentTool> {
        let (object, named);
        let fields = match item {
            Value::String(name) => {
                named = Map::from_iter([("toolName".to_owned(), Value::String(name.clone()))]);
                Fields { object: &named, pointer: place }
            }
            Value::Object(fields) => {
                object = fields;
                Fields { object, pointer: place }
            }
            other => {
                let detail = format!("a tool is its name or an object, not {}", kind_of(other));
                self.findings.fault(place, "definition.type", detail);
                return None;
            }
        };
        fields.only(&[&["toolName", "plugin", "version", "approve", "approvers"]], "a tool of an agent", self.findings);
        let tool_name = fields.required_text("toolName", self.findings);
        let plugin = fields.text("plugin", self.findings).map(str::to_owned);
        let version = fields.whole_number("version", 1, i32::MAX as u64, self.findings).map(|version| version as i32);
        let approve = match fields.get("approve") {
            None => fields.object.contains_key("approvers"),
            Some(Value::Bool(approve)) => *approve,
            Some(_) => {
                self.findings.fault(fields.at("approve"), "definition.type", "`approve` is true or false");
                false
            }
        };
        let approvers = self.read_approvers(fields);
        Some(AgentTool { tool_name: tool_name?.to_owned(), plugin, version, approvers: approve.then_some(approvers) })
    }

    pub(super) fn read_tool(&mut self, fields: Fields<'_>, index: StepIndex) -> Option<ToolStep> {
        fields.only(
            &[&COMMON, &["outputVar", "toolName", "params", "plugin", "version"]],
            "a tool step",
            self.findings,
        );
        let tool_name = fields.required_text("toolName", self.findings);
        let version = fields.whole_number("version", 1, i32::MAX as u64, self.findings).map(|version| version as i32);
        let plugin = fields.text("plugin", self.findings).map(str::to_owned);
        let params = match fields.get("params") {
            None => Value::Object(Map::new()),
            Some(params @ Value::Object(_)) => params.clone(),
            Some(other) => {
                let detail = format!("`params` is an object, not {}", kind_of(other));
                self.findings.fault(fields.at("params"), "definition.type", detail);
                return None;
            }
        };
        self.check_deep(&params, &fields.at("params"), index);
        Some(ToolStep { tool_name: tool_name?.to_owned(), params, plugin, version })
    }
}
