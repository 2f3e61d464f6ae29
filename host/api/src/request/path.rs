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
            .map_err(|error| Problem::new(Code::QueryInvalid, format!("{}.", error.body_text())))?;
        Ok(Self(query.0))
    }
}
