//! Keeps so many calls in flight for so long, and tells how they went.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::cpu::cpu;

/// How one slice of time went.
#[derive(Clone, Copy)]
pub(crate) struct Slice {
    pub(crate) per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// Processor time of this process and of Postgres, for each call.
    pub(crate) cpu_ms: f64,
    /// Postgres' part of that.
    pub(crate) postgres_ms: f64,
}

impl Slice {
    /// The median of each figure.
    pub(crate) fn median(slices: &[Self]) -> Self {
        let of = |figure: fn(&Self) -> f64| median(slices.iter().map(figure));
        Self {
            per_second: of(|s| s.per_second),
            p50_ms: of(|s| s.p50_ms),
            p99_ms: of(|s| s.p99_ms),
            cpu_ms: of(|s| s.cpu_ms),
            postgres_ms: of(|s| s.postgres_ms),
        }
    }
}

pub(crate) fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Keeps `in_flight` workers busy: each makes its next call when its last has ended. No call is cut off.
pub(crate) async fn drive<C, F>(in_flight: usize, during: Duration, postmaster: u32, call: C) -> Slice
where
    C: Fn(usize) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let (began, before) = (Instant::now(), cpu(postmaster));
    let timed = |worker| {
        let call = call(worker);
        async move {
            let began = Instant::now();
            call.await;
            (worker, began.elapsed())
        }
    };
    let mut running: JoinSet<_> = (0..in_flight).map(timed).collect();
    let mut times = Vec::new();
    while let Some(ended) = running.join_next().await {
        let (worker, time) = ended.unwrap();
        times.push(time);
        if began.elapsed() < during {
            running.spawn(timed(worker));
        }
    }
    let after = cpu(postmaster);
    let each_ms = |seconds: f64| seconds * 1_000.0 / times.len() as f64;
    let postgres_ms = each_ms(after.postgres - before.postgres);
    let cpu_ms = each_ms(after.own - before.own) + postgres_ms;
    let per_second = times.len() as f64 / began.elapsed().as_secs_f64();
    times.sort();
    let ms = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1_000.0;
    Slice { per_second, p50_ms: ms(50), p99_ms: ms(99), cpu_ms, postgres_ms }
}
