//! Webhooks: events are followed, become deliveries, and are sent, signed and tried again, until each has arrived or is given up.
//!
//! Fan-out turns events into deliveries in one transaction, so none is passed over. Dispatch claims what is due, on every host and without a
//! leader; what a host had claimed that was killed is sent again. Nothing here holds a transaction while anything outside works.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod again;
mod attempt;
mod commands;
mod dispatch;
mod error;
mod fanout;
mod inspect;
mod keys;
mod recorder;
mod tasks;
mod transform;
mod trial;
mod views;

use std::sync::Arc;
use std::time::Duration;

use armilla_domain::id::{GrowingIds, TimeOrdered};
use armilla_domain::sealing::SealingKey;
use armilla_domain::source::{Chance, Clock};
use armilla_domain::template::Templates;
use armilla_egress::Egress;
use armilla_store::Store;
use tokio::sync::{Mutex, Notify, watch};
use uuid::Uuid;

pub use self::again::{Recover, Resent, SENT_AGAIN_MAX};
pub use self::commands::NewWebhook;
pub use self::error::WebhookError;
pub use self::inspect::ATTEMPTS_SHOWN_MAX;
pub use self::keys::{OVERLAP_HOURS_DEFAULT, OVERLAP_HOURS_MAX, RotateSecret};
pub use self::transform::{TRANSFORM_WAIT_MAX, TRANSFORMED_BYTES_MAX, Tools, TransformCall, TransformTools};
pub use self::trial::Trial;
pub use self::views::{
    AttemptView, DeliveryDetail, DeliveryView, FilterFault, KeyView, WebhookView, WebhookWithSecret,
};
/// Which deliveries are meant.
pub use armilla_store::{DeliveryFilter, WEBHOOKS_PER_WORKSPACE_MAX};

/// How long deliveries are kept, in days, whatever became of them.
pub const DELIVERIES_KEPT_DAYS: i32 = 30;
/// Deliveries under way at once on one host: mostly they wait, and each weighs its body and a connection.
pub const DELIVERIES_PER_HOST_MAX: usize = 512;
/// How often is looked for events and for what is due where nobody said that there is something.
pub const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// How long deliveries under way may take to end when the host stops; the rest is sent again.
pub const STOP_GRACE: Duration = Duration::from_secs(5);
/// Bytes of an answer that are read; a receiver has nothing to say that is longer.
pub const ANSWER_BYTES_READ: usize = 64 * 1024;
/// Bytes of an answer that are kept, for whoever looks for what went wrong.
pub const ANSWER_BYTES_KEPT: usize = 4 * 1024;

/// What webhooks work with.
pub struct Parts {
    /// Where everything is kept.
    pub store: Store,
    /// The way out.
    pub egress: Egress,
    /// Seals what deliveries are signed with.
    pub sealing: SealingKey,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Makes ids, keys and jitter.
    pub chance: Arc<dyn Chance>,
    /// This host, the same after every restart: what it had claimed before, it sends again at once.
    pub host_id: Uuid,
    /// Calls the tools that make other bodies; without it, webhooks that have one fail.
    pub tools: Option<TransformTools>,
}

/// The webhooks of one host. Cheap to clone.
#[derive(Clone)]
pub struct Webhooks {
    inner: Arc<Inner>,
}

/// What commands and tasks share.
struct Inner {
    store: Store,
    egress: Egress,
    sealing: SealingKey,
    clock: Arc<dyn Clock>,
    chance: Arc<dyn Chance>,
    host_id: Uuid,
    tools: Option<TransformTools>,
    templates: Templates,
    ids: GrowingIds,
    /// Events may have been written.
    happened: Notify,
    /// Deliveries may be due, or there is room for them.
    due: Notify,
    /// Claims and results both lock the rows of webhooks. On one host they take turns: a claim passes over rows that are locked.
    turn: Mutex<()>,
    tasks: tasks::Tasks,
}

impl Webhooks {
    /// Webhooks that send nothing yet.
    pub fn new(parts: Parts) -> Self {
        let Parts { store, egress, sealing, clock, chance, host_id, tools } = parts;
        let inner = Inner {
            store,
            egress,
            sealing,
            clock,
            chance,
            host_id,
            tools,
            templates: Templates::new(),
            ids: GrowingIds::default(),
            happened: Notify::new(),
            due: Notify::new(),
            turn: Mutex::default(),
            tasks: tasks::Tasks::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Looks for events whenever `told` changes, until this stops or nobody can change it any more. Never relied on.
    pub fn poke_on(&self, mut told: watch::Receiver<()>) {
        let this = self.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    changed = told.changed() => if changed.is_err() { return },
                    () = this.inner.tasks.stopping.cancelled() => return,
                }
                this.poke();
            }
        });
    }

    /// Looks for events now. To be called by whoever has committed some; never relied on.
    pub fn poke(&self) {
        self.inner.happened.notify_one();
    }
}

impl Inner {
    /// An id for what is made now: greater than all that were made here before.
    fn next_id<Id: TimeOrdered>(&self) -> Id {
        self.ids.next(self.unix_millis(), self.chance.bytes())
    }

    fn unix_millis(&self) -> u64 {
        self.clock.now().timestamp_millis().unsigned_abs()
    }
}
