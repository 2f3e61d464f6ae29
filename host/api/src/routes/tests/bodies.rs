//! That bodies are bounded, and refused with every fault at once.

use std::collections::HashSet;

use axum::body::Body;
use axum::http::StatusCode;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{code_of, json_of, post_json, probes, problem_of, request, send};
use crate::request::{BODY_BYTES_MAX, JSON_DEPTH_MAX};

#[tokio::test]
async fn a_body_that_fits_is_read() {
    let response = post_json("/body", r#"{"name":"ada","count":2,"deep":[1]}"#).await;
    assert_eq!(json_of(response).await, json!(["ada", 2, [1]]));
    assert_eq!(json_of(send(probes(), request("POST", "/optional").body(Body::empty()).unwrap()).await).await, false);
    assert_eq!(json_of(post_json("/optional", r#"{"name":"a","count":1}"#).await).await, true);
    assert_eq!(json_of(post_json("/optional", " null\n").await).await, false);
    assert_eq!(code_of(post_json("/body", "null").await).await, "body.invalid");
}

#[tokio::test]
async fn a_body_of_another_type_is_refused() {
    let plain = request("POST", "/body").header("content-type", "text/plain").body(Body::from("{}")).unwrap();
    let response = send(probes(), plain).await;
    assert_eq!(response.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(code_of(response).await, "body.unsupported_media_type");
    let untyped = request("POST", "/optional").body(Body::from("{}")).unwrap();
    assert_eq!(send(probes(), untyped).await.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn malformed_json_is_refused_with_its_line_and_column() {
    let problem = problem_of(post_json("/body", "{\n  \"name\": \"ada\",,\n}").await).await;
    assert_eq!((&problem["status"], &problem["code"]), (&json!(400), &json!("body.malformed")));
    assert!(problem["detail"].as_str().unwrap().contains("line 2, column 17"), "{problem}");
    for malformed in
        ["", "{", "nul", r#"{"name":"ada","count":1} x"#, r#"{"name":7} x"#, "\u{feff}{}", r#"{"count":1e999}"#]
    {
        assert_eq!(code_of(post_json("/body", malformed).await).await, "body.malformed", "{malformed}");
    }
    assert_eq!(code_of(post_json("/body", &b"{\"name\":\"\xff\"}"[..]).await).await, "body.malformed");
}

#[tokio::test]
async fn every_fault_of_a_body_comes_at_once_with_its_pointer() {
    let problem = problem_of(post_json("/body", r#"{"name":"too long","count":"two","nmae":"hunter2"}"#).await).await;
    assert_eq!((&problem["status"], &problem["code"]), (&json!(422), &json!("body.invalid")));
    let faults: HashSet<_> = problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|fault| (fault["pointer"].as_str().unwrap(), fault["code"].as_str().unwrap()))
        .collect();
    let expected = [("/name", "body.max_length"), ("/count", "body.type"), ("/nmae", "body.additional_properties")];
    assert_eq!(faults, HashSet::from(expected), "{problem}");
    assert!(!problem.to_string().contains("hunter2"), "a value is not sent back");

    let problem = problem_of(post_json("/body", "{}").await).await;
    assert_eq!(problem["errors"].as_array().unwrap().len(), 2, "{problem}");
    let problem = problem_of(post_json("/body", "[]").await).await;
    assert_eq!(problem["errors"][0]["pointer"], "");
}

#[tokio::test]
async fn what_no_schema_can_say_is_still_refused_with_its_pointer() {
    let problem = problem_of(post_json("/body", r#"{"name":"a\u0000b","count":1}"#).await).await;
    assert_eq!(
        (&problem["errors"][0]["pointer"], &problem["errors"][0]["code"]),
        (&json!("/name"), &json!("body.value"))
    );
    assert_eq!(code_of(post_json("/body", r#"{"name":"a","name":"b","count":1}"#).await).await, "body.invalid");
}

#[tokio::test]
async fn a_body_may_be_as_deep_as_documented_and_not_deeper() {
    let nested =
        |depth: usize| format!(r#"{{"name":"a","count":1,"deep":{}{}}}"#, "[".repeat(depth - 1), "]".repeat(depth - 1));
    assert_eq!(post_json("/body", nested(JSON_DEPTH_MAX)).await.status(), StatusCode::OK);
    assert_eq!(code_of(post_json("/body", nested(JSON_DEPTH_MAX + 1)).await).await, "body.too_deep");
    assert_eq!(code_of(post_json("/body", "[".repeat(BODY_BYTES_MAX)).await).await, "body.too_deep");
}

#[tokio::test]
async fn a_body_may_be_as_large_as_documented_and_not_larger() {
    let sized = |bytes: usize| format!(r#"{{"name":"a","count":1,"deep":"{}"}}"#, "x".repeat(bytes - 32));
    assert_eq!(sized(BODY_BYTES_MAX).len(), BODY_BYTES_MAX);
    assert_eq!(post_json("/body", sized(BODY_BYTES_MAX)).await.status(), StatusCode::OK);
    let response = post_json("/body", sized(BODY_BYTES_MAX + 1)).await;
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(code_of(response).await, "body.too_large");
}

#[tokio::test]
async fn a_caller_that_sends_too_much_still_reads_why_over_a_socket() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async { axum::serve(listener, probes()).await });
    let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
    let bytes = 8 * BODY_BYTES_MAX;
    let head = format!("POST /body HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {bytes}\r\n\r\n");
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(&vec![b' '; bytes]).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("body.too_large"), "{answer}");
    server.abort();
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_arrive_is_not_waited_for_without_end() {
    let body = Body::from_stream(futures::stream::pending::<Result<String, std::io::Error>>());
    let response = post_json("/body", body).await;
    assert_eq!((response.status(), code_of(response).await), (StatusCode::REQUEST_TIMEOUT, "body.timeout".into()));
}
