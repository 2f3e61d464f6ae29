//! What it takes to tell others: deliveries per second and their way from commit to receipt, many webhooks of which one hangs, and ten
//! thousand schedules that are due at one instant.
//!
//! `cargo bench -p armilla --bench events [-- --deliveries N --schedules N]` after `make plugins`. It prints lines of a Markdown table;
//! docs/benchmarks.md tells how to read them.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on stops")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "its output is what a benchmark is for")]

mod floor;
#[path = "../hosts/process.rs"]
#[allow(dead_code, reason = "shared with the benchmark of hosts, which uses all of it")]
mod process;
mod sink;
mod tables;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use armilla_egress::{Egress, EgressPolicy};
use armilla_store::cluster::{Cluster, ClusterConfig, Durability, remove_abandoned};
use clap::Parser;
use reqwest::Method;
use serde_json::json;

use crate::process::Host;
use crate::sink::Sink;
use crate::tables::Tables;

/// Each figure of speed is the median of so many rounds, in turns with its floor.
const ROUNDS: usize = 3;
/// Deliveries under way at once: the most that a webhook may have.
const IN_FLIGHT: usize = 64;
/// Webhooks of which one hangs.
const WEBHOOKS: usize = 100;
/// Between two events while latency is measured, and for how long.
const PACE: Duration = Duration::from_millis(20);
const PACED: Duration = Duration::from_secs(10);
/// The same for many webhooks: each event becomes so many deliveries.
const PACE_OF_MANY: Duration = Duration::from_millis(400);
/// From the moment the schedules are there until they are due: both hosts have seen them by then.
const NOTICE: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(180);

#[derive(Parser)]
struct Args {
    /// How many events become deliveries at once
    #[arg(long, default_value_t = 10_000)]
    deliveries: usize,
    /// How many schedules are due at one instant
    #[arg(long, default_value_t = 10_000)]
    schedules: i64,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(measure(args));
}

async fn measure(args: Args) {
    // reqwest is built without a provider of TLS; the project's own client brings one for the whole process.
    let _egress = Egress::new(EgressPolicy::default()).unwrap();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-events");
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
    let host = Host::start(&folder, "one", &cluster.database_url(), None).await;
    let mut tables = Tables::open(&cluster.database_url()).await;
    println!("| what | figure |\n| --- | --- |");
    deliveries(&host, &mut tables, args.deliveries).await;
    latency(&host, &mut tables).await;
    one_of_many_hangs(&host, &mut tables).await;
    let other = Host::start(&folder, "two", &cluster.database_url(), None).await;
    schedules(&host, &mut tables, args.schedules).await;
    drop((host, other, tables));
    cluster.stop().await;
    remove_abandoned(&data_dir).unwrap();
}

async fn subscribe(host: &Host, url: &str, event: &str) -> String {
    let body = json!({ "url": url, "events": [event], "concurrency": IN_FLIGHT, "timeoutSeconds": 30 });
    let made = host.send(Method::POST, "/webhooks", &body).await;
    made["id"].as_str().unwrap().to_owned()
}

async fn unsubscribe(host: &Host, webhooks: Vec<String>) {
    for webhook in webhooks {
        host.send(Method::DELETE, &format!("/webhooks/{webhook}"), &json!({})).await;
    }
}

async fn short_workflow(host: &Host) -> String {
    host.create_workflow(&[json!({ "type": "set", "id": "s", "vars": { "n": 1 } })]).await
}

/// Many events at once to one webhook, beside a client that sends as many signed requests and remembers nothing.
async fn deliveries(host: &Host, tables: &mut Tables, events: usize) {
    let workflow = short_workflow(host).await;
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        floor.push(floor::per_second(events, IN_FLIGHT).await);
        let sink = Sink::start().await;
        let webhook = subscribe(host, &sink.url("one"), "workflow.updated").await;
        let began = Instant::now();
        tables.tell(events).await;
        // The host has not heard of what another process wrote; of what happens on it, it has.
        host.run(&workflow).await;
        sink.received(events, PATIENCE).await;
        ours.push(events as f64 / began.elapsed().as_secs_f64());
        unsubscribe(host, vec![webhook]).await;
    }
    let (ours, floor) = (median(&mut ours), median(&mut floor));
    println!(
        "| {events} events of one moment to one webhook, {IN_FLIGHT} in flight; the same requests signed and sent, and nothing kept | {ours:.0} and {floor:.0} deliveries/s: {:.2} of it |",
        ours / floor
    );
}

/// From the beginning of the transaction that writes an event until its receiver has it.
async fn latency(host: &Host, tables: &mut Tables) {
    let sink = Sink::start().await;
    let workflow = short_workflow(host).await;
    let webhook = subscribe(host, &sink.url("runs"), "run.succeeded").await;
    let began = Instant::now();
    let mut started = 0;
    while began.elapsed() < PACED {
        host.run(&workflow).await;
        started += 1;
        tokio::time::sleep(PACE).await;
    }
    sink.received(started, PATIENCE).await;
    let mut late = tables.lateness_ms(&sink.receipts()).await;
    println!(
        "| from commit to receipt, {:.0} events/s | median {:.1} ms, 99 % {:.1} ms |",
        started as f64 / PACED.as_secs_f64(),
        percentile(&mut late, 50),
        percentile(&mut late, 99)
    );
    unsubscribe(host, vec![webhook]).await;
}

/// A hundred webhooks that are well, and the same with one of them that never answers.
async fn one_of_many_hangs(host: &Host, tables: &mut Tables) {
    let workflow = short_workflow(host).await;
    let mut figures = Vec::new();
    for hanging in [0, 1, 0, 1] {
        let sink = Sink::start().await;
        let mut webhooks = Vec::new();
        for number in 0..WEBHOOKS {
            let path = if number < hanging { "hang".to_owned() } else { format!("w{number}") };
            webhooks.push(subscribe(host, &sink.url(&path), "run.succeeded").await);
        }
        let began = Instant::now();
        let mut told = 0;
        while began.elapsed() < PACED {
            host.run(&workflow).await;
            told += 1;
            tokio::time::sleep(PACE_OF_MANY).await;
        }
        sink.received(told * (WEBHOOKS - hanging), PATIENCE).await;
        let mut late = tables.lateness_ms(&sink.receipts()).await;
        figures.push((percentile(&mut late, 50), percentile(&mut late, 99)));
        unsubscribe(host, webhooks).await;
    }
    let best = |which: usize| {
        let of = [figures[which], figures[which + 2]];
        (of[0].0.min(of[1].0), of[0].1.min(of[1].1))
    };
    let (well, hangs) = (best(0), best(1));
    println!(
        "| from commit to receipt, {:.1} events/s to each of {WEBHOOKS} webhooks; the same to the others while one never answers | median {:.1} and {:.1} ms, 99 % {:.1} and {:.1} ms: {:.2} of it |",
        1.0 / PACE_OF_MANY.as_secs_f64(),
        well.0,
        hangs.0,
        well.1,
        hangs.1,
        hangs.1 / well.1
    );
}

/// Schedules of one instant over two hosts: each starts one run.
async fn schedules(host: &Host, tables: &mut Tables, schedules: i64) {
    let workflow = host.create_workflow(&[json!({ "type": "set", "id": "s", "vars": { "n": 1 } })]).await;
    tables.schedule(&workflow, schedules, NOTICE.as_secs_f64()).await;
    let began = Instant::now();
    while tables.started(&workflow).await < schedules {
        assert!(began.elapsed() < PATIENCE, "each schedule starts its run");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // Whatever was too much would come now.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let runs = tables.started(&workflow).await;
    assert_eq!(runs, schedules, "each schedule started one run");
    let (mut late, hosts) = tables.schedules_late_ms(&workflow).await;
    println!(
        "| {schedules} schedules due at one instant, two hosts: each started one run; how late | median {:.0} ms, 99 % {:.0} ms, the last {:.0} ms; {hosts} |",
        percentile(&mut late, 50),
        percentile(&mut late, 99),
        percentile(&mut late, 100)
    );
}

fn median(figures: &mut [f64]) -> f64 {
    percentile(figures, 50)
}

fn percentile(figures: &mut [f64], percent: usize) -> f64 {
    assert!(!figures.is_empty(), "nothing was measured");
    figures.sort_by(f64::total_cmp);
    figures[(figures.len() - 1) * percent / 100]
}
