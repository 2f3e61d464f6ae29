//! The pure rules of Armilla: what a definition means, what a run does next, when an attempt is repeated.
//!
//! Nothing here does I/O, reads a clock, makes a random choice or is asynchronous: time and chance are arguments.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod agent;
pub mod breaker;
pub mod call;
pub mod definition;
pub mod duration;
pub mod event;
pub mod fault;
pub mod hook;
pub mod id;
pub mod journal;
pub mod json;
pub mod pipeline;
pub mod plugin;
pub mod prompt;
pub mod retry;
pub mod run;
pub mod schedule;
pub mod sealing;
pub mod source;
pub mod talk;
pub mod template;
pub mod trace;
pub mod webhook;
