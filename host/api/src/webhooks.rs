//! Webhooks: what is sent and answered. The handlers, and what there is of deliveries, are in files of their own.

mod again;
mod deliveries;
mod delivery_handlers;
mod handlers;
mod keys;
mod test_mode;

use armilla_domain::id::WebhookId;
use armilla_domain::webhook::{Rate, RatePeriod, SignatureScheme, Transform, WebhookText};
use armilla_webhooks::{FilterFault, KeyView, NewWebhook, WebhookView};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub(crate) use self::again::*;
pub(crate) use self::deliveries::*;
pub(crate) use self::delivery_handlers::*;
pub(crate) use self::handlers::*;
pub(crate) use self::keys::*;
pub(crate) use self::test_mode::*;
use crate::wire::{FaultBody, Timestamp};

/// The most that a list of webhooks gives at once: all that there may be.
pub const WEBHOOKS_PAGE_MAX: u32 = 100;
/// The most that a list of deliveries gives at once.
pub const DELIVERIES_PAGE_MAX: u32 = 100;

/// A webhook to be made, or to stand in the place of one.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct WriteWebhook {
    /// Where events are sent: `http` or `https`, on an address that this server may reach.
    #[serde(default)]
    #[schema(required = true, max_length = 2_048, example = "https://example.com/events")]
    url: String,
    /// Which events: names in either spelling (`run.failed`, `run_failed`), `run.*`, or `*` for all, later ones included.
    #[serde(default)]
    #[schema(required = true, min_items = 1, max_items = 100, example = json!(["run.failed", "approval.*"]))]
    events: Vec<String>,
    /// For people.
    #[schema(max_length = 500)]
    description: Option<String>,
    /// What deliveries are signed with: `whsec_` and base64 of 24 to 64 bytes, or for `v1a` `whsk_` and base64 of a private key; made by
    /// the server where absent. Of `POST` alone: later, `POST /webhooks/{id}/rotate-secret`.
    #[schema(write_only)]
    secret: Option<String>,
    /// How they are signed: by HMAC-SHA256 (`v1`) where absent, or by Ed25519 (`v1a`). Of `POST` alone.
    #[schema(value_type = Option<SchemeSchema>)]
    scheme: Option<SignatureScheme>,
    /// Whether it is told events. Where absent, a new one is, and one that is replaced stays as it is.
    enabled: Option<bool>,
    /// An expression over `type`, `timestamp`, `id` and `data`: events for which it does not hold are not sent.
    #[schema(max_length = 4_096, example = "data.workflowId == 'wf_0196f0c45e7a7c3f8d1b2a3c4d5e6f70'")]
    filter: Option<String>,
    /// A tool that makes another body of each, in the sandbox.
    transform: Option<WebhookTransform>,
    /// Whether each delivery waits for the end of the one before; not where absent.
    ordered: Option<bool>,
    /// How many deliveries may be under way at once, on all hosts together: 8 where absent.
    #[schema(minimum = 1, maximum = 64)]
    concurrency: Option<u32>,
    /// How often it may be called; no bound where absent.
    rate: Option<WebhookRate>,
    /// How long one exchange may take: 15 seconds where absent.
    #[schema(minimum = 1, maximum = 30)]
    timeout_seconds: Option<u32>,
    /// The waits between the tries of a delivery, in seconds, up to 19; up to a tenth more is added by chance. Where absent ten tries in three
    /// days: 5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400.
    #[schema(max_items = 19)]
    retry_seconds: Option<Vec<u32>>,
}

/// A tool that gets the body of a delivery and answers another one: an object, or null for none.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WebhookTransform {
    /// The tool's name.
    #[schema(min_length = 1, max_length = 128, example = "jq")]
    tool: String,
    /// The plugin's, where several have a tool of that name.
    #[schema(min_length = 1, max_length = 128)]
    plugin: Option<String>,
}

/// How often a webhook may be called: never more than `count` times in any `per`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WebhookRate {
    /// How many times.
    #[schema(minimum = 1, maximum = 10_000)]
    count: u32,
    /// In which time.
    #[schema(value_type = PeriodSchema)]
    per: RatePeriod,
}

/// A webhook.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Webhook)]
pub(crate) struct WebhookBody {
    /// Its id.
    #[schema(value_type = String, example = "wh_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")]
    id: WebhookId,
    /// Where events are sent.
    url: String,
    /// Which events, dotted.
    #[schema(example = json!(["run.failed", "approval.*"]))]
    events: Vec<String>,
    /// For people; null where it has none.
    #[schema(required = true)]
    description: Option<String>,
    /// Whether it is told events.
    enabled: bool,
    /// Why not, where nobody disabled it: `failing` or `gone`. Null otherwise.
    #[schema(required = true, example = "gone")]
    disabled_reason: Option<String>,
    /// Which of those events are sent; null where all are.
    #[schema(required = true)]
    filter: Option<String>,
    /// How its filter last failed, for which the event was not sent; null where it did not since it was last changed.
    #[schema(required = true)]
    filter_fault: Option<WebhookFilterFault>,
    /// What makes another body of each; null where nothing does.
    #[schema(required = true)]
    transform: Option<WebhookTransform>,
    /// Whether each delivery waits for the end of the one before.
    ordered: bool,
    /// How many deliveries may be under way at once.
    concurrency: u32,
    /// How often it may be called; null where as often as may be.
    #[schema(required = true)]
    rate: Option<WebhookRate>,
    /// How long one exchange may take, in seconds.
    timeout_seconds: u32,
    /// The waits between the tries of a delivery, in seconds.
    retry_seconds: Vec<u32>,
    /// How many attempts in a row have failed.
    failures: u32,
    /// Since when there were only failures; null where there are none.
    #[schema(required = true)]
    failing_since: Option<Timestamp>,
    /// Nothing is sent before: its endpoint asked for a pause, or fails. Null where nothing is in the way.
    #[schema(required = true)]
    paused_until: Option<Timestamp>,
    /// What its deliveries are signed with, the present key first, without the secrets.
    keys: Vec<WebhookKeyBody>,
    /// What whoever looks after it should know: a tool of `transform` that is not there.
    warnings: Vec<FaultBody>,
    /// Who made it: the `sub` of the token.
    created_by: String,
    /// When.
    created_at: Timestamp,
    /// When it was last changed.
    updated_at: Timestamp,
}

/// How a filter failed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WebhookFilterFault {
    /// Why.
    detail: String,
    /// When it last did.
    at: Timestamp,
}

/// What is told of a key.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = WebhookKey)]
pub(crate) struct WebhookKeyBody {
    /// How it signs.
    #[schema(value_type = SchemeSchema)]
    scheme: SignatureScheme,
    /// What its signatures are verified with (`whpk_…`); null where that is the secret itself.
    #[schema(required = true)]
    public_key: Option<String>,
    /// Until when it signs; null for the present one.
    #[schema(required = true)]
    valid_until: Option<Timestamp>,
    /// When it was made.
    created_at: Timestamp,
}

/// One webhook.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WebhookResponse {
    /// The webhook.
    webhook: WebhookBody,
}

/// A page of webhooks, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WebhooksResponse {
    /// The webhooks, without their secrets.
    webhooks: Vec<WebhookBody>,
    /// The `cursor` of the next page; null on the last one.
    #[schema(required = true)]
    next_cursor: Option<String>,
}

impl From<WriteWebhook> for WebhookText {
    fn from(body: WriteWebhook) -> Self {
        Self {
            url: body.url,
            events: body.events,
            description: body.description,
            filter: body.filter,
            transform: body.transform.map(|WebhookTransform { tool, plugin }| Transform { tool, plugin }),
            ordered: body.ordered,
            concurrency: body.concurrency,
            rate: body.rate.map(|WebhookRate { count, per }| Rate { count, per }),
            timeout_seconds: body.timeout_seconds,
            retry_seconds: body.retry_seconds,
        }
    }
}

impl From<WriteWebhook> for NewWebhook {
    fn from(mut body: WriteWebhook) -> Self {
        let (secret, scheme) = (body.secret.take(), body.scheme.unwrap_or_default());
        let disabled = body.enabled == Some(false);
        Self { text: body.into(), secret, scheme, disabled }
    }
}

impl From<WebhookView> for WebhookBody {
    fn from(view: WebhookView) -> Self {
        let webhook = view.webhook;
        Self {
            id: view.id,
            url: webhook.url,
            events: webhook.events.iter().map(ToString::to_string).collect(),
            description: webhook.description,
            enabled: view.enabled,
            disabled_reason: view.disabled_reason,
            filter: webhook.filter,
            filter_fault: view
                .filter_fault
                .map(|FilterFault { detail, at }| WebhookFilterFault { detail, at: at.into() }),
            transform: webhook.transform.map(|Transform { tool, plugin }| WebhookTransform { tool, plugin }),
            ordered: webhook.ordered,
            concurrency: webhook.concurrency,
            rate: webhook.rate.map(|Rate { count, per }| WebhookRate { count, per }),
            timeout_seconds: webhook.timeout_seconds,
            retry_seconds: webhook.retry_seconds,
            failures: view.failures,
            failing_since: view.failing_since.map(Timestamp),
            paused_until: view.paused_until.map(Timestamp),
            keys: view.keys.into_iter().map(WebhookKeyBody::from).collect(),
            warnings: view.warnings.into_iter().map(FaultBody::from).collect(),
            created_by: view.created_by,
            created_at: view.created_at.into(),
            updated_at: view.updated_at.into(),
        }
    }
}

impl From<KeyView> for WebhookKeyBody {
    fn from(KeyView { scheme, public_key, valid_until, created_at }: KeyView) -> Self {
        Self { scheme, public_key, valid_until: valid_until.map(Timestamp), created_at: created_at.into() }
    }
}

impl From<WebhookView> for WebhookResponse {
    fn from(view: WebhookView) -> Self {
        Self { webhook: view.into() }
    }
}

// The domain knows nothing of OpenAPI, so its types that are sent as they are have their schemas here. A test compares.

/// How deliveries are signed: HMAC-SHA256 with a shared secret, or Ed25519.
#[derive(ToSchema)]
#[schema(as = WebhookSignatureScheme, rename_all = "lowercase")]
#[expect(dead_code, reason = "a schema, never a value")]
enum SchemeSchema {
    V1,
    V1a,
}

/// The time that a rate is of.
#[derive(ToSchema)]
#[schema(as = WebhookRatePeriod, rename_all = "camelCase")]
#[expect(dead_code, reason = "a schema, never a value")]
enum PeriodSchema {
    Second,
    Minute,
}

#[cfg(test)]
mod tests {
    use armilla_domain::webhook::{
        RETRY_SECONDS_DEFAULT, WEBHOOK_CONCURRENCY_DEFAULT, WEBHOOK_CONCURRENCY_MAX, WEBHOOK_DESCRIPTION_CHARS_MAX,
        WEBHOOK_EVENTS_MAX, WEBHOOK_FILTER_BYTES_MAX, WEBHOOK_NAME_CHARS_MAX, WEBHOOK_RATE_MAX,
        WEBHOOK_TIMEOUT_SECONDS_DEFAULT, WEBHOOK_TIMEOUT_SECONDS_MAX, WEBHOOK_TRIES_MAX, WEBHOOK_URL_BYTES_MAX,
    };
    use armilla_webhooks::WEBHOOKS_PER_WORKSPACE_MAX;
    use serde_json::json;
    use utoipa::PartialSchema;

    use super::*;

    #[test]
    fn the_bounds_that_are_documented_are_the_ones_that_hold() {
        let schema = json!(WriteWebhook::schema());
        assert_eq!(schema["required"], json!(["url", "events"]));
        let fields = &schema["properties"];
        assert_eq!(fields["url"]["maxLength"], json!(WEBHOOK_URL_BYTES_MAX));
        assert_eq!(fields["events"]["maxItems"], json!(WEBHOOK_EVENTS_MAX));
        assert_eq!(fields["description"]["maxLength"], json!(WEBHOOK_DESCRIPTION_CHARS_MAX));
        assert_eq!(fields["filter"]["maxLength"], json!(WEBHOOK_FILTER_BYTES_MAX));
        assert_eq!(fields["concurrency"]["maximum"], json!(WEBHOOK_CONCURRENCY_MAX));
        assert_eq!(fields["timeoutSeconds"]["maximum"], json!(WEBHOOK_TIMEOUT_SECONDS_MAX));
        assert_eq!(fields["retrySeconds"]["maxItems"], json!(WEBHOOK_TRIES_MAX - 1));
        let transform = json!(WebhookTransform::schema());
        assert_eq!(transform["properties"]["tool"]["maxLength"], json!(WEBHOOK_NAME_CHARS_MAX));
        assert_eq!(json!(WebhookRate::schema())["properties"]["count"]["maximum"], json!(WEBHOOK_RATE_MAX));
        let said = |field: &str| fields[field]["description"].as_str().unwrap_or_default().to_owned();
        assert!(said("concurrency").contains(&format!(": {WEBHOOK_CONCURRENCY_DEFAULT} where absent")));
        assert!(said("timeoutSeconds").contains(&format!(": {WEBHOOK_TIMEOUT_SECONDS_DEFAULT} seconds where absent")));
        let waits: Vec<String> = RETRY_SECONDS_DEFAULT.iter().map(ToString::to_string).collect();
        assert!(said("retrySeconds").contains(&waits.join(", ")), "{}", said("retrySeconds"));
        assert_eq!(i64::from(WEBHOOKS_PAGE_MAX), WEBHOOKS_PER_WORKSPACE_MAX);
    }

    #[test]
    fn schemes_and_periods_are_documented_as_they_are_sent() {
        assert_eq!(json!(SchemeSchema::schema())["enum"], json!([SignatureScheme::V1, SignatureScheme::V1a]));
        assert_eq!(json!(PeriodSchema::schema())["enum"], json!([RatePeriod::Second, RatePeriod::Minute]));
    }
}
