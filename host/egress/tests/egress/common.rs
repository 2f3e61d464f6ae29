//! Servers of one behaviour each, and the requests to them.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use armilla_egress::{Egress, EgressPolicy, HeaderMap, IpNet, Method, OutboundRequest};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// How many bytes of an answer the tests take.
pub(crate) const LIMIT: usize = 1_000;

/// Lets these networks through; an address alone is a network of one.
pub(crate) fn allowing(nets: &[&str]) -> EgressPolicy {
    let net = |text: &&str| text.parse().unwrap_or_else(|_| IpNet::from(text.parse::<IpAddr>().unwrap()));
    EgressPolicy { allowed: nets.iter().map(net).collect() }
}

pub(crate) fn open() -> Egress {
    Egress::new(allowing(&["127.0.0.0/8", "::1"])).unwrap()
}

pub(crate) fn closed() -> Egress {
    Egress::new(EgressPolicy::default()).unwrap()
}

pub(crate) fn get(url: String) -> OutboundRequest {
    OutboundRequest {
        method: Method::GET,
        url,
        headers: HeaderMap::new(),
        body: Vec::new(),
        timeout: Duration::from_secs(10),
        answer_bytes_max: LIMIT,
    }
}

/// Gives each connection to `handle`, on a port of 127.0.0.1.
pub(crate) async fn serve<F, Handled>(handle: F) -> SocketAddr
where
    F: Fn(TcpStream) -> Handled + Send + 'static,
    Handled: Future<Output = ()> + Send + 'static,
{
    serve_on(TcpListener::bind("127.0.0.1:0").await.unwrap(), handle)
}

pub(crate) fn serve_on<F, Handled>(listener: TcpListener, handle: F) -> SocketAddr
where
    F: Fn(TcpStream) -> Handled + Send + 'static,
    Handled: Future<Output = ()> + Send + 'static,
{
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(handle(socket));
        }
    });
    address
}

pub(crate) async fn ok(mut socket: TcpStream) {
    read_request(&mut socket).await;
    socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
}

/// Reads a request whose body, if any, is `beans`.
pub(crate) async fn read_request(socket: &mut TcpStream) -> String {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let read = socket.read(&mut buffer).await.unwrap();
        request.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&request);
        if read == 0 || text.ends_with("beans") || (text.starts_with("GET") && text.ends_with("\r\n\r\n")) {
            return text.into_owned();
        }
    }
}
