//! What is wrong with a webhook, all of it at once.

use std::collections::HashSet;

use url::Url;

use super::{
    EventPattern, RETRY_SECONDS_DEFAULT, Rate, RatePeriod, Transform, WEBHOOK_CONCURRENCY_DEFAULT,
    WEBHOOK_TIMEOUT_SECONDS_DEFAULT, Webhook,
};
use crate::fault::{Fault, pointer};
use crate::template::Templates;

/// Bytes of a URL: what common servers take.
pub const WEBHOOK_URL_BYTES_MAX: usize = 2_048;
/// Characters of a description: a few lines.
pub const WEBHOOK_DESCRIPTION_CHARS_MAX: usize = 500;
/// Entries of the list of events; there are not that many types.
pub const WEBHOOK_EVENTS_MAX: usize = 100;
/// Bytes of a filter: it is evaluated for each event.
pub const WEBHOOK_FILTER_BYTES_MAX: usize = 4 * 1024;
/// Characters of the name of a tool or plugin.
pub const WEBHOOK_NAME_CHARS_MAX: usize = 128;
/// Attempts under way at once for one webhook.
pub const WEBHOOK_CONCURRENCY_MAX: u32 = 64;
/// Seconds of one exchange: a receiver that works for longer has to answer first.
pub const WEBHOOK_TIMEOUT_SECONDS_MAX: u32 = 30;
/// Calls in the period of a rate; above that a rate bounds nothing.
pub const WEBHOOK_RATE_MAX: u32 = 10_000;
/// Tries of one delivery before it is given up.
pub const WEBHOOK_TRIES_MAX: usize = 20;
/// Seconds of one wait between tries. With the most tries that is shorter than deliveries are kept.
pub const WEBHOOK_RETRY_SECONDS_MAX: u32 = 24 * 60 * 60;

/// What a filter may read.
const VARIABLES: [&str; 4] = ["type", "timestamp", "data", "id"];
/// A webhook as somebody wants it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WebhookText {
    /// Where events are sent.
    pub url: String,
    /// Which: `*`, `run.*`, `run.failed` or `run_failed`.
    pub events: Vec<String>,
    /// For people.
    pub description: Option<String>,
    /// An expression over `type`, `timestamp`, `data` and `id`.
    pub filter: Option<String>,
    /// A tool that makes another body of each.
    pub transform: Option<Transform>,
    /// Whether each delivery waits for the end of the one before; where absent, none does.
    pub ordered: Option<bool>,
    /// Attempts under way at once; [`WEBHOOK_CONCURRENCY_DEFAULT`] where absent.
    pub concurrency: Option<u32>,
    /// How often it may be called.
    pub rate: Option<Rate>,
    /// How long an exchange may take, in seconds; [`WEBHOOK_TIMEOUT_SECONDS_DEFAULT`] where absent.
    pub timeout_seconds: Option<u32>,
    /// The waits between tries, in seconds; [`RETRY_SECONDS_DEFAULT`] where absent.
    pub retry_seconds: Option<Vec<u32>>,
}

/// The webhook that is wanted.
///
/// # Errors
/// Everything that is wrong with it; pointers are relative to it.
pub fn check(templates: &Templates, text: WebhookText) -> Result<Webhook, Vec<Fault>> {
    let mut faults = Vec::new();
    check_url(&text.url, &mut faults);
    let events = read_events(&text.events, &mut faults);
    check_texts(templates, &text, &mut faults);
    check_numbers(&text, &mut faults);
    if !faults.is_empty() {
        return Err(faults);
    }
    Ok(Webhook {
        url: text.url,
        events,
        description: text.description.filter(|text| !text.is_empty()),
        filter: text.filter,
        transform: text.transform,
        ordered: text.ordered.unwrap_or(false),
        concurrency: text.concurrency.unwrap_or(WEBHOOK_CONCURRENCY_DEFAULT),
        rate: text.rate,
        timeout_seconds: text.timeout_seconds.unwrap_or(WEBHOOK_TIMEOUT_SECONDS_DEFAULT),
        retry_seconds: text.retry_seconds.unwrap_or_else(|| RETRY_SECONDS_DEFAULT.to_vec()),
    })
}

/// Whether an address or a port that the URL names may be reached is asked of whoever would reach it.
fn check_url(text: &str, faults: &mut Vec<Fault>) {
    let mut fault = |code: &str, detail: String| faults.push(Fault::new("/url", code, detail));
    if text.len() > WEBHOOK_URL_BYTES_MAX {
        return fault("webhook.url", format!("a URL has at most {WEBHOOK_URL_BYTES_MAX} bytes"));
    }
    // Some of these are passed over where a URL is read; it is sent to, shown and kept as it was written.
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return fault("webhook.url", "a URL has no blanks and no control characters".to_owned());
    }
    let Ok(url) = Url::parse(text) else {
        return fault("webhook.url", "this is no absolute URL".to_owned());
    };
    if !matches!(url.scheme(), "http" | "https") {
        return fault("webhook.url_scheme", "the URL begins with `http://` or `https://`".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        let detail = "the URL holds no user name and no password: what is sent is signed";
        fault("webhook.url_credentials", detail.to_owned());
    }
    if url.fragment().is_some() {
        fault("webhook.url", "a fragment is never sent, so the URL has none".to_owned());
    }
}

fn read_events(texts: &[String], faults: &mut Vec<Fault>) -> Vec<EventPattern> {
    if texts.is_empty() {
        let detail = "there has to be an event; `*` means all of them";
        faults.push(Fault::new("/events", "webhook.events", detail));
    }
    if texts.len() > WEBHOOK_EVENTS_MAX {
        let detail = format!("there may be {WEBHOOK_EVENTS_MAX} events; `*` means all of them");
        faults.push(Fault::new("/events", "webhook.events", detail));
        return Vec::new();
    }
    let mut seen = HashSet::new();
    let mut events = Vec::new();
    for (place, text) in texts.iter().enumerate() {
        let place = pointer("/events", place);
        let Some(pattern) = EventPattern::parse(text) else {
            let shown: String = text.chars().take(WEBHOOK_NAME_CHARS_MAX).collect();
            let detail = format!("there is no event `{shown}`");
            faults.push(Fault::new(place, "webhook.unknown_event", detail));
            continue;
        };
        if seen.insert(pattern.clone()) {
            events.push(pattern);
        } else {
            faults.push(Fault::new(place, "webhook.duplicate_event", format!("`{pattern}` is in the list already")));
        }
    }
    events
}

fn check_texts(templates: &Templates, text: &WebhookText, faults: &mut Vec<Fault>) {
    if text.description.as_ref().is_some_and(|text| text.chars().count() > WEBHOOK_DESCRIPTION_CHARS_MAX) {
        let detail = format!("a description has at most {WEBHOOK_DESCRIPTION_CHARS_MAX} characters");
        faults.push(Fault::new("/description", "webhook.description", detail));
    }
    if let Some(why) = text.filter.as_ref().and_then(|filter| fault_of(templates, filter)) {
        faults.push(Fault::new("/filter", "webhook.filter", why));
    }
    let Some(Transform { tool, plugin }) = &text.transform else { return };
    for (place, name) in [("/transform/tool", Some(tool)), ("/transform/plugin", plugin.as_ref())] {
        if name.is_some_and(|name| !(1..=WEBHOOK_NAME_CHARS_MAX).contains(&name.chars().count())) {
            let detail = format!("a name has 1 to {WEBHOOK_NAME_CHARS_MAX} characters");
            faults.push(Fault::new(place, "webhook.transform", detail));
        }
    }
}

fn fault_of(templates: &Templates, source: &str) -> Option<String> {
    if source.len() > WEBHOOK_FILTER_BYTES_MAX {
        return Some(format!("a filter has at most {WEBHOOK_FILTER_BYTES_MAX} bytes"));
    }
    let read = match templates.check_expression(source) {
        Ok(read) => read,
        Err(why) => return Some(format!("the expression does not parse: {why}")),
    };
    let mut unknown: Vec<_> = read.into_iter().filter(|name| !VARIABLES.contains(&name.as_str())).collect();
    unknown.sort();
    let unknown = unknown.into_iter().next()?;
    Some(format!("there is no variable `{unknown}` here; there are `type`, `timestamp`, `data` and `id`"))
}

fn check_numbers(text: &WebhookText, faults: &mut Vec<Fault>) {
    let mut within = |number: Option<u32>, max: u32, place: &str, code: &str, what: &str| {
        if number.is_some_and(|number| !(1..=max).contains(&number)) {
            faults.push(Fault::new(place, code, format!("{what} 1 to {max}")));
        }
    };
    within(text.concurrency, WEBHOOK_CONCURRENCY_MAX, "/concurrency", "webhook.concurrency", "the concurrency is");
    let seconds = "the seconds of an exchange are";
    within(text.timeout_seconds, WEBHOOK_TIMEOUT_SECONDS_MAX, "/timeoutSeconds", "webhook.timeout", seconds);
    let count = text.rate.map(|rate| rate.count);
    let calls = match text.rate.map(|rate| rate.per) {
        Some(RatePeriod::Minute) => "the calls in a minute are",
        _ => "the calls in a second are",
    };
    within(count, WEBHOOK_RATE_MAX, "/rate/count", "webhook.rate", calls);
    let Some(waits) = &text.retry_seconds else { return };
    for (place, wait) in waits.iter().enumerate().take(WEBHOOK_TRIES_MAX) {
        let place = pointer("/retrySeconds", place);
        within(Some(*wait), WEBHOOK_RETRY_SECONDS_MAX, &place, "webhook.retry", "the seconds between two tries are");
    }
    if waits.len() >= WEBHOOK_TRIES_MAX {
        let detail = format!("a delivery has at most {WEBHOOK_TRIES_MAX} tries, so there is one wait less");
        faults.push(Fault::new("/retrySeconds", "webhook.retry", detail));
    }
}
