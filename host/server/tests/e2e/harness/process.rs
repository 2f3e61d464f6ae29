//! The real program, as a process that can be killed.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use tokio::process::{Child, Command};

use super::{Client, PATIENCE, until};

/// The built program with `arguments`, knowing nothing of this machine's settings but where Postgres is.
pub(crate) fn armilla<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_armilla"));
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let set = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for name in set.filter(|name| name.starts_with("ARMILLA_") && name != "ARMILLA_POSTGRES_BIN") {
        command.env_remove(name);
    }
    command.env_remove("DATABASE_URL");
    command
}

/// `armilla serve`. Killed when dropped, and when the test process ends however it ends.
pub(crate) struct ServerProcess {
    child: Child,
    data_dir: PathBuf,
    url: String,
}

impl ServerProcess {
    /// Starts it and waits until it serves; without a database's URL it makes a private cluster in the data folder.
    pub(crate) async fn start(data_dir: &Path, database_url: Option<&str>) -> Self {
        Self::start_with(data_dir, database_url, &[]).await
    }

    /// The same with further settings, as the environment gives them.
    pub(crate) async fn start_with(data_dir: &Path, database_url: Option<&str>, set: &[(&str, &str)]) -> Self {
        let started = Self::try_start_with(data_dir, database_url, set).await;
        started.unwrap_or_else(|ended| panic!("armilla ended: {ended}\n{}", log(data_dir)))
    }

    /// The same where it may end before it serves, as it does without its database.
    pub(crate) async fn try_start_with(
        data_dir: &Path,
        database_url: Option<&str>,
        set: &[(&str, &str)],
    ) -> Result<Self, ExitStatus> {
        let mut server = Self::spawn_with(data_dir, database_url, set);
        let address_file = data_dir.join("address");
        let address = until("armilla serves", || {
            let ended = server.child.try_wait().unwrap();
            let text = std::fs::read_to_string(&address_file).ok();
            async move { ended.map(Err).or(text.filter(|text| text.ends_with('\n')).map(Ok)) }
        })
        .await?;
        server.url = format!("http://{}", address.trim());
        Ok(server)
    }

    /// Starts it and does not wait.
    fn spawn_with(data_dir: &Path, database_url: Option<&str>, set: &[(&str, &str)]) -> Self {
        std::fs::create_dir_all(data_dir).unwrap();
        // One that a killed server left behind would be believed.
        let _ = std::fs::remove_file(data_dir.join("address"));
        let log = std::fs::File::options().create(true).append(true).open(data_dir.join("serve.log")).unwrap();
        let mut command = armilla(["serve", "--listen", "127.0.0.1:0"]);
        command.env("ARMILLA_EGRESS_ALLOW", "127.0.0.0/8");
        command.arg("--data-dir").arg(data_dir).stdout(log.try_clone().unwrap()).stderr(log);
        command.envs(set.iter().copied());
        if let Some(url) = database_url {
            command.args(["--database-url", url]);
        }
        dies_with_the_test(&mut command);
        Self { child: command.spawn().unwrap(), data_dir: data_dir.to_owned(), url: String::new() }
    }

    /// Somebody with a token that `armilla token` printed.
    pub(crate) async fn client(&self, role: &str) -> Client {
        let mut command = armilla(["token", "--sub", "ada", "--role", role, "--data-dir"]);
        let printed = command.arg(&self.data_dir).output().await.unwrap();
        assert!(printed.status.success(), "{printed:?}");
        Client::new(&self.url, Some(String::from_utf8(printed.stdout).unwrap().trim().to_owned()))
    }

    /// Where it serves.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = self.child.id().and_then(|pid| Pid::from_raw(pid.cast_signed())).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Waits until it has ended by itself.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        ended.unwrap_or_else(|_| panic!("armilla does not end\n{}", self.log())).unwrap()
    }

    /// Ends it as a power cut would.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Everything that it logged, in this life and those before.
    pub(crate) fn log(&self) -> String {
        log(&self.data_dir)
    }
}

fn log(data_dir: &Path) -> String {
    std::fs::read_to_string(data_dir.join("serve.log")).unwrap_or_default()
}

#[expect(unsafe_code, reason = "what runs between fork and exec is for the caller to vouch for")]
fn dies_with_the_test(command: &mut Command) {
    let prepare = || set_parent_process_death_signal(Some(Signal::KILL)).map_err(Into::into);
    // SAFETY: the closure makes one system call and allocates nothing, so it is safe after a fork.
    unsafe { command.pre_exec(prepare) };
}
