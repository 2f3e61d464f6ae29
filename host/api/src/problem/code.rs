//! Every kind of problem this server answers with: its stable code, its status and its title, in one table.

use std::borrow::Cow;

use axum::http::StatusCode;
use serde::Serialize;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

macro_rules! codes {
    ($($variant:ident, $code:literal, $status:ident, $title:literal;)*) => {
        /// What kind of problem an answer tells of. The text is stable: programs branch on it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
        pub enum Code {
            $(#[doc = $title] #[serde(rename = $code)] $variant,)*
        }

        impl Code {
            /// All of them, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The code on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// The HTTP status it is answered with.
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status,)* }
            }

            /// What it means, in words that are the same in every answer.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }
        }
    };
}

codes! {
    RouteNotFound, "route.not_found", NOT_FOUND, "There is nothing at this path.";
    MethodNotAllowed, "route.method_not_allowed", METHOD_NOT_ALLOWED, "This path does not know this method.";

    BodyMalformed, "body.malformed", BAD_REQUEST, "The body is not well-formed JSON.";
    BodyTooDeep, "body.too_deep", BAD_REQUEST, "The body's JSON is nested too deeply.";
    BodyInvalid, "body.invalid", UNPROCESSABLE_ENTITY, "The body is not what this operation takes.";
    BodyTooLarge, "body.too_large", PAYLOAD_TOO_LARGE, "The body is too large.";
    BodyTimeout, "body.timeout", REQUEST_TIMEOUT, "The body did not arrive in time.";
    BodyMediaType, "body.unsupported_media_type", UNSUPPORTED_MEDIA_TYPE, "The body has a type that this operation does not take.";
    PathInvalid, "path.invalid", BAD_REQUEST, "The path cannot be read.";
    QueryInvalid, "query.invalid", BAD_REQUEST, "A query parameter cannot be used.";
    HeaderInvalid, "header.invalid", BAD_REQUEST, "A header cannot be used.";

    AuthMissing, "auth.missing", UNAUTHORIZED, "A bearer token is needed.";
    AuthMalformed, "auth.malformed", UNAUTHORIZED, "The bearer token cannot be read.";
    AuthWrongAlgorithm, "auth.wrong_algorithm", UNAUTHORIZED, "The bearer token is signed by an algorithm that is not accepted.";
    AuthBadSignature, "auth.bad_signature", UNAUTHORIZED, "The bearer token was not signed by a key of this server.";
    AuthExpired, "auth.expired", UNAUTHORIZED, "The bearer token has expired.";
    AuthNotYetValid, "auth.not_yet_valid", UNAUTHORIZED, "The bearer token is not valid yet.";
    AuthWrongIssuer, "auth.wrong_issuer", UNAUTHORIZED, "The bearer token has another issuer.";
    AuthWrongAudience, "auth.wrong_audience", UNAUTHORIZED, "The bearer token is meant for another audience.";
    AuthRole, "auth.role", FORBIDDEN, "The caller's role does not allow this.";

    WorkspaceNotFound, "workspace.not_found", NOT_FOUND, "There is no such workspace for this caller.";
    WorkflowNotFound, "workflow.not_found", NOT_FOUND, "There is no such workflow.";
    WorkflowInvalid, "workflow.invalid", UNPROCESSABLE_ENTITY, "The workflow's definition has faults.";
    RunNotFound, "run.not_found", NOT_FOUND, "There is no such run.";
    RunInvalidInput, "run.invalid_input", UNPROCESSABLE_ENTITY, "The input does not fit the workflow.";
    AgentNotFound, "agent.not_found", NOT_FOUND, "There is no such agent.";
    AgentExists, "agent.exists", CONFLICT, "There is an agent with this id already.";
    AgentInvalid, "agent.invalid", UNPROCESSABLE_ENTITY, "The agent's configuration has faults.";
    ToolNotFound, "tool.not_found", NOT_FOUND, "There is no such tool.";
    ProblemNotFound, "problem.not_found", NOT_FOUND, "There is no such kind of problem.";

    StoreUnavailable, "store.unavailable", SERVICE_UNAVAILABLE, "The database cannot be reached at the moment.";

    ServerInternal, "server.internal", INTERNAL_SERVER_ERROR, "The server failed.";
    ServerTimeout, "server.timeout", SERVICE_UNAVAILABLE, "The server took too long.";
    ServerUnavailable, "server.unavailable", SERVICE_UNAVAILABLE, "The server cannot answer this at the moment.";
    ServerNotReady, "server.not_ready", SERVICE_UNAVAILABLE, "The server is not ready.";
}

// Open, unlike an enumeration: a later version may know more kinds, and a strict client goes on reading its answers.
impl PartialSchema for Code {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("What kind of problem it is: stable and dotted; programs branch on it."))
            .examples(Self::ALL.iter().map(|code| code.as_str()))
            .into()
    }
}

impl ToSchema for Code {
    fn name() -> Cow<'static, str> {
        "ProblemCode".into()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_code_is_dotted_unique_an_error_and_serialises_as_it_reads() {
        let mut seen = HashSet::new();
        for code in Code::ALL {
            assert!(seen.insert(code.as_str()), "`{}` stands twice in the table", code.as_str());
            assert!(
                code.as_str().contains('.')
                    && code.as_str().bytes().all(|b| b.is_ascii_lowercase() || b"._".contains(&b))
            );
            assert!(code.status().is_client_error() || code.status().is_server_error());
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }
}
