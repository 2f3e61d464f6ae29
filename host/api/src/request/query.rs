//! Query parameters: those that an operation documents, and no others. A misspelt `dryRun` must not send what was to be counted.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use utoipa::openapi::path::{Operation, ParameterIn};
use utoipa::openapi::{OpenApi, RefOr};

use crate::problem::{Code, Problem};

/// Characters of an unknown parameter's name that are said again.
const NAME_CHARS_SHOWN: usize = 64;

/// The query parameters of each operation, by its method and path.
#[derive(Debug, Clone)]
pub(crate) struct QueryNames(Arc<HashMap<(Method, String), BTreeSet<String>>>);

impl QueryNames {
    /// As the document has them.
    pub(crate) fn of(document: &OpenApi) -> Self {
        let names = document.paths.paths.iter().flat_map(|(path, item)| {
            let methods = [
                (Method::GET, &item.get),
                (Method::POST, &item.post),
                (Method::PUT, &item.put),
                (Method::DELETE, &item.delete),
                (Method::PATCH, &item.patch),
            ];
            methods
                .into_iter()
                .filter_map(move |(method, operation)| Some(((method, path.clone()), queries_of(operation.as_ref()?))))
        });
        Self(Arc::new(names.collect()))
    }
}

fn queries_of(operation: &Operation) -> BTreeSet<String> {
    let parameters = operation.parameters.iter().flatten().filter_map(|one| match one {
        RefOr::T(parameter) if parameter.parameter_in == ParameterIn::Query => Some(parameter.name.clone()),
        // The document refers to none.
        RefOr::T(_) | RefOr::Ref(_) => None,
    });
    parameters.collect()
}

/// Refuses a request with a query parameter that its operation does not know.
pub(crate) async fn refuse_unknown_queries(
    State(QueryNames(names)): State<QueryNames>,
    path: MatchedPath,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let method = if request.method() == Method::HEAD { Method::GET } else { request.method().clone() };
    if let Some(known) = names.get(&(method, path.as_str().to_owned()))
        && request.uri().query().is_some()
    {
        let asked = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(request.uri())
            .map_err(|error| Problem::new(Code::QueryInvalid, format!("{}.", error.body_text())))?;
        if let Some((name, _)) = asked.iter().find(|(name, _)| !known.contains(name)) {
            return Err(unknown(name, known));
        }
    }
    Ok(next.run(request).await)
}

fn unknown(name: &str, known: &BTreeSet<String>) -> Problem {
    let name: String = name.chars().filter(|c| !c.is_control()).take(NAME_CHARS_SHOWN).collect();
    let known: Vec<String> = known.iter().map(|one| format!("`{one}`")).collect();
    let has = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    Problem::new(Code::QueryInvalid, format!("`{name}` is no query parameter of this operation, which has {has}."))
}
