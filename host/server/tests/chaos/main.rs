//! Many hosts, one database, and everything that can happen to them; then a look at whether anything was lost or done twice.
//! See `docs/chaos.md`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
#![allow(clippy::print_stderr, reason = "a campaign tells its seed and what it did")]

mod agents;
mod checker;
mod cluster;
mod driver;
#[path = "../e2e/harness/mod.rs"]
#[allow(dead_code, unused_imports, reason = "shared with the end-to-end tests, which use all of it")]
mod harness;
mod history;
mod load;
mod read;
mod receivers;
mod shapes;
mod trouble;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use armilla_engine::{Chance, Clock, SystemChance, SystemClock};
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Row};
use tokio_util::sync::CancellationToken;

use crate::agents::Agents;
use crate::cluster::{Deployment, evidence};
use crate::driver::{Driver, tell};
use crate::history::{History, Micros};
use crate::load::Load;
use crate::receivers::Receivers;
use crate::shapes::SHAPES;
use crate::trouble::Troubles;

/// How long there is trouble where nobody says: with start and calm, half a minute of `make test`.
const TROUBLE_SECONDS_DEFAULT: u64 = 12;
/// The campaign's lease: short, so that hosts are given up often; long enough for a busy machine.
const LEASE_SECONDS_DEFAULT: u64 = 6;
/// How long runs may take to end once all is well.
const CALM_MAX: Duration = Duration::from_secs(90);
const CALM_LOOK: Duration = Duration::from_millis(250);

pub(crate) fn now() -> Micros {
    SystemClock.now().timestamp_micros()
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number, not `{text}`")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_done_twice_whatever_happens_to_hosts_and_database() {
    let seconds = setting("ARMILLA_CHAOS_SECONDS").unwrap_or(TROUBLE_SECONDS_DEFAULT);
    let seed = setting("ARMILLA_CHAOS_SEED")
        .unwrap_or_else(|| u64::from(u32::from_be_bytes(first_four(SystemChance.bytes()))));
    let lease = Duration::from_secs(setting("ARMILLA_CHAOS_LEASE").unwrap_or(LEASE_SECONDS_DEFAULT));
    eprintln!("chaos: seed {seed}, {seconds} s of trouble; the same again: ARMILLA_CHAOS_SEED={seed} make chaos");
    let deployment = Deployment::start(lease).await;
    let agents = Agents::start(&deployment.folder, seed).await;
    let receivers = Receivers::start(&deployment.folder, seed).await;
    receivers.subscribe(&deployment).await;
    let load = Arc::new(Load::prepare(&deployment, agents.endpoint()).await);
    let (driver, troubles) = (Arc::new(Driver::default()), Arc::new(Troubles::default()));
    let (calm, over) = (CancellationToken::new(), CancellationToken::new());

    let began = now();
    let clients = tokio::spawn(Arc::clone(&load).drive(Arc::clone(&deployment), seed, calm.clone()));
    let drives =
        tokio::spawn(Arc::clone(&driver).drive(Arc::clone(&deployment), Arc::clone(&load), seed, over.clone()));
    let trouble = tokio::spawn(Arc::clone(&troubles).make(Arc::clone(&deployment), seed, calm.clone()));
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    calm.cancel();
    trouble.await.unwrap();
    let calm_since = now();
    clients.await.unwrap();
    wait_for_the_ends(&deployment, &load, &driver).await;
    over.cancel();
    drives.await.unwrap();
    receivers.wait_for_all(&deployment, CALM_MAX).await;

    let mut history = History {
        calls: agents.calls(),
        receipts: receivers.receipts(),
        signals: driver.signals.lock().unwrap().clone(),
        decided: driver.decided.lock().unwrap().clone(),
        accepted: load.accepted.lock().unwrap().iter().map(|(_, _, accepted)| accepted.clone()).collect(),
        troubles: troubles.all(),
        calm_since,
        ..History::default()
    };
    history.troubles.extend(deployment.leases_lost());
    let limited = SHAPES.iter().filter_map(|shape| Some((load.workflows[shape.name].clone(), shape.limit?)));
    history.limits = limited.collect();
    read::read(&deployment.options(), &mut history).await.unwrap();
    assert!(!history.events.is_empty(), "nothing was told");
    let faults = checker::faults(&history);
    report(&history, seed, began, calm_since);
    if !faults.is_empty() {
        keep_evidence(&deployment, &history, &faults);
    }
    deployment.end(!faults.is_empty()).await;
    assert!(
        faults.is_empty(),
        "seed {seed}: {} faults, the first of them: {:#?}",
        faults.len(),
        &faults[..faults.len().min(20)]
    );
}

/// Waits until every run has ended; those that hosts paused are resumed once.
async fn wait_for_the_ends(deployment: &Deployment, load: &Load, driver: &Driver) {
    let promised = load.accepted.lock().unwrap().len();
    let deadline = tokio::time::Instant::now() + CALM_MAX;
    let mut resumed = BTreeMap::new();
    while tokio::time::Instant::now() < deadline {
        let Ok(mut connection) = PgConnection::connect_with(&deployment.options()).await else { continue };
        let rows = sqlx::query("select id, status from runs where finished_at is null");
        let open = rows.fetch_all(&mut connection).await.unwrap();
        if open.is_empty() && driver.is_done(promised) {
            return;
        }
        for row in open {
            let run = armilla_domain::id::RunId::from_uuid(row.get("id")).to_string();
            let is_paused = row.get::<&str, _>("status") == "paused";
            if is_paused && resumed.insert(run.clone(), ()).is_none() {
                tell(deployment, &run, "resume", 0).await;
            }
        }
        tokio::time::sleep(CALM_LOOK).await;
    }
}

fn report(history: &History, seed: u64, began: Micros, calm_since: Micros) {
    let mut kinds = BTreeMap::new();
    for trouble in &history.troubles {
        *kinds.entry(trouble.kind).or_insert(0) += 1;
    }
    let mut moments: Vec<Micros> = history.journals.values().flatten().map(|entry| entry.at).collect();
    moments.sort_unstable();
    let stall = moments.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default();
    let longest =
        history.runs.values().filter_map(|run| Some(run.finished_at? - run.created_at)).max().unwrap_or_default();
    let steps = history.journals.values().flatten().filter(|entry| entry.is_outcome()).count();
    eprintln!(
        "chaos: seed {seed}, {} s of trouble, {} s until all had ended; {kinds:?}; {} runs ({} accepted), {steps} steps, \
         {} calls of agents, {} of them again; {} signals, {} approvals; {} events, {} deliveries; longest stall {} ms, longest run {} ms",
        (calm_since - began) / 1_000_000,
        (now() - calm_since) / 1_000_000,
        history.runs.len(),
        history.accepted.len(),
        history.calls.len(),
        checker::repeats(history).len(),
        history.signals.len(),
        history.decided.len(),
        history.events.len(),
        history.receipts.len(),
        stall / 1_000,
        longest / 1_000,
    );
}

/// What a person needs who looks for the cause: the faults, all of the history, and the hosts' logs.
fn keep_evidence(deployment: &Deployment, history: &History, faults: &[String]) {
    let folder = evidence();
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("faults.txt"), faults.join("\n")).unwrap();
    std::fs::write(folder.join("history.txt"), format!("{history:#?}")).unwrap();
    for host in 0..cluster::HOSTS {
        let _ = std::fs::copy(
            deployment.folder.join(format!("host-{host}/serve.log")),
            folder.join(format!("host-{host}.log")),
        );
    }
    for log in ["agents.log", "receivers.log"] {
        let _ = std::fs::copy(deployment.folder.join(log), folder.join(log));
    }
    eprintln!("chaos: what is left is in {}", folder.display());
}

fn first_four(bytes: [u8; 10]) -> [u8; 4] {
    [bytes[0], bytes[1], bytes[2], bytes[3]]
}
