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

/// Processor time that this process, Postgres and its children have used so far, in seconds. Children that have ended are counted
/// with the one that started them.
pub(crate) fn cpu_seconds(postmaster: u32) -> f64 {
    let ticks = |stat: &str| -> Option<(u32, u64, u64)> {
        // proc(5): the name may have blanks in it, and stands in brackets.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
        Some((number(1)? as u32, number(11)? + number(12)?, number(13)? + number(14)?))
    };
    let mut sum = 0;
    for process in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let Ok(stat) = fs::read_to_string(process.path().join("stat")) else { continue };
        match ticks(&stat) {
            Some((_, own, _)) if pid == std::process::id() => sum += own,
            Some((_, own, of_children)) if pid == postmaster => sum += own + of_children,
            Some((parent, own, _)) if parent == postmaster => sum += own,
            _ => {}
        }
    }
    // Linux counts in hundredths of a second, whatever its own clock does.
    sum as f64 / 100.0
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
