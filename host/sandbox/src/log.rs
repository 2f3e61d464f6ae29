//! What guests write: bounded per call, then one of our own log lines.

use std::sync::{Mutex, PoisonError};

use tracing::{debug, error, info, warn};

use crate::bindings::log::Level;
use crate::limits::LOG_BYTES_MAX;

/// In bytes that each line costs besides its text, so that empty lines have an end too.
const LINE_COST_BYTES: usize = 64;

/// The log of one call.
pub(crate) struct CallLog {
    plugin: String,
    call: String,
    written: Mutex<Written>,
}

#[derive(Default)]
struct Written {
    bytes: usize,
    dropped_lines: usize,
    /// What came by standard output and standard error.
    streams: Vec<u8>,
}

impl CallLog {
    pub(crate) fn new(plugin: &str, call: &str) -> Self {
        Self { plugin: plugin.to_owned(), call: call.to_owned(), written: Mutex::default() }
    }

    pub(crate) fn line(&self, level: Level, message: &str) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let cost = message.len() + LINE_COST_BYTES;
        if written.bytes + cost > LOG_BYTES_MAX {
            written.dropped_lines += 1;
            return;
        }
        written.bytes += cost;
        drop(written);
        let (plugin, call) = (&self.plugin, &self.call);
        match level {
            Level::Debug => debug!(plugin.name = plugin, plugin.call = call, "The plugin `{plugin}` says: {message}"),
            Level::Info => info!(plugin.name = plugin, plugin.call = call, "The plugin `{plugin}` says: {message}"),
            Level::Warn => warn!(plugin.name = plugin, plugin.call = call, "The plugin `{plugin}` says: {message}"),
            Level::Error => error!(plugin.name = plugin, plugin.call = call, "The plugin `{plugin}` says: {message}"),
        }
    }

    /// Standard output and standard error: an author's means of debugging, not a part of the contract.
    pub(crate) fn stream(&self, bytes: &[u8]) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let room = LOG_BYTES_MAX.saturating_sub(written.bytes);
        let taken = &bytes[..bytes.len().min(room)];
        written.bytes += taken.len();
        written.dropped_lines += usize::from(taken.len() < bytes.len());
        written.streams.extend_from_slice(taken);
    }
}

impl Drop for CallLog {
    fn drop(&mut self) {
        let (plugin, call) = (&self.plugin, &self.call);
        let written = self.written.get_mut().unwrap_or_else(PoisonError::into_inner);
        if !written.streams.is_empty() {
            let text = String::from_utf8_lossy(&written.streams);
            debug!(plugin.name = plugin, plugin.call = call, "The plugin `{plugin}` wrote: {}", text.trim_end());
        }
        if written.dropped_lines > 0 {
            let dropped = written.dropped_lines;
            warn!(
                plugin.name = plugin,
                plugin.call = call,
                dropped_lines = dropped,
                "The plugin `{plugin}` logged more than {LOG_BYTES_MAX} bytes in one call; the rest is dropped"
            );
        }
    }
}
