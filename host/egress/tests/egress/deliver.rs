//! What is told of a delivery, whether it went well or not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use armilla_egress::{EgressError, Method, OutboundRequest, PhaseTimes};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::common::{LIMIT, closed, get, ok, open, read_request, serve};

/// How long the slow servers of these tests take for each part of their answer.
const PAUSE: Duration = Duration::from_millis(60);

#[tokio::test]
async fn a_delivery_tells_the_address_the_status_the_headers_the_body_and_how_long_each_phase_took() {
    let server = serve(|mut socket| async move {
        read_request(&mut socket).await;
        tokio::time::sleep(PAUSE).await;
        socket.write_all(b"HTTP/1.1 202 Accepted\r\nx-kind: pot\r\ncontent-length: 4\r\n\r\n").await.unwrap();
        tokio::time::sleep(PAUSE).await;
        socket.write_all(b"done").await.unwrap();
    })
    .await;

    let exchange = open().deliver(post(format!("http://localhost:{}/hook", server.port()))).await;

    assert_eq!(exchange.error, None);
    assert_eq!(exchange.peer, Some(server));
    let answer = exchange.answer.unwrap();
    assert_eq!((answer.status, answer.body.as_slice(), answer.truncated), (202, &b"done"[..], false));
    assert_eq!(answer.headers["x-kind"], "pot");
    let times = exchange.times;
    assert!(times.resolving.is_some() && times.connecting.is_some(), "{times:?}");
    assert!(times.waiting.unwrap() >= PAUSE && times.reading.unwrap() >= PAUSE, "{times:?}");
    assert!(sum(times) <= times.total, "{times:?}");
}

#[tokio::test]
async fn an_address_is_not_resolved() {
    let server = serve(ok).await;
    let exchange = open().deliver(post(format!("http://{server}/"))).await;
    assert_eq!(exchange.peer, Some(server));
    assert_eq!(exchange.times.resolving, None);
    assert!(exchange.times.connecting.is_some());
}

#[tokio::test]
async fn a_kept_connection_has_its_address_and_took_no_time_to_make() {
    let server = serve(|mut socket| async move {
        for _ in 0..2 {
            read_request(&mut socket).await;
            socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        }
        // The third one is read, and never answered.
        read_request(&mut socket).await;
    })
    .await;
    let egress = open();
    let url = format!("http://localhost:{}/", server.port());
    let first = egress.deliver(post(url.clone())).await;
    assert!(first.times.connecting.is_some());

    let second = egress.deliver(post(url.clone())).await;

    assert_eq!((second.peer, second.error), (Some(server), None));
    assert_eq!((second.times.resolving, second.times.connecting), (None, None));
    assert!(second.times.waiting.is_some() && second.times.reading.is_some());

    let third = egress.deliver(post(url)).await;

    assert!(matches!(third.error, Some(EgressError::Protocol { .. })), "{third:?}");
    assert_eq!((third.peer, third.times.connecting), (Some(server), None));
}

#[tokio::test]
async fn deliveries_at_the_same_time_are_each_told_their_own_connection() {
    let connections = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&connections);
    let server = serve(move |mut socket| {
        seen.fetch_add(1, Ordering::Relaxed);
        async move {
            loop {
                if read_request(&mut socket).await.is_empty() {
                    return;
                }
                socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            }
        }
    })
    .await;
    let egress = open();
    let mut deliveries = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let egress = egress.clone();
        deliveries.spawn(async move { egress.deliver(post(format!("http://{server}/"))).await });
    }
    let exchanges = deliveries.join_all().await;

    let told = exchanges.iter().filter(|exchange| exchange.times.connecting.is_some()).count();
    assert!(exchanges.iter().all(|exchange| exchange.error.is_none() && exchange.peer == Some(server)));
    // Fewer where a connection was finished for nobody: then the request went by another one, which it did not make.
    assert!((1..=connections.load(Ordering::Relaxed)).contains(&told), "{told}");
}

#[tokio::test]
async fn a_longer_answer_is_cut_and_its_connection_closed() {
    let (closed, mut when_closed) = mpsc::unbounded_channel();
    let server = serve(move |mut socket| {
        let closed = closed.clone();
        async move {
            read_request(&mut socket).await;
            socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n").await.unwrap();
            while socket.write_all(&[b'x'; 256]).await.is_ok() {}
            closed.send(()).unwrap();
        }
    })
    .await;

    let exchange = open().deliver(post(format!("http://{server}/"))).await;

    assert_eq!(exchange.error, None);
    let answer = exchange.answer.unwrap();
    assert_eq!((answer.status, answer.truncated), (200, true));
    assert_eq!(answer.body, vec![b'x'; LIMIT]);
    when_closed.recv().await.unwrap();
}

#[tokio::test]
async fn an_answer_of_exactly_the_bound_is_whole() {
    for head in
        ["content-length: 1000\r\n\r\n", "connection: close\r\n\r\n", "transfer-encoding: chunked\r\n\r\n3e8\r\n"]
    {
        let server = serve(move |mut socket| async move {
            read_request(&mut socket).await;
            socket.write_all(format!("HTTP/1.1 200 OK\r\n{head}").as_bytes()).await.unwrap();
            socket.write_all(&[b'x'; LIMIT]).await.unwrap();
            if head.contains("chunked") {
                socket.write_all(b"\r\n0\r\n\r\n").await.unwrap();
            }
        })
        .await;
        let answer = open().deliver(post(format!("http://{server}/"))).await.answer.unwrap();
        assert_eq!((answer.body.len(), answer.truncated), (LIMIT, false), "{head}");
    }
}

#[tokio::test]
async fn a_body_that_nobody_asked_for_is_cut_at_once() {
    let server = serve(|mut socket| async move {
        read_request(&mut socket).await;
        socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nbody").await.unwrap();
    })
    .await;
    let mut request = post(format!("http://{server}/"));
    request.answer_bytes_max = 0;
    let answer = open().deliver(request).await.answer.unwrap();
    assert!(answer.body.is_empty() && answer.truncated);
}

#[tokio::test]
async fn a_body_that_drips_for_ever_ends_at_the_deadline_and_the_status_is_told() {
    let server = serve(|mut socket| async move {
        read_request(&mut socket).await;
        socket.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
        while socket.write_all(b"1\r\nx\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let limit = Duration::from_millis(300);
    let began = Instant::now();

    let exchange = open().deliver(OutboundRequest { timeout: limit, ..post(format!("http://{server}/")) }).await;

    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(exchange.error, Some(EgressError::Timeout { host: server.to_string(), limit }));
    let answer = exchange.answer.unwrap();
    assert_eq!((answer.status, answer.truncated), (200, false));
    assert!(answer.body.starts_with(b"x") && answer.body.len() < LIMIT);
    assert!(exchange.times.total >= limit && exchange.times.reading.is_some());
}

#[tokio::test]
async fn headers_that_drip_for_ever_end_at_the_deadline_and_the_address_is_told() {
    let server = serve(|mut socket| async move {
        read_request(&mut socket).await;
        socket.write_all(b"HTTP/1.1 200 OK\r\n").await.unwrap();
        while socket.write_all(b"x-drip: drip\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let limit = Duration::from_millis(200);

    let exchange = open().deliver(OutboundRequest { timeout: limit, ..post(format!("http://{server}/")) }).await;

    assert_eq!(exchange.error, Some(EgressError::Timeout { host: server.to_string(), limit }));
    assert!(exchange.answer.is_none());
    assert_eq!(exchange.peer, Some(server));
    let times = exchange.times;
    assert!(times.connecting.is_some() && times.waiting.is_some() && times.reading.is_none(), "{times:?}");
}

#[tokio::test]
async fn an_answer_that_breaks_off_keeps_what_came() {
    let server = serve(|mut socket| async move {
        read_request(&mut socket).await;
        socket.write_all(b"HTTP/1.1 500 Oops\r\ncontent-length: 100\r\n\r\npart").await.unwrap();
    })
    .await;
    let exchange = open().deliver(post(format!("http://{server}/"))).await;
    assert!(matches!(exchange.error, Some(EgressError::Protocol { .. })), "{exchange:?}");
    let answer = exchange.answer.unwrap();
    assert_eq!((answer.status, answer.body.as_slice()), (500, &b"part"[..]));
}

#[tokio::test]
async fn an_exchange_ends_in_the_phase_that_failed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = listener.local_addr().unwrap();
    drop(listener);
    let unreachable = open().deliver(post(format!("http://{nobody}/"))).await;
    assert!(matches!(unreachable.error, Some(EgressError::Connect { .. })), "{unreachable:?}");
    assert_eq!((unreachable.peer, unreachable.times.waiting), (None, None));
    assert!(unreachable.times.connecting.is_some());

    // A label of 64 letters cannot exist, so no name server has to be asked.
    let unknown = open().deliver(post(format!("http://{}.invalid/", "x".repeat(64)))).await;
    assert!(matches!(unknown.error, Some(EgressError::Connect { .. })), "{unknown:?}");
    assert!(unknown.times.resolving.is_some() && unknown.times.connecting.is_none(), "{unknown:?}");

    let plain = serve(|mut socket| async move {
        socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        let mut rest = Vec::new();
        let _ = socket.read_to_end(&mut rest).await;
    })
    .await;
    let insecure = open().deliver(post(format!("https://{plain}/"))).await;
    assert!(matches!(insecure.error, Some(EgressError::Tls { .. })), "{insecure:?}");
    assert!(insecure.times.connecting.is_some() && insecure.times.waiting.is_none(), "{insecure:?}");

    let refused = closed().deliver(post(format!("http://{plain}/"))).await;
    assert_eq!(refused.error, Some(EgressError::RefusedAddress { host: plain.to_string() }));
    assert!(refused.answer.is_none() && refused.peer.is_none());
    assert_eq!(refused.times, PhaseTimes { total: refused.times.total, ..PhaseTimes::default() });
}

#[tokio::test]
async fn a_redirect_is_told_and_a_compressed_answer_is_told_as_it_came() {
    let server = serve(|mut socket| async move {
        read_request(&mut socket).await;
        let head = b"HTTP/1.1 302 Found\r\nlocation: /else\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\n";
        socket.write_all(head).await.unwrap();
        // The beginning of what gzip writes, and of nothing that it could read.
        socket.write_all(&[0x1f, 0x8b, 0x08, 0x00]).await.unwrap();
    })
    .await;
    let answer = open().deliver(post(format!("http://{server}/"))).await.answer.unwrap();
    assert_eq!(answer.status, 302);
    assert_eq!(
        (&answer.headers["location"], &answer.headers["content-encoding"]),
        (&"/else".parse().unwrap(), &"gzip".parse().unwrap())
    );
    assert_eq!(answer.body, [0x1f, 0x8b, 0x08, 0x00]);
}

fn post(url: String) -> OutboundRequest {
    OutboundRequest { method: Method::POST, body: b"beans".to_vec(), ..get(url) }
}

fn sum(times: PhaseTimes) -> Duration {
    [times.resolving, times.connecting, times.waiting, times.reading].into_iter().flatten().sum()
}
