//! The program: command line, configuration, wiring and shutdown.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod command;
mod demo;
mod keys;
mod logging;
mod memory;
mod migrate;
mod plugin;
mod serve;
pub mod settings;
mod signals;
mod token;
pub mod transform;
