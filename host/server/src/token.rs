//! `armilla token`.

use std::io::Write;
use std::time::Duration;

use armilla_api::auth::{Claims, MintError, Role, mint};
use armilla_domain::duration::parse_duration;
use armilla_domain::id::WorkspaceId;
use armilla_engine::{Clock, SystemClock};
use clap::Args;

use crate::settings::{Place, SettingsError, read_auth};

/// Whose token, and what it may do.
#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    /// Whom the token speaks for: a person or a program
    #[arg(long, value_name = "NAME")]
    sub: String,

    /// What it may do: owner, admin (plugins, agents), member (workflows and runs) or viewer (reads)
    #[arg(long, value_name = "ROLE")]
    role: Role,

    /// Workspace it belongs to [default: the default one]
    #[arg(long, value_name = "ID")]
    workspace: Option<WorkspaceId>,

    /// How long it is valid
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = parse_duration)]
    ttl: Duration,

    #[command(flatten)]
    place: Place,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Mint(#[from] MintError),
    #[error("the token could not be printed: {0}")]
    Print(#[from] std::io::Error),
}

/// Prints a token to standard output, and nothing else.
pub(crate) fn print(args: TokenArgs) -> Result<(), TokenError> {
    let token = make(args)?;
    writeln!(std::io::stdout(), "{token}")?;
    Ok(())
}

/// The token that the demo calls the API with.
pub(crate) fn for_demo(place: &Place) -> Result<String, TokenError> {
    let ttl = Duration::from_secs(60 * 60);
    make(TokenArgs { sub: "demo".to_owned(), role: Role::Admin, workspace: None, ttl, place: place.clone() })
}

/// A token for whoever may read the server's key: what the commands call the API with.
pub(crate) fn for_operator(place: &Place) -> Result<String, TokenError> {
    let sub = std::env::var("USER").ok().filter(|user| !user.is_empty()).unwrap_or_else(|| "operator".to_owned());
    let ttl = Duration::from_secs(10 * 60);
    make(TokenArgs { sub, role: Role::Admin, workspace: None, ttl, place: place.clone() })
}

fn make(args: TokenArgs) -> Result<String, TokenError> {
    let auth = read_auth(&args.place)?;
    let now = SystemClock.now().timestamp();
    Ok(mint(
        &auth.current_secret,
        &Claims {
            sub: args.sub,
            role: args.role,
            ws: args.workspace,
            iat: now,
            nbf: Some(now),
            exp: now.saturating_add_unsigned(args.ttl.as_secs()),
            iss: auth.issuer,
            aud: auth.audience,
        },
    )?)
}
