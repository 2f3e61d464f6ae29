//! `armilla plugin`: the author's side and the operator's side of plugins.

mod grant;
mod keys;
mod local;
mod new;
mod remote;

use std::fmt::Display;
use std::io::Write;
use std::path::PathBuf;

use clap::Subcommand;

use self::grant::{GrantArgs, grant};
use self::keys::{KeygenArgs, SignArgs, keygen, sign};
use self::local::{CheckArgs, RunArgs, check, run};
use self::new::{NewArgs, new};
use self::remote::{NamedArgs, PushArgs, RemoveArgs, RollbackArgs, ServerArgs, SwitchArgs, VersionArgs};
use crate::settings::SettingsError;
use crate::token::TokenError;

/// What is done with a plugin.
#[derive(Debug, Subcommand)]
pub(crate) enum PluginCommand {
    /// Writes a project for a new plugin, which builds with its language's own tools
    New(NewArgs),
    /// Says what a server would say to a component, without one
    Check(CheckArgs),
    /// Calls a tool of a component here, without a server, and says what it used
    Run(RunArgs),
    /// Loads a component into a server
    Push(PushArgs),
    /// Lists the plugins of a server
    List(ServerArgs),
    /// Lists the versions of a plugin
    Versions(NamedArgs),
    /// Shows what a plugin is granted, or grants it exactly what is named
    Grant(GrantArgs),
    /// Makes a version the active one
    Activate(VersionArgs),
    /// Makes the version active that was so before
    Rollback(RollbackArgs),
    /// Lets a plugin be called again
    Enable(SwitchArgs),
    /// Takes a plugin out of service
    Disable(SwitchArgs),
    /// Deletes a plugin, or one of its versions
    Remove(RemoveArgs),
    /// Makes a key that signs plugins
    Keygen(KeygenArgs),
    /// Signs a component
    Sign(SignArgs),
}

/// Why a command came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PluginError {
    #[error("{}: {source}", .file.display())]
    File { file: PathBuf, source: std::io::Error },
    #[error("{0}")]
    Usage(String),
    #[error("{}: {why}", .file.display())]
    NotLoaded { file: PathBuf, why: String },
    #[error("{0}")]
    Failed(String),
    #[error("{request}: {why}")]
    Http { request: String, why: String },
    #[error("{detail}{faults} ({code}, {status})")]
    Refused { status: u16, code: String, detail: String, faults: String },
    #[error("no token: {0}; give one with --token or ARMILLA_TOKEN")]
    Token(#[from] TokenError),
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error("nothing can be printed: {0}")]
    Print(#[from] std::io::Error),
}

pub(crate) async fn plugin(command: PluginCommand) -> Result<(), PluginError> {
    match command {
        PluginCommand::New(args) => new(&args),
        PluginCommand::Check(args) => check(&args).await,
        PluginCommand::Run(args) => run(args).await,
        PluginCommand::Push(args) => remote::push(args).await,
        PluginCommand::List(args) => remote::list(args).await,
        PluginCommand::Versions(args) => remote::versions(args).await,
        PluginCommand::Grant(args) => grant(args).await,
        PluginCommand::Activate(args) => remote::activate(args).await,
        PluginCommand::Rollback(args) => remote::rollback(args).await,
        PluginCommand::Enable(args) => remote::switch(args, "enable").await,
        PluginCommand::Disable(args) => remote::switch(args, "disable").await,
        PluginCommand::Remove(args) => remote::remove(args).await,
        PluginCommand::Keygen(args) => keygen(&args),
        PluginCommand::Sign(args) => sign(&args),
    }
}

/// One line of the answer.
fn say(line: impl Display) -> Result<(), PluginError> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

fn read(file: &PathBuf) -> Result<Vec<u8>, PluginError> {
    std::fs::read(file).map_err(|source| PluginError::File { file: file.clone(), source })
}
