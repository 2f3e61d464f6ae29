//! The JSON Schemas of what events tell.

use serde_json::Value;

use super::EventType;
use super::data::{
    AgentEnded, ApprovalDecided, ApprovalRequested, ExperimentCompleted, PluginTold, PromptTold, RunEndedBadly,
    RunStarted, RunSucceeded, RunWaiting, StepEnded, ToolExecuted, WebhookTold, WorkflowChanged,
};

impl EventType {
    /// The JSON Schema (2020-12) of what events of this type tell.
    pub fn schema(self) -> Value {
        let schema = match self {
            Self::WorkflowCreated | Self::WorkflowUpdated | Self::WorkflowDeleted => {
                schemars::schema_for!(WorkflowChanged<'static>)
            }
            Self::RunStarted => schemars::schema_for!(RunStarted<'static>),
            Self::RunWaiting => schemars::schema_for!(RunWaiting<'static>),
            Self::RunSucceeded => schemars::schema_for!(RunSucceeded<'static>),
            Self::RunFailed | Self::RunCancelled | Self::RunTimedOut => schemars::schema_for!(RunEndedBadly<'static>),
            Self::StepSucceeded | Self::StepFailed => schemars::schema_for!(StepEnded<'static>),
            Self::ApprovalRequested => schemars::schema_for!(ApprovalRequested<'static>),
            Self::ApprovalDecided => schemars::schema_for!(ApprovalDecided<'static>),
            Self::AgentCompleted | Self::AgentFailed => schemars::schema_for!(AgentEnded<'static>),
            Self::ToolExecuted => schemars::schema_for!(ToolExecuted<'static>),
            Self::PluginLoaded
            | Self::PluginActivated
            | Self::PluginFailed
            | Self::PluginGranted
            | Self::PluginCapabilityDenied
            | Self::PluginEnabled
            | Self::PluginDisabled
            | Self::PluginDeleted => schemars::schema_for!(PluginTold<'static>),
            Self::PromptVersionCreated
            | Self::PromptLabelMoved
            | Self::PromptOverrideStarted
            | Self::PromptOverrideEnded => schemars::schema_for!(PromptTold<'static>),
            Self::ExperimentCompleted => schemars::schema_for!(ExperimentCompleted<'static>),
            Self::WebhookFailing | Self::WebhookDisabled => schemars::schema_for!(WebhookTold<'static>),
        };
        schema.to_value()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_a_schema_of_an_object_whose_fields_say_what_they_are() {
        for event in EventType::ALL {
            let schema = event.schema();
            assert_eq!(schema["type"], "object", "{event:?}: {schema}");
            let fields = schema["properties"].as_object().unwrap();
            assert!(!fields.is_empty());
            for (name, field) in fields {
                assert!(field["description"].is_string(), "`{name}` of {event:?} says nothing: {field}");
            }
            assert!(jsonschema::validator_for(&schema).is_ok());
        }
    }
}
