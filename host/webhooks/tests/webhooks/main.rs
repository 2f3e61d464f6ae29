//! Webhooks on a real Postgres, with real receivers on loopback.

#![allow(clippy::unwrap_used)]

mod again;
mod bench;
mod delivery;
mod endpoints;
mod hosts;
mod limits;
mod managing;
mod shaping;
