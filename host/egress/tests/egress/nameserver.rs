//! A name server that says what a test wants, and a client that asks it: A and AAAA over UDP (RFC 1035), and nothing else.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use armilla_egress::{Egress, EgressPolicy};
use tokio::net::UdpSocket;

const A: u16 = 1;
const AAAA: u16 = 28;
const HEADER_BYTES: usize = 12;
const MESSAGE_BYTES_MAX: usize = 512;

/// What a name's addresses are at each look-up; the last answer stays.
type Script = Vec<(&'static str, Vec<Vec<IpAddr>>)>;

/// A client of the way out that resolves names by a name server of its own.
pub(crate) async fn egress_with_names(policy: EgressPolicy, script: &[(&'static str, &[&[&str]])]) -> Egress {
    let parse = |addresses: &&[&str]| addresses.iter().map(|address| address.parse().unwrap()).collect();
    let script = script.iter().map(|(name, lookups)| (*name, lookups.iter().map(parse).collect())).collect();
    let server = serve(script).await;
    Egress::with_names(policy, move |name| look_up(server, name)).unwrap()
}

/// The addresses of both families.
pub(crate) async fn look_up(server: SocketAddr, name: String) -> io::Result<Vec<IpAddr>> {
    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    socket.connect(server).await?;
    let mut found = Vec::new();
    for kind in [A, AAAA] {
        let mut query = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.trim_end_matches('.').split('.') {
            query.push(label.len() as u8);
            query.extend_from_slice(label.as_bytes());
        }
        query.push(0);
        query.extend_from_slice(&kind.to_be_bytes());
        query.extend_from_slice(&[0, 1]);
        socket.send(&query).await?;

        let mut answer = [0; MESSAGE_BYTES_MAX];
        let length = socket.recv(&mut answer).await?;
        // Each record: a pointer to the name, type, class, time to live, length, and the address.
        let mut records = &answer[query.len()..length];
        while let [_, _, _, _, _, _, _, _, _, _, _, bytes, rest @ ..] = records {
            let (address, rest) = rest.split_at(usize::from(*bytes));
            found.push(match <[u8; 4]>::try_from(address) {
                Ok(v4) => IpAddr::from(v4),
                Err(_) => IpAddr::from(<[u8; 16]>::try_from(address).unwrap()),
            });
            records = rest;
        }
    }
    Ok(found)
}

pub(crate) async fn serve(script: Script) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let asked: Arc<Mutex<HashMap<(String, u16), usize>>> = Arc::default();
    tokio::spawn(async move {
        let mut query = [0; MESSAGE_BYTES_MAX];
        while let Ok((length, peer)) = socket.recv_from(&mut query).await {
            let (name, kind) = question(&query[HEADER_BYTES..length]);
            let lookups = script.iter().find(|(known, _)| *known == name).map_or(&[][..], |(_, lookups)| lookups);
            let nth = {
                let mut asked = asked.lock().unwrap();
                let count = asked.entry((name, kind)).or_default();
                *count += 1;
                (*count - 1).min(lookups.len().saturating_sub(1))
            };
            let addresses = lookups.get(nth).map_or(&[][..], Vec::as_slice);
            let _ = socket.send_to(&answer(&query[..length], kind, addresses), peer).await;
        }
    });
    address
}

fn question(mut bytes: &[u8]) -> (String, u16) {
    let mut labels = Vec::new();
    while bytes[0] > 0 {
        let (label, rest) = bytes[1..].split_at(usize::from(bytes[0]));
        labels.push(String::from_utf8(label.to_vec()).unwrap());
        bytes = rest;
    }
    (labels.join("."), u16::from_be_bytes([bytes[1], bytes[2]]))
}

fn answer(query: &[u8], kind: u16, addresses: &[IpAddr]) -> Vec<u8> {
    let records: Vec<Vec<u8>> = addresses
        .iter()
        .filter(|address| address.is_ipv4() == (kind == A))
        .map(|address| match address {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        })
        .collect();
    let mut message = query.to_vec();
    // An answer, with recursion asked for and available, and so many records.
    (message[2], message[3], message[7]) = (0x81, 0x80, records.len() as u8);
    for record in records {
        message.extend_from_slice(&[0xc0, HEADER_BYTES as u8]);
        message.extend_from_slice(&kind.to_be_bytes());
        // Of the internet, to be forgotten at once.
        message.extend_from_slice(&[0, 1, 0, 0, 0, 0, 0, record.len() as u8]);
        message.extend_from_slice(&record);
    }
    message
}
