//! The built components, in one sandbox for all tests: loading them is what takes long.

use std::path::PathBuf;

use armilla_sandbox::{Limits, Sandbox, SandboxConfig};
use tokio::sync::OnceCell;

use super::target;

const COMPONENTS: [(&str, &str); 4] =
    [("plugins", "cel"), ("plugins", "jq"), ("plugins", "text"), ("test-plugins", "hostile")];

/// Calls that there is room for at once: tests are few at a time, and each slot reserves address space.
const CALLS_AT_ONCE: usize = 20;

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

/// The sandbox with the shipped plugins and the hostile one. Its machine code is kept from run to run.
pub(crate) async fn sandbox() -> Sandbox {
    static SANDBOX: OnceCell<Sandbox> = OnceCell::const_new();
    SANDBOX.get_or_init(load).await.clone()
}

async fn load() -> Sandbox {
    for (folder, name) in COMPONENTS {
        component(folder, name);
    }
    let limits = Limits::default();
    let sandbox = Sandbox::new(SandboxConfig {
        code_cache: Some(target().join("test-code-cache")),
        // Of tests, whose code nobody else runs.
        mac_key: [7; 32],
        limits,
        memory_bytes_total: CALLS_AT_ONCE * limits.memory_bytes,
    })
    .unwrap();
    for folder in ["plugins", "test-plugins"] {
        for loaded in sandbox.load_folder(&target().join(folder)).await {
            loaded.unwrap_or_else(|error| panic!("{error}: build it anew with `make plugins`"));
        }
    }
    sandbox
}
