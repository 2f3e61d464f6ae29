//! Names that lead where they should not, now or a moment later.

use std::net::{IpAddr, SocketAddr};

use armilla_egress::{Egress, EgressError};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use crate::common::{allowing, get, read_request, serve_on};
use crate::nameserver::{self, egress_with_names};
use crate::trap::Trap;

/// Stands for the public internet in these tests, and is the only address that they allow.
const PUBLIC: &str = "127.0.0.2";

#[tokio::test]
async fn a_name_that_changes_between_the_check_and_the_request_is_refused_at_the_request() {
    let mut trap = Trap::set().await;
    let _server = public_server(trap.port, "close").await;
    let script = vec![("rebind.test", vec![vec![PUBLIC.parse().unwrap()], vec!["127.0.0.1".parse().unwrap()]])];
    let nameserver = nameserver::serve(script).await;
    let egress = Egress::with_names(allowing(&[PUBLIC]), move |name| nameserver::look_up(nameserver, name)).unwrap();
    let url = format!("http://rebind.test:{}/", trap.port);

    // Whoever checks first sees a harmless address.
    assert_eq!(egress.check_url(&url), Ok(()));
    let checked = nameserver::look_up(nameserver, "rebind.test".to_owned()).await.unwrap();
    assert_eq!(checked, [PUBLIC.parse::<IpAddr>().unwrap()]);
    let exchange = egress.deliver(get(url)).await;

    let host = format!("rebind.test:{}", trap.port);
    assert_eq!(exchange.error, Some(EgressError::RefusedAddress { host }));
    assert!(exchange.peer.is_none() && exchange.answer.is_none());
    assert_eq!(trap.seen().await, 0);
}

#[tokio::test]
async fn each_request_of_one_client_is_judged_by_what_the_name_means_then() {
    let mut trap = Trap::set().await;
    let server = public_server(trap.port, "close").await;
    let script: &[&[&str]] = &[&[PUBLIC], &["127.0.0.1"], &[PUBLIC], &["::1"], &[PUBLIC]];
    let egress = egress_with_names(allowing(&[PUBLIC]), &[("rebind.test", script)]).await;
    for lookup in script {
        let exchange = egress.deliver(get(format!("http://rebind.test:{}/", trap.port))).await;
        if lookup.contains(&PUBLIC) {
            assert_eq!((exchange.error, exchange.peer), (None, Some(server)));
        } else {
            assert!(matches!(exchange.error, Some(EgressError::RefusedAddress { .. })), "{exchange:?}");
        }
        assert_eq!(trap.seen().await, 0);
    }
}

#[tokio::test]
async fn a_kept_connection_leads_where_it_was_judged_whatever_the_name_means_by_now() {
    let mut trap = Trap::set().await;
    let server = public_server(trap.port, "keep-alive").await;
    let egress = egress_with_names(allowing(&[PUBLIC]), &[("rebind.test", &[&[PUBLIC], &["127.0.0.1"]])]).await;
    for _ in 0..3 {
        let exchange = egress.deliver(get(format!("http://rebind.test:{}/", trap.port))).await;
        assert_eq!((exchange.error, exchange.peer), (None, Some(server)));
    }
    assert_eq!(trap.seen().await, 0);
}

#[tokio::test]
async fn of_a_name_with_good_and_bad_addresses_only_the_good_ones_are_tried() {
    let mut trap = Trap::set().await;
    let server = public_server(trap.port, "close").await;
    let mixtures: &[&[&str]] = &[
        &["127.0.0.1", PUBLIC],
        &[PUBLIC, "127.0.0.1"],
        &["::1", "10.0.0.1", PUBLIC, "127.0.0.1"],
        &["::ffff:127.0.0.1", "64:ff9b::7f00:1", PUBLIC],
    ];
    let egress = egress_with_names(allowing(&[PUBLIC]), &[("mixed.test", mixtures)]).await;
    for mixture in mixtures {
        let exchange = egress.deliver(get(format!("http://mixed.test:{}/", trap.port))).await;
        assert_eq!((exchange.error, exchange.peer), (None, Some(server)), "{mixture:?}");
    }
    assert_eq!(trap.seen().await, 0);
}

#[tokio::test]
async fn when_nobody_is_at_the_good_address_the_bad_one_is_not_tried_instead() {
    let mut trap = Trap::set().await;
    let egress = egress_with_names(allowing(&[PUBLIC]), &[("mixed.test", &[&["::1", PUBLIC, "127.0.0.1"]])]).await;
    let error = egress.send(get(format!("http://mixed.test:{}/", trap.port))).await.unwrap_err();
    assert!(matches!(error, EgressError::Connect { .. }), "{error}");
    assert_eq!(trap.seen().await, 0);
}

#[tokio::test]
async fn a_name_with_bad_addresses_only_is_refused_through_every_door() {
    let mut trap = Trap::set().await;
    let answers: &[&[&str]] = &[
        &["127.0.0.1"],
        &["::1"],
        &["127.0.0.1", "::1"],
        &["0.0.0.0", "::"],
        &["::ffff:127.0.0.1"],
        &["::127.0.0.1"],
        &["64:ff9b::7f00:1"],
        &["64:ff9b:1::7f00:1"],
        &["2002:7f00:1::"],
        &["10.0.0.1", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1", "fd00::1", "fe80::1"],
    ];
    for answer in answers {
        let egress = egress_with_names(allowing(&[PUBLIC]), &[("inside.test", &[answer])]).await;
        for scheme in ["http", "https"] {
            let url = format!("{scheme}://inside.test:{}/", trap.port);
            let refused = EgressError::RefusedAddress { host: format!("inside.test:{}", trap.port) };
            assert_eq!(egress.send(get(url.clone())).await.unwrap_err(), refused, "{answer:?}");
            assert_eq!(egress.open(get(url.clone())).await.err(), Some(refused.clone()), "{answer:?}");
            assert_eq!(egress.deliver(get(url)).await.error, Some(refused), "{answer:?}");
        }
    }
    assert_eq!(trap.seen().await, 0);
}

#[tokio::test]
async fn the_trap_would_have_noticed_a_name_that_leads_to_it() {
    let mut trap = Trap::set().await;
    let policy = allowing(&["127.0.0.1"]);
    let egress = egress_with_names(policy, &[("inside.test", &[&["127.0.0.1"]])]).await;
    let exchange = egress.deliver(get(format!("http://inside.test:{}/", trap.port))).await;
    assert_eq!(exchange.answer.unwrap().status, 200);
    assert_eq!(trap.seen().await, 1);
}

#[tokio::test]
async fn a_name_without_addresses_is_no_connection_and_not_a_refusal() {
    let egress = egress_with_names(allowing(&[PUBLIC]), &[]).await;
    let error = egress.send(get("http://nowhere.test/".to_owned())).await.unwrap_err();
    let reason = "the name has no address".to_owned();
    assert_eq!(error, EgressError::Connect { host: "nowhere.test".to_owned(), reason });
}

/// At the port of the trap, since a name has one port for all its addresses.
async fn public_server(port: u16, connection: &'static str) -> SocketAddr {
    let listener = TcpListener::bind((PUBLIC, port)).await.unwrap();
    serve_on(listener, move |mut socket| async move {
        while !read_request(&mut socket).await.is_empty() {
            let head = format!("HTTP/1.1 200 OK\r\nconnection: {connection}\r\ncontent-length: 0\r\n\r\n");
            if socket.write_all(head.as_bytes()).await.is_err() || connection == "close" {
                return;
            }
        }
    })
}
