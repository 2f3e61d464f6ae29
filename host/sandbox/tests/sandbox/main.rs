//! The sandbox's promises, kept against a plugin that does everything wrong. One program, so that its tests share what they
//! load; a file for each theme.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

mod breaker;
mod common;
mod determinism;
mod fuzz_smoke;
mod grants;
mod http;
mod isolation;
mod kv;
mod limits;
mod loading;
mod plugins;
mod secrets;
