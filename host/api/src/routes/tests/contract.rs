//! That the router and the OpenAPI document say the same.

use std::collections::HashSet;
use std::path::{Path as FilePath, PathBuf};

use axum::body::Body;
use axum::http::{Method, StatusCode, header};
use serde_json::{Value, json};

use super::{code_of, json_of, request, send, state};
use crate::routes::router;

const METHODS: [&str; 5] = ["get", "put", "post", "delete", "patch"];

/// Path, method and operation of everything that the served document describes.
async fn operations() -> (Value, Vec<(String, &'static str, Value)>) {
    let response = send(router(state()), request("GET", "/openapi.json").body(Body::empty()).unwrap()).await;
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
    let document = json_of(response).await;
    let operations = document["paths"].as_object().unwrap().iter().flat_map(|(path, item)| {
        METHODS.iter().filter_map(|method| Some((path.clone(), *method, item.get(*method)?.clone())))
    });
    let operations = operations.collect();
    (document, operations)
}

#[tokio::test]
async fn the_document_is_openapi_3_1_and_all_its_references_lead_somewhere() {
    let (document, _) = operations().await;
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(document["components"]["securitySchemes"]["bearer"]["scheme"], "bearer");
    let text = document.to_string();
    for reference in text.split(r##""$ref":"#"##).skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(document.pointer(reference).is_some(), "{reference} leads nowhere");
    }
    // The bodies' faults are found by these very schemas.
    let components = &document["components"];
    for name in components["schemas"].as_object().unwrap().keys() {
        let schema = json!({ "$ref": format!("#/components/schemas/{name}"), "components": components });
        assert!(jsonschema::draft202012::new(&schema).is_ok(), "{name} is not a schema");
    }
    let problem = &document["components"]["schemas"]["Problem"]["properties"];
    for member in ["type", "title", "status", "detail", "code", "requestId", "errors"] {
        assert!(problem[member].is_object(), "{member} is not documented");
    }
}

#[tokio::test]
async fn every_documented_operation_is_served_and_every_other_method_is_not() {
    let router = router(state());
    let (_, operations) = operations().await;
    let documented: HashSet<_> = operations.iter().map(|(path, method, _)| (path.clone(), *method)).collect();
    for (path, _) in &documented {
        let filled =
            path.split('/').map(|part| if part.starts_with('{') { "x" } else { part }).collect::<Vec<_>>().join("/");
        for method in METHODS {
            let name = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let response = send(router.clone(), request(name.as_str(), &filled).body(Body::empty()).unwrap()).await;
            let served = response.status() != StatusCode::METHOD_NOT_ALLOWED;
            assert_eq!(served, documented.contains(&(path.clone(), method)), "{method} {path}");
            if response.status() == StatusCode::NOT_FOUND {
                assert_ne!(code_of(response).await, "route.not_found", "{method} {path}");
            }
        }
    }
}

#[tokio::test]
async fn every_documented_operation_has_an_id_a_summary_its_access_and_its_error_answers() {
    const PUBLIC: [&str; 5] = ["/healthz", "/readyz", "/openapi.json", "/problems/{code}", "/hooks/{token}"];
    // Needs no bearer token, and refuses a call that is signed wrongly.
    const SIGNED: &str = "/hooks/{token}";
    let router = router(state());
    let (_, operations) = operations().await;
    let mut ids = HashSet::new();
    for (path, method, operation) in &operations {
        let id = operation["operationId"].as_str().unwrap();
        assert!(ids.insert(id) && !id.contains('_'), "{id}");
        assert!(!operation["summary"].as_str().unwrap_or_default().is_empty(), "{method} {path} has no summary");
        assert!(!operation["tags"].as_array().unwrap().is_empty(), "{method} {path} has no tag");
        let responses = operation["responses"].as_object().unwrap();
        assert!(responses.keys().any(|status| status.starts_with('2')), "{method} {path} never goes well");
        for (status, response) in responses.iter().filter(|(status, _)| !status.starts_with('2')) {
            let content = &response["content"]["application/problem+json"]["schema"]["$ref"];
            assert_eq!(content, "#/components/schemas/Problem", "{method} {path} {status}");
        }
        assert!(responses.contains_key("default"));

        let public = PUBLIC.contains(&path.as_str());
        assert_eq!(
            operation["security"],
            if public { json!([]) } else { json!([{ "bearer": [] }]) },
            "{method} {path}"
        );
        assert_eq!(responses.contains_key("401"), !public || path == SIGNED, "{method} {path}");
        assert_eq!(responses.contains_key("404"), path.contains('{'), "{method} {path}");
        let parameters = operation["parameters"]
            .as_array()
            .map_or(0, |parameters| parameters.iter().filter(|parameter| parameter["in"] == "path").count());
        assert_eq!(parameters, path.matches('{').count(), "{method} {path} documents its path");

        let filled = path.replace(['{', '}'], "x");
        let method = method.to_uppercase();
        let response = send(router.clone(), request(&method, &filled).body(Body::empty()).unwrap()).await;
        assert_eq!(response.status() == StatusCode::UNAUTHORIZED, !public, "{method} {path}");
    }
}

#[test]
fn routes_are_registered_only_together_with_their_documentation() {
    fn sources(folder: &FilePath) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let entries = entries.filter(|path| path.file_stem().unwrap() != "tests");
        entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
    }
    let sources = sources(&FilePath::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!(sources.iter().any(|path| path.ends_with("src/routes.rs")));
    for path in sources {
        let source = std::fs::read_to_string(&path).unwrap();
        for forbidden in [".route(", ".route_service(", ".nest_service(", ".fallback_service("] {
            assert!(!source.contains(forbidden), "{} has a route of its own: `{forbidden}`", path.display());
        }
    }
}
