//! Inbound hooks: what is sent and answered. The handlers, and the calls of hooks, are in files of their own.

mod call;
mod handlers;

use std::collections::BTreeMap;

use armilla_domain::hook::{HOOK_NAME_CHARS_MAX, Hook, Respond, Scheme, Verification};
use armilla_domain::id::{InboundHookId, RunId, WorkflowId};
use armilla_engine::{HookCallView, HookView, HookWithToken};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

pub(crate) use self::call::*;
pub(crate) use self::handlers::*;
use crate::wire::{Text, Timestamp};

/// The most that a list of hooks gives at once.
pub const HOOKS_PAGE_MAX: u32 = 50;
/// The most that a list of calls gives at once: all that are kept.
pub const HOOK_CALLS_PAGE_MAX: u32 = 100;

/// What a hook is to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PutInboundHook {
    /// For people.
    #[schema(value_type = String, min_length = 1, max_length = 100, example = "pull requests")]
    pub name: Text<1, { HOOK_NAME_CHARS_MAX }>,
    /// What a call starts: the newest version.
    #[schema(value_type = String, example = "wf_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")]
    pub workflow_id: WorkflowId,
    /// How a call proves who sent it; with `null`, whoever knows the URL may call it. Where absent, that is so of a new hook, and of
    /// one that is replaced it stays as it is.
    #[serde(default, deserialize_with = "said")]
    #[schema(value_type = Option<HookVerification>)]
    pub verify: Option<Option<HookVerification>>,
    /// What the run is given: an expression for each of up to 100 fields, over `body`, `headers`, `query` and `method`.
    /// `{"body": "body"}` where absent.
    pub input: Option<BTreeMap<String, String>>,
    /// An expression: a call for which it does not hold is accepted and starts nothing.
    #[schema(max_length = 4_096, example = "body.action == 'opened'")]
    pub when: Option<String>,
    /// An expression: for 24 hours calls with the same value start one run. Where absent, the delivery's id, if the scheme has one:
    /// `headers['webhook-id']`, `headers['x-github-delivery']`, Slack's `body.event_id`, Stripe's `body.id`.
    #[schema(max_length = 4_096)]
    pub deduplicate_by: Option<String>,
    /// `accepted` answers at once, `result` with what the run answers.
    #[serde(default)]
    #[schema(value_type = RespondSchema)]
    pub respond: Respond,
}

/// Tells `null` from what is absent.
fn said<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Option<HookVerification>>, D::Error> {
    Option::deserialize(value).map(Some)
}

/// How a call proves who sent it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HookVerification {
    /// How it is signed.
    #[schema(value_type = SchemeSchema)]
    pub scheme: Scheme,
    /// The name under which `PUT /secrets/:name` keeps the secret. It is read at each call.
    #[schema(min_length = 1, max_length = 64, example = "github-webhook")]
    pub secret: String,
    /// How far the signature's instant may be off, in seconds; 300 where absent. Of `standardWebhooks`, `slack` and `stripe`.
    #[schema(minimum = 1, maximum = 3_600)]
    pub tolerance_seconds: Option<u32>,
    /// The header of a `sharedSecret`; `x-hook-secret` where absent.
    #[schema(min_length = 1, max_length = 64)]
    pub header: Option<String>,
}

/// A hook, without its token.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = InboundHook)]
pub struct InboundHookBody {
    /// Its id.
    #[schema(value_type = String, example = "ih_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")]
    pub id: InboundHookId,
    /// For people.
    pub name: String,
    /// What a call starts.
    #[schema(value_type = String, example = "wf_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")]
    pub workflow_id: WorkflowId,
    /// How a call proves who sent it; null where knowing the URL is enough.
    #[schema(required = true)]
    pub verify: Option<HookVerification>,
    /// What the run is given; null where it is the body as `body`.
    #[schema(required = true)]
    pub input: Option<BTreeMap<String, String>>,
    /// Which calls start a run; null where all do.
    #[schema(required = true)]
    pub when: Option<String>,
    /// What tells calls apart; null where it is what the scheme has for that.
    #[schema(required = true)]
    pub deduplicate_by: Option<String>,
    /// What the caller waits for.
    #[schema(value_type = RespondSchema)]
    pub respond: Respond,
    /// Who made it: the `sub` of the token.
    pub created_by: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it, or its token, was last changed.
    pub updated_at: Timestamp,
}

/// One hook.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct InboundHookResponse {
    /// The hook.
    pub inbound_hook: InboundHookBody,
}

/// A hook with its new token, which is shown this once. Without `Debug`.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct InboundHookTokenResponse {
    /// The hook.
    pub inbound_hook: InboundHookBody,
    /// Whoever has it may call the hook.
    #[schema(example = "hk_5Zk0vR3b…")]
    pub token: String,
    /// Where the hook is called, on this server.
    #[schema(example = "/hooks/hk_5Zk0vR3b…")]
    pub path: String,
}

/// A page of hooks, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct InboundHooksResponse {
    /// The hooks.
    pub inbound_hooks: Vec<InboundHookBody>,
    /// The `cursor` of the next page; null on the last one.
    #[schema(required = true)]
    pub next_cursor: Option<String>,
}

/// A call that was answered, without what was sent.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = InboundHookCall)]
pub struct InboundHookCallBody {
    /// When it was answered.
    pub at: Timestamp,
    /// What became of it: `started`, `repeated`, `ignored` or `refused`.
    #[schema(example = "started")]
    pub outcome: String,
    /// The code of the problem that it was answered with; null where with none.
    #[schema(required = true, example = "hook.signature_wrong")]
    pub code: Option<String>,
    /// The run that it started, or that an earlier call of the same delivery had; null where there is none.
    #[schema(required = true, value_type = Option<String>)]
    pub run_id: Option<RunId>,
    /// The HTTP status of the answer.
    #[schema(example = 202)]
    pub status: i32,
}

/// A page of calls, the last first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct InboundHookCallsResponse {
    /// The calls.
    pub calls: Vec<InboundHookCallBody>,
    /// The `cursor` of the next page; null on the last one.
    #[schema(required = true)]
    pub next_cursor: Option<String>,
}

impl From<PutInboundHook> for Hook {
    fn from(put: PutInboundHook) -> Self {
        let PutInboundHook { name, workflow_id, verify, input, when, deduplicate_by, respond } = put;
        let verify = verify.flatten().map(|verify| {
            let HookVerification { scheme, secret, tolerance_seconds, header } = verify;
            // Names of headers are the same however they are written.
            Verification { scheme, secret, tolerance_seconds, header: header.map(|name| name.to_ascii_lowercase()) }
        });
        Self { name: name.into_inner(), workflow_id, verify, input, when, deduplicate_by, respond }
    }
}

impl From<HookView> for InboundHookBody {
    fn from(HookView { id, hook, created_by, created_at, updated_at }: HookView) -> Self {
        let Hook { name, workflow_id, verify, input, when, deduplicate_by, respond } = hook;
        let verify = verify.map(|Verification { scheme, secret, tolerance_seconds, header }| HookVerification {
            scheme,
            secret,
            tolerance_seconds,
            header,
        });
        Self {
            id,
            name,
            workflow_id,
            verify,
            input,
            when,
            deduplicate_by,
            respond,
            created_by,
            created_at: created_at.into(),
            updated_at: updated_at.into(),
        }
    }
}

impl From<HookWithToken> for InboundHookTokenResponse {
    fn from(HookWithToken { view, token }: HookWithToken) -> Self {
        Self { inbound_hook: view.into(), path: format!("/hooks/{token}"), token }
    }
}

impl From<HookCallView> for InboundHookCallBody {
    fn from(HookCallView { at, outcome, code, run, status, .. }: HookCallView) -> Self {
        Self { at: at.into(), outcome, code, run_id: run, status }
    }
}

// The domain knows nothing of OpenAPI, so its types that are sent as they are have their schemas here. A test compares.

/// How the sender signs: Standard Webhooks, as GitHub, Slack or Stripe do, or not at all but for a secret in a header.
#[derive(ToSchema)]
#[schema(as = HookScheme, rename_all = "camelCase")]
#[expect(dead_code, reason = "a schema, never a value")]
enum SchemeSchema {
    StandardWebhooks,
    Github,
    Slack,
    Stripe,
    SharedSecret,
}

/// What a caller waits for.
#[derive(ToSchema)]
#[schema(as = HookRespond, rename_all = "camelCase")]
#[expect(dead_code, reason = "a schema, never a value")]
enum RespondSchema {
    Accepted,
    Result,
}

#[cfg(test)]
mod tests {
    use armilla_domain::hook::{
        HOOK_EXPRESSION_BYTES_MAX, HOOK_INPUT_FIELDS_MAX, TOLERANCE_SECONDS_DEFAULT, TOLERANCE_SECONDS_MAX,
    };
    use armilla_engine::HOOK_CALLS_KEPT;
    use serde_json::json;
    use utoipa::PartialSchema;

    use super::*;

    #[test]
    fn the_bounds_that_are_documented_are_the_ones_that_hold() {
        let schema = json!(PutInboundHook::schema());
        assert_eq!(schema["properties"]["name"]["maxLength"], json!(HOOK_NAME_CHARS_MAX));
        let input = schema["properties"]["input"]["description"].as_str().unwrap_or_default();
        assert!(input.contains(&format!("up to {HOOK_INPUT_FIELDS_MAX} fields")), "{input}");
        assert_eq!(schema["properties"]["when"]["maxLength"], json!(HOOK_EXPRESSION_BYTES_MAX));
        assert_eq!(schema["properties"]["deduplicateBy"]["maxLength"], json!(HOOK_EXPRESSION_BYTES_MAX));
        assert_eq!(schema["required"], json!(["name", "workflowId"]));
        let verify = json!(HookVerification::schema());
        assert_eq!(verify["properties"]["toleranceSeconds"]["maximum"], json!(TOLERANCE_SECONDS_MAX));
        assert_eq!(verify["required"], json!(["scheme", "secret"]));
        assert_eq!((TOLERANCE_SECONDS_DEFAULT, HOOK_CALLS_KEPT), (300, i64::from(HOOK_CALLS_PAGE_MAX)));
    }

    #[test]
    fn schemes_and_answers_are_documented_as_they_are_sent() {
        use Scheme::{GitHub, SharedSecret, Slack, StandardWebhooks, Stripe};
        let sent = json!([StandardWebhooks, GitHub, Slack, Stripe, SharedSecret]);
        assert_eq!(json!(SchemeSchema::schema())["enum"], sent);
        assert_eq!(json!(RespondSchema::schema())["enum"], json!([Respond::Accepted, Respond::Result]));
    }
}
