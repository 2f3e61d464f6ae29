//! What the tools do.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

/// The tools' names. Those from `request` on need a host to run errands to.
pub const TOOLS: [&str; 22] = [
    "trap",
    "loop",
    "sleep",
    "memory_bomb",
    "big_output",
    "huge_output",
    "bad_json",
    "wrong_output",
    "tool_error",
    "log_flood",
    "stack_overflow",
    "echo",
    "exit",
    "probe",
    "count",
    "hold",
    "request",
    "secret",
    "kv",
    "config",
    "log",
    "host_calls",
];

/// More than a host may take in one piece.
const FLOOD_LINES: usize = 20_000;

/// How often this instance was called: always once.
static CALLS: AtomicU32 = AtomicU32::new(0);

/// Runs the tool of this name; `log` writes one line to the host.
pub fn call(tool: &str, input: &str, log: impl Fn(&str)) -> Result<String, &'static str> {
    match tool {
        "trap" => panic!("a trap on purpose"),
        "loop" => endless(),
        "sleep" => {
            std::thread::sleep(Duration::from_secs(3_600));
            Ok("{}".to_owned())
        }
        "memory_bomb" => memory_bomb(),
        "big_output" => Ok(json!({ "text": "x".repeat(1 << 20) }).to_string()),
        "huge_output" => Ok(json!({ "text": "x".repeat(4 << 20) }).to_string()),
        "bad_json" => Ok("{ this is not JSON".to_owned()),
        "wrong_output" => Ok(r#"{"unexpected":true}"#.to_owned()),
        "tool_error" => Err("the tool failed on purpose"),
        "log_flood" => {
            let line = "x".repeat(1_000);
            (0..FLOOD_LINES).for_each(|_| log(&line));
            // Twice: by the contract's own way and by the standard library's.
            let _ = std::io::stdout().write_all(line.repeat(FLOOD_LINES / 10).as_bytes());
            Ok(json!({ "text": "flooded" }).to_string())
        }
        "stack_overflow" => Ok(json!({ "text": dive(black_box(1)).to_string() }).to_string()),
        "exit" => std::process::exit(0),
        "probe" => Ok(probe().to_string()),
        "count" => Ok(json!({ "calls": CALLS.fetch_add(1, Relaxed) + 1 }).to_string()),
        "hold" => hold(input),
        "echo" => Ok(json!({ "text": input }).to_string()),
        _ => Err("there is no such tool here"),
    }
}

fn endless() -> ! {
    let mut n = 0_u64;
    loop {
        n = black_box(n.wrapping_add(1));
    }
}

/// Takes so many bytes and keeps them for so long.
fn hold(input: &str) -> Result<String, &'static str> {
    let input: Value = serde_json::from_str(input).map_err(|_| "the input is not JSON")?;
    let hoard = vec![1_u8; input["bytes"].as_u64().unwrap_or(0) as usize];
    std::thread::sleep(Duration::from_millis(input["millis"].as_u64().unwrap_or(0)));
    Ok(json!({ "held": black_box(&hoard).len() }).to_string())
}

fn memory_bomb() -> ! {
    let mut hoard = Vec::new();
    loop {
        hoard.push(black_box(vec![1_u8; 1 << 20]));
    }
}

#[expect(unconditional_recursion, reason = "that is the point")]
#[inline(never)]
fn dive(depth: u64) -> u64 {
    // The work after the call keeps it from becoming a loop.
    dive(depth.wrapping_mul(3)).rotate_left(7) ^ depth
}

/// Tries everything that the standard library offers to reach out of the instance, and says what came of it.
#[expect(clippy::allow_attributes, reason = "a lint that only some configurations know")]
#[allow(clippy::disallowed_methods)]
fn probe() -> Value {
    let mut byte = [0_u8; 1];
    json!({
        "env": std::env::vars_os().count(),
        "args": std::env::args_os().count(),
        "read_root": std::fs::read_dir("/").is_ok(),
        "read_passwd": std::fs::read("/etc/passwd").is_ok(),
        "write_tmp": std::fs::write("/tmp/armilla-probe", "x").is_ok(),
        "stdin": std::io::stdin().read(&mut byte).unwrap_or(0),
        "tcp": TcpStream::connect("127.0.0.1:80").is_ok(),
        "udp": UdpSocket::bind("127.0.0.1:0").is_ok(),
        "dns": "localhost:80".to_socket_addrs().is_ok(),
        "unix_millis": SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64),
        "elapsed_nanos": elapsed_nanos(),
        // The seed of every hash map: 64 bits of what the host calls chance.
        "chance": RandomState::new().hash_one(1).to_string(),
    })
}

fn elapsed_nanos() -> u64 {
    let start = Instant::now();
    black_box((0..100_000_u64).fold(0, |sum, n| black_box(n).wrapping_add(sum)));
    u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_harmless_deeds_work_anywhere() {
        assert_eq!(call("echo", "{}", |_| ()).as_deref(), Ok(r#"{"text":"{}"}"#));
        assert_eq!(call("count", "{}", |_| ()).as_deref(), Ok(r#"{"calls":1}"#));
        assert_eq!(call("hold", r#"{"bytes":7}"#, |_| ()).as_deref(), Ok(r#"{"held":7}"#));
        assert!(call("tool_error", "{}", |_| ()).is_err());
        assert!(call("nonesuch", "{}", |_| ()).is_err());
    }
}
