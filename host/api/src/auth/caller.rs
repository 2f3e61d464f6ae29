//! The caller of a request, and what their role allows.

use std::fmt;
use std::str::FromStr;

use armilla_domain::id::WorkspaceId;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::Response;
use serde::{Deserialize, Serialize};

use super::AuthError;
use crate::problem::Problem;
use crate::state::ApiState;

/// What somebody may do, the least first: each role may do what the ones before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads.
    Viewer,
    /// Makes workflows and runs things.
    Member,
    /// Also looks after agents, plugins, grants, secrets and webhooks.
    Admin,
    /// May do everything.
    Owner,
}

impl Role {
    /// All roles, the least first.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Member, Self::Admin, Self::Owner];

    /// The role's name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Member => "member",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected `owner`, `admin`, `member` or `viewer`")]
pub struct RoleError;

impl FromStr for Role {
    type Err = RoleError;

    fn from_str(text: &str) -> Result<Self, RoleError> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or(RoleError)
    }
}

/// Whom a request speaks for. As a handler's argument it is there on every route that needs a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The token's `sub`.
    pub subject: String,
    /// What they may do.
    pub role: Role,
    /// The workspace everything they do happens in.
    pub workspace: WorkspaceId,
}

impl Caller {
    /// Refuses callers whose role is less than `needed`.
    pub fn require(&self, needed: Role) -> Result<(), AuthError> {
        if self.role < needed {
            return Err(AuthError::Role { needed, actual: self.role });
        }
        Ok(())
    }
}

/// A route stands behind no authentication although its handler asks for the caller: a mistake of ours.
#[derive(Debug, thiserror::Error)]
#[error("a handler asked for the caller on a route that needs no token")]
struct CallerAbsent;

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| Problem::internal(&CallerAbsent))
    }
}

/// A caller who may make workflows and run things. As a handler's argument it stands before the body, so that who may not
/// is told so whatever they sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member(pub(crate) Caller);

impl<S: Sync> FromRequestParts<S> for Member {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, state).await?;
        caller.require(Role::Member)?;
        Ok(Self(caller))
    }
}

/// A caller who may look after agents; otherwise as [`Member`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Admin(pub(crate) Caller);

impl<S: Sync> FromRequestParts<S> for Admin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, state).await?;
        caller.require(Role::Admin)?;
        Ok(Self(caller))
    }
}

/// The layer in front of every route that needs a token.
pub(crate) async fn authenticate(
    State(state): State<ApiState>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let token = bearer_token(request.headers())?;
    let caller = state.authenticator.verify(token, state.clock.now())?;
    own_workspace(&caller, request.headers())?;
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

fn bearer_token(headers: &HeaderMap) -> Result<&str, AuthError> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = match (values.next(), values.next()) {
        (None, _) => return Err(AuthError::Missing),
        (Some(value), None) => value,
        (Some(_), Some(_)) => return Err(AuthError::Malformed("there are several `Authorization` headers".to_owned())),
    };
    let text = value.to_str().map_err(|_| AuthError::Malformed("the header is not ASCII".to_owned()))?;
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty() => Ok(token.trim()),
        // Another scheme is no bearer token, not a bad one.
        _ => Err(AuthError::Missing),
    }
}

// A caller is a member of exactly one workspace so far: their token's own.
fn own_workspace(caller: &Caller, headers: &HeaderMap) -> Result<(), AuthError> {
    let own = |value: &axum::http::HeaderValue| {
        value.to_str().ok().and_then(|text| text.parse::<WorkspaceId>().ok()) == Some(caller.workspace)
    };
    if headers.get_all("x-workspace-id").iter().all(own) { Ok(()) } else { Err(AuthError::OtherWorkspace) }
}
