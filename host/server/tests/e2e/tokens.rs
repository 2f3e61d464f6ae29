//! Who is let in.

use armilla_api::auth::{Claims, Role, Secret, mint};
use serde_json::json;

use crate::harness::{Client, TestServer, agent_step, auth_config, claims};

/// `{"alg":"none"}` and `{"alg":"RS256","typ":"JWT"}`, in base64url.
const HEADER_NONE: &str = "eyJhbGciOiJub25lIn0";
const HEADER_RS256: &str = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9";

fn signed(claims: &Claims) -> String {
    mint(&auth_config().current_secret, claims).unwrap()
}

async fn is_refused(client: &Client, code: &str) {
    let answer = client.get("/workflows").await;
    assert!(answer.header("www-authenticate").starts_with("Bearer realm="), "{answer:?}");
    answer.problem(401, code);
    // Also where something would be started.
    client.post("/workflows/wf_00000000000000000000000000000000/run", &json!({})).await.problem(401, code);
}

#[tokio::test]
async fn a_request_without_a_token_is_refused_everywhere_but_where_nothing_can_be_learnt() {
    let server = TestServer::start().await;
    let nobody = server.admin.without_token();
    is_refused(&nobody, "auth.missing").await;
    for path in ["/agents", "/tools", "/runs/run_00000000000000000000000000000000"] {
        nobody.get(path).await.problem(401, "auth.missing");
    }
    for path in ["/healthz", "/readyz", "/openapi.json"] {
        nobody.get(path).await.expect(200);
    }
}

#[tokio::test]
async fn an_expired_token_is_refused() {
    let server = TestServer::start().await;
    let claims = claims(Role::Owner);
    let expired = Claims { nbf: None, exp: claims.iat - 1, ..claims };
    is_refused(&server.admin.as_bearer(signed(&expired)), "auth.expired").await;
}

#[tokio::test]
async fn a_token_that_is_not_valid_yet_is_refused() {
    let server = TestServer::start().await;
    let claims = claims(Role::Owner);
    let early = Claims { nbf: Some(claims.iat + 600), ..claims };
    is_refused(&server.admin.as_bearer(signed(&early)), "auth.not_yet_valid").await;
}

#[tokio::test]
async fn a_token_of_another_algorithm_is_refused_whatever_its_signature() {
    let server = TestServer::start().await;
    let good = signed(&claims(Role::Owner));
    let (_, rest) = good.split_once('.').unwrap();
    let (payload, _) = rest.split_once('.').unwrap();
    for token in
        [format!("{HEADER_NONE}.{payload}."), format!("{HEADER_NONE}.{rest}"), format!("{HEADER_RS256}.{rest}")]
    {
        is_refused(&server.admin.as_bearer(token), "auth.wrong_algorithm").await;
    }
}

#[tokio::test]
async fn a_token_of_another_key_is_refused() {
    let server = TestServer::start().await;
    let forged = mint(&Secret::new("a secret that this server never had").unwrap(), &claims(Role::Owner)).unwrap();
    is_refused(&server.admin.as_bearer(forged), "auth.bad_signature").await;
    // The same signature under other claims.
    let (mine, theirs) = (signed(&claims(Role::Viewer)), signed(&claims(Role::Owner)));
    let (_, signature) = mine.rsplit_once('.').unwrap();
    let (content, _) = theirs.rsplit_once('.').unwrap();
    is_refused(&server.admin.as_bearer(format!("{content}.{signature}")), "auth.bad_signature").await;
}

#[tokio::test]
async fn a_token_of_another_issuer_or_for_another_audience_is_refused() {
    let server = TestServer::start().await;
    let theirs = Claims { iss: "somebody".to_owned(), ..claims(Role::Owner) };
    is_refused(&server.admin.as_bearer(signed(&theirs)), "auth.wrong_issuer").await;
    let elsewhere = Claims { aud: "somewhere".to_owned(), ..claims(Role::Owner) };
    is_refused(&server.admin.as_bearer(signed(&elsewhere)), "auth.wrong_audience").await;
}

#[tokio::test]
async fn what_is_no_token_is_refused() {
    let server = TestServer::start().await;
    for nonsense in ["nonsense", "a.b.c", "..", "eyJhbGciOiJIUzI1NiJ9.e30."] {
        let answer = server.admin.as_bearer(nonsense).get("/workflows").await;
        assert_eq!(answer.status, 401, "{nonsense}");
    }
}

#[tokio::test]
async fn a_token_of_the_previous_secret_is_still_good() {
    let server = TestServer::start().await;
    let previous = auth_config().previous_secret.unwrap();
    let token = mint(&previous, &claims(Role::Viewer)).unwrap();
    server.admin.as_bearer(token).get("/workflows").await.expect(200);
}

#[tokio::test]
async fn each_role_may_do_what_it_is_for_and_no_more() {
    let (server, agent) = TestServer::with_agent().await;
    let (viewer, member) = (server.client(Role::Viewer), server.client(Role::Member));
    let body = json!({ "name": "n", "definition": { "steps": [agent_step("ask", "Hi")] } });
    viewer.post("/workflows", &body).await.problem(403, "auth.role");
    let workflow = member.post("/workflows", &body).await.expect(201)["workflow"]["id"].as_str().unwrap().to_owned();
    let (path, run) = (format!("/workflows/{workflow}"), format!("/workflows/{workflow}/run"));
    viewer.get(&path).await.expect(200);
    viewer.post(&run, &json!({})).await.problem(403, "auth.role");
    viewer.delete(&path).await.problem(403, "auth.role");
    assert_eq!(agent.calls().len(), 0);
    let ran = member.post(&run, &json!({})).await.expect(200);
    viewer.get(&format!("/runs/{}/steps", ran["run"]["id"].as_str().unwrap())).await.expect(200);

    let config = json!({ "id": "another", "protocol": "http", "endpoint": agent.endpoint() });
    member.post("/agents", &config).await.problem(403, "auth.role");
    member.put("/agents/scripted", &config).await.problem(403, "auth.role");
    member.delete("/agents/scripted").await.problem(403, "auth.role");
    member.get("/agents/scripted").await.expect(200);
    server.client(Role::Owner).post("/agents", &config).await.expect(201);
}
