//! What guests write: bounded per call, then one of our own log lines.

use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};

use armilla_domain::plugin::LogLevel;
use tracing::{debug, error, info, warn};

use crate::bindings::log::Level;
use crate::limits::LOG_BYTES_MAX;

/// In bytes that each line costs besides its text, so that empty lines have an end too.
const LINE_COST_BYTES: usize = 64;

/// The log of one call.
pub(crate) struct CallLog {
    plugin: String,
    call: String,
    /// What matters less is not written.
    least: LogLevel,
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
    pub(crate) fn new(plugin: &str, call: &str, least: LogLevel) -> Self {
        Self { plugin: plugin.to_owned(), call: call.to_owned(), least, written: Mutex::default() }
    }

    pub(crate) fn line(&self, level: Level, message: &str) {
        let matters = match level {
            Level::Debug => LogLevel::Debug,
            Level::Info => LogLevel::Info,
            Level::Warn => LogLevel::Warn,
            Level::Error => LogLevel::Error,
        };
        if matters < self.least {
            return;
        }
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let cost = message.len() + LINE_COST_BYTES;
        if written.bytes + cost > LOG_BYTES_MAX {
            written.dropped_lines += 1;
            return;
        }
        written.bytes += cost;
        drop(written);
        let (plugin, call, message) = (&self.plugin, &self.call, on_one_line(message));
        match level {
            // The host's own level hides what is for its developers; a grant that asks for a plugin's debug lines means them.
            Level::Debug => info!(plugin.name = plugin, plugin.call = call, "The plugin `{plugin}` says: {message}"),
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
        // Where the operator listens to the author's own level, the author's means of debugging are shown as well.
        let streams = std::mem::take(&mut written.streams);
        if !streams.is_empty() && self.least == LogLevel::Debug {
            info!(
                plugin.name = plugin,
                plugin.call = call,
                "The plugin `{plugin}` wrote: {}",
                on_one_line(String::from_utf8_lossy(&streams).trim_end())
            );
        } else if !streams.is_empty() && self.least < LogLevel::Off {
            let text = String::from_utf8_lossy(&streams);
            let text = on_one_line(text.trim_end());
            debug!(plugin.name = plugin, plugin.call = call, "The plugin `{plugin}` wrote: {text}");
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

/// A guest's text without line breaks and other control characters, so that it cannot pass for a line of the host's own or give
/// orders to a terminal.
pub(crate) fn on_one_line(text: &str) -> Cow<'_, str> {
    if !text.contains(|c: char| c.is_control() && c != '\t') {
        return Cow::Borrowed(text);
    }
    let mut line = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if c.is_control() && c != '\t' { line.extend(c.escape_default()) } else { line.push(c) }
    }
    Cow::Owned(line)
}
