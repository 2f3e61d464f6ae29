//! Who is let in.

use armilla_domain::id::WorkspaceId;
use axum::body::Body;
use axum::http::{StatusCode, header};
use serde_json::json;

use super::{bearer, code_of, json_of, probes, request, send};
use crate::auth::Role;

#[tokio::test]
async fn a_route_behind_authentication_needs_a_token() {
    let with = async |values: &[&str]| {
        let request = values.iter().fold(request("GET", "/caller"), |r, value| r.header("authorization", *value));
        send(probes(), request.body(Body::empty()).unwrap()).await
    };
    let response = with(&[]).await;
    assert_eq!(response.headers()[header::WWW_AUTHENTICATE], r#"Bearer realm="armilla""#);
    assert_eq!((response.status(), code_of(response).await), (StatusCode::UNAUTHORIZED, "auth.missing".into()));
    for absent in ["Basic YTpi", "Bearer", "Bearer ", "bearer"] {
        assert_eq!(code_of(with(&[absent]).await).await, "auth.missing", "{absent}");
    }
    let response = with(&["Bearer nonsense"]).await;
    assert_eq!(response.headers()[header::WWW_AUTHENTICATE], r#"Bearer realm="armilla", error="invalid_token""#);
    assert_eq!(code_of(response).await, "auth.malformed");
    let good = bearer(Role::Viewer);
    assert_eq!(code_of(with(&[&good, &good]).await).await, "auth.malformed");
    assert_eq!(json_of(with(&[&good]).await).await, json!(["ada", WorkspaceId::DEFAULT]));
    assert_eq!(with(&[&good.replace("Bearer", "bEARER")]).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_role_that_is_too_small_is_forbidden() {
    let as_role = async |role| {
        let request = request("POST", "/admin").header("authorization", bearer(role)).body(Body::empty()).unwrap();
        send(probes(), request).await
    };
    let response = as_role(Role::Member).await;
    assert_eq!(response.headers()[header::WWW_AUTHENTICATE], r#"Bearer realm="armilla", error="insufficient_scope""#);
    assert_eq!((response.status(), code_of(response).await), (StatusCode::FORBIDDEN, "auth.role".into()));
    assert_eq!(as_role(Role::Admin).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn only_the_token_s_own_workspace_is_there() {
    let with = async |workspace: &str| {
        let request = request("GET", "/caller").header("authorization", bearer(Role::Owner));
        send(probes(), request.header("x-workspace-id", workspace).body(Body::empty()).unwrap()).await
    };
    assert_eq!(with(&WorkspaceId::DEFAULT.to_string()).await.status(), StatusCode::OK);
    for other in [&WorkspaceId::from_parts(1, [1; 10]).to_string(), "nonsense", ""] {
        let response = with(other).await;
        assert_eq!((response.status(), code_of(response).await), (StatusCode::NOT_FOUND, "workspace.not_found".into()));
    }
}
