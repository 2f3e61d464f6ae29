//! Sandboxes with the built plugins in them.

#![allow(dead_code, reason = "each test program uses its own part of this")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use armilla_domain::call::CallContext;
use armilla_domain::id::RunId;
use armilla_sandbox::{Limits, Sandbox, SandboxConfig};
use chrono::{DateTime, Utc};
use tokio::sync::OnceCell;

/// A folder of the target folder, which `make plugins` fills.
pub(crate) fn built(folder: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"), PathBuf::from);
    let folder = target.join(folder);
    assert!(folder.is_dir(), "no plugins in {}: build them with `make plugins`", folder.display());
    folder
}

/// Room for a few calls: tests run beside each other, and each sandbox reserves address space for all of its own. They
/// share machine code, which an engine built for development takes seconds to make.
pub(crate) fn config(limits: Limits) -> SandboxConfig {
    let code_cache = Some(Path::new(env!("CARGO_TARGET_TMPDIR")).join("plugin-code"));
    SandboxConfig { code_cache, limits, memory_bytes_total: 20 * limits.memory_bytes, mac_key: [7; 32] }
}

/// A sandbox with everything of one folder in it.
pub(crate) async fn sandbox_of(folder: &str, limits: Limits) -> Sandbox {
    let sandbox = Sandbox::new(config(limits)).unwrap();
    for loaded in sandbox.load_folder(&built(folder)).await {
        loaded.unwrap();
    }
    sandbox
}

/// The shipped plugins: one sandbox for all tests of a program.
pub(crate) async fn shipped() -> Sandbox {
    static SHIPPED: OnceCell<Sandbox> = OnceCell::const_new();
    SHIPPED.get_or_init(|| sandbox_of("plugins", Limits::default())).await.clone()
}

/// A sandbox with the hostile plugin in it, and little patience.
pub(crate) async fn hostile() -> Sandbox {
    let limits = Limits { cpu: Duration::from_millis(200), ..Limits::default() };
    sandbox_of("test-plugins", limits).await
}

/// A folder with one file of a component in it.
pub(crate) fn folder_with(name: &str, bytes: &[u8]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(name), bytes).unwrap();
    folder
}

pub(crate) fn context(step_id: &str) -> CallContext {
    CallContext {
        run_id: RunId::from_parts(1_700_000_000_000, [7; 10]),
        run_started_at: "2026-01-02T03:04:05.678Z".parse::<DateTime<Utc>>().unwrap(),
        step_id: step_id.to_owned(),
        visit: 1,
        attempt: 1,
        timeout: Duration::from_secs(20),
        traceparent: None,
    }
}
