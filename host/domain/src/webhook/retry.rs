//! When a delivery is tried again.

use std::time::Duration;

use chrono::{DateTime, Utc};

/// The waits between the tries where a webhook does not say, in seconds: ten tries in three days, which is what Standard Webhooks
/// recommends. The first one is made at once.
pub const RETRY_SECONDS_DEFAULT: [u32; 9] = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];
/// The part of a wait by which it may be longer, so that what failed together does not come back together.
pub const RETRY_JITTER: f64 = 0.1;
/// A receiver that asks for a longer wait is asked again after this: it may have meant seconds and written milliseconds.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(60 * 60);

/// How long to wait after the `tries`th try, or nothing where that was the last. `fraction` is chance, `0.0..1.0`.
pub fn wait_after(waits: &[u32], tries: u32, retry_after: Option<Duration>, fraction: f64) -> Option<Duration> {
    let planned = *waits.get(tries.checked_sub(1)? as usize)?;
    let planned = Duration::from_secs(u64::from(planned)).mul_f64(1.0 + RETRY_JITTER * fraction.clamp(0.0, 1.0));
    Some(planned.max(retry_after.unwrap_or_default()))
}

/// What a `Retry-After` asks for: seconds, or a date (RFC 9110, section 10.2.3); at most [`RETRY_AFTER_MAX`].
pub fn read_retry_after(text: &str, now: DateTime<Utc>) -> Option<Duration> {
    let text = text.trim();
    let asked = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than a number has are a long time.
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        let date = DateTime::<Utc>::from(httpdate::parse_http_date(text).ok()?);
        (date - now).to_std().unwrap_or_default()
    };
    Some(asked.min(RETRY_AFTER_MAX))
}
