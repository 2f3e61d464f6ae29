//! Where a stream of a run's events begins.

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::problem::{Code, Problem};
use crate::request::Query;

/// Where a stream begins.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct AfterQuery {
    /// The number of the last entry that is known already. `Last-Event-ID` takes precedence: it is newer.
    #[param(minimum = 0, required = false, value_type = i32)]
    after: Option<i32>,
}

/// The number of the last entry that the caller knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct After(pub(crate) i32);

impl<S: Sync> FromRequestParts<S> for After {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Query(query) = Query::<AfterQuery>::from_request_parts(parts, state).await?;
        after(&query, &parts.headers)
    }
}

fn after(query: &AfterQuery, headers: &HeaderMap) -> Result<After, Problem> {
    let wrong = |code, name: &str| Problem::new(code, format!("`{name}` must be the number of an entry."));
    if let Some(id) = headers.get("last-event-id") {
        let number = id.to_str().ok().and_then(|text| text.parse().ok()).filter(|number| *number >= 0);
        return number.map(After).ok_or_else(|| wrong(Code::HeaderInvalid, "Last-Event-ID"));
    }
    let number = query.after.unwrap_or(0);
    if number < 0 { Err(wrong(Code::QueryInvalid, "after")) } else { Ok(After(number)) }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    #[test]
    fn what_the_caller_saw_last_counts_and_not_what_its_address_says() {
        let read = |query: Option<i32>, id: Option<&str>| {
            let headers = id.map(|id| (HeaderName::from_static("last-event-id"), id.parse().unwrap()));
            after(&AfterQuery { after: query }, &headers.into_iter().collect()).map_err(|problem| problem.code())
        };
        assert_eq!(read(None, None), Ok(After(0)));
        assert_eq!(read(Some(3), None), Ok(After(3)));
        assert_eq!(read(Some(3), Some("9")), Ok(After(9)));
        assert_eq!(read(Some(-1), None), Err(Code::QueryInvalid));
        for wrong in ["", "x", "-1", "1.5"] {
            assert_eq!(read(None, Some(wrong)), Err(Code::HeaderInvalid), "{wrong}");
        }
    }
}
