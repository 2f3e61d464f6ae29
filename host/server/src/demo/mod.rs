//! `armilla demo`: a server, agents to call and two workflows to watch, all of it real.

mod client;
mod plugins;
mod server;
mod story;
mod terminal;

use std::path::PathBuf;
use std::time::Duration;

use armilla_egress::EgressError;
use clap::Args;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use self::plugins::Plugins;
use crate::settings::{Place, SettingsError};
use crate::signals::Ending;

/// What each example agent takes to answer, so that there is something to watch.
const AGENT_LATENCY: Duration = Duration::from_millis(300);

/// Where the demo keeps its things, and whether it stays.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// End after the runs, with status 0 if all went well, instead of staying up until ^C
    #[arg(long)]
    exit: bool,

    /// Address to serve on [default: 127.0.0.1:3000, or a free port where that is taken]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<std::net::SocketAddr>,

    /// Folder for the demo's own database and keys
    #[arg(long, env = "ARMILLA_DATA_DIR", value_name = "DIR", default_value = "armilla-demo")]
    data_dir: PathBuf,

    /// Folder with the plugins `jq`, `text` and `cel`
    #[arg(long, env = "ARMILLA_PLUGINS", value_name = "DIR")]
    plugins: PathBuf,

    /// Command that builds the plugins, for the shell: it is run when the server is up
    #[arg(long, value_name = "COMMAND", hide = true)]
    plugins_by: Option<String>,

    /// Folder of Postgres's programs, where the usual places are not meant
    #[arg(long, env = "ARMILLA_POSTGRES_BIN", value_name = "DIR")]
    postgres_bin: Option<PathBuf>,
}

/// Why the demo ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DemoError {
    #[error("the server did not start; the end of {}:\n{log_end}", .log.display())]
    Server { log: PathBuf, log_end: String },
    #[error("the server did not become ready within {0:?}; see {log}", log = .1.display())]
    NotReady(Duration, PathBuf),
    #[error("{request} answered {status}: {body}")]
    Refused { request: String, status: u16, body: String },
    #[error("{request} failed: {source}")]
    Http { request: String, source: EgressError },
    #[error("there is no folder {0}: `make plugins` builds the plugins")]
    NoPlugins(PathBuf),
    #[error("the plugins could not be built: {0}")]
    PluginsNotBuilt(std::process::ExitStatus),
    #[error("the plugins did not come from {folder}; what is missing: {missing}", folder = .folder.display())]
    PluginsMissing { folder: PathBuf, missing: String },
    #[error("{0} answered something else than expected")]
    Unexpected(String),
    #[error("the run of \"{workflow}\" ended {status}: {detail}")]
    Run { workflow: String, status: String, detail: String },
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error("no token could be made: {0}")]
    Token(String),
    #[error("stopped")]
    Interrupted,
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Runs the demo from beginning to end.
pub(crate) async fn demo(args: DemoArgs) -> Result<(), DemoError> {
    let ending = Ending::watch()?;
    let mut plugins = Plugins::prepare(&args.data_dir, &args.plugins, args.plugins_by.clone())?;
    let agents = TcpListener::bind("127.0.0.1:0").await?;
    let agents_at = agents.local_addr()?;
    let (stop_agents, agents_stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(armilla_example_agents::serve(agents, AGENT_LATENCY, async {
        // Also when the demo ends without a word.
        let _ = agents_stopped.await;
    }));

    terminal::heading("Armilla demo");
    let mut server = server::Server::spawn(&args, plugins.watched())?;
    let told = tokio::select! {
        told = tell(&mut server, &args, &mut plugins, agents_at) => told,
        () = ending.asked() => Err(DemoError::Interrupted),
    };
    server.stop().await?;
    drop(stop_agents);
    let _ = serving.await;
    match told {
        // Whoever stays until ^C has seen everything.
        Err(DemoError::Interrupted) if server.was_shown() => Ok(()),
        told => told,
    }
}

async fn tell(
    server: &mut server::Server,
    args: &DemoArgs,
    plugins: &mut Plugins,
    agents_at: std::net::SocketAddr,
) -> Result<(), DemoError> {
    let url = server.ready().await?;
    plugins.show()?;
    let place = Place { data_dir: Some(args.data_dir.clone()), config: None };
    let token = crate::token::for_demo(&place).map_err(|error| DemoError::Token(error.to_string()))?;
    let client = client::Client::new(url.clone(), token)?;
    story::tell(&client, plugins, agents_at).await?;
    server.mark_shown();
    if args.exit {
        return Ok(());
    }
    terminal::line(&format!("\nThe server stays up at {url} until ^C. Try, in another terminal:\n"));
    let program = std::env::current_exe().map_or("armilla".to_owned(), |program| program.display().to_string());
    terminal::line(&format!(
        "  TOKEN=$({program} token --sub you --role admin --data-dir {})\n  \
         curl -s {url}/workflows -H \"Authorization: Bearer $TOKEN\"\n  \
         curl -s {url}/openapi.json\n",
        args.data_dir.display()
    ));
    server.gone().await
}
