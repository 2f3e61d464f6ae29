//! A place that nobody may come to, and that would notice.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::common::read_request;

/// Listens on the loopback addresses of both families at one port, and answers whoever comes.
pub(crate) struct Trap {
    pub(crate) port: u16,
    listening: Vec<SocketAddr>,
    came: mpsc::UnboundedReceiver<SocketAddr>,
}

impl Trap {
    pub(crate) async fn set() -> Self {
        let (tell, came) = mpsc::unbounded_channel();
        let mut listening = Vec::new();
        let mut port = 0;
        for address in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
            let listener = match TcpListener::bind((address, port)).await {
                Ok(listener) => listener,
                // A machine without IPv6 has nothing to protect there.
                Err(_) if address.is_ipv6() => continue,
                Err(error) => panic!("{error}"),
            };
            let local = listener.local_addr().unwrap();
            (port, listening) = (local.port(), [listening, vec![local]].concat());
            let tell = tell.clone();
            tokio::spawn(async move {
                while let Ok((socket, peer)) = listener.accept().await {
                    let _ = tell.send(peer);
                    tokio::spawn(answer(socket));
                }
            });
        }
        Self { port, listening, came }
    }

    /// How many came since the last time. The trap is stepped into to know: who came before is accepted before.
    pub(crate) async fn seen(&mut self) -> usize {
        let mut seen = 0;
        for &address in &self.listening {
            let own = TcpStream::connect(address).await.unwrap();
            let own = own.local_addr().unwrap();
            while self.came.recv().await.unwrap() != own {
                seen += 1;
            }
        }
        seen
    }
}

/// Keeps no connection, so that each request comes by one of its own.
async fn answer(mut socket: TcpStream) {
    read_request(&mut socket).await;
    let _ = socket.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").await;
}
