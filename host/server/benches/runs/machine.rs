//! On what it was measured.

use std::fs::{self, File};
use std::io::{Seek, Write};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use crate::floor::Floor;
use crate::load::median;

const FLUSHES: usize = 100;
/// What Postgres writes at once.
const PAGE_BYTES: usize = 8 * 1024;

/// The machine in one line.
pub(crate) async fn describe(floor: &Floor) -> String {
    let cores = std::thread::available_parallelism().unwrap();
    let version = floor.setting("server_version").await;
    let (fsync, commit) = (floor.setting("fsync").await, floor.setting("synchronous_commit").await);
    let folder = floor.setting("data_directory").await;
    let flush_ms = flush_ms(Path::new(&folder).parent().unwrap());
    let rustc = Command::new("rustc").arg("--version").output().ok();
    let rustc = rustc.and_then(|output| String::from_utf8(output.stdout).ok()).unwrap_or_default();
    let build = if cfg!(debug_assertions) { "**a dev build: compare nothing with this**" } else { "optimised build" };
    format!(
        "{}, {cores} cores; Postgres {version} on a unix socket, fsync {fsync}, synchronous_commit {commit}; \
         a page written and flushed takes {flush_ms:.2} ms; {}; {build}",
        cpu(),
        rustc.trim()
    )
}

fn cpu() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    model.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.trim().to_owned())
}

/// What the disk adds to every commit, in the folder of the cluster.
fn flush_ms(folder: &Path) -> f64 {
    let path = folder.join("flush-probe");
    let mut file = File::create(&path).unwrap();
    let times: Vec<f64> = (0..FLUSHES)
        .map(|_| {
            let began = Instant::now();
            file.rewind().unwrap();
            file.write_all(&[7; PAGE_BYTES]).unwrap();
            file.sync_data().unwrap();
            began.elapsed().as_secs_f64() * 1_000.0
        })
        .collect();
    fs::remove_file(&path).unwrap();
    median(times.into_iter())
}
