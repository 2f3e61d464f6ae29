//! Which events a webhook is told.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::Webhook;
use crate::event::EventType;
use crate::id::{EventId, RunId, WebhookId};
use crate::template::{Scope, Templates};

/// The type of what a test of a webhook sends. No event has it.
pub const TEST_EVENT: &str = "webhook.test";

/// Some types of events, by name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum EventPattern {
    /// `*`: every one, those that later versions know included.
    All,
    /// Such as `run.*`; here with its dot, and without the star.
    Under(String),
    /// One type.
    One(EventType),
    /// One type of another version of the program, which wrote it down.
    Other(String),
}

impl EventPattern {
    /// The pattern of a text: `*`, `run.*`, `run.failed` or `run_failed`. Nothing where no event there is has such a name.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::All);
        }
        if let Some(prefix) = text.strip_suffix('*') {
            let known = |kind: &&EventType| kind.as_str().starts_with(prefix);
            return (prefix.ends_with('.') && EventType::ALL.iter().any(|kind| known(&kind)))
                .then(|| Self::Under(prefix.to_owned()));
        }
        EventType::parse(text).map(Self::One)
    }

    /// Whether it means this type.
    pub fn means(&self, kind: &str) -> bool {
        match self {
            Self::All => true,
            Self::Under(prefix) => kind.starts_with(prefix.as_str()),
            Self::One(one) => one.as_str() == kind,
            Self::Other(other) => other == kind,
        }
    }
}

impl fmt::Display for EventPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::Under(prefix) => write!(f, "{prefix}*"),
            Self::One(one) => f.write_str(one.as_str()),
            Self::Other(other) => f.write_str(other),
        }
    }
}

impl Serialize for EventPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EventPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(Self::parse(&text).unwrap_or(Self::Other(text)))
    }
}

/// What a filter sees of an event, made when the first one asks.
#[derive(Debug)]
pub struct FilterScope<'a> {
    id: EventId,
    kind: &'a str,
    at: DateTime<Utc>,
    data: &'a str,
    scope: Option<Scope>,
}

/// Whether a webhook is told an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Matched {
    /// It is.
    Yes,
    /// It is not.
    No,
    /// It is not, since its filter failed: why.
    FilterFailed(String),
}

impl<'a> FilterScope<'a> {
    /// Of this event; `data` is JSON.
    pub fn new(id: EventId, kind: &'a str, at: DateTime<Utc>, data: &'a str) -> Self {
        Self { id, kind, at, data, scope: None }
    }

    fn scope(&mut self) -> &Scope {
        self.scope.get_or_insert_with(|| {
            let data: Value = serde_json::from_str(self.data).unwrap_or_default();
            let mut scope = Scope::default();
            scope.set("type", Arc::new(Value::from(self.kind)));
            scope.set("timestamp", Arc::new(Value::from(self.at.to_rfc3339_opts(SecondsFormat::Millis, true))));
            scope.set("id", Arc::new(Value::from(self.id.to_string())));
            scope.set("data", Arc::new(data));
            scope
        })
    }
}

/// The webhook that an event tells of, where it tells of one.
pub fn told_of(kind: &str, data: &str) -> Option<WebhookId> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Told {
        webhook_id: WebhookId,
    }
    if !kind.starts_with("webhook.") {
        return None;
    }
    serde_json::from_str::<Told>(data).ok().map(|told| told.webhook_id)
}

/// The run that an event tells of, where it is one of a run.
pub fn run_of(data: &str) -> Option<RunId> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Told {
        run_id: RunId,
    }
    serde_json::from_str::<Told>(data).ok().map(|told| told.run_id)
}

impl Webhook {
    /// Whether it wants events of this type. Whether its filter holds is another question.
    pub fn wants(&self, kind: &str) -> bool {
        self.events.iter().any(|pattern| pattern.means(kind))
    }

    /// Whether it is told an event of a type that it wants.
    pub fn matches(&self, templates: &Templates, event: &mut FilterScope<'_>) -> Matched {
        let Some(filter) = &self.filter else { return Matched::Yes };
        match templates.holds(filter, event.scope()) {
            Ok(true) => Matched::Yes,
            Ok(false) => Matched::No,
            Err(error) => Matched::FilterFailed(error.message),
        }
    }

    /// The types of events that it wants, of those that are known; nothing where it wants all, those of later versions included.
    pub fn kinds(&self) -> Option<Vec<EventType>> {
        if self.events.contains(&EventPattern::All) {
            return None;
        }
        Some(EventType::ALL.iter().copied().filter(|kind| self.wants(kind.as_str())).collect())
    }
}
