//! `armilla`: runs durable agent workflows. See `armilla --help`.

use std::process::ExitCode;

use armilla::command::{Cli, run};
use clap::Parser;

fn main() -> ExitCode {
    run(Cli::parse())
}
