//! What processors were busy with.

use std::fs;

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
