//! The REST API: routes, authentication, problem details, and the OpenAPI document that is made from the same code.
//!
//! This crate alone knows axum and HTTP statuses. A handler takes, calls, answers; everything that holds for every request
//! (its id, its log line, its bounds, who is calling) is a layer in front of it.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod agents;
pub mod approvals;
pub mod auth;
pub mod chat;
mod events;
mod health;
pub mod hooks;
mod openapi;
mod page;
pub mod pipelines;
pub mod plugins;
pub mod problem;
pub mod prompts;
mod request;
mod routes;
pub mod runs;
pub mod schedules;
pub mod secrets;
mod serve;
mod state;
pub mod tools;
pub mod webhooks;
mod wire;
pub mod workflows;

pub use self::page::{Page, PageQuery};
pub use self::request::{
    BODY_BYTES_MAX, JSON_DEPTH_MAX, JsonBody, OptionalJsonBody, PathText, Query, REQUEST_DURATION_MAX, RequestId,
    TraceParent,
};
pub use self::routes::{document, router};
pub use self::runs::EVENT_STREAMS_MAX;
pub use self::serve::{CONNECTIONS_MAX, HEAD_READ_MAX, serve};
pub use self::state::{ApiState, Check, Readiness};
pub use self::wire::{FaultBody, Text, Timestamp, under};
