//! Where log lines go: text for a person at a terminal, JSON for everything else, always to standard error.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;

/// What is logged where `ARMILLA_LOG` does not say.
const FILTER_DEFAULT: &str = "info,sqlx=warn";

/// Begins to log. Later calls change nothing.
pub(crate) fn start() {
    let filter = EnvFilter::try_from_env("ARMILLA_LOG").unwrap_or_else(|_| EnvFilter::new(FILTER_DEFAULT));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    // A second start is a test in the same process.
    let _ = if stderr().is_terminal() {
        lines.compact().with_target(false).try_init()
    } else {
        lines.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init()
    };
}
