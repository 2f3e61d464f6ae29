//! Requests that are answered or fail, and the bounds of both.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use armilla_egress::{EgressError, HeaderValue, Method};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::common::{LIMIT, closed, get, ok, open, read_request, serve};

#[tokio::test]
async fn an_answer_comes_back_with_status_headers_and_body() {
    let server = serve(|mut socket| async move {
        let request = read_request(&mut socket).await;
        let answer =
            format!("HTTP/1.1 418 Teapot\r\nx-kind: pot\r\ncontent-length: {}\r\n\r\n{request}", request.len());
        socket.write_all(answer.as_bytes()).await.unwrap();
    })
    .await;
    let mut outbound = get(format!("http://{server}/brew?strong=yes"));
    outbound.method = Method::POST;
    outbound.headers.insert("x-cup", HeaderValue::from_static("large"));
    outbound.body = b"beans".to_vec();

    let answer = open().send(outbound).await.unwrap();

    assert_eq!(answer.status, 418);
    assert_eq!(answer.headers["x-kind"], "pot");
    let body = String::from_utf8(answer.body).unwrap();
    assert!(body.starts_with("POST /brew?strong=yes HTTP/1.1\r\n"), "{body}");
    assert!(body.contains("x-cup: large\r\n") && body.ends_with("beans"), "{body}");
}

#[tokio::test]
async fn loopback_is_refused_unless_the_operator_names_it() {
    let server = serve(ok).await;
    let url = format!("http://{server}/");

    let refused = closed().send(get(url.clone())).await.unwrap_err();

    assert_eq!(refused, EgressError::RefusedAddress { host: server.to_string() });
    assert_eq!(open().send(get(url)).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_name_that_leads_to_a_private_address_is_refused_when_it_is_resolved() {
    let server = serve(ok).await;
    let url = format!("http://localhost:{}/", server.port());

    let refused = closed().send(get(url.clone())).await.unwrap_err();

    assert_eq!(refused, EgressError::RefusedAddress { host: format!("localhost:{}", server.port()) });
    assert_eq!(open().send(get(url)).await.unwrap().status, 200);
}

#[tokio::test]
async fn an_answer_over_the_limit_is_refused_whether_or_not_it_states_its_length() {
    let stating = serve(|mut socket| async move {
        read_request(&mut socket).await;
        // Only the head: whoever waits for the body waits for ever.
        socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\n").await.unwrap();
        std::future::pending::<()>().await;
    })
    .await;
    let endless = serve(|mut socket| async move {
        read_request(&mut socket).await;
        socket.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
        while socket.write_all(b"100\r\n").await.is_ok()
            && socket.write_all(&[b'x'; 256]).await.is_ok()
            && socket.write_all(b"\r\n").await.is_ok()
        {}
    })
    .await;
    for server in [stating, endless] {
        let error = open().send(get(format!("http://{server}/"))).await.unwrap_err();
        assert_eq!(error, EgressError::AnswerTooLarge { host: server.to_string(), limit: LIMIT });
    }
}

#[tokio::test]
async fn an_answer_of_exactly_the_limit_is_taken() {
    let server = serve(|mut socket| async move {
        read_request(&mut socket).await;
        socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").await.unwrap();
        socket.write_all(&[b'x'; LIMIT]).await.unwrap();
    })
    .await;
    assert_eq!(open().send(get(format!("http://{server}/"))).await.unwrap().body.len(), LIMIT);
}

#[tokio::test]
async fn a_server_that_never_answers_costs_no_more_than_the_timeout() {
    let silent = serve(|mut socket| async move {
        read_request(&mut socket).await;
        std::future::pending::<()>().await;
    })
    .await;
    assert_times_out(silent).await;
}

#[tokio::test]
async fn a_body_that_dribbles_for_ever_costs_no_more_than_the_timeout() {
    let dribbling = serve(|mut socket| async move {
        read_request(&mut socket).await;
        socket.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
        while socket.write_all(b"1\r\nx\r\n").await.is_ok() {
            // Part of the behaviour of this server, not of the test's timing.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_times_out(dribbling).await;
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let server = serve(|mut socket| async move {
        read_request(&mut socket).await;
        let head = b"HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/latest\r\ncontent-length: 0\r\n\r\n";
        socket.write_all(head).await.unwrap();
    })
    .await;
    let answer = open().send(get(format!("http://{server}/"))).await.unwrap();
    assert_eq!(answer.status, 302);
    assert_eq!(answer.headers["location"], "http://169.254.169.254/latest");
}

#[tokio::test]
async fn nobody_listening_and_a_name_without_addresses_are_connection_errors() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed_port = listener.local_addr().unwrap();
    drop(listener);
    // A label of 64 letters cannot exist, so no name server has to be asked.
    let no_such_host = format!("{}.invalid", "x".repeat(64));
    for host in [closed_port.to_string(), no_such_host] {
        let error = open().send(get(format!("http://{host}/"))).await.unwrap_err();
        assert!(matches!(error, EgressError::Connect { .. }), "{host}: {error:?}");
    }
}

#[tokio::test]
async fn a_broken_exchange_and_a_server_without_tls_have_errors_of_their_own() {
    let hangs_up = serve(|mut socket| async move {
        read_request(&mut socket).await;
    })
    .await;
    let error = open().send(get(format!("http://{hangs_up}/"))).await.unwrap_err();
    assert!(matches!(error, EgressError::Protocol { .. }), "{error:?}");

    let plain = serve(|mut socket| async move {
        socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        let mut rest = Vec::new();
        let _ = socket.read_to_end(&mut rest).await;
    })
    .await;
    let error = open().send(get(format!("https://{plain}/"))).await.unwrap_err();
    assert!(matches!(error, EgressError::Tls { .. }), "{error:?}");
}

#[tokio::test]
async fn what_is_not_a_plain_web_address_is_refused() {
    for url in
        ["", "/path", "example.com", "ftp://example.com/", "file:///etc/passwd", "http://", "http://u:p@example.com/"]
    {
        let error = open().send(get(url.to_owned())).await.unwrap_err();
        assert!(matches!(error, EgressError::BadUrl { .. }), "{url}: {error:?}");
    }
    let long = format!("http://example.com/{}", "x".repeat(armilla_egress::URL_BYTES_MAX));
    assert!(matches!(open().send(get(long)).await, Err(EgressError::BadUrl { .. })));
}

#[tokio::test]
async fn an_error_never_repeats_the_path_or_query_of_the_url() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = listener.local_addr().unwrap();
    drop(listener);
    for url in [format!("http://{nobody}/hidden?key=hidden"), "http://hidden:hidden@10.0.0.1/".to_owned()] {
        let error = open().send(get(url)).await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hidden"), "{error:?}");
    }
}

async fn assert_times_out(server: SocketAddr) {
    let limit = Duration::from_millis(100);
    let started = Instant::now();
    let mut request = get(format!("http://{server}/"));
    request.timeout = limit;

    let error = open().send(request).await.unwrap_err();

    assert_eq!(error, EgressError::Timeout { host: server.to_string(), limit });
    assert!(started.elapsed() < Duration::from_secs(5));
}
