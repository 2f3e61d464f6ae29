//! Gives memory back that is not needed any more: the allocator of the GNU C library keeps what was freed, and a start leaves ten megabytes
//! of that behind, a load as much as it took.

use std::time::Duration;

use armilla_engine::Engine;
use tokio::task::spawn_blocking;

/// How long after the start it is done first: plugins that are compiled already are loaded by then.
const FIRST_AFTER: Duration = Duration::from_secs(5);
/// How often it is done while no run is driven here. It takes some milliseconds.
const EVERY: Duration = Duration::from_secs(60);

/// Does so until it is dropped.
pub(crate) async fn give_back_while_resting(engine: Engine) {
    tokio::time::sleep(FIRST_AFTER).await;
    loop {
        if engine.runs_driven() == 0 {
            // Off the threads that answer: others that allocate meanwhile wait for it.
            let _ = spawn_blocking(give_back).await;
        }
        tokio::time::sleep(EVERY).await;
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn give_back() {
    #[expect(unsafe_code, reason = "a function of the C library that takes no pointer; malloc_trim(3)")]
    // SAFETY: it may be called at any time from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Other allocators do it by themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn give_back() {}
