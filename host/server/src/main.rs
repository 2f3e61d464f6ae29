//! `armilla`: runs durable agent workflows. See `armilla --help`.

use std::process::ExitCode;

use armilla::command::{Cli, run};
use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    run(Cli::parse())
}
