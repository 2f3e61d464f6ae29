//! Requests: only to what was granted, never to an address that nobody may reach, never along a redirect, never without end.

use std::thread::sleep;
use std::time::Duration;

use armilla_domain::call::ErrorClass;
use armilla_sandbox::SandboxConfig;
use serde_json::{Value, json};

use crate::common::{Bench, Server, answer, bench, closed, config, hostile};

fn anywhere(ports: &[u16]) -> Value {
    json!({ "http": [{ "host": "*", "schemes": ["http", "https"], "ports": ports, "methods": ["*"] }] })
}

#[tokio::test]
async fn a_granted_request_is_sent_as_it_is_and_answered_whatever_the_status() {
    let server = Server::start(|request| answer("418 Teapot", "X-Kind: Pot", request));
    let caller = bench().await.grant(json!({ "http": [server.rule()] }));
    let input = json!({
        "method": "PUT", "url": server.url("/brew?strong=yes"), "headers": [["X-Cup", "large"], ["x-cup", "blue"]], "body": "beans",
    });
    let called = caller.call("request", input).await;
    assert_eq!(called.denied, Vec::<String>::new());
    let told = called.result.unwrap().value;
    assert_eq!(told["status"], 418);
    assert!(told["headers"].as_array().unwrap().contains(&json!(["x-kind", "Pot"])), "{told}");
    let body = told["body"].as_str().unwrap();
    assert!(body.starts_with("PUT /brew?strong=yes HTTP/1.1\r\n") && body.ends_with("beans"), "{body}");
    assert!(body.contains("x-cup: large\r\n") && body.contains("x-cup: blue\r\n"), "{body}");
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let inner = Server::echo();
    let location = format!("location: {}", inner.url("/admin"));
    let outer = Server::start(move |_| answer("302 Found", &location, ""));
    let caller = bench().await.grant(anywhere(&[outer.address.port(), inner.address.port()]));
    let told = caller.answer("request", json!({ "url": outer.url("/") })).await;
    assert_eq!(told["status"], 302);
    assert!(told["headers"].to_string().contains("/admin"), "{told}");
    assert_eq!(inner.heard(), Vec::<String>::new(), "nobody went there");
}

#[tokio::test]
async fn an_address_that_no_plugin_may_reach_is_refused_however_it_is_written() {
    let server = Server::echo();
    let port = server.address.port();
    let bench = Bench::of(SandboxConfig { egress: Some(closed()), ..config() }, [hostile()]).await;
    let caller = bench.grant(anywhere(&[port]));
    for host in ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]"] {
        let input = json!({ "url": format!("http://{host}:{port}/") });
        let called = caller.call("request", input.clone()).await;
        let told = called.result.unwrap().value;
        let capability = told["denied"].as_str().unwrap_or_else(|| panic!("{host}: {told}"));
        assert!(capability.starts_with("egress:"), "{capability}");
        assert_eq!(called.denied, [capability]);

        let mut failing = input;
        failing["fail"] = json!(true);
        let error = caller.call("request", failing).await.result.unwrap_err();
        assert_eq!((error.code.as_ref(), error.class), ("tool.capability_denied", ErrorClass::Permanent), "{host}");
    }
    assert_eq!(server.heard(), Vec::<String>::new());
}

#[tokio::test]
async fn a_name_is_judged_by_where_it_leads_at_that_moment() {
    let server = Server::echo();
    let input = json!({ "url": format!("http://localhost:{}/", server.address.port()) });
    let rule = json!({ "host": "localhost", "schemes": ["http"], "ports": [server.address.port()] });
    let shut = Bench::of(SandboxConfig { egress: Some(closed()), ..config() }, [hostile()]).await;
    for _ in 0..2 {
        let told = shut.grant(json!({ "http": [rule] })).answer("request", input.clone()).await;
        assert_eq!(told["denied"], format!("egress:localhost:{}", server.address.port()));
    }
    let open = bench().await.grant(json!({ "http": [rule] }));
    assert_eq!(open.answer("request", input).await["status"], 200, "where the operator permits the net");
}

#[tokio::test]
async fn a_granted_name_is_not_its_address_and_the_other_way_round() {
    let server = Server::echo();
    let port = server.address.port();
    for (granted, asked) in [("localhost", "127.0.0.1"), ("127.0.0.1", "localhost"), ("*.0.0.1", "127.0.0.1")] {
        let rule = json!({ "host": granted, "schemes": ["http"], "ports": [port] });
        let caller = bench().await.grant(json!({ "http": [rule] }));
        let told = caller.answer("request", json!({ "url": format!("http://{asked}:{port}/") })).await;
        assert_eq!(told["denied"], format!("http:GET http://{asked}:{port}"));
    }
    assert_eq!(server.heard(), Vec::<String>::new());
}

#[tokio::test]
async fn requests_that_make_no_sense_are_refused_before_anything_is_sent() {
    let server = Server::echo();
    let port = server.address.port();
    let caller = bench().await.grant(anywhere(&[port]));
    let long = "x".repeat(10_000);
    for input in [
        json!({ "url": "file:///etc/passwd" }),
        json!({ "url": "/relative" }),
        json!({ "url": format!("http://user:word@127.0.0.1:{port}/") }),
        json!({ "url": server.url(&format!("/{long}")) }),
        json!({ "url": server.url("/"), "method": "get" }),
        json!({ "url": server.url("/"), "method": "CONNECT" }),
        json!({ "url": server.url("/"), "method": "GET / HTTP/1.1\r\nX: Y" }),
        json!({ "url": server.url("/"), "headers": [["host", "elsewhere.example"]] }),
        json!({ "url": server.url("/"), "headers": [["Transfer-Encoding", "chunked"]] }),
        json!({ "url": server.url("/"), "headers": [["content-length", "3"]] }),
        json!({ "url": server.url("/"), "headers": [["x-a", "b\r\nx-c: d"]] }),
        json!({ "url": server.url("/"), "headers": [["x a", "b"]] }),
    ] {
        let told = caller.answer("request", input.clone()).await;
        assert!(told["invalidRequest"].is_string(), "{input}: {told}");
    }
    assert_eq!(server.heard(), Vec::<String>::new());
}

#[tokio::test]
async fn all_requests_and_answers_of_a_call_have_a_bound_together() {
    let server = Server::start(|_| answer("200 OK", "x-kind: long", &"x".repeat(40_000)));
    let mut grant = json!({ "http": [server.rule()], "limits": { "httpBytes": 50_000 } });
    let input = json!({ "url": server.url("/") });
    let told = bench().await.grant(grant.clone()).answer("request", input.clone()).await;
    assert_eq!(told["body"].as_str().map(str::len), Some(40_000));
    let long = json!({ "url": server.url("/"), "method": "POST", "body": "x".repeat(60_000) });
    assert!(bench().await.grant(grant.clone()).answer("request", long).await["tooLarge"].is_string());
    grant["limits"]["httpBytes"] = json!(30_000);
    let told = bench().await.grant(grant).answer("request", input).await;
    assert!(told["tooLarge"].is_string(), "{told}");
    assert_eq!(server.heard().len(), 2, "what is too long itself does not leave");
}

#[tokio::test]
async fn a_server_that_does_not_answer_costs_the_requests_own_time() {
    let server = Server::start(|_| {
        sleep(Duration::from_secs(2));
        String::new()
    });
    let caller = bench().await.grant(json!({ "http": [server.rule()] }));
    let told = caller.answer("request", json!({ "url": server.url("/path?query"), "timeout": 50 })).await;
    let why = told["timeout"].as_str().unwrap_or_else(|| panic!("{told}"));
    assert!(why.contains(&server.address.to_string()) && !why.contains("path") && !why.contains("query"), "{why}");
}

#[tokio::test]
async fn waiting_for_a_server_is_not_computing() {
    let server = Server::start(|_| {
        sleep(Duration::from_millis(400));
        answer("200 OK", "x-kind: slow", "")
    });
    let caller = bench().await.grant(json!({ "http": [server.rule()], "limits": { "cpu": "200ms" } }));
    assert_eq!(caller.answer("request", json!({ "url": server.url("/") })).await["status"], 200);
}

#[tokio::test]
async fn a_sandbox_without_a_way_out_sends_nothing() {
    let server = Server::echo();
    let bench = Bench::of(SandboxConfig { egress: None, ..config() }, [hostile()]).await;
    let caller = bench.grant(json!({ "http": [server.rule()] }));
    let told = caller.answer("request", json!({ "url": server.url("/") })).await;
    assert!(told["unavailable"].is_string(), "{told}");
    assert_eq!(server.heard(), Vec::<String>::new());
}
