//! Every way to write an address that may not be reached, tried on a trap that would notice.

use std::env;
use std::io;
use std::net::{IpAddr, Ipv4Addr};

use armilla_egress::{Egress, EgressError, EgressPolicy};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::process::Command;

use crate::common::{allowing, closed, get, read_request, serve_on};
use crate::trap::Trap;

/// All of these reach the trap where they are allowed, as one of the tests shows.
const LOOPBACK: [&str; 43] = [
    "127.0.0.1",
    // Fewer parts, other bases, and mixtures of them.
    "127.1",
    "127.0.1",
    "2130706433",
    "017700000001",
    "0177.0.0.1",
    "0177.1",
    "0x7f.1",
    "0X7F.0.0.0x1",
    "0x7f000001",
    "0x7F000001",
    "127.0x00.00.01",
    "00000177.0.0.1",
    // A dot behind it.
    "127.0.0.1.",
    "127.1.",
    "2130706433.",
    // Digits and dots of other scripts, and what is written for them in URLs.
    "１２７.０.０.１",
    "127。0。0。1",
    "127．0．0．1",
    "127｡0｡0｡1",
    "①②⑦.0.0.1",
    "%31%32%37.0.0.1",
    "127%2e0%2E0%2e1",
    "%EF%BC%91%EF%BC%92%EF%BC%97.0.0.1",
    "127.0.0.\u{ad}1",
    // Addresses of the machine itself by other names.
    "0",
    "0.0.0.0",
    "0x0",
    "000.0",
    // The same in IPv6.
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[0000::0001]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::FFFF:7F00:0001]",
    // Names that mean it.
    "localhost",
    "LOCALHOST",
    "localhost.",
    "tenant.localhost",
    "a.b.LocalHost.",
    "ｌｏｃａｌｈｏｓｔ",
    "%6c%6fcalhost",
];

/// Where no trap can be set. A name for each kind of net, whatever its spelling.
const ELSEWHERE: [&str; 63] = [
    // Private, and shared by carriers.
    "10.0.0.1",
    "10.255.255.255",
    "167772161",
    "012.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.0.1",
    "0xc0a80001",
    "192.168.257",
    "100.64.0.1",
    "100.127.255.254",
    // Link-local, and what clouds keep there and elsewhere.
    "169.254.0.1",
    "169.254.169.254",
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "169.254.43518",
    "[::ffff:169.254.169.254]",
    "[::ffff:a9fe:a9fe]",
    "[64:ff9b::a9fe:a9fe]",
    "[fd00:ec2::254]",
    "[fe80::a9fe:a9fe]",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    // Loopback, beside the one address.
    "127.255.255.254",
    "127.0.0.53",
    // IPv4 in the clothes of IPv6: compatible, translated, by NAT64, 6to4, Teredo.
    "[::127.0.0.1]",
    "[::7f00:1]",
    "[::10.0.0.1]",
    "[::ffff:0:127.0.0.1]",
    "[::ffff:10.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b::10.0.0.1]",
    "[64:ff9b:1::7f00:1]",
    "[64:ff9b:1:ffff::a00:1]",
    "[2002:7f00:1::]",
    "[2002:a9fe:a9fe::1]",
    "[2001:0:7f00:1::]",
    "[2001::f5ff:fffe]",
    // Unique local, link-local, site-local, discard, segment routing.
    "[fc00::1]",
    "[fd12:3456::1]",
    "[fe80::1]",
    "[fec0::1]",
    "[100::1]",
    "[5f00::1]",
    // For documents, for benchmarks, for protocols, for many, for nobody.
    "192.0.2.1",
    "198.51.100.1",
    "203.0.113.1",
    "[2001:db8::1]",
    "[3fff::1]",
    "198.18.0.1",
    "198.19.255.255",
    "[2001:2::1]",
    "192.0.0.1",
    "192.88.99.1",
    "224.0.0.1",
    "239.255.255.250",
    "[ff02::1]",
    "[ff0e::1]",
    "240.0.0.1",
    "255.255.255.255",
];

/// What looks like an address or a host, and is none.
const NO_HOST: [&str; 21] = [
    "",
    "127.0.0.256",
    "256.0.0.1",
    "4294967296",
    "0x100000000",
    "1.2.3.4.5",
    "127.0.0.08",
    "127.0.0.0x1g.1",
    "[::1",
    "::1",
    "[::1%25lo]",
    "[::1%lo]",
    "[fe80::1%25eth0]",
    "[::ffff:127.1]",
    "[127.0.0.1]",
    "local host",
    "localhost%00",
    "127.0.0.1%2f",
    // A name or a password in front of the host, which is where URLs lie about it.
    "example.com@127.0.0.1",
    "127.0.0.1@example.com",
    "user:word@localhost",
];

#[tokio::test]
async fn no_spelling_of_a_loopback_address_gets_through_any_door() {
    let mut trap = Trap::set().await;
    let egress = named_loopback(closed_policy());
    for host in LOOPBACK {
        for url in [format!("http://{host}:{}/", trap.port), format!("https://{host}:{}/", trap.port)] {
            for error in refusals(&egress, &url).await {
                assert!(matches!(error, EgressError::RefusedAddress { .. }), "{url}: {error}");
            }
        }
        assert_eq!(trap.seen().await, 0, "{host}");
    }
}

#[tokio::test]
async fn each_spelling_of_a_loopback_address_would_have_been_noticed() {
    let mut trap = Trap::set().await;
    let egress = named_loopback(allowing(&["127.0.0.0/8", "0.0.0.0/32", "::1/128", "::/128"]));
    for host in LOOPBACK {
        let url = format!("http://{host}:{}/", trap.port);
        assert_eq!(egress.check_url(&url), Ok(()), "{host}");
        match egress.send(get(url)).await {
            Ok(answer) => assert_eq!(answer.status, 200, "{host}"),
            // A machine without IPv6.
            Err(EgressError::Connect { .. }) if host == "[::]" || host.ends_with(":1]") || host == "[0000::0001]" => {
                continue;
            }
            Err(error) => panic!("{host}: {error}"),
        }
        assert_eq!(trap.seen().await, 1, "{host}");
    }
}

#[tokio::test]
async fn no_special_address_gets_through_any_door() {
    let egress = closed();
    for host in ELSEWHERE {
        for url in [format!("http://{host}/"), format!("https://{host}:8443/")] {
            for error in refusals(&egress, &url).await {
                assert!(matches!(error, EgressError::RefusedAddress { .. }), "{url}: {error}");
            }
        }
    }
}

#[tokio::test]
async fn what_is_no_host_or_names_a_user_is_refused_even_where_everything_is_allowed() {
    let mut trap = Trap::set().await;
    let egress = named_loopback(allowing(&["0.0.0.0/0", "::/0"]));
    for host in NO_HOST {
        let url = format!("http://{host}:{}/", trap.port);
        for error in refusals(&egress, &url).await {
            assert!(matches!(error, EgressError::BadUrl { .. }), "{url}: {error}");
        }
    }
    assert_eq!(trap.seen().await, 0);
}

#[tokio::test]
async fn urls_that_are_written_to_be_misread_are_read_as_they_are_called() {
    let mut trap = Trap::set().await;
    let egress = named_loopback(closed_policy());
    let port = trap.port;
    for url in [
        format!("HTTP://127.0.0.1:{port}/"),
        format!("http:127.0.0.1:{port}/"),
        format!("http:/127.0.0.1:{port}/"),
        format!("http:////127.0.0.1:{port}/"),
        format!("http:\\\\127.0.0.1:{port}\\"),
        format!("  http://127.0.0.1:{port}/ "),
        format!("ht\ntp://127.0\t.0.1:{port}/"),
        format!("http://127.0.0.1:{port}#@example.com/"),
        format!("http://127.0.0.1:{port}?@example.com/"),
        format!("http://127.0.0.1:{port}\\@example.com/"),
        format!("http://127.0.0.1:0{port}/"),
    ] {
        for error in refusals(&egress, &url).await {
            assert!(matches!(error, EgressError::RefusedAddress { .. }), "{url}: {error}");
        }
    }
    assert_eq!(trap.seen().await, 0);
}

#[tokio::test]
async fn a_port_of_something_that_is_not_http_is_refused_even_where_everything_is_allowed() {
    let egress = named_loopback(allowing(&["0.0.0.0/0", "::/0"]));
    for (port, service) in
        [(0, "no service at all"), (22, "SSH"), (25, "mail (SMTP)"), (6000, "X11"), (6667, "chat (IRC)")]
    {
        for host in ["127.0.0.1", "[::1]", "example.com", "localhost"] {
            for scheme in ["http", "https"] {
                let expected = EgressError::RefusedPort { host: format!("{host}:{port}"), service };
                for error in refusals(&egress, &format!("{scheme}://{host}:{port}/")).await {
                    assert_eq!(error, expected);
                }
            }
        }
    }
}

#[tokio::test]
async fn a_url_is_checked_without_asking_anybody() {
    let nobody = |name: String| async move { Err(io::Error::other(format!("`{name}` was looked up"))) };
    let egress = Egress::with_names(closed_policy(), nobody).unwrap();
    for url in [
        "https://example.com/hook?key=1",
        "http://example.com:8080/",
        "https://1.1.1.1/",
        "https://[2606:4700::1111]:8443/",
        "https://bücher.example/",
        "https://localhost.example.com/",
        "https://notlocalhost/",
    ] {
        assert_eq!(egress.check_url(url), Ok(()), "{url}");
    }
    let error = egress.check_url("http://[::1]:8080/").unwrap_err();
    assert_eq!(error, EgressError::RefusedAddress { host: "[::1]:8080".to_owned() });
}

#[tokio::test]
async fn a_redirect_into_the_trap_is_not_followed() {
    let mut trap = Trap::set().await;
    let location = format!("http://127.0.0.1:{}/", trap.port);
    let server = TcpListener::bind("127.0.0.2:0").await.unwrap();
    let server = serve_on(server, move |mut socket| {
        let head = format!("HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
        async move {
            read_request(&mut socket).await;
            socket.write_all(head.as_bytes()).await.unwrap();
        }
    });
    // Allowed or not: it is not for the guard to stop.
    for policy in [allowing(&["127.0.0.2/32"]), allowing(&["127.0.0.0/8"])] {
        let egress = Egress::new(policy).unwrap();
        let url = format!("http://{server}/");
        assert_eq!(egress.send(get(url.clone())).await.unwrap().status, 302);
        assert_eq!(egress.open(get(url.clone())).await.unwrap().status, 302);
        assert_eq!(egress.deliver(get(url)).await.answer.unwrap().status, 302);
    }
    assert_eq!(trap.seen().await, 0);
}

/// Set in the child process alone: the server that it calls.
const TARGET: &str = "EGRESS_TEST_TARGET";

#[tokio::test]
async fn proxies_of_the_environment_are_not_used() {
    if let Ok(target) = env::var(TARGET) {
        return call_beside_the_proxy(target).await;
    }
    let mut trap = Trap::set().await;
    let server = TcpListener::bind("127.0.0.2:0").await.unwrap();
    let server = serve_on(server, |mut socket| async move {
        read_request(&mut socket).await;
        socket.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await.unwrap();
    });
    // The environment of a process is not changed while its threads run, so the test runs itself once more.
    let mut child = Command::new(env::current_exe().unwrap());
    child.args(["--exact", "guard::proxies_of_the_environment_are_not_used"]).env(TARGET, format!("http://{server}/"));
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        child.env(name, format!("http://127.0.0.1:{}", trap.port));
        child.env(name.to_lowercase(), format!("http://127.0.0.1:{}", trap.port));
    }
    for name in ["NO_PROXY", "no_proxy", "REQUEST_METHOD"] {
        child.env_remove(name);
    }
    let output = child.output().await.unwrap();

    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(trap.seen().await, 1, "the client that looks for proxies, and no other one");
}

async fn call_beside_the_proxy(target: String) {
    let egress = Egress::new(allowing(&["127.0.0.2/32"])).unwrap();
    assert_eq!(egress.send(get(target.clone())).await.unwrap().status, 204);
    assert_eq!(egress.open(get(target.clone())).await.unwrap().status, 204);
    assert_eq!(egress.deliver(get(target.clone())).await.answer.unwrap().status, 204);
    // As the library would have it: the trap, not the server, answers.
    assert_eq!(reqwest::get(target).await.unwrap().status(), 200);
}

/// What each way to call says to `url`, and the check beforehand.
async fn refusals(egress: &Egress, url: &str) -> [EgressError; 4] {
    let Err(opened) = egress.open(get(url.to_owned())).await else { panic!("{url} was opened") };
    [
        egress.check_url(url).unwrap_err(),
        egress.send(get(url.to_owned())).await.unwrap_err(),
        opened,
        egress.deliver(get(url.to_owned())).await.error.unwrap(),
    ]
}

fn closed_policy() -> EgressPolicy {
    EgressPolicy::default()
}

/// Where every name leads to loopback, since not every system knows all names that should.
fn named_loopback(policy: EgressPolicy) -> Egress {
    Egress::with_names(policy, |_| async { Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]) }).unwrap()
}
