//! Steps that call somebody: agents and tools.

use serde_json::{Map, Value};

use super::fields::{Fields, kind_of};
use super::step::{COMMON, Reader};
use super::{AgentStep, StepIndex, ToolStep};

impl Reader<'_> {
    pub(super) fn read_agent(&mut self, fields: Fields<'_>, index: StepIndex) -> Option<AgentStep> {
        let own = ["outputVar", "agentId", "message", "systemPromptSuffix"];
        let not_yet = ["model", "outputSchema", "tools"];
        fields.only(&[&COMMON, &own, &not_yet], "an agent step", self.findings);
        fields.not_yet(&not_yet, self.findings);
        let agent_id = fields.required_text("agentId", self.findings);
        let message = fields.required_text("message", self.findings);
        let suffix = fields.text("systemPromptSuffix", self.findings);
        for (key, source) in [("message", message), ("systemPromptSuffix", suffix)] {
            if let Some(source) = source {
                self.check_template(source, fields.at(key), index);
            }
        }
        Some(AgentStep {
            agent_id: agent_id?.to_owned(),
            message: message?.to_owned(),
            system_prompt_suffix: suffix.map(str::to_owned),
        })
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
