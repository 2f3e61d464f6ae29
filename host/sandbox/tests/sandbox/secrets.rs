//! A plugin holds a word, the host puts the secret in its place where it may go, and nobody else ever sees it.

use armilla_domain::call::ErrorClass;
use serde_json::{Value, json};

use crate::common::{Caller, ODD_SECRET, SECRET, Server, answer, bench, context, log_lines, log_lines_of};

const PLACEHOLDER: &str = "armilla-secret-";

/// Every spelling in which a secret could come out.
fn spellings() -> Vec<String> {
    let encoded: String = url::form_urlencoded::byte_serialize(ODD_SECRET.as_bytes()).collect();
    let in_json = json!(ODD_SECRET).to_string();
    vec![
        SECRET.to_owned(),
        ODD_SECRET.to_owned(),
        encoded.replace('+', "%20"),
        encoded,
        in_json.trim_matches('"').to_owned(),
        "lines-3b9a".to_owned(),
    ]
}

fn shows_nothing(text: &str) {
    for spelling in spellings() {
        assert!(!text.contains(&spelling), "{text}");
    }
}

/// All secrets, granted for this server.
async fn granted_at(server: &Server) -> Caller<'static> {
    let secrets = ["api-key", "odd-key", "line-key"].map(|name| json!({ "name": name, "hosts": ["127.0.0.1"] }));
    let grant = json!({ "http": [server.rule()], "secrets": secrets, "logLevel": "debug" });
    bench().await.grant(grant)
}

#[tokio::test]
async fn a_secret_reaches_its_host_by_header_body_and_url() {
    let server = Server::start(|_| answer("200 OK", "x-kind: quiet", "fine"));
    let caller = granted_at(&server).await;
    let input = json!({
        "method": "POST", "url": server.url("/v1/{secret:api-key}/list?key={secret:api-key}&also={secret:odd-key}"),
        "headers": [["authorization", "Bearer {secret:api-key}"], ["x-odd", "{secret:odd-key}"]],
        "body": "{\"key\":\"{secret:api-key}\",\"again\":\"{secret:api-key}\"}",
    });
    let told = caller.answer("request", input).await;
    assert_eq!(told["status"], 200);
    let heard = server.heard().remove(0);
    assert!(!heard.contains(PLACEHOLDER), "{heard}");
    let target = format!("POST /v1/{SECRET}/list?key={SECRET}&also=odd%209e44%2F%2B%26%3F%23%25%C3%BC HTTP/1.1");
    assert!(heard.starts_with(&target), "{heard}");
    assert!(heard.contains(&format!("authorization: Bearer {SECRET}\r\n")), "{heard}");
    assert!(heard.contains(&format!("x-odd: {ODD_SECRET}\r\n")), "{heard}");
    assert!(heard.ends_with(&format!("{{\"key\":\"{SECRET}\",\"again\":\"{SECRET}\"}}")), "{heard}");
}

#[tokio::test]
async fn a_server_that_repeats_a_secret_does_not_teach_it_to_the_plugin() {
    let server = Server::start(|request| {
        let target = request.split(' ').nth(1).unwrap().to_owned();
        let secret = request.lines().find_map(|line| line.strip_prefix("x-key: ")).unwrap().to_owned();
        let odd = request.lines().find_map(|line| line.strip_prefix("x-odd: ")).unwrap().to_owned();
        let headers = format!("location: {target}\r\nx-key: {secret}\r\nset-cookie: k={odd}");
        answer("302 Found", &headers, request)
    });
    let input = json!({
        "method": "POST", "url": server.url("/{secret:odd-key}?q={secret:odd-key}&k={secret:api-key}"),
        "headers": [["x-key", "{secret:api-key}"], ["x-odd", "{secret:odd-key}"]], "body": "{secret:odd-key}",
    });
    let called = granted_at(&server).await.call("request", input).await;
    let told = called.result.unwrap().value.to_string();
    assert!(server.heard()[0].contains(SECRET) && server.heard()[0].contains(ODD_SECRET));
    shows_nothing(&told);
    assert!(told.matches(PLACEHOLDER).count() >= 8, "the placeholders stand where the secrets stood: {told}");
}

#[tokio::test]
async fn a_placeholder_that_is_logged_printed_and_answered_says_nothing() {
    let bench = bench().await;
    let caller = bench.grant(json!({ "secrets": [{ "name": "api-key", "hosts": ["*"] }], "logLevel": "debug" }));
    let context = context("lets-out");
    let told = caller.call_in("secret", json!({ "name": "api-key" }), &context).await.result.unwrap().value;
    let word = told["placeholder"].as_str().unwrap();
    assert!(word.starts_with(PLACEHOLDER) && word.len() == PLACEHOLDER.len() + 32, "{word}");
    assert_eq!(told["again"], word, "the same within a call");
    let lines = log_lines_of(&context);
    assert!(lines.iter().filter(|line| line.contains(word)).count() >= 5, "{lines:?}");
    shows_nothing(&told.to_string());
    shows_nothing(&lines.join("\n"));
    let next = caller.answer("secret", json!({ "name": "api-key" })).await;
    assert_ne!(next["placeholder"], word, "another in every call");
}

#[tokio::test]
async fn no_error_holds_a_secret() {
    // Nobody listens at this one's port any more.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = Server::start(|_| "not HTTP at all\r\n\r\n".to_owned());
    let quiet = Server::start(|_| {
        std::thread::sleep(std::time::Duration::from_millis(500));
        String::new()
    });
    for address in [gone, server.address, quiet.address] {
        let rule = json!({ "host": "*", "schemes": ["http"], "ports": [address.port()], "methods": ["*"] });
        let secrets = ["api-key", "odd-key", "line-key"].map(|name| json!({ "name": name, "hosts": ["*"] }));
        let caller = bench().await.grant(json!({ "http": [rule], "secrets": secrets }));
        let input = |url: &str| {
            json!({
                "url": url, "headers": [["x-key", "{secret:api-key}"]], "timeout": 100, "fail": true,
            })
        };
        let url = format!("http://{address}/{{secret:odd-key}}?{{secret:api-key}}#{{secret:api-key}}");
        let called = caller.call("request", input(&url)).await;
        let error = called.result.unwrap_err();
        assert!(error.message.contains(&address.to_string()), "{error}");
        shows_nothing(&format!("{error:?} {:?}", called.denied));
    }
    // A secret with a line break in it cannot be a header; and a host's name is no place for one.
    let caller = granted_at(&server).await;
    for input in [
        json!({ "url": server.url("/"), "headers": [["x-key", "{secret:line-key}"]], "fail": true }),
        json!({ "url": "http://{secret:api-key}.example.com/", "fail": true }),
        json!({ "url": server.url("/"), "headers": [["{secret:api-key}", "x"]], "method": "{secret:api-key}", "fail": true }),
    ] {
        let error = caller.call("request", input).await.result.unwrap_err();
        shows_nothing(&format!("{error:?}"));
    }
    for then in ["trap", "fail"] {
        let error = caller.call("secret", json!({ "name": "api-key", "then": then, "fail": true })).await.result;
        shows_nothing(&format!("{:?}", error.unwrap_err()));
    }
}

#[tokio::test]
async fn a_secret_is_refused_to_every_host_but_its_own_by_every_way() {
    let bench = bench().await;
    let server = Server::echo();
    // Requests may go to the server by two names, the secret only by one.
    let port = server.address.port();
    let rule = json!({ "host": "*", "schemes": ["http"], "ports": [port], "methods": ["*"] });
    let secrets = json!([{ "name": "api-key", "hosts": ["api.example.com", "*.127.0.0.1", "localhost"] }]);
    let caller = bench.grant(json!({ "http": [rule], "secrets": secrets }));
    for input in [
        json!({ "url": server.url("/{secret:api-key}") }),
        json!({ "url": server.url("/?a={secret:api-key}") }),
        json!({ "url": server.url("/"), "headers": [["x-key", "Bearer {secret:api-key}"]] }),
        json!({ "url": server.url("/"), "method": "POST", "body": "a={secret:api-key}" }),
        json!({ "url": format!("http://localhost@127.0.0.1:{port}/{{secret:api-key}}") }),
    ] {
        let called = caller.call("request", input.clone()).await;
        let told = called.result.unwrap().value;
        if told["invalidRequest"].is_string() {
            continue;
        }
        assert_eq!(told["denied"], "secret:api-key at 127.0.0.1", "{input}");
        assert_eq!(called.denied, ["secret:api-key at 127.0.0.1"]);
    }
    assert_eq!(server.heard(), Vec::<String>::new(), "nothing left");
    let told = caller.answer("request", json!({ "url": format!("http://localhost:{port}/{{secret:api-key}}") })).await;
    assert_eq!(told["status"], 200);
    assert!(server.heard()[0].contains(SECRET));
}

#[tokio::test]
async fn a_placeholder_of_another_call_is_only_a_word() {
    let server = Server::echo();
    let caller = granted_at(&server).await;
    let word = caller.answer("secret", json!({ "name": "api-key" })).await["placeholder"].as_str().unwrap().to_owned();
    for word in [word.as_str(), &format!("{PLACEHOLDER}{}", "0".repeat(32))] {
        let told = caller.answer("request", json!({ "url": server.url("/"), "headers": [["x-key", word]] })).await;
        assert!(told["body"].as_str().unwrap().contains(&format!("x-key: {word}\r\n")), "{told}");
    }
    assert!(!server.heard().join("").contains(SECRET));
}

#[tokio::test]
async fn a_granted_secret_that_nobody_keeps_is_a_refusal_with_the_reason() {
    let caller = bench().await.grant(json!({ "secrets": [{ "name": "lost", "hosts": ["*"] }] }));
    let told = caller.answer("secret", json!({ "name": "lost" })).await;
    assert_eq!(told["denied"], "secret:lost");
    assert!(told["message"].as_str().unwrap().contains("no secret of this name is kept"), "{told}");
}

#[tokio::test]
async fn the_shipped_http_tool_sends_a_secret_that_it_never_sees() {
    let server = Server::echo();
    let caller = granted_at(&server).await;
    let input = json!({ "url": server.url("/"), "auth": { "secret": "api-key" } });
    let told: Value = caller.answer("http.request", input).await;
    shows_nothing(&told.to_string());
    assert!(server.heard()[0].contains(SECRET), "{:?}", server.heard());
}

#[tokio::test]
async fn a_secret_that_is_not_granted_makes_the_shipped_http_tool_fail_by_name() {
    let server = Server::echo();
    let caller = bench().await.grant(json!({ "http": [server.rule()] }));
    let input = json!({ "url": server.url("/"), "auth": { "secret": "api-key" } });
    let error = caller.call("http.request", input).await.result.unwrap_err();
    assert_eq!((error.code.as_ref(), error.class), ("tool.capability_denied", ErrorClass::Permanent));
    assert!(error.message.contains("secret:api-key"), "{error}");
}

/// Whatever ran before this one: no line of the log of any test has a secret in it.
#[tokio::test]
async fn no_line_of_the_log_holds_a_secret() {
    bench().await;
    shows_nothing(&log_lines().join("\n"));
}

#[tokio::test]
async fn an_answer_that_may_repeat_a_secret_is_asked_for_whole_and_readable() {
    let server = Server::start(|_| answer("200 OK", "x-kind: quiet", "fine"));
    let headers =
        json!([["range", "bytes=1-2"], ["if-range", "x"], ["accept-encoding", "gzip"], ["x-k", "{secret:api-key}"]]);
    let input = json!({ "method": "GET", "url": server.url("/"), "headers": headers });
    granted_at(&server).await.answer("request", input).await;
    let heard = server.heard().remove(0).to_lowercase();
    assert!(!heard.contains("range:") && heard.contains("accept-encoding: identity"), "{heard}");
}

#[tokio::test]
async fn placeholders_count_as_much_as_the_secrets_they_stand_for() {
    let server = Server::start(|_| answer("200 OK", "x-kind: quiet", "fine"));
    let body = "{secret:long-key}".repeat(1_000);
    let secrets = json!([{ "name": "long-key", "hosts": ["127.0.0.1"] }]);
    // The placeholders alone would fit.
    let grant =
        json!({ "http": [server.rule()], "secrets": secrets, "limits": { "httpBytes": 100_000, "cpu": "10s" } });
    let told = bench()
        .await
        .grant(grant)
        .answer("request", json!({ "method": "POST", "url": server.url("/"), "body": body }))
        .await;
    assert!(told.to_string().contains("larger than they may be"), "{told}");
    assert!(server.heard().is_empty());
}
