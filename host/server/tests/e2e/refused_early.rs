//! Requests that are refused before their bodies are read.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::TestServer;

/// As a client that keeps its connection writes and reads, byte by byte.
struct Connection(TcpStream);

impl Connection {
    async fn to(server: &TestServer) -> Self {
        Self(TcpStream::connect(server.admin.url.trim_start_matches("http://")).await.unwrap())
    }

    async fn send(&mut self, head: &str, body: &[u8]) {
        let head = format!("{head}\r\nHost: localhost\r\nContent-Type: application/json\r\n");
        self.0.write_all(head.as_bytes()).await.unwrap();
        self.0.write_all(b"\r\n").await.unwrap();
        self.0.write_all(body).await.unwrap();
    }

    /// The head of an answer, in small letters; its body is read and left.
    async fn answer(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.0.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        self.0.read_exact(&mut vec![0; length.parse().unwrap()]).await.unwrap();
        head
    }
}

#[tokio::test]
async fn a_request_that_is_refused_leaves_its_connection_to_the_next_one() {
    let server = TestServer::start().await;
    let mut connection = Connection::to(&server).await;
    let body = vec![b' '; 100 * 1024];
    for (path, status) in [("/workflows", "401"), ("/nowhere", "404"), ("/hooks/hk_none", "404")] {
        connection.send(&format!("POST {path} HTTP/1.1\r\nContent-Length: {}", body.len()), &body).await;
        let head = connection.answer().await;
        assert!(head.starts_with(&format!("http/1.1 {status} ")), "{path}: {head}");
        assert!(!head.contains("connection: close"), "{head}");
    }
    connection.send("GET /healthz HTTP/1.1", b"").await;
    assert!(connection.answer().await.starts_with("http/1.1 200 "));
}

#[tokio::test]
async fn one_whose_body_is_too_long_to_be_read_in_vain_is_told_that_the_connection_ends() {
    let server = TestServer::start().await;
    let endless = "Transfer-Encoding: chunked";
    let asked = "Content-Length: 1\r\nExpect: 100-continue";
    for (length, body) in [("Content-Length: 10000000", "{"), (endless, "1\r\n{\r\n"), (asked, "")] {
        let mut connection = Connection::to(&server).await;
        connection.send(&format!("POST /workflows HTTP/1.1\r\n{length}"), body.as_bytes()).await;
        let head = connection.answer().await;
        assert!(head.starts_with("http/1.1 401 ") && head.contains("connection: close"), "{length}: {head}");
    }
}
