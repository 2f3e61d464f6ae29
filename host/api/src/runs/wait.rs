//! How long the caller of a run waits for its end.

use std::time::Duration;

use armilla_domain::duration::parse_duration;
use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::problem::{Code, Problem};
use crate::request::Query;

/// How long a caller waits for a run's end who does not say: what most proxies in between allow.
pub const RUN_WAIT_DEFAULT: Duration = Duration::from_secs(60);
/// The longest a caller may wait on one connection; a longer run is asked for again.
pub const RUN_WAIT_MAX: Duration = Duration::from_secs(300);

/// How long to wait.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct WaitQuery {
    /// How long to wait for the run's end: seconds, or a duration such as `500ms`; at most 300 s, 60 s where absent. 0
    /// does not wait, as `Prefer: respond-async` does not.
    #[param(required = false, example = "30s")]
    wait: Option<String>,
}

/// How long this caller waits; zero is not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wait(pub(crate) Duration);

impl<S: Sync> FromRequestParts<S> for Wait {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Query(query) = Query::<WaitQuery>::from_request_parts(parts, state).await?;
        wait(query.wait.as_deref(), &parts.headers).map(Self)
    }
}

fn wait(stated: Option<&str>, headers: &HeaderMap) -> Result<Duration, Problem> {
    // Several headers, and several preferences in one, mean the same (RFC 7240 section 2).
    let preferences = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    let mut preferences = preferences.flat_map(|value| value.split(','));
    if preferences.any(|preference| preference.trim().eq_ignore_ascii_case("respond-async")) {
        return Ok(Duration::ZERO);
    }
    let Some(text) = stated else { return Ok(RUN_WAIT_DEFAULT) };
    let seconds = text.parse().map(Duration::from_secs);
    match seconds.ok().or_else(|| parse_duration(text).ok()) {
        Some(wait) if wait <= RUN_WAIT_MAX => Ok(wait),
        _ => {
            let max = RUN_WAIT_MAX.as_secs();
            let detail = format!("`wait` must be seconds, or a duration such as `500ms`, of at most {max} seconds.");
            Err(Problem::new(Code::QueryInvalid, detail))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waited(query: Option<&str>, prefer: &[&'static str]) -> Result<Duration, Code> {
        let headers = prefer.iter().map(|value| ("prefer".parse().unwrap(), value.parse().unwrap())).collect();
        wait(query, &headers).map_err(|problem| problem.code())
    }

    #[test]
    fn a_caller_waits_as_long_as_it_says_within_a_bound() {
        assert_eq!(waited(None, &[]), Ok(RUN_WAIT_DEFAULT));
        assert_eq!(waited(Some("0"), &[]), Ok(Duration::ZERO));
        assert_eq!(waited(Some("30"), &[]), Ok(Duration::from_secs(30)));
        assert_eq!(waited(Some("500ms"), &[]), Ok(Duration::from_millis(500)));
        assert_eq!(waited(Some("5m"), &[]), Ok(RUN_WAIT_MAX));
        for wrong in ["301", "6m", "-1", "soon", ""] {
            assert_eq!(waited(Some(wrong), &[]), Err(Code::QueryInvalid), "{wrong}");
        }
    }

    #[test]
    fn a_caller_that_prefers_not_to_wait_does_not() {
        assert_eq!(waited(Some("30"), &["respond-async"]), Ok(Duration::ZERO));
        assert_eq!(waited(None, &["handling=lenient", "wait=10, Respond-Async"]), Ok(Duration::ZERO));
        assert_eq!(waited(None, &["handling=lenient"]), Ok(RUN_WAIT_DEFAULT));
    }
}
