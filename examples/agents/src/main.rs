//! Serves the example agents until ^C or SIGTERM.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

use armilla_example_agents::{AGENTS, serve};
use clap::Parser;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// Five deterministic agents that speak the chat completions protocol.
#[derive(Parser)]
struct Arguments {
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1:3210")]
    listen: SocketAddr,
    /// How long each answer takes, in milliseconds.
    #[arg(long, default_value_t = 0)]
    latency_ms: u64,
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let listener = TcpListener::bind(arguments.listen)
        .await
        .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {}: {error}", arguments.listen)))?;

    let address = listener.local_addr()?;
    let mut out = io::stdout();
    for agent in AGENTS {
        writeln!(out, "{:<15} http://{address}{:<10} {}", agent.id, agent.path, agent.about)?;
    }

    let shutdown = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    serve(listener, Duration::from_millis(arguments.latency_ms), shutdown).await
}
