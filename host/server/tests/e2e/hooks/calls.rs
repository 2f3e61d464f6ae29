//! What becomes of calls that are believed, and what is kept of them.

use reqwest::Method;
use serde_json::{Value, json};

use super::{call, echo, make, outcomes, runs};
use crate::harness::TestServer;

#[tokio::test]
async fn a_run_is_given_what_the_hook_picks_out_of_the_call() {
    let server = TestServer::start().await;
    let workflow = echo(&server.admin).await;
    let input = json!({
        "title": "body.issue.title", "event": "headers['x-event']", "team": "query.team", "method": "method",
        "all": "headers",
    });
    let mut hook = make(&server.admin, &workflow, json!({ "input": input, "respond": "result" })).await;
    hook.path.push_str("?team=a%20b&team=c");
    let secret = [("x-event", "e".to_owned()), ("authorization", "Basic eA==".to_owned()), ("cookie", "c".to_owned())];
    let answer = call(&server, &hook, &secret, r#"{"issue":{"title":"Tides"}}"#).await;
    assert!(answer.header("x-armilla-run").starts_with("run_"));
    let mut given = answer.expect(200)["given"].take();
    let all = given["all"].take();
    assert_eq!(given, json!({ "title": "Tides", "event": "e", "team": "c", "method": "POST", "all": null }));
    assert_eq!((&all["x-event"], &all["authorization"], &all["cookie"]), (&json!("e"), &Value::Null, &Value::Null));
}

#[tokio::test]
async fn bodies_are_json_forms_or_text() {
    let server = TestServer::start().await;
    let workflow = echo(&server.admin).await;
    let hook = make(&server.admin, &workflow, json!({ "respond": "result" })).await;
    let send = async |content_type: &str, body: &[u8]| {
        let request =
            server.admin.without_token().request(Method::POST, &hook.path).header("content-type", content_type);
        server.admin.send(request.body(body.to_vec())).await
    };
    for (content_type, body, given) in [
        ("application/json", r#"[1]"#, json!([1])),
        ("application/x-www-form-urlencoded", "text=a+b&user=c", json!({ "text": "a b", "user": "c" })),
        ("text/plain", "{}", json!("{}")),
        ("text/plain", "", json!(null)),
    ] {
        let answer = send(content_type, body.as_bytes()).await.expect(200);
        assert_eq!(answer["given"]["body"], given, "{content_type}");
    }
    send("application/json", b"{").await.problem(400, "body.malformed");
    send("application/json", "[".repeat(65).as_bytes()).await.problem(400, "body.too_deep");
    send("text/plain", b"\xff").await.problem(415, "body.unsupported_media_type");
    send("text/plain", &vec![b'a'; 1024 * 1024 + 1]).await.problem(413, "body.too_large");
    assert_eq!(runs(&server.admin, &workflow).await, 4);
}

#[tokio::test]
async fn a_call_that_the_hook_is_not_for_is_accepted_and_ignored() {
    let server = TestServer::start().await;
    let workflow = echo(&server.admin).await;
    let hook = make(&server.admin, &workflow, json!({ "when": "body.action == 'opened'" })).await;
    let ignored = call(&server, &hook, &[], r#"{"action":"closed"}"#).await.expect(202);
    assert_eq!(ignored, json!({ "outcome": "ignored", "runId": null, "status": null }));
    assert_eq!(runs(&server.admin, &workflow).await, 0);
    call(&server, &hook, &[], r#"{"action":"opened"}"#).await.expect(202);
    assert_eq!(runs(&server.admin, &workflow).await, 1);
    let all: Vec<String> = outcomes(&server.admin, &hook).await.into_iter().map(|(outcome, _)| outcome).collect();
    assert_eq!(all, ["started", "ignored"]);
}

#[tokio::test]
async fn input_that_does_not_fit_the_workflow_is_refused_and_starts_nothing() {
    let server = TestServer::start().await;
    let schema = json!({ "type": "object", "properties": { "n": { "type": "integer" } }, "required": ["n"] });
    let steps = json!([{ "type": "set", "id": "s", "vars": { "m": "n + 1" } }]);
    let definition = json!({ "inputSchema": schema, "steps": steps, "output": { "m": "m" } });
    let workflow = server.admin.create(definition).await;
    let hook = make(&server.admin, &workflow, json!({ "input": { "n": "body.n" }, "respond": "result" })).await;
    let problem = call(&server, &hook, &[], r#"{"n":"one"}"#).await.problem(422, "run.invalid_input");
    assert_eq!(problem["errors"][0]["pointer"], "/input/n");
    call(&server, &hook, &[], r#"{"n":{"a":1}}"#).await.problem(422, "run.invalid_input");
    assert_eq!(runs(&server.admin, &workflow).await, 0);
    assert_eq!(call(&server, &hook, &[], r#"{"n":1}"#).await.expect(200), json!({ "m": 2 }));
}

#[tokio::test]
async fn whoever_waits_for_the_result_gets_it_or_a_problem_and_again_the_same() {
    let server = TestServer::start().await;
    let steps = json!([
        { "type": "fail", "id": "no", "message": "for us alone", "code": "own.code", "when": "body.bad" },
        { "type": "set", "id": "s", "vars": { "given": "body.id" } },
    ]);
    let workflow = server.admin.create(json!({ "steps": steps, "output": { "given": "given" } })).await;
    let hook = make(&server.admin, &workflow, json!({ "respond": "result", "deduplicateBy": "body.id" })).await;
    let good = r#"{"id":1,"bad":false}"#;
    let first = call(&server, &hook, &[], good).await;
    let again = call(&server, &hook, &[], good).await;
    assert_eq!(first.header("x-armilla-run"), again.header("x-armilla-run"));
    assert_eq!((first.expect(200), again.expect(200)), (json!({ "given": 1 }), json!({ "given": 1 })));

    for _ in 0..2 {
        let answer = call(&server, &hook, &[], r#"{"id":2,"bad":true}"#).await;
        let problem = answer.problem(502, "hook.run_failed");
        assert_eq!(problem["error"], json!({ "code": "own.code" }));
        assert!(problem["runId"].is_string() && !problem.to_string().contains("for us alone"), "{problem:#}");
    }
    assert_eq!(runs(&server.admin, &workflow).await, 2);
    let kept = server.admin.get(&format!("/inbound-hooks/{}/calls", hook.id)).await.expect(200)["calls"].take();
    let kept: Vec<_> =
        kept.as_array().unwrap().iter().map(|call| json!([call["outcome"], call["code"], call["status"]])).collect();
    let expected = [
        json!(["repeated", "hook.run_failed", 502]),
        json!(["started", "hook.run_failed", 502]),
        json!(["repeated", null, 200]),
        json!(["started", null, 200]),
    ];
    assert_eq!(kept, expected);
}

#[tokio::test]
async fn the_last_hundred_calls_are_kept_and_read_in_pages() {
    let server = TestServer::start().await;
    let workflow = echo(&server.admin).await;
    let hook = make(&server.admin, &workflow, json!({ "when": "false" })).await;
    for _ in 0..103 {
        call(&server, &hook, &[], "{}").await.expect(202);
    }
    let path = format!("/inbound-hooks/{}/calls", hook.id);
    let all = server.admin.get(&path).await.expect(200);
    assert_eq!((all["calls"].as_array().unwrap().len(), &all["nextCursor"]), (100, &Value::Null));
    let first = server.admin.get(&format!("{path}?limit=60")).await.expect(200);
    let cursor = first["nextCursor"].as_str().unwrap();
    let rest = server.admin.get(&format!("{path}?limit=60&cursor={cursor}")).await.expect(200);
    assert_eq!((rest["calls"].as_array().unwrap().len(), &rest["nextCursor"]), (40, &Value::Null));
    server.admin.get(&format!("{path}?limit=101")).await.problem(400, "query.invalid");
}

#[tokio::test]
async fn a_hook_that_is_called_too_often_says_when_to_come_back() {
    let server = TestServer::start().await;
    let workflow = echo(&server.admin).await;
    let hook = make(&server.admin, &workflow, json!({ "when": "false" })).await;
    let other = make(&server.admin, &workflow, json!({ "when": "false" })).await;
    // Two minutes' worth, since one may end meanwhile.
    for _ in 0..2 * armilla_engine::HOOK_CALLS_PER_MINUTE_MAX {
        let answer = call(&server, &hook, &[], "{}").await;
        if answer.status == 429 {
            assert!((1..=60).contains(&answer.header("retry-after").parse::<u32>().unwrap()));
            answer.problem(429, "hook.too_many_calls");
            call(&server, &other, &[], "{}").await.expect(202);
            return;
        }
        answer.expect(202);
    }
    panic!("the hook took every call");
}
