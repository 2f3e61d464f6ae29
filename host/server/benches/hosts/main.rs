//! What hosts take and give as processes of their own: memory at rest, two against one, a killed one's runs, a million that wait, and
//! tables full of runs that have ended.
//!
//! `cargo bench -p armilla --bench hosts [-- --finished N --waiting N]` after `make plugins`. It prints lines of a Markdown table;
//! docs/benchmarks.md tells how to read them.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on stops")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "its output is what a benchmark is for")]

mod agent;
#[path = "../runs/cpu.rs"]
mod cpu;
#[path = "../runs/load.rs"]
mod load;
mod process;
mod tables;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use armilla_egress::{Egress, EgressPolicy};
use armilla_store::cluster::{Cluster, ClusterConfig, Durability, remove_abandoned};
use clap::Parser;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::load::{Slice, drive};
use crate::process::{Host, plugins};
use crate::tables::Tables;

/// Each figure of speed is the median of so many slices of time, in turns.
const ROUNDS: usize = 3;
/// How long a host rests before its memory is looked at.
const REST: Duration = Duration::from_secs(10);
/// As many runs as one host drives.
const RUNS_OF_THE_KILLED: i64 = 1_000;
const TIMERS: usize = 200;
const TIMER_SECONDS: u64 = 10;
const POLL: Duration = Duration::from_millis(50);

#[derive(Parser)]
struct Args {
    /// How long each slice of time is, in seconds
    #[arg(long, default_value_t = 5)]
    slice: u64,
    /// How many runs that have ended the tables are filled with
    #[arg(long, default_value_t = 1_000_000)]
    finished: i64,
    /// How many waiting runs the tables are filled with
    #[arg(long, default_value_t = 1_000_000)]
    waiting: i64,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(measure(args));
}

struct Place {
    folder: PathBuf,
    database_url: String,
    postmaster: u32,
    slice: Duration,
}

async fn measure(args: Args) {
    // reqwest is built without a provider of TLS; the project's own client brings one for the whole process.
    let _egress = Egress::new(EgressPolicy::default()).unwrap();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-hosts");
    let data_dir = folder.join("cluster");
    if data_dir.exists() {
        // One that was stopped half-way.
        remove_abandoned(&data_dir).unwrap();
    }
    let cluster = Cluster::start(ClusterConfig {
        data_dir: data_dir.clone(),
        postgres_bin: std::env::var_os("ARMILLA_POSTGRES_BIN").map(PathBuf::from),
        durability: Durability::Durable,
        extra_bin_dirs: Vec::new(),
    })
    .await
    .unwrap();
    let slice = Duration::from_secs(args.slice);
    let place = Place { folder, database_url: cluster.database_url(), postmaster: cluster.pid().unwrap(), slice };
    println!("| what | figure |\n| --- | --- |");
    memory_at_rest(&place).await;
    let (open, is_open) = watch::channel(true);
    let endpoint = format!("http://{}", agent::serve(is_open).await);
    let one = Host::start(&place.folder, "one", &place.database_url, Some(&plugins())).await;
    one.send(Method::PUT, "/plugins/time/grants", &json!({ "clock": true })).await;
    one.send(Method::POST, "/agents", &json!({ "id": "patient", "protocol": "openai", "endpoint": endpoint })).await;
    let two = Host::start(&place.folder, "two", &place.database_url, Some(&plugins())).await;
    let granted: Vec<Value> = (1..=5).map(granted_step).collect();
    let workflow = one.create_workflow(&granted).await;
    // What a host meets for the first time takes longer.
    for host in [&one, &two] {
        drive(8, Duration::from_secs(2), place.postmaster, |_| host.run(&workflow)).await;
    }
    let mut tables = Tables::open(&place.database_url).await;
    two_against_one(&place, &one, &two, &workflow).await;
    drop(two);
    let empty = speeds(&place, &one, &workflow).await;
    waiting(&one, &mut tables, args.waiting).await;
    recovery(&place, one, &mut tables, &open).await;

    let host = Host::start(&place.folder, "one", &place.database_url, Some(&plugins())).await;
    tables.add_finished(&workflow, args.finished).await;
    drive(8, Duration::from_secs(2), place.postmaster, |_| host.run(&workflow)).await;
    let full = speeds(&place, &host, &workflow).await;
    for ((in_flight, before), (_, after)) in empty.iter().zip(&full) {
        println!(
            "| {in_flight} in flight: empty tables, then {} ended and {} waiting runs in them | {:.0} runs/s, p99 {:.1} ms; then {:.0} runs/s, p99 {:.1} ms: {:.2} of it |",
            args.finished,
            args.waiting,
            before.per_second,
            before.p99_ms,
            after.per_second,
            after.p99_ms,
            after.per_second / before.per_second
        );
    }
    drop((host, tables));
    cluster.stop().await;
    remove_abandoned(&data_dir).unwrap();
}

fn granted_step(number: usize) -> Value {
    let time = if number == 1 { "2030-01-31T08:00:00Z".to_owned() } else { format!("{{{{s{}.rfc3339}}}}", number - 1) };
    json!({ "type": "tool", "id": format!("s{number}"), "toolName": "time.add",
        "params": { "time": time, "duration": "1 day" }, "outputVar": format!("s{number}") })
}

async fn memory_at_rest(place: &Place) {
    for (what, folder) in [("no plugins", None), ("the nine shipped plugins loaded", Some(plugins()))] {
        // The second start finds what the first one compiled and made, as a host does that has been there before.
        for (round, rest) in [Duration::ZERO, REST].into_iter().enumerate() {
            let host = Host::start(&place.folder, "resting", &place.database_url, folder.as_deref()).await;
            tokio::time::sleep(rest).await;
            if round == 1 {
                let (all, own) = host.memory();
                println!("| memory of a host at rest, {what} | {all:.1} MB resident, {own:.1} MB of it its own |");
            }
        }
    }
}

async fn two_against_one(place: &Place, one: &Host, two: &Host, workflow: &str) {
    for in_flight in [32, 256] {
        let (mut alone, mut both) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            alone.push(drive(in_flight, place.slice, place.postmaster, |_| one.run(workflow)).await);
            let split = |worker: usize| if worker.is_multiple_of(2) { one.run(workflow) } else { two.run(workflow) };
            both.push(drive(in_flight, place.slice, place.postmaster, split).await);
        }
        let (alone, both) = (Slice::median(&alone), Slice::median(&both));
        println!(
            "| {in_flight} in flight: one host, then two on the same cluster | {:.0} and {:.0} runs/s: {:.2} of one |",
            alone.per_second,
            both.per_second,
            both.per_second / alone.per_second
        );
    }
}

async fn speeds(place: &Place, host: &Host, workflow: &str) -> Vec<(usize, Slice)> {
    let mut speeds = Vec::new();
    for in_flight in [1, 32] {
        let mut slices = Vec::new();
        for _ in 0..ROUNDS {
            slices.push(drive(in_flight, place.slice, place.postmaster, |_| host.run(workflow)).await);
        }
        speeds.push((in_flight, Slice::median(&slices)));
    }
    speeds
}

/// A million runs that wait beside some whose timers fire.
async fn waiting(host: &Host, tables: &mut Tables, runs: i64) {
    let (before, _) = host.memory();
    let nap = host.create_workflow(&[json!({ "type": "wait", "id": "nap", "duration": "30d" })]).await;
    tables.add_waiting(&nap, runs).await;
    let timer = json!({ "type": "wait", "id": "timer", "duration": format!("{TIMER_SECONDS}s") });
    let timers = host.create_workflow(&[timer]).await;
    let mut started = JoinSet::new();
    for _ in 0..TIMERS {
        started.spawn(host.begin(&timers));
    }
    started.join_all().await;
    let began = Instant::now();
    while tables.count(&timers, "finished_at is null").await > 0 {
        assert!(began.elapsed() < Duration::from_secs(60), "the timers fire");
        tokio::time::sleep(POLL).await;
    }
    let late = tables.lateness_ms(&timers, TIMER_SECONDS as f64).await;
    let (after, _) = host.memory();
    println!("| memory of a host, before and with {runs} waiting runs | {before:.1} and {after:.1} MB |");
    let percent = |percent: usize| late[(late.len() - 1) * percent / 100];
    println!(
        "| lateness of {TIMERS} timers of one moment among them | median {:.0} ms, 99 % {:.0} ms, longest {:.0} ms |",
        percent(50),
        percent(99),
        percent(100)
    );
}

/// A host dies in the middle of a thousand runs, and another one goes on with them.
async fn recovery(place: &Place, one: Host, tables: &mut Tables, open: &watch::Sender<bool>) {
    let step = |number: usize| json!({ "type": "agent", "id": format!("a{number}"), "agentId": "patient", "message": "Well?" });
    let mut steps = vec![granted_step(1)];
    steps.extend([step(1), step(2)]);
    let workflow = one.create_workflow(&steps).await;
    open.send(false).unwrap();
    let mut started = JoinSet::new();
    for _ in 0..RUNS_OF_THE_KILLED {
        while started.len() >= 64 {
            started.join_next().await;
        }
        started.spawn(one.begin(&workflow));
    }
    started.join_all().await;
    let asking = "journal_len >= 4 and lease_owner is not null";
    let began = Instant::now();
    while tables.count(&workflow, asking).await < RUNS_OF_THE_KILLED {
        assert!(began.elapsed() < Duration::from_secs(60), "each run waits for its agent");
        tokio::time::sleep(POLL).await;
    }
    let two = Host::start(&place.folder, "two", &place.database_url, Some(&plugins())).await;
    one.kill();
    let killed = Instant::now();
    open.send(true).unwrap();
    let (mut first, mut all) = (None, None);
    let ended = loop {
        let elapsed = killed.elapsed().as_secs_f64();
        let taken = tables.count(&workflow, "lease_epoch > 1").await;
        if taken > 0 {
            first.get_or_insert(elapsed);
        }
        if taken == RUNS_OF_THE_KILLED {
            all.get_or_insert(elapsed);
        }
        if tables.count(&workflow, "finished_at is not null").await == RUNS_OF_THE_KILLED {
            break killed.elapsed().as_secs_f64();
        }
        assert!(killed.elapsed() < Duration::from_secs(120), "every run ends");
        tokio::time::sleep(POLL).await;
    };
    println!(
        "| {RUNS_OF_THE_KILLED} runs of a killed host (lease {} s): the first taken up, the last taken up, all ended | {:.1} s, {:.1} s, {ended:.1} s after the kill |",
        armilla_engine::RunLimits::default().lease.as_secs(),
        first.unwrap_or(ended),
        all.unwrap_or(ended)
    );
    drop(two);
}
