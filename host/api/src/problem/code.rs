//! Every kind of problem this server answers with: its stable code, its status and its title, in one table.

use std::borrow::Cow;

use axum::http::StatusCode;
use serde::Serialize;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

macro_rules! codes {
    ($($variant:ident, $code:literal, $status:ident, $title:literal;)*) => {
        /// What kind of problem an answer tells of. The text is stable: programs branch on it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
        pub enum Code {
            $(#[doc = $title] #[serde(rename = $code)] $variant,)*
        }

        impl Code {
            /// All of them, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The code on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// The code of this text.
            pub(crate) fn from_text(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|code| code.as_str() == text)
            }

            /// The HTTP status it is answered with.
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status,)* }
            }

            /// What it means, in words that are the same in every answer.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }
        }
    };
}

codes! {
    RouteNotFound, "route.not_found", NOT_FOUND, "There is nothing at this path.";
    MethodNotAllowed, "route.method_not_allowed", METHOD_NOT_ALLOWED, "This path does not know this method.";

    BodyMalformed, "body.malformed", BAD_REQUEST, "The body is not well-formed JSON.";
    BodyTooDeep, "body.too_deep", BAD_REQUEST, "The body's JSON is nested too deeply.";
    BodyInvalid, "body.invalid", UNPROCESSABLE_ENTITY, "The body is not what this operation takes.";
    BodyTooLarge, "body.too_large", PAYLOAD_TOO_LARGE, "The body is too large.";
    BodyTimeout, "body.timeout", REQUEST_TIMEOUT, "The body did not arrive in time.";
    BodyMediaType, "body.unsupported_media_type", UNSUPPORTED_MEDIA_TYPE, "The body has a type that this operation does not take.";
    PathInvalid, "path.invalid", BAD_REQUEST, "The path cannot be read.";
    QueryInvalid, "query.invalid", BAD_REQUEST, "A query parameter cannot be used.";
    HeaderInvalid, "header.invalid", BAD_REQUEST, "A header cannot be used.";

    AuthMissing, "auth.missing", UNAUTHORIZED, "A bearer token is needed.";
    AuthMalformed, "auth.malformed", UNAUTHORIZED, "The bearer token cannot be read.";
    AuthWrongAlgorithm, "auth.wrong_algorithm", UNAUTHORIZED, "The bearer token is signed by an algorithm that is not accepted.";
    AuthBadSignature, "auth.bad_signature", UNAUTHORIZED, "The bearer token was not signed by a key of this server.";
    AuthExpired, "auth.expired", UNAUTHORIZED, "The bearer token has expired.";
    AuthNotYetValid, "auth.not_yet_valid", UNAUTHORIZED, "The bearer token is not valid yet.";
    AuthWrongIssuer, "auth.wrong_issuer", UNAUTHORIZED, "The bearer token has another issuer.";
    AuthWrongAudience, "auth.wrong_audience", UNAUTHORIZED, "The bearer token is meant for another audience.";
    AuthRole, "auth.role", FORBIDDEN, "The caller's role does not allow this.";

    WorkspaceNotFound, "workspace.not_found", NOT_FOUND, "There is no such workspace for this caller.";
    WorkflowNotFound, "workflow.not_found", NOT_FOUND, "There is no such workflow.";
    WorkflowVersionNotFound, "workflow.version_not_found", NOT_FOUND, "The workflow has no such version.";
    WorkflowVersionConflict, "workflow.version_conflict", CONFLICT, "Another version of the workflow is the newest by now.";
    WorkflowTooManyVersions, "workflow.too_many_versions", CONFLICT, "The workflow has as many versions as it may.";
    WorkflowInvalid, "workflow.invalid", UNPROCESSABLE_ENTITY, "The workflow's definition has faults.";
    WorkflowAdHoc, "workflow.ad_hoc", CONFLICT, "The workflow was made of a request, and is nobody's to change.";
    PipelineInvalid, "pipeline.invalid", UNPROCESSABLE_ENTITY, "The pipeline cannot be run.";
    PipelineTemplateInvalid, "pipeline_template.invalid", UNPROCESSABLE_ENTITY, "The pipeline template cannot be run with this.";
    ChatInvalid, "chat.invalid", UNPROCESSABLE_ENTITY, "The message cannot be sent.";
    ChatNotAsked, "chat.not_asked", UNPROCESSABLE_ENTITY, "The agent cannot be asked as it is configured.";
    ChatFailed, "chat.failed", BAD_GATEWAY, "The agent did not answer as it should.";
    ChatTimedOut, "chat.timed_out", GATEWAY_TIMEOUT, "The agent was asked, and did not answer in time.";
    ChatCancelled, "chat.cancelled", CONFLICT, "The run of the chat was cancelled.";
    TestInvalid, "test.invalid", UNPROCESSABLE_ENTITY, "The test cannot be made of this body.";
    RunNotFound, "run.not_found", NOT_FOUND, "There is no such run.";
    RunInvalidInput, "run.invalid_input", UNPROCESSABLE_ENTITY, "The input does not fit the workflow.";
    RunDoesNotApply, "run.does_not_apply", CONFLICT, "The run does what it does, and that does not go with this.";
    RunStepNotVisited, "run.step_not_visited", CONFLICT, "The run never came to this step.";
    RunTooManyMessages, "run.too_many_messages", TOO_MANY_REQUESTS, "Too many messages wait for the run already.";
    RunConcurrencyLimit, "run.concurrency_limit", TOO_MANY_REQUESTS, "As many runs go on as the workflow allows.";
    IdempotencyKeyReused, "idempotency.key_reused", UNPROCESSABLE_ENTITY, "The idempotency key was used for another request.";
    IdempotencyUnsettled, "idempotency.unsettled", CONFLICT, "It is not known what became of the first request with this key.";
    ScheduleNotFound, "schedule.not_found", NOT_FOUND, "There is no such schedule.";
    ScheduleInvalid, "schedule.invalid", UNPROCESSABLE_ENTITY, "The schedule has faults.";
    ScheduleTooMany, "schedule.too_many", CONFLICT, "The workspace has as many schedules as it may.";
    ScheduleTooManyQueued, "schedule.too_many_queued", CONFLICT, "As many occurrences wait as may.";
    ScheduleNotStarted, "schedule.not_started", CONFLICT, "The schedule's run could not be started.";
    ApprovalNotFound, "approval.not_found", NOT_FOUND, "There is no such approval.";
    EventTypeNotFound, "event_type.not_found", NOT_FOUND, "There are no such events.";
    EventNotFound, "event.not_found", NOT_FOUND, "There is no such event, or it is too old to be kept.";
    ApprovalClosed, "approval.closed", CONFLICT, "The approval is not open any more.";
    ApprovalRole, "approval.role", FORBIDDEN, "The caller's role does not decide this approval.";
    AgentNotFound, "agent.not_found", NOT_FOUND, "There is no such agent.";
    AgentVersionNotFound, "agent.version_not_found", NOT_FOUND, "The agent has no such version, or does not keep it any more.";
    AgentExists, "agent.exists", CONFLICT, "There is an agent with this id already.";
    AgentInvalid, "agent.invalid", UNPROCESSABLE_ENTITY, "The agent's configuration has faults.";
    ToolNotFound, "tool.not_found", NOT_FOUND, "There is no such tool.";
    ToolFailed, "tool.call_failed", UNPROCESSABLE_ENTITY, "The tool was called and failed.";
    ToolUnavailable, "tool.call_unavailable", SERVICE_UNAVAILABLE, "The tool cannot be called at the moment.";

    PluginNotFound, "plugin.not_found", NOT_FOUND, "There is no such plugin.";
    PluginVersionNotFound, "plugin.version_not_found", NOT_FOUND, "The plugin has no such version.";
    PluginLoadNotFound, "plugin.load_not_found", NOT_FOUND, "Nothing of this id is being loaded.";
    PluginShared, "plugin.shared", FORBIDDEN, "The plugin is shared by all workspaces; only the default one changes it.";
    PluginNothingBefore, "plugin.nothing_to_roll_back_to", CONFLICT, "No other version of the plugin was active before.";
    PluginActive, "plugin.version_active", CONFLICT, "The version is the active one.";
    PluginInUse, "plugin.in_use", CONFLICT, "Unfinished runs are on it.";
    PluginUnloadable, "plugin.unloadable", CONFLICT, "The version cannot be loaded.";
    PluginNameTaken, "plugin.name_taken", CONFLICT, "A name in the plugin belongs to another one.";
    PluginTooMany, "plugin.too_many", CONFLICT, "The workspace has as many plugins as it may.";
    PluginTooLarge, "plugin.too_large", PAYLOAD_TOO_LARGE, "The component is larger than a plugin may be.";
    PluginNotWebassembly, "plugin.not_webassembly", UNPROCESSABLE_ENTITY, "This is no WebAssembly.";
    PluginCoreModule, "plugin.core_module", UNPROCESSABLE_ENTITY, "This is a core module, not a component.";
    PluginInvalidComponent, "plugin.invalid_component", UNPROCESSABLE_ENTITY, "This is no valid component.";
    PluginUnknownWorld, "plugin.unknown_world", UNPROCESSABLE_ENTITY, "The component is no plugin.";
    PluginOtherContract, "plugin.other_contract", UNPROCESSABLE_ENTITY, "The component speaks another version of the contract.";
    PluginUnknownImport, "plugin.unknown_import", UNPROCESSABLE_ENTITY, "The component imports what no plugin can be given.";
    PluginUnlinkable, "plugin.unlinkable", UNPROCESSABLE_ENTITY, "The component cannot be linked.";
    PluginDescribeFailed, "plugin.describe_failed", UNPROCESSABLE_ENTITY, "The component does not describe itself.";
    PluginBadDescription, "plugin.bad_description", UNPROCESSABLE_ENTITY, "The component describes itself wrongly.";
    PluginDigestMismatch, "plugin.digest_mismatch", UNPROCESSABLE_ENTITY, "The component's bytes are not the ones that were announced.";
    PluginAbsent, "plugin.absent", SERVICE_UNAVAILABLE, "The component's bytes cannot be had at the moment.";
    PluginBusy, "plugin.busy", SERVICE_UNAVAILABLE, "Too many plugins are being loaded at the moment.";
    PluginUnsigned, "plugin.unsigned", UNPROCESSABLE_ENTITY, "The component carries no signature, and must.";
    PluginUntrustedKey, "plugin.untrusted_key", UNPROCESSABLE_ENTITY, "The component is signed by a key that is not trusted here.";
    PluginBadSignature, "plugin.bad_signature", UNPROCESSABLE_ENTITY, "The signature does not fit the component.";
    PluginBadReference, "plugin.bad_reference", UNPROCESSABLE_ENTITY, "This names no artifact of a registry.";
    PluginNoRegistries, "plugin.no_registries", FORBIDDEN, "This server fetches plugins from no registry.";
    PluginRegistryNotAllowed, "plugin.registry_not_allowed", FORBIDDEN, "This server does not fetch plugins from that registry.";
    PluginPullFailed, "plugin.pull_failed", BAD_GATEWAY, "The component could not be fetched.";
    GrantInvalid, "grant.invalid", UNPROCESSABLE_ENTITY, "The grant has faults.";
    SecretNotFound, "secret.not_found", NOT_FOUND, "There is no such secret.";
    SecretInvalid, "secret.invalid", UNPROCESSABLE_ENTITY, "The secret cannot be kept.";
    PromptTemplateNotFound, "prompt_template.not_found", NOT_FOUND, "There is no such prompt template.";
    PromptTemplateExists, "prompt_template.exists", CONFLICT, "There is a prompt template with this name already.";
    PromptTemplateIncluded, "prompt_template.included", CONFLICT, "Other prompt templates include this one.";
    PromptTemplateInvalid, "prompt_template.invalid", UNPROCESSABLE_ENTITY, "The prompt template has faults.";
    PromptTemplateTooManyVersions, "prompt_template.too_many_versions", CONFLICT, "The prompt template has as many versions as it may.";
    PromptTemplateBroken, "prompt_template.broken", CONFLICT, "What the prompt template includes cannot be had.";
    PromptTemplateFailed, "prompt_template.render_failed", UNPROCESSABLE_ENTITY, "The prompt template failed with these variables.";
    PromptVariablesInvalid, "prompt_template.variables_invalid", UNPROCESSABLE_ENTITY, "The variables do not fit the prompt template.";
    PromptInvalid, "prompt.invalid", UNPROCESSABLE_ENTITY, "The prompt has faults.";
    PromptVersionNotFound, "prompt.version_not_found", NOT_FOUND, "The agent's prompt has no such version.";
    PromptTooManyVersions, "prompt.too_many_versions", CONFLICT, "The agent's prompt has as many versions as it may.";
    PromptLabelNotFound, "prompt.label_not_found", NOT_FOUND, "No version of the agent's prompt has this label.";
    PromptOverrideNotFound, "prompt.override_not_found", NOT_FOUND, "No override of the agent's prompt is in effect.";
    HookNotFound, "hook.not_found", NOT_FOUND, "There is no such hook.";
    HookInvalid, "hook.invalid", UNPROCESSABLE_ENTITY, "The hook has faults.";
    HookTooMany, "hook.too_many", CONFLICT, "The workspace has as many inbound hooks as it may.";
    HookCrowded, "hook.too_many_calls", TOO_MANY_REQUESTS, "The hook is called too often.";
    HookSecretMissing, "hook.secret_missing", SERVICE_UNAVAILABLE, "The hook cannot tell good calls from others.";
    HookSignatureMissing, "hook.signature_missing", UNAUTHORIZED, "The call carries no signature that can be read.";
    HookSignatureWrong, "hook.signature_wrong", UNAUTHORIZED, "The call's signature is wrong.";
    HookSignatureOld, "hook.signature_old", UNAUTHORIZED, "The call was signed too long ago, or in the future.";
    HookSignatureReplayed, "hook.signature_replayed", UNAUTHORIZED, "The call's signature was used before.";
    HookExpressionFailed, "hook.expression_failed", UNPROCESSABLE_ENTITY, "The hook's expressions fail on this call.";
    HookRunFailed, "hook.run_failed", BAD_GATEWAY, "The run that the call started failed.";
    HookRunTimedOut, "hook.run_timed_out", GATEWAY_TIMEOUT, "The run that the call started took too long.";
    HookRunCancelled, "hook.run_cancelled", CONFLICT, "The run that the call started was cancelled.";
    WebhookNotFound, "webhook.not_found", NOT_FOUND, "There is no such webhook.";
    WebhookInvalid, "webhook.invalid", UNPROCESSABLE_ENTITY, "What is wanted of the webhook has faults.";
    WebhookTooMany, "webhook.too_many", CONFLICT, "The workspace has as many webhooks as it may.";
    WebhookTooManyKeys, "webhook.too_many_keys", CONFLICT, "As many keys sign the webhook's deliveries as may.";
    WebhookKeyUnusable, "webhook.key_unusable", CONFLICT, "The webhook's key cannot be used, so nothing can be signed.";
    WebhookDisabled, "webhook.disabled", CONFLICT, "The webhook is disabled or deleted, so nothing is sent to it.";
    DeliveryNotFound, "delivery.not_found", NOT_FOUND, "There is no such delivery, or it is too old to be kept.";
    ProblemNotFound, "problem.not_found", NOT_FOUND, "There is no such kind of problem.";

    StoreUnavailable, "store.unavailable", SERVICE_UNAVAILABLE, "The database cannot be reached at the moment.";

    ServerInternal, "server.internal", INTERNAL_SERVER_ERROR, "The server failed.";
    ServerTimeout, "server.timeout", SERVICE_UNAVAILABLE, "The server took too long.";
    ServerUnavailable, "server.unavailable", SERVICE_UNAVAILABLE, "The server cannot answer this at the moment.";
    ServerNotReady, "server.not_ready", SERVICE_UNAVAILABLE, "The server is not ready.";
}

// Open, unlike an enumeration: a later version may know more kinds, and a strict client goes on reading its answers.
impl PartialSchema for Code {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("What kind of problem it is: stable and dotted; programs branch on it."))
            .examples(Self::ALL.iter().map(|code| code.as_str()))
            .into()
    }
}

impl ToSchema for Code {
    fn name() -> Cow<'static, str> {
        "ProblemCode".into()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_code_is_dotted_unique_an_error_and_serialises_as_it_reads() {
        let mut seen = HashSet::new();
        for code in Code::ALL {
            assert!(seen.insert(code.as_str()), "`{}` stands twice in the table", code.as_str());
            assert!(
                code.as_str().contains('.')
                    && code.as_str().bytes().all(|b| b.is_ascii_lowercase() || b"._".contains(&b))
            );
            assert!(code.status().is_client_error() || code.status().is_server_error());
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }
}
