//! The command line.

use std::fmt::Display;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::demo::{DemoArgs, demo};
use crate::plugin::{PluginCommand, plugin};
use crate::settings::{Given, Settings};
use crate::token::TokenArgs;
use crate::{logging, migrate, serve, token};

/// Runs durable agent workflows from plain JSON, where every tool is a sandboxed WebAssembly component, on your own Postgres.
#[derive(Debug, Parser)]
#[command(name = "armilla", version, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves the REST API and runs workflows, until SIGTERM or ^C
    Serve(Given),
    /// Prints a token (JWT) for the REST API, signed with the server's key
    Token(TokenArgs),
    /// Brings the database's schema up to this program's version, and ends
    Migrate(Given),
    /// Writes, tries, loads and looks after plugins
    #[command(subcommand)]
    Plugin(PluginCommand),
    /// Shows Armilla at work: a server of its own, example agents, two workflows
    Demo(DemoArgs),
}

/// Does what the command line says.
pub fn run(cli: Cli) -> ExitCode {
    let outcome = match cli.command {
        Command::Serve(given) => blocking(given, serve::serve),
        Command::Migrate(given) => blocking(given, migrate::migrate),
        Command::Demo(args) => on_runtime(demo(args)),
        Command::Plugin(command) => on_runtime(plugin(command)),
        Command::Token(args) => token::print(args).map_err(|error| error.to_string()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

/// Begins to log, reads the settings, and runs `work` on a runtime of its own.
fn blocking<F, E>(given: Given, work: impl FnOnce(Settings) -> F) -> Result<(), String>
where
    F: Future<Output = Result<(), E>>,
    E: Display,
{
    // Before the settings are read, which may make a secret and say so.
    logging::start();
    let settings = Settings::read(given).map_err(|error| error.to_string())?;
    on_runtime(work(settings))
}

fn on_runtime<E: Display>(work: impl Future<Output = Result<(), E>>) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("no threads to work with: {error}"))?;
    runtime.block_on(work).map_err(|error| error.to_string())
}

#[expect(clippy::print_stderr, reason = "the last word of a command that failed is for its terminal")]
fn complain(message: &str) {
    eprintln!("armilla: {message}");
}
