//! Components from a registry: a real one on this machine, where its program is installed.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use armilla_engine::PluginPolicy;
use armilla_registry::Registries;
use armilla_testkit::db::TestDatabase;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::process::{Child, Command};

use super::{bare, shipped};
use crate::harness::{TestServer, egress, until};

const PROGRAM: &str = "/usr/bin/docker-registry";

/// A registry that ends with the test.
struct Registry {
    _process: Child,
    address: String,
}

impl Registry {
    /// None where the program is not installed.
    async fn start(folder: &Path) -> Option<Self> {
        if !Path::new(PROGRAM).exists() {
            eprintln!("skipped: there is no {PROGRAM}");
            return None;
        }
        let config = folder.join("config.yml");
        let storage = folder.join("storage");
        let text = format!(
            "version: 0.1\nlog:\n  level: info\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:0\n",
            storage.display()
        );
        std::fs::write(&config, text).unwrap();
        let log = folder.join("log");
        let file = std::fs::File::create(&log).unwrap();
        let process = Command::new(PROGRAM)
            .arg("serve")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let address = until("the registry listens", || async {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            let at = text.find("listening on ")? + "listening on ".len();
            let address: String =
                text[at..].chars().take_while(|c| c.is_ascii_digit() || matches!(c, '.' | ':')).collect();
            (!address.ends_with(':')).then_some(address)
        })
        .await;
        Some(Self { _process: process, address })
    }

    /// Pushes a component as the tools of the field do.
    async fn push(&self, http: &reqwest::Client, name: &str, tag: &str, component: &[u8]) {
        let config = br#"{"created":"2026-01-01T00:00:00Z","architecture":"wasm","os":"wasip2"}"#;
        let digest = |bytes: &[u8]| {
            let hash: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            format!("sha256:{hash}")
        };
        for blob in [config.as_slice(), component] {
            let begun = http.post(format!("http://{}/v2/{name}/blobs/uploads/", self.address)).send().await.unwrap();
            let place = begun.headers()["location"].to_str().unwrap().to_owned();
            let mark = if place.contains('?') { '&' } else { '?' };
            let put =
                http.put(format!("{place}{mark}digest={}", digest(blob))).body(blob.to_vec()).send().await.unwrap();
            assert_eq!(put.status(), 201);
        }
        let manifest = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": { "mediaType": "application/vnd.wasm.config.v0+json", "digest": digest(config), "size": config.len() },
            "layers": [{ "mediaType": "application/wasm", "digest": digest(component), "size": component.len() }],
        });
        let put = http
            .put(format!("http://{}/v2/{name}/manifests/{tag}", self.address))
            .header("content-type", "application/vnd.oci.image.manifest.v1+json")
            .body(manifest.to_string())
            .send()
            .await
            .unwrap();
        assert_eq!(put.status(), 201);
    }
}

#[tokio::test]
async fn a_plugin_is_fetched_from_a_registry_and_pinned_to_its_digest() {
    let folder = tempfile::tempdir().unwrap();
    let Some(registry) = Registry::start(folder.path()).await else { return };
    // Its TLS provider comes with the project's own client.
    let registries = Registries::new(egress(), &[], std::slice::from_ref(&registry.address)).unwrap();
    let http =
        reqwest::Client::builder().no_proxy().tls_certs_only([]).timeout(Duration::from_secs(20)).build().unwrap();
    registry.push(&http, "tools/text", "1.0.0", &shipped("text")).await;
    let policy = PluginPolicy { registries: Some(registries), ..PluginPolicy::default() };
    let server = TestServer::bare(&TestDatabase::create().await, 1, policy).await;

    let reference = format!("{}/tools/text:1.0.0", registry.address);
    let loaded = server.admin.post("/plugins", &json!({ "oci": reference })).await.expect(201);
    let source = loaded["version"]["source"].as_str().unwrap();
    assert!(source.starts_with(&format!("oci:{}/tools/text@sha256:", registry.address)), "{source}");
    let again = server.admin.post("/plugins", &json!({ "oci": source.trim_start_matches("oci:") })).await.expect(200);
    assert_eq!(again["version"]["version"], 1, "the pinned reference is the same component");

    let absent = format!("{}/tools/text:9.9.9", registry.address);
    server.admin.post("/plugins", &json!({ "oci": absent })).await.problem(502, "plugin.pull_failed");
}

#[tokio::test]
async fn a_registry_is_reached_only_where_the_operator_allows_it() {
    let server = bare().await;
    let oci = json!({ "oci": "registry.example.com/tools/text:1.0.0" });
    server.admin.post("/plugins", &oci).await.problem(403, "plugin.no_registries");
    let registries = Registries::new(egress(), &["ours.example.com".to_owned()], &[]).unwrap();
    let policy = PluginPolicy { registries: Some(registries), ..PluginPolicy::default() };
    let server = TestServer::bare(&TestDatabase::create().await, 1, policy).await;
    let problem = server.admin.post("/plugins", &oci).await.problem(403, "plugin.registry_not_allowed");
    assert!(problem["detail"].as_str().unwrap().contains("registry.example.com"), "{problem:#}");
    let bad = json!({ "oci": "not a reference" });
    server.admin.post("/plugins", &bad).await.problem(422, "plugin.bad_reference");
    let secret = json!({ "oci": "ours.example.com/a:1", "credentials": { "username": "u", "secret": "nonesuch" } });
    server.admin.post("/plugins", &secret).await.problem(404, "secret.not_found");
}
