//! Events: what is told of what happened.

pub mod data;
mod of_run;
mod schema;

pub use self::of_run::{Told, of_step, started, told_by};

/// How many events and runs in turn may bring each other about before nothing more is started: a loop that nobody meant ends there.
pub const EVENT_DEPTH_MAX: i16 = 8;

macro_rules! event_types {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal),+ $(,)?) => {
        /// What kind of thing happened.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum EventType {
            $($(#[doc = $doc])+ $variant),+
        }

        impl EventType {
            /// All of them, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Its name: dotted.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// When it is told, in words.
            pub fn about(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),+).trim_ascii()),+ }
            }
        }
    };
}

event_types! {
    /// A workflow was created.
    WorkflowCreated = "workflow.created",
    /// A workflow has a new version.
    WorkflowUpdated = "workflow.updated",
    /// A workflow was deleted.
    WorkflowDeleted = "workflow.deleted",
    /// A run was accepted.
    RunStarted = "run.started",
    /// A run waits for a time, an event, a decision or another run, and nothing of it goes on meanwhile.
    RunWaiting = "run.waiting",
    /// A run ended well.
    RunSucceeded = "run.succeeded",
    /// A run ended badly.
    RunFailed = "run.failed",
    /// A run was ended by somebody.
    RunCancelled = "run.cancelled",
    /// A run took longer than it may.
    RunTimedOut = "run.timed_out",
    /// A step ended well.
    StepSucceeded = "step.succeeded",
    /// A step ended badly, for good.
    StepFailed = "step.failed",
    /// A run asks for a decision.
    ApprovalRequested = "approval.requested",
    /// A decision was made, or its time has run out, or nobody waits for it any more.
    ApprovalDecided = "approval.decided",
    /// An agent answered.
    AgentCompleted = "agent.completed",
    /// An agent did not answer, or not as it should, for good.
    AgentFailed = "agent.failed",
    /// A tool was called by a run.
    ToolExecuted = "tool.executed",
    /// A version of a plugin was loaded.
    PluginLoaded = "plugin.loaded",
    /// A version of a plugin became the active one.
    PluginActivated = "plugin.activated",
    /// A plugin could not be loaded.
    PluginFailed = "plugin.failed",
    /// What a plugin may touch was changed.
    PluginGranted = "plugin.granted",
    /// A plugin wanted what it was not granted.
    PluginCapabilityDenied = "plugin.capability_denied",
    /// A plugin may be called again.
    PluginEnabled = "plugin.enabled",
    /// A plugin may not be called any more.
    PluginDisabled = "plugin.disabled",
    /// A plugin was deleted.
    PluginDeleted = "plugin.deleted",
    /// An agent's prompt has a new version.
    PromptVersionCreated = "prompt.version_created",
    /// A label of an agent's prompts was moved.
    PromptLabelMoved = "prompt.label_moved",
    /// An agent has another prompt for a while.
    PromptOverrideStarted = "prompt.override_started",
    /// An agent has its own prompt again.
    PromptOverrideEnded = "prompt.override_ended",
    /// An experiment ended. There are no experiments yet, so nobody is told.
    ExperimentCompleted = "experiment.completed",
    /// Deliveries to a webhook have failed for long; it will be disabled if that goes on.
    WebhookFailing = "webhook.failing",
    /// A webhook was disabled, since deliveries to it failed for too long or it said that it is gone.
    WebhookDisabled = "webhook.disabled",
}

impl EventType {
    /// The type of a name, in either of its spellings: `agent.completed` or `agent_completed`.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|known| {
            let known = known.as_str();
            known == name || (known.len() == name.len() && known.replace('.', "_") == name)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_known_by_both_its_spellings_and_no_other() {
        for event in EventType::ALL {
            assert_eq!(EventType::parse(event.as_str()), Some(*event));
            assert_eq!(EventType::parse(&event.as_str().replace('.', "_")), Some(*event));
            assert!(event.about().ends_with('.'), "{:?}", event.about());
        }
        for unknown in ["", "run", "run.", "run.exploded", "run-started", "RUN.STARTED", "run.timed.out"] {
            assert_eq!(EventType::parse(unknown), None, "{unknown}");
        }
    }
}
