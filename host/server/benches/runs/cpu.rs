//! What processors were busy with.

use std::fs;

/// Processor time that was used so far, in seconds.
#[derive(Clone, Copy)]
pub(crate) struct Cpu {
    /// By this process.
    pub(crate) own: f64,
    /// By Postgres and its children. Those that have ended are counted with the one that started them.
    pub(crate) postgres: f64,
}

pub(crate) fn cpu(postmaster: u32) -> Cpu {
    let ticks = |stat: &str| -> Option<(u32, u64, u64)> {
        // proc(5): the name may have blanks in it, and stands in brackets.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
        Some((number(1)? as u32, number(11)? + number(12)?, number(13)? + number(14)?))
    };
    let (mut own, mut postgres) = (0, 0);
    for process in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let Ok(stat) = fs::read_to_string(process.path().join("stat")) else { continue };
        match ticks(&stat) {
            Some((_, ticks, _)) if pid == std::process::id() => own += ticks,
            Some((_, ticks, of_children)) if pid == postmaster => postgres += ticks + of_children,
            Some((parent, ticks, _)) if parent == postmaster => postgres += ticks,
            _ => {}
        }
    }
    // Linux counts in hundredths of a second, whatever its own clock does.
    Cpu { own: own as f64 / 100.0, postgres: postgres as f64 / 100.0 }
}
