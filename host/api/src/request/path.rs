//! Paths and queries, refused as problems.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::problem::{Code, Problem};

/// The path's one parameter, as text without U+0000, which no column holds: whether there is such a thing is the handler's
/// to find out.
#[derive(Debug, Clone)]
pub struct PathText(pub String);

impl PathText {
    /// The id that the path names. A text that cannot be one names nothing, so it is answered with `absent`.
    pub fn id<T: std::str::FromStr>(&self, absent: Code) -> Result<T, Problem> {
        self.0.parse().map_err(|_| Problem::not_found(absent))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for PathText {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(text)) if !text.contains('\0') => Ok(Self(text)),
            Ok(_) => Err(Problem::new(Code::PathInvalid, "The path's parameter has the character U+0000.")),
            Err(_) => Err(Problem::new(Code::PathInvalid, "The path's parameter is not percent-encoded UTF-8.")),
        }
    }
}

/// The path's two parameters: a name, and a number of something that the name has. What is no number names nothing, so it is
/// answered with `absent`.
#[derive(Debug, Clone)]
pub(crate) struct PathNumbered {
    /// The first one.
    pub(crate) name: String,
    number: String,
}

impl PathNumbered {
    /// The id that the first one is; otherwise as [`PathText::id`].
    pub(crate) fn id<T: std::str::FromStr>(&self, absent: Code) -> Result<T, Problem> {
        self.name.parse().map_err(|_| Problem::not_found(absent))
    }

    /// The second one, as it stands in the path: whether it can be used is the handler's to find out.
    pub(crate) fn second(&self) -> &str {
        &self.number
    }

    /// The second one.
    pub(crate) fn number(&self, absent: Code) -> Result<i32, Problem> {
        self.number.parse().map_err(|_| Problem::not_found(absent))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for PathNumbered {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::<(String, String)>::from_request_parts(parts, state).await {
            Ok(Path((name, number))) if !name.contains('\0') => Ok(Self { name, number }),
            Ok(_) => Err(Problem::new(Code::PathInvalid, "The path's parameter has the character U+0000.")),
            Err(_) => Err(Problem::new(Code::PathInvalid, "The path's parameters are not percent-encoded UTF-8.")),
        }
    }
}

/// The path's three parameters: a name, and two numbers of things that the name has, to be compared.
#[derive(Debug, Clone)]
pub(crate) struct PathBetween {
    /// The first number.
    pub(crate) from: PathNumbered,
    /// The second one.
    pub(crate) to: PathNumbered,
}

impl<S: Send + Sync> FromRequestParts<S> for PathBetween {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::<(String, String, String)>::from_request_parts(parts, state).await {
            Ok(Path((name, from, to))) if !name.contains('\0') => Ok(Self {
                from: PathNumbered { name: name.clone(), number: from },
                to: PathNumbered { name, number: to },
            }),
            Ok(_) => Err(Problem::new(Code::PathInvalid, "The path's parameter has the character U+0000.")),
            Err(_) => Err(Problem::new(Code::PathInvalid, "The path's parameters are not percent-encoded UTF-8.")),
        }
    }
}

/// The query's parameters. Those that an operation does not document are refused before.
#[derive(Debug, Clone)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = axum::extract::Query::<T>::try_from_uri(&parts.uri)
            .map_err(|error| Problem::new(Code::QueryInvalid, why_unusable(&error.body_text())))?;
        Ok(Self(query.0))
    }
}

/// What is wrong with a query, for whoever wrote it: the parameter is named, and that it was deserialised is nobody's concern.
fn why_unusable(text: &str) -> String {
    let text = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(text);
    if let Some(name) = text.strip_prefix("duplicate field ") {
        return format!("{name} stands there twice; where it takes several values, commas separate them.");
    }
    match text.split_once(": ") {
        Some((name, why)) if name.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            // As the standard library puts it.
            let why = if why.starts_with("invalid digit") { "this is no whole number, from 0 on" } else { why };
            format!("`{name}`: {why}.")
        }
        _ => format!("The query cannot be read: {text}."),
    }
}

#[cfg(test)]
mod tests {
    use axum::extract::Query as AxumQuery;
    use serde::Deserialize;

    use super::*;
    use crate::wire::Timestamp;

    #[derive(Debug, Deserialize)]
    struct Asked {
        limit: Option<u32>,
        since: Option<Timestamp>,
    }

    fn read(query: &str) -> Result<Asked, String> {
        let uri = format!("/list?{query}").parse().unwrap();
        AxumQuery::<Asked>::try_from_uri(&uri).map(|asked| asked.0).map_err(|error| why_unusable(&error.body_text()))
    }

    #[test]
    fn a_parameter_that_cannot_be_used_is_named_with_why() {
        assert_eq!(read("limit=x").unwrap_err(), "`limit`: this is no whole number, from 0 on.");
        let instant = "`since`: expected an instant such as `2026-01-31T09:30:00Z`.";
        assert_eq!(read("since=yesterday").unwrap_err(), instant);
        let twice = "`limit` stands there twice; where it takes several values, commas separate them.";
        assert_eq!(read("limit=1&limit=2").unwrap_err(), twice);
        assert_eq!(read("limit=7").unwrap().limit, Some(7));
    }

    #[test]
    fn an_instant_may_be_written_with_the_sign_of_its_zone_as_it_is() {
        let utc = read("since=2026-01-31T08:30:00Z").unwrap().since;
        for text in ["2026-01-31T09:30:00+01:00", "2026-01-31T09:30:00%2B01:00", "2026-01-31T07:30:00-01:00"] {
            assert_eq!(read(&format!("since={text}")).unwrap().since, utc, "{text}");
        }
        assert!(read("since=2026-01-31T09:30:00 x1:00".replace(' ', "+").as_str()).is_err());
    }
}
