//! What a guest's standard library imports, with nothing behind it that was not granted.
//!
//! Rust's standard library alone drags in thirteen interfaces. They are all there, and none leads out: no arguments, no folders,
//! no sockets; without a grant no environment either, the clock stands at the run's start, and chance is derived from the run.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use armilla_domain::plugin::permit_config;
use bytes::Bytes;
use rand::TryRng;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncWrite, Sink, sink};
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError};
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtx};

use crate::limits::RANDOM_BYTES_MAX;
use crate::log::CallLog;
use crate::state::Given;

/// In bytes that a guest may write to a stream in one piece.
const STREAM_WRITE_BYTES_MAX: usize = 4096;

/// What WASI offers to this call: time stands still and chance is a function of the call, unless they were granted; the only
/// environment is what the operator set.
pub(crate) fn context(given: &Given) -> WasiCtx {
    let mut builder = WasiCtx::builder();
    builder
        .max_random_size(RANDOM_BYTES_MAX)
        .stdout(Stream(Arc::clone(&given.log)))
        .stderr(Stream(Arc::clone(&given.log)))
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false);
    let grant = &given.access.grant;
    // Granted and stated: neither widens the other.
    if !(grant.clock && given.needs.clock) {
        builder.wall_clock(Frozen(given.now)).monotonic_clock(Frozen(given.now));
    }
    if !(grant.random && given.needs.random) {
        let chance = Chance::new(&given.seed);
        builder.insecure_random_seed(chance.clone().seed()).secure_random(chance.clone()).insecure_random(chance);
    }
    for key in grant.config.keys() {
        if let Ok(value) = permit_config(&given.needs, grant, key) {
            builder.env(key, value);
        }
    }
    builder.build()
}

/// A clock that stands still.
struct Frozen(Duration);

impl HostWallClock for Frozen {
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn now(&self) -> Duration {
        self.0
    }
}

impl HostMonotonicClock for Frozen {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        0
    }
}

/// Blocks of SHA-256 over a seed and a counter: no library's next version can change what a recorded run was given.
#[derive(Clone)]
struct Chance {
    seed: [u8; 32],
    counter: u64,
    block: [u8; 32],
    used: usize,
}

impl Chance {
    fn new(seed: &str) -> Self {
        Self { seed: Sha256::digest(seed).into(), counter: 0, block: [0; 32], used: 32 }
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            if self.used == self.block.len() {
                let block = Sha256::new().chain_update(self.seed).chain_update(self.counter.to_le_bytes());
                self.block = block.finalize().into();
                self.counter += 1;
                self.used = 0;
            }
            *byte = self.block[self.used];
            self.used += 1;
        }
    }

    fn seed(mut self) -> u128 {
        let mut bytes = [0; 16];
        self.fill(&mut bytes);
        u128::from_le_bytes(bytes)
    }
}

impl TryRng for Chance {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.fill(bytes);
        Ok(())
    }
}

/// Standard output and standard error: into the call's log.
struct Stream(Arc<CallLog>);

impl IsTerminal for Stream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Stream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        // Only WASI 0.3 asks for this one, which no plugin here imports.
        let nowhere: Sink = sink();
        Box::new(nowhere)
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(Stream(Arc::clone(&self.0)))
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Stream {
    async fn ready(&mut self) {}
}

impl OutputStream for Stream {
    fn write(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        self.0.stream(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StreamError> {
        Ok(())
    }

    fn check_write(&mut self) -> Result<usize, StreamError> {
        Ok(STREAM_WRITE_BYTES_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_is_the_same_for_the_same_seed_and_another_for_another() {
        let bytes = |seed| {
            let mut bytes = [0; 100];
            Chance::new(seed).fill(&mut bytes);
            bytes
        };
        assert_eq!(bytes("run_1:a:1"), bytes("run_1:a:1"));
        assert_ne!(bytes("run_1:a:1"), bytes("run_1:a:2"));
        // Fixed for ever: recorded runs depend on it.
        assert_eq!(Chance::new("seed").seed(), Chance::new("seed").seed());
    }
}
