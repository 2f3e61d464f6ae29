//! What is done to hosts and their database. Only processes that the harness started itself are ever signalled.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rustix::process::Signal;
use tokio_util::sync::CancellationToken;

use crate::cluster::{Deployment, HOSTS};
use crate::history::{Trouble, TroubleKind};
use crate::now;

/// Between two troubles of hosts, of the database, and of connections.
const HOST_REST_MILLIS: std::ops::Range<u64> = 300..2_500;
const DATABASE_REST_MILLIS: std::ops::Range<u64> = 4_000..12_000;
const CONNECTION_REST_MILLIS: std::ops::Range<u64> = 100..900;
/// How long a host stays away that was killed.
const AWAY_MILLIS: std::ops::Range<u64> = 0..3_000;
/// How much longer than its lease a host stands still.
const BEYOND_LEASE_MILLIS: std::ops::Range<u64> = 500..3_000;
/// Connections cut at once, at most.
const CUTS_MAX: i64 = 12;

const OF_HOSTS: [TroubleKind; 4] = [TroubleKind::Kill, TroubleKind::Freeze, TroubleKind::Term, TroubleKind::Kill];
const OF_DATABASE: [TroubleKind; 3] = [TroubleKind::Immediate, TroubleKind::Fast, TroubleKind::DatabaseKill];
const OF_CONNECTIONS: [TroubleKind; 1] = [TroubleKind::Cut];

/// What was done so far.
#[derive(Default)]
pub(crate) struct Troubles(Mutex<Vec<Trouble>>);

impl Troubles {
    pub(crate) fn all(&self) -> Vec<Trouble> {
        self.0.lock().unwrap().clone()
    }

    /// Makes trouble until it is told to stop, and leaves everything well.
    pub(crate) async fn make(self: Arc<Self>, deployment: Arc<Deployment>, seed: u64, stop: CancellationToken) {
        let chance = |n| StdRng::seed_from_u64(seed.wrapping_add(n));
        tokio::join!(
            self.make_some(&deployment, chance(0), &OF_HOSTS, HOST_REST_MILLIS, &stop),
            self.make_some(&deployment, chance(1), &OF_DATABASE, DATABASE_REST_MILLIS, &stop),
            self.make_some(&deployment, chance(2), &OF_CONNECTIONS, CONNECTION_REST_MILLIS, &stop),
        );
    }

    /// Every kind in turn, in an order that chance draws anew each time.
    async fn make_some(
        &self,
        deployment: &Deployment,
        mut chance: StdRng,
        kinds: &[TroubleKind],
        rest: std::ops::Range<u64>,
        stop: &CancellationToken,
    ) {
        loop {
            let mut kinds = kinds.to_vec();
            kinds.shuffle(&mut chance);
            for kind in kinds {
                let rest = Duration::from_millis(chance.random_range(rest.clone()));
                tokio::select! {
                    () = tokio::time::sleep(rest) => {}
                    () = stop.cancelled() => return,
                }
                let from = now();
                trouble(deployment, kind, &mut chance).await;
                self.0.lock().unwrap().push(Trouble { kind, run: None, from, to: now() });
            }
        }
    }
}

async fn trouble(deployment: &Deployment, kind: TroubleKind, chance: &mut StdRng) {
    let host = chance.random_range(0..HOSTS);
    let away = Duration::from_millis(chance.random_range(AWAY_MILLIS));
    let beyond = Duration::from_millis(chance.random_range(BEYOND_LEASE_MILLIS));
    match kind {
        TroubleKind::Kill => {
            deployment.kill_host(host).await;
            tokio::time::sleep(away).await;
            deployment.start_host(host).await;
        }
        TroubleKind::Term => {
            deployment.stop_host(host).await;
            deployment.start_host(host).await;
        }
        TroubleKind::Freeze => {
            deployment.signal_host(host, Signal::STOP).await;
            tokio::time::sleep(deployment.lease + beyond).await;
            deployment.signal_host(host, Signal::CONT).await;
        }
        TroubleKind::Cut => {
            let most = chance.random_range(1..CUTS_MAX);
            // A database that is away has no connections to cut.
            let _ = deployment.cut(most).await;
        }
        TroubleKind::Fast => deployment.restart_database(Signal::INT).await,
        TroubleKind::Immediate => deployment.restart_database(Signal::QUIT).await,
        TroubleKind::DatabaseKill => deployment.restart_database(Signal::KILL).await,
        TroubleKind::LeaseLost => {}
    }
}
