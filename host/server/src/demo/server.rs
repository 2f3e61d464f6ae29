//! The demo's server: `armilla serve` as a process of its own, as any user would start it.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use tokio::process::{Child, Command};
use tokio::time::Instant;

use super::{DemoArgs, DemoError, terminal};
use crate::serve::ADDRESS_FILE;

/// A first start makes a cluster.
const READY_MAX: Duration = Duration::from_secs(120);
const READY_POLL: Duration = Duration::from_millis(20);
/// Longer than everything that a stopping server waits for.
const STOP_MAX: Duration = Duration::from_secs(60);
/// What of the log is shown when the server does not start.
const LOG_LINES_SHOWN: usize = 15;
const PORT_DEFAULT: &str = "127.0.0.1:3000";

/// The server process.
pub(super) struct Server {
    process: Child,
    address_file: PathBuf,
    log: PathBuf,
    shown: bool,
}

impl Server {
    pub(super) fn spawn(args: &DemoArgs, plugins: &Path) -> Result<Self, DemoError> {
        let data_dir = &args.data_dir;
        fs::create_dir_all(data_dir)?;
        let log = data_dir.join("serve.log");
        let address_file = data_dir.join(ADDRESS_FILE);
        // One that a killed server left behind would be believed.
        let _ = fs::remove_file(&address_file);

        let output = File::create(&log)?;
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg("serve")
            .arg("--listen")
            .arg(args.listen.unwrap_or_else(free_address).to_string())
            .arg("--data-dir")
            .arg(data_dir)
            .arg("--plugins")
            .arg(plugins)
            // The example agents are on this machine.
            .args(["--egress-allow", "127.0.0.0/8"])
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        if let Some(folder) = &args.postgres_bin {
            command.arg("--postgres-bin").arg(folder);
        }
        // The demo has a database of its own, whatever else is set.
        for variable in ["DATABASE_URL", "ARMILLA_DATABASE_URL", "ARMILLA_CONFIG"] {
            command.env_remove(variable);
        }
        ends_with_the_demo(&mut command);
        Ok(Self { process: command.spawn()?, address_file, log, shown: false })
    }

    /// Waits until it serves, and says where.
    pub(super) async fn ready(&mut self) -> Result<String, DemoError> {
        let began = Instant::now();
        let mut told = 0;
        loop {
            if let Ok(address) = fs::read_to_string(&self.address_file)
                && address.ends_with('\n')
            {
                terminal::progress_over();
                let url = format!("http://{}", address.trim());
                terminal::line(&format!("  The server is up at {url} after {:.1} s.", began.elapsed().as_secs_f64()));
                return Ok(url);
            }
            if self.process.try_wait()?.is_some() {
                return Err(self.failure());
            }
            if began.elapsed() > READY_MAX {
                return Err(DemoError::NotReady(READY_MAX, self.log.clone()));
            }
            if began.elapsed().as_secs() > told {
                told = began.elapsed().as_secs();
                terminal::progress("Starting a server, with a Postgres of its own", began.elapsed());
            }
            tokio::time::sleep(READY_POLL).await;
        }
    }

    /// Waits until it ends by itself, which it should not.
    pub(super) async fn gone(&mut self) -> Result<(), DemoError> {
        self.process.wait().await?;
        Err(self.failure())
    }

    /// Ends it as an operator would, and waits.
    pub(super) async fn stop(&mut self) -> Result<(), DemoError> {
        let Some(pid) = self.process.id().and_then(|pid| Pid::from_raw(pid.cast_signed())) else { return Ok(()) };
        // Gone already is as good.
        let _ = kill_process(pid, Signal::TERM);
        if tokio::time::timeout(STOP_MAX, self.process.wait()).await.is_err() {
            self.process.kill().await?;
        }
        Ok(())
    }

    pub(super) fn mark_shown(&mut self) {
        self.shown = true;
    }

    /// Whether everything there is to see was seen.
    pub(super) fn was_shown(&self) -> bool {
        self.shown
    }

    fn failure(&self) -> DemoError {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let log_end = lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n");
        DemoError::Server { log: self.log.clone(), log_end }
    }
}

/// The documented port where it is free, for the URLs to be the documented ones.
fn free_address() -> SocketAddr {
    let free = TcpListener::bind(PORT_DEFAULT).and_then(|listener| listener.local_addr());
    free.unwrap_or_else(|_| SocketAddr::from(([127, 0, 0, 1], 0)))
}

/// A demo that is killed takes its server with it.
#[expect(unsafe_code, reason = "what runs between fork and exec is for the caller to vouch for")]
fn ends_with_the_demo(command: &mut Command) {
    let prepare = || set_parent_process_death_signal(Some(Signal::TERM)).map_err(Into::into);
    // SAFETY: the closure makes one system call and allocates nothing, so it is safe after a fork.
    unsafe { command.pre_exec(prepare) };
}
