//! What a registry may do and a well-behaved one does not: scripted answers over real sockets.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use armilla_egress::{Egress, EgressPolicy};
use armilla_registry::{Credentials, MANIFEST_BYTES_MAX, Part, PullError, Pulled, REDIRECTS_MAX, Registries};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const LIMIT: Duration = Duration::from_secs(10);
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

#[tokio::test]
async fn storage_that_a_registry_redirects_to_gives_the_component_and_sees_no_credentials() {
    let storage = Server::start(|_| ok(COMPONENT)).await;
    let blob = format!("http://{}/bucket?signature=abc", storage.address);
    let registry = Server::start(move |request| {
        if !request.contains("authorization: ") {
            respond("401 Unauthorized", "www-authenticate: Basic realm=\"r\"\r\n", b"")
        } else if request.contains("/manifests/") {
            ok(&manifest(COMPONENT))
        } else {
            respond("307 Temporary Redirect", &format!("location: {blob}\r\n"), b"")
        }
    })
    .await;

    let pulled = pull(&registry, &[&registry, &storage], Some(&credentials())).await.unwrap();

    assert_eq!(pulled.layer_digest, sha256(COMPONENT));
    let seen = storage.requests();
    assert!(seen[0].starts_with("GET /bucket?signature=abc HTTP/1.1\r\n"), "{seen:?}");
    assert!(!seen[0].to_lowercase().contains("authorization"), "{seen:?}");
}

#[tokio::test]
async fn a_token_is_fetched_once_for_pulling_this_plugin_alone() {
    let tokens = Server::start(|_| ok(br#"{"token":"t0ken","expires_in":60}"#)).await;
    let challenge = format!(
        "www-authenticate: Bearer realm=\"http://{}/token\",service=\"reg\",scope=\"repository:*:push\"\r\n",
        tokens.address
    );
    let registry = Server::start(move |request| {
        if !request.contains("authorization: Bearer t0ken\r\n") {
            respond("401 Unauthorized", &challenge, b"")
        } else if request.contains("/manifests/") {
            ok(&manifest(COMPONENT))
        } else {
            ok(COMPONENT)
        }
    })
    .await;

    pull(&registry, &[&registry, &tokens], None).await.unwrap();
    pull(&registry, &[&registry, &tokens], Some(&credentials())).await.unwrap();

    let seen = tokens.requests();
    assert_eq!(seen.len(), 2, "{seen:?}");
    assert!(
        seen[0].starts_with("GET /token?service=reg&scope=repository%3Ateam%2Fslug%3Apull HTTP/1.1\r\n"),
        "{seen:?}"
    );
    assert!(!seen[0].contains("authorization"), "{seen:?}");
    assert!(seen[1].contains("authorization: Basic YW5uOnNlY3JldA==\r\n"), "{seen:?}");
}

#[tokio::test]
async fn a_token_server_is_asked_only_where_it_may_be() {
    let tokens = Server::start(|_| respond("403 Forbidden", "", b"no")).await;
    for (realm, reason) in [
        ("http://169.254.169.254/token".to_owned(), "names no token server"),
        ("ftp://files.example/".to_owned(), "names no token server"),
        ("nonsense".to_owned(), "names no token server"),
        (format!("http://{}/token", tokens.address), "token server refuses"),
    ] {
        let challenge = format!("www-authenticate: Bearer realm=\"{realm}\"\r\n");
        let registry = Server::start(move |_| respond("401 Unauthorized", &challenge, b"")).await;
        let error = pull(&registry, &[&registry, &tokens], Some(&credentials())).await.unwrap_err();
        assert!(matches!(error, PullError::Unauthorized { .. }) && error.to_string().contains(reason), "{error}");
        assert!(!error.to_string().contains("secret"));
    }
    // By https, too, the address rule holds.
    let challenge = "www-authenticate: Bearer realm=\"https://169.254.169.254/token\"\r\n";
    let registry = Server::start(move |_| respond("401 Unauthorized", challenge, b"")).await;
    let error = pull(&registry, &[&registry], Some(&credentials())).await.unwrap_err();
    assert_eq!(error, PullError::RefusedAddress { host: "169.254.169.254".to_owned() });
}

#[tokio::test]
async fn a_redirect_to_a_private_address_is_refused_in_every_spelling() {
    for (target, host) in [
        ("https://169.254.169.254/latest/meta-data", "169.254.169.254"),
        ("https://10.0.0.1:8443/", "10.0.0.1:8443"),
        ("https://[::ffff:10.0.0.1]/", "[::ffff:a00:1]"),
        ("https://0xa.1/", "10.0.0.1"),
        ("//192.168.0.1/", "192.168.0.1"),
    ] {
        let location = format!("location: {target}\r\n");
        let registry = Server::start(move |_| respond("302 Found", &location, b"")).await;
        let named = ["192.168.0.1".to_owned()];
        let error = pull_with(&registry, &[&registry], &named, None, LIMIT).await.unwrap_err();
        assert_eq!(error, PullError::RefusedAddress { host: host.to_owned() }, "{target}");
    }
}

#[tokio::test]
async fn a_redirect_to_plain_http_elsewhere_or_to_another_scheme_is_refused() {
    for (location, reason) in [
        ("location: http://plain.example/blob\r\n", "not named as insecure"),
        ("location: file:///etc/passwd\r\n", "neither https nor http"),
        ("location: https://\r\n", "without saying whereto"),
        ("", "without saying whereto"),
    ] {
        let registry = Server::start(move |_| respond("302 Found", location, b"")).await;
        let error = pull(&registry, &[&registry], None).await.unwrap_err();
        assert!(matches!(error, PullError::RefusedRedirect { .. }) && error.to_string().contains(reason), "{error}");
    }
}

#[tokio::test]
async fn endless_redirects_end() {
    let registry = Server::start(|_| respond("302 Found", "location: /again\r\n", b"")).await;
    let error = pull(&registry, &[&registry], None).await.unwrap_err();
    assert!(error.to_string().ends_with("redirects more often than is followed"), "{error}");
    assert_eq!(registry.requests().len(), REDIRECTS_MAX + 1);
}

#[tokio::test]
async fn a_body_that_drips_costs_no_more_than_the_timeout() {
    for part in ["/manifests/", "/blobs/"] {
        let registry = Server::start(move |request| {
            let body = if request.contains("/manifests/") { manifest(COMPONENT) } else { COMPONENT.to_vec() };
            Answer { drips: request.contains(part), ..ok(&body) }
        })
        .await;
        let started = Instant::now();
        let limit = Duration::from_millis(700);
        let error = pull_with(&registry, &[&registry], &[], None, limit).await.unwrap_err();
        assert_eq!(error, PullError::Timeout { limit });
        assert!(started.elapsed() < Duration::from_secs(5));
    }
}

#[tokio::test]
async fn a_connection_that_breaks_leaves_nothing_behind() {
    let registry = Server::start(|request| {
        if request.contains("/manifests/") {
            ok(&manifest(COMPONENT))
        } else {
            // Says eight bytes and sends three.
            Answer { bytes: b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n\0as".to_vec(), drips: false }
        }
    })
    .await;
    let error = pull(&registry, &[&registry], None).await.unwrap_err();
    assert!(matches!(error, PullError::Unavailable { .. }), "{error}");
}

#[tokio::test]
async fn an_endless_component_is_read_no_further_than_its_manifest_says() {
    let registry = Server::start(|request| {
        if request.contains("/manifests/") {
            ok(&manifest(COMPONENT))
        } else {
            let mut bytes = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
            bytes.extend(b"4\r\n\0asm\r\n".repeat(1000));
            Answer { bytes, drips: false }
        }
    })
    .await;
    let error = pull(&registry, &[&registry], None).await.unwrap_err();
    let found = "more than its 8 bytes".to_owned();
    assert_eq!(error, PullError::DigestMismatch { part: Part::Component, expected: sha256(COMPONENT), found });
}

#[tokio::test]
async fn a_manifest_of_the_wrong_size_for_its_component_is_refused() {
    let registry = Server::start(|request| {
        if request.contains("/manifests/") {
            let text = String::from_utf8(manifest(COMPONENT)).unwrap();
            ok(text.replace("\"size\":8", "\"size\":9").as_bytes())
        } else {
            ok(COMPONENT)
        }
    })
    .await;
    let error = pull(&registry, &[&registry], None).await.unwrap_err();
    assert!(matches!(&error, PullError::DigestMismatch { found, .. } if found == "8 bytes instead of 9"), "{error}");
}

#[tokio::test]
async fn another_manifest_than_the_pinned_one_is_refused() {
    let registry = Server::start(|request| {
        ok(&if request.contains("/manifests/") { manifest(COMPONENT) } else { COMPONENT.to_vec() })
    })
    .await;
    let right = sha256(&manifest(COMPONENT));
    let pulled = pull_named(&registry, &format!("@{right}")).await.unwrap();
    assert_eq!(pulled.manifest_digest, right);

    let expected = sha256(b"another");
    let error = pull_named(&registry, &format!(":1@{expected}")).await.unwrap_err();
    assert_eq!(error, PullError::DigestMismatch { part: Part::Manifest, expected, found: right });
}

#[tokio::test]
async fn a_manifest_over_its_bound_is_refused() {
    let registry = Server::start(|_| ok(&vec![b' '; MANIFEST_BYTES_MAX + 1])).await;
    let error = pull(&registry, &[&registry], None).await.unwrap_err();
    assert_eq!(error, PullError::TooLarge { part: Part::Manifest, bytes_max: MANIFEST_BYTES_MAX as u64 });
}

#[tokio::test]
async fn a_busy_registry_is_unavailable_and_says_until_when() {
    let registry = Server::start(|_| respond("429 Too Many Requests", "retry-after: 30\r\n", b"slow down")).await;
    let error = pull(&registry, &[&registry], None).await.unwrap_err();
    let expected =
        format!("`{}` is not available: it answers with status 429, and to come back in 30 s", registry.address);
    assert_eq!(error.to_string(), expected);
}

struct Answer {
    bytes: Vec<u8>,
    /// The last bytes come one by one and ever later.
    drips: bool,
}

fn ok(body: &[u8]) -> Answer {
    respond("200 OK", "", body)
}

fn respond(status: &str, headers: &str, body: &[u8]) -> Answer {
    let mut bytes = format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    Answer { bytes, drips: false }
}

/// A server that answers every request by one function and remembers what it was asked.
struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(answer: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        let answer = Arc::new(answer);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(exchange(socket, Arc::clone(&answer), Arc::clone(&seen)));
            }
        });
        Self { address, requests }
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// One request and its answer; the connection ends with it.
async fn exchange(
    mut socket: TcpStream,
    answer: Arc<impl Fn(&str) -> Answer + Send + Sync + 'static>,
    seen: Arc<Mutex<Vec<String>>>,
) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        match socket.read_u8().await {
            Ok(byte) => request.push(byte),
            Err(_) => return,
        }
    }
    let request = String::from_utf8(request).unwrap();
    let answer = answer(&request);
    seen.lock().unwrap().push(request);
    let at_once = if answer.drips { answer.bytes.len() - 8 } else { answer.bytes.len() };
    let (head, tail) = answer.bytes.split_at(at_once);
    if socket.write_all(head).await.is_err() {
        return;
    }
    for byte in tail {
        tokio::time::sleep(Duration::from_millis(300)).await;
        if socket.write_u8(*byte).await.is_err() {
            return;
        }
    }
    let _ = socket.shutdown().await;
}

async fn pull(registry: &Server, insecure: &[&Server], credentials: Option<&Credentials>) -> Result<Pulled, PullError> {
    pull_with(registry, insecure, &[], credentials, LIMIT).await
}

/// Pulls into a folder of its own, in which nothing is left behind on failure.
async fn pull_with(
    registry: &Server,
    insecure: &[&Server],
    also_insecure: &[String],
    credentials: Option<&Credentials>,
    limit: Duration,
) -> Result<Pulled, PullError> {
    let mut insecure: Vec<String> = insecure.iter().map(|server| server.address.to_string()).collect();
    insecure.extend_from_slice(also_insecure);
    let registries = registries(&insecure);
    let folder = TempDir::new().unwrap();
    let into = folder.path().join("plugin.wasm");
    let reference = format!("{}/team/slug:1", registry.address);
    let result = registries.pull(&reference, credentials, &into, 1_000, limit).await;
    assert_eq!(into.exists(), result.is_ok());
    result
}

/// Pulls what `suffix`, a tag or digest, makes of the name.
async fn pull_named(registry: &Server, suffix: &str) -> Result<Pulled, PullError> {
    let folder = TempDir::new().unwrap();
    let into = folder.path().join("plugin.wasm");
    let reference = format!("{}/team/slug{suffix}", registry.address);
    registries(&[registry.address.to_string()]).pull(&reference, None, &into, 1_000, LIMIT).await
}

fn registries(insecure: &[String]) -> Registries {
    let egress = Egress::new(EgressPolicy { allowed: vec!["127.0.0.0/8".parse().unwrap()] }).unwrap();
    Registries::new(egress, &[], insecure).unwrap()
}

fn credentials() -> Credentials {
    Credentials { username: "ann".to_owned(), password: "secret".to_owned() }
}

fn manifest(component: &[u8]) -> Vec<u8> {
    let layer = json!({ "mediaType": "application/wasm", "digest": sha256(component), "size": component.len() });
    json!({ "schemaVersion": 2, "layers": [layer] }).to_string().into_bytes()
}

fn sha256(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}
