//! Other people's programs that tests speak with: each in a process of its own, on a loopback port.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::Mutex;

/// How long a peer may take to begin: Python reads hundreds of files first, on machines that do something else.
const START_MAX: Duration = Duration::from_secs(60);

/// What was fetched, or cannot be: each is tried once. Across processes the script looks after itself.
static FETCHED: Mutex<BTreeMap<String, Option<PathBuf>>> = Mutex::const_new(BTreeMap::new());

/// What a peer is made of: a folder that `scripts/ensure-peers` has filled.
pub struct PeerKit {
    folder: PathBuf,
}

/// A peer that runs, until it is dropped.
pub struct Peer {
    /// Where it is: `http://127.0.0.1:…`.
    pub url: String,
    // Its standard input is open for as long as this lives, and it ends with that.
    _process: Child,
}

impl PeerKit {
    /// The kit of that name, fetched where it was not yet. None where it cannot be had; the reason is printed, even where the output of tests
    /// that pass is not.
    ///
    /// # Panics
    /// Where the script cannot be run at all.
    pub async fn named(name: &str) -> Option<Self> {
        let mut fetched = FETCHED.lock().await;
        let folder = match fetched.get(name) {
            Some(known) => known.clone(),
            None => {
                let found = fetch(name).await;
                fetched.insert(name.to_owned(), found.clone());
                found
            }
        };
        Some(Self { folder: folder? })
    }

    /// A command that runs Python with the kit's packages.
    pub fn python(&self, script: &Path) -> Command {
        let mut command = Command::new("python3");
        command.arg("-B").arg(script).env("PYTHONPATH", &self.folder);
        command
    }

    /// A command that runs Node, with the kit's folder in the variable `variable`.
    pub fn node(&self, script: &Path, variable: &str) -> Command {
        let mut command = Command::new("node");
        command.arg(script).env(variable, &self.folder);
        command
    }
}

async fn fetch(name: &str) -> Option<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/ensure-peers");
    let output = Command::new(script).arg(name).stdin(Stdio::null()).output().await.expect("scripts/ensure-peers runs");
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr);
        // Not by a macro: what those print is only shown of tests that fail.
        let _ = writeln!(std::io::stderr(), "tests with `{name}` are skipped: {}", reason.trim());
        return None;
    }
    let folder = String::from_utf8(output.stdout).expect("a path in UTF-8");
    Some(folder.trim().into())
}

impl Peer {
    /// Starts a program that prints its URL as soon as it can be called, and ends when its standard input does.
    ///
    /// # Panics
    /// Where it does not print one in time.
    pub async fn start(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().expect("the peer's program runs");
        let output = process.stdout.take().expect("a peer's output");
        let mut lines = BufReader::new(output).lines();
        let line = tokio::time::timeout(START_MAX, lines.next_line()).await.expect("a peer that begins in time");
        let url = line.expect("a peer's output in UTF-8").expect("a peer that begins");
        Self { url, _process: process }
    }
}
