//! Lines for the people who operate the host. In a test they go to the standard error stream.
//!
//! A call may write 64 KiB in all; what comes after that is dropped, never an error.

use crate::host;
use std::fmt;

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

/// For the plugin's author.
pub fn debug(message: impl fmt::Display) {
    host::log(Level::Debug, &message.to_string());
}

/// Worth knowing.
pub fn info(message: impl fmt::Display) {
    host::log(Level::Info, &message.to_string());
}

/// Worth looking at.
pub fn warn(message: impl fmt::Display) {
    host::log(Level::Warn, &message.to_string());
}

/// Worth waking up for.
pub fn error(message: impl fmt::Display) {
    host::log(Level::Error, &message.to_string());
}
