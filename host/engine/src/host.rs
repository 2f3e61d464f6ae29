//! One host among several on one database: the runs it holds, its leases, its stop.

mod leases;

use std::collections::HashMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use armilla_agents::Agents;
use armilla_domain::call::CallError;
use armilla_domain::definition::Workflow;
use armilla_domain::id::{GrowingIds, RunId, TimeOrdered, WorkflowId, WorkspaceId};
use armilla_domain::template::Templates;
use armilla_sandbox::{Sandbox, Services};
use armilla_store::{Append, Lease, LeasedRun, PlainRun, Store, StoreError};
use futures::FutureExt;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, MissedTickBehavior, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};
use uuid::Uuid;

use crate::agent_call::{Circuits, Known};
use crate::committer::Committer;
use crate::definitions::Definitions;
use crate::deltas::Deltas;
use crate::hold::Hold;
use crate::hooks::HookRates;
use crate::pipelines::watch_templates;
use crate::plugins::{Catalog, Faults, Folder, SHARED, StoreServices, UPLOADS_AT_ONCE, watch};
use crate::prompts::{self, PromptCounts};
use crate::shared_reads::SharedReads;
use crate::waiting::Waiting;
use crate::wakeups::{self, Words};
use crate::{
    CATALOG_INTERVAL, Chance, Clock, EVENTS_KEPT_DAYS, Parts, PipelineTemplates, PluginPolicy, RUNS_PER_HOST_MAX,
    RunLimits, SHUTDOWN_GRACE, STARTS_AT_ONCE_MAX, SealingKey, TESTS_AT_ONCE_MAX,
};
use crate::{schedules, sweep, triggers};

/// This part of a lease is subtracted before this host gives it up by its own clock: another one must never begin before that.
/// It is also how long a renewal may take: a network that swallows packets gives no answer at all.
const MARGINS_PER_LEASE: u32 = 6;
/// What a stop waits for beyond the grace: the time that runs need to say goodbye to a database that answers.
const GOODBYE_MAX: Duration = Duration::from_secs(5);
/// How long a run rests that stopped on a host by an error, before any host may try again.
const RETAKE_DELAY: Duration = Duration::from_secs(2);
/// How often the partitions of the journal and of events are looked after.
const PARTITION_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);

/// What every task of the engine shares.
pub(crate) struct Host {
    pub(crate) store: Store,
    pub(crate) agents: Agents,
    /// Endpoints of agents that fail too often.
    pub(crate) circuits: Circuits,
    /// Who follows the answers of agents as they come.
    pub(crate) deltas: Deltas,
    /// Agents as calls find them.
    pub(crate) agents_read: SharedReads<(WorkspaceId, String), Result<Arc<Known>, CallError>>,
    pub(crate) sandbox: Sandbox,
    pub(crate) catalog: Catalog,
    pub(crate) policy: PluginPolicy,
    pub(crate) sealing: SealingKey,
    pub(crate) services: Arc<dyn Services>,
    pub(crate) folder_faults: Faults,
    /// Room for components on their way in.
    pub(crate) uploads: Arc<Semaphore>,
    /// When which denial was told.
    pub(crate) denials: Mutex<HashMap<(WorkspaceId, String, String), Instant>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) chance: Arc<dyn Chance>,
    ids: GrowingIds,
    pub(crate) templates: Templates,
    pub(crate) definitions: Definitions,
    pub(crate) waiting: Waiting,
    pub(crate) committer: Committer<Append>,
    pub(crate) starter: Committer<PlainRun>,
    pub(crate) limits: RunLimits,
    pub(crate) pipeline_templates: PipelineTemplates,
    /// What was done with prompts since it was last written down.
    pub(crate) prompt_counts: PromptCounts,
    /// How often inbound hooks are called.
    pub(crate) hook_rates: HookRates,
    /// Changed whenever events were written here.
    pub(crate) told: watch::Sender<()>,
    /// Words for other hosts.
    pub(crate) words: Words,
    /// Rung when there may be something to claim.
    pub(crate) due: Notify,
    /// Room for requests that start a run.
    pub(crate) starts: Arc<Semaphore>,
    /// Room for tests of workflows.
    pub(crate) tests: Semaphore,
    /// Set once: begin nothing new.
    pub(crate) stopping: CancellationToken,
    /// Set once, when no run is held any more.
    pub(crate) stopped: CancellationToken,
    id: Uuid,
    places: Arc<Semaphore>,
    /// The runs that are driven here: the epoch of each, how to stop it at once, and how to say that it has messages.
    held: Mutex<HashMap<RunId, (i64, Hold)>>,
    tasks: TaskTracker,
}

/// Room for one run on this host.
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
}

impl Place {
    pub(crate) fn take(host: &Host) -> Option<Self> {
        if host.stopping.is_cancelled() {
            return None;
        }
        Arc::clone(&host.places).try_acquire_owned().ok().map(|permit| Self { _permit: permit })
    }
}

impl Host {
    pub(crate) fn new(parts: Parts, templates: Templates) -> Self {
        let Parts { store, agents, sandbox, policy, sealing, limits, pipeline_templates, clock, chance, host_id } =
            parts;
        let services = StoreServices { store: store.clone(), sealing: sealing.clone() };
        Self {
            catalog: Catalog::new(store.clone(), sandbox.clone()),
            services: Arc::new(services),
            folder_faults: Faults::default(),
            uploads: Arc::new(Semaphore::new(UPLOADS_AT_ONCE)),
            denials: Mutex::default(),
            store,
            agents,
            circuits: Circuits::default(),
            deltas: Deltas::default(),
            agents_read: SharedReads::default(),
            sandbox,
            policy,
            sealing,
            clock,
            chance,
            ids: GrowingIds::default(),
            templates,
            definitions: Definitions::new(),
            waiting: Waiting::default(),
            committer: Committer::new(),
            starter: Committer::new(),
            limits,
            pipeline_templates,
            prompt_counts: PromptCounts::default(),
            hook_rates: HookRates::default(),
            told: watch::Sender::new(()),
            words: Words::default(),
            due: Notify::new(),
            starts: Arc::new(Semaphore::new(STARTS_AT_ONCE_MAX)),
            tests: Semaphore::new(TESTS_AT_ONCE_MAX),
            stopping: CancellationToken::new(),
            stopped: CancellationToken::new(),
            id: host_id,
            places: Arc::new(Semaphore::new(RUNS_PER_HOST_MAX)),
            held: Mutex::default(),
            tasks: TaskTracker::new(),
        }
    }

    pub(crate) fn lease(&self) -> Lease {
        Lease { owner: self.id, duration: self.limits.lease }
    }

    pub(crate) fn id(&self) -> Uuid {
        self.id
    }

    /// An id for what is made now: greater than all that were made here before.
    pub(crate) fn next_id<Id: TimeOrdered>(&self) -> Id {
        self.ids.next(self.unix_millis(), self.chance.bytes())
    }

    fn unix_millis(&self) -> u64 {
        self.clock.now().timestamp_millis().unsigned_abs()
    }

    pub(crate) async fn workflow(&self, id: WorkflowId, version: i32) -> Result<Arc<Workflow>, StoreError> {
        self.definitions.get(&self.store, &self.templates, id, version).await
    }

    /// Until when a lease is ours for certain that was asked for at `asked`.
    fn good_until(&self, asked: Instant) -> Instant {
        asked + self.limits.lease - self.limits.lease / MARGINS_PER_LEASE
    }

    fn hold(&self, run: &LeasedRun, asked: Instant) -> Hold {
        let hold = Hold::new(self.good_until(asked));
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, before)) = held.insert(run.id, (run.epoch, hold.clone())) {
            before.lost.cancel();
        }
        hold
    }

    /// Tells a run that it may have messages. Says whether it is driven here.
    pub(crate) fn nudge(&self, run: RunId) -> bool {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.get(&run).map(|(_, hold)| hold.nudge()).is_some()
    }

    /// Gives a place back, and looks for a run that wanted it, where it was the last one.
    fn give_back(&self, place: Place) {
        let was_full = self.places.available_permits() == 0;
        drop(place);
        if was_full {
            self.due.notify_one();
        }
    }

    fn let_go(&self, run: &LeasedRun) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.get(&run.id).is_some_and(|(epoch, _)| *epoch == run.epoch) {
            held.remove(&run.id);
        }
    }

    /// Stops every run whose lease was not renewed, as was asked at `asked`.
    fn keep_only(&self, renewed: &HashMap<RunId, i64>, asked_of: &[(RunId, i64)], asked: Instant) {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        for (run, epoch) in asked_of {
            let Some((_, hold)) = held.get(run).filter(|(current, _)| current == epoch) else { continue };
            if renewed.get(run) == Some(epoch) {
                hold.extend(self.good_until(asked));
            } else {
                warn!(run.id = %run, "The lease of `{run}` is lost");
                hold.lost.cancel();
            }
        }
    }

    pub(crate) fn runs_driven(&self) -> usize {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn held_runs(&self) -> Vec<(RunId, i64)> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.iter().map(|(run, (epoch, _))| (*run, *epoch)).collect()
    }
}

/// Drives a run, whose lease was asked for at `asked`, in a task of its own, from wherever `begin` says it stands. However the task
/// ends, the run is not held any more afterwards; where it ended badly any host may try again, a little later.
pub(crate) fn spawn<F>(
    host: &Arc<Host>,
    place: Place,
    run: LeasedRun,
    asked: Instant,
    begin: impl FnOnce(Arc<Host>, Hold, LeasedRun) -> F,
) where
    F: Future<Output = Result<(), StoreError>> + Send + 'static,
{
    let hold = host.hold(&run, asked);
    let work = AssertUnwindSafe(begin(Arc::clone(host), hold, run.clone())).catch_unwind();
    let host_of_task = Arc::clone(host);
    host.tasks.spawn(async move {
        let outcome = work.await;
        host_of_task.let_go(&run);
        host_of_task.give_back(place);
        let blameless = match outcome {
            Ok(Ok(())) => return,
            Ok(Err(error)) => {
                error!(run.id = %run.id, "Run `{}` stopped on this host: {error}", run.id);
                error.is_unavailable()
            }
            Err(_) => {
                error!(run.id = %run.id, "Run `{}` panicked on this host", run.id);
                false
            }
        };
        tokio::select! {
            () = tokio::time::sleep(RETAKE_DELAY) => {}
            () = host_of_task.stopping.cancelled() => {}
        }
        // Where this fails too, the lease runs out.
        if let Err(error) = host_of_task.store.release_run(run.id, run.epoch, blameless).await {
            warn!(run.id = %run.id, "Run `{}` could not be let go: {error}", run.id);
        }
    });
}

pub(crate) async fn start(host: &Arc<Host>) -> Result<(), StoreError> {
    // Before any run is taken up: its tools must be there.
    host.catalog.refresh().await?;
    if let Some(folder) = &host.policy.folder {
        let mut folder = Folder::new(folder.clone());
        folder.load(host, true).await;
        host.tasks.spawn(watch(Arc::clone(host), folder));
    }
    host.tasks.spawn(watch_templates(Arc::clone(host)));
    host.catalog.load_active(Some(SHARED)).await;
    load_in_background(host);
    host.tasks.spawn(follow_the_catalog(Arc::clone(host)));
    host.store.give_agent_places_back_of(host.id).await?;
    let released = host.store.release_runs_of(host.id).await?;
    if released > 0 {
        info!(runs = released, "{released} unfinished runs of this host's last life go on");
    }
    host.committer.start(&host.store, &host.stopped);
    host.starter.start(&host.store, &host.stopped);
    host.tasks.spawn(leases::claim_forever(Arc::clone(host)));
    tokio::spawn(wakeups::speak(Arc::clone(host)));
    tokio::spawn(wakeups::listen(Arc::clone(host)));
    host.tasks.spawn(sweep::sweep_forever(Arc::clone(host)));
    host.tasks.spawn(schedules::sweep_forever(Arc::clone(host)));
    host.tasks.spawn(triggers::follow_forever(Arc::clone(host)));
    host.tasks.spawn(prompts::flush_forever(Arc::clone(host)));
    // Not among the tasks that a stop waits for: leases are renewed until the last of those has ended.
    tokio::spawn(leases::renew_forever(Arc::clone(host)));
    host.tasks.spawn(look_after_partitions(Arc::clone(host)));
    Ok(())
}

pub(crate) async fn stop(host: &Host) {
    host.stopping.cancel();
    host.tasks.close();
    // Runs give their calls the grace themselves.
    if timeout(SHUTDOWN_GRACE + GOODBYE_MAX, host.tasks.wait()).await.is_err() {
        warn!("Some runs could not be let go; they are resumed when their leases run out");
    }
    // What the last calls were made with.
    if timeout(GOODBYE_MAX, host.flush_prompt_counts()).await.is_err() {
        warn!("The last counts of prompts could not be written down");
    }
    host.stopped.cancel();
}

/// Loads what has become active, without keeping anybody waiting who looks for other changes: compiling may take minutes.
fn load_in_background(host: &Arc<Host>) {
    let host = Arc::clone(host);
    tokio::spawn(async move {
        tokio::select! {
            () = host.catalog.load_active(None) => {}
            () = host.stopping.cancelled() => {}
        }
    });
}

/// Sees what other hosts did to plugins and grants.
async fn follow_the_catalog(host: Arc<Host>) {
    let mut looks = tokio::time::interval(CATALOG_INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = looks.tick() => {}
            () = host.stopping.cancelled() => return,
        }
        match host.catalog.refresh().await {
            Ok(true) => load_in_background(&host),
            Ok(false) => {}
            Err(error) => warn!("The plugins could not be looked after: {error}"),
        }
    }
}

async fn look_after_partitions(host: Arc<Host>) {
    let mut days = tokio::time::interval(PARTITION_INTERVAL);
    loop {
        tokio::select! {
            _ = days.tick() => {}
            () = host.stopping.cancelled() => return,
        }
        if let Err(error) = host.store.ensure_partitions().await {
            warn!("The partitions could not be looked after: {error}");
        }
        let swept = tokio::try_join!(
            host.store.drop_old_events(EVENTS_KEPT_DAYS),
            host.store.delete_unused_components(),
            host.store.drop_empty_journal_partitions(),
            host.store.delete_unused_ad_hoc_workflows(),
        );
        if let Err(error) = swept {
            warn!("Old events, components and partitions could not be removed: {error}");
        }
    }
}
