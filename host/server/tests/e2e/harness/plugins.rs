//! The built components, in one sandbox for all tests: compiling them is what takes long.

use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use armilla_domain::id::WorkspaceId;
use armilla_egress::{Egress, EgressPolicy};
use armilla_engine::{Engine, Loading};
use armilla_sandbox::{Plugin, Sandbox, SandboxConfig};

use super::target;

/// What every test's server has, and where it was built.
const COMPONENTS: [(&str, &str); 4] =
    [("plugins", "cel"), ("plugins", "jq"), ("plugins", "text"), ("test-plugins", "hostile")];

/// Calls that there is room for at once: tests are few at a time, and each slot reserves address space.
const CALLS_AT_ONCE: u32 = 20;

/// The file of a component.
///
/// # Panics
/// Where it was not built.
pub(crate) fn component(folder: &str, name: &str) -> PathBuf {
    let file = target().join(folder).join(name).with_extension("wasm");
    let how = if folder == "plugins" { "make plugins" } else { "scripts/build-plugins --test` or `make plugins test" };
    assert!(file.is_file(), "{} is missing: build it with `{how}`", file.display());
    file
}

/// A way out that leads to this machine too: where the tests' own servers are.
pub(crate) fn egress() -> Egress {
    static EGRESS: LazyLock<Egress> =
        LazyLock::new(|| Egress::new(EgressPolicy { allowed: vec!["127.0.0.0/8".parse().unwrap()] }).unwrap());
    EGRESS.clone()
}

/// A sandbox with turns and breakers of its own, on the engine that all tests share. Machine code is kept from run to run.
pub(crate) fn sandbox() -> Sandbox {
    static SANDBOX: LazyLock<Sandbox> = LazyLock::new(|| {
        Sandbox::new(SandboxConfig {
            code_cache: Some(target().join("test-code-cache")),
            // Of tests, whose code nobody else runs.
            mac_key: [7; 32],
            calls_at_once: CALLS_AT_ONCE,
            egress: Some(egress()),
            ..SandboxConfig::default()
        })
        .unwrap()
    });
    SANDBOX.apart()
}

/// Loads what every test's server has, as somebody would who sends it.
pub(crate) async fn load_components(engine: &Engine) {
    for (folder, name) in COMPONENTS {
        load(engine, folder, name).await;
    }
}

/// Loads one component into the default workspace.
pub(crate) async fn load(engine: &Engine, folder: &str, name: &str) {
    let bytes: Arc<[u8]> = std::fs::read(component(folder, name)).unwrap().into();
    let mut upload = engine.begin_upload().await.unwrap();
    upload.write(&bytes).await.unwrap();
    let loaded = engine.install_upload(WorkspaceId::DEFAULT, upload, None, "tests", true, Duration::from_secs(300));
    // What one test has loaded, the next ones find ready.
    static KEPT: Mutex<Vec<Arc<Plugin>>> = Mutex::new(Vec::new());
    let plugin = sandbox().inspect(bytes).await.unwrap();
    KEPT.lock().unwrap().push(plugin);
    let loaded = loaded.await.unwrap_or_else(|error| panic!("{name}: {error}: build it anew with `make plugins`"));
    assert!(matches!(loaded, Loading::Ended(_)), "{name} is not loaded in time");
}
