//! Starting runs.

use std::sync::Arc;
use std::time::Duration;

use armilla_domain::definition::{CONCURRENCY_KEY_CHARS_MAX, InputSchema, OnLimit, Workflow};
use armilla_domain::event::data::OfRun;
use armilla_domain::event::{started, told_by};
use armilla_domain::fault::Fault;
use armilla_domain::id::{RunId, WorkflowId, WorkspaceId};
use armilla_domain::journal::{Entry, Event};
use armilla_domain::run::{ChildOf, RunFacts, RunStatus, State};
use armilla_domain::template::Scope;
use armilla_store::{Idempotency, LeasedRun, Line, NewEvent, NewRun, PlaceInLine, PlainRun, Rows, Started};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::time::Instant;
use tracing::info;

use crate::host::{self, Host, Place};
use crate::interpreter::Interpreter;
use crate::pending::Pending;
use crate::{CommandError, Engine, RunView};

/// Characters of a caller's idempotency key.
pub const IDEMPOTENCY_KEY_CHARS_MAX: usize = 255;

/// A run to be started.
#[derive(Debug)]
pub struct StartRun {
    /// Of which workflow.
    pub workflow: WorkflowId,
    /// Which version; the newest where absent.
    pub version: Option<i32>,
    /// What it is given: an object that fits the definition's `inputSchema`.
    pub input: Value,
    /// W3C `traceparent` of the caller, to pass on.
    pub traceparent: Option<String>,
    /// What makes the same request again find this run, for a day: at most [`IDEMPOTENCY_KEY_CHARS_MAX`].
    pub idempotency_key: Option<String>,
}

/// What a request to start a run gave.
#[derive(Debug)]
pub struct StartedRun {
    /// The run as it stands.
    pub run: RunView,
    /// Whether an earlier request with the same key started it.
    pub is_repeat: bool,
}

/// On whose behalf a run begins.
#[derive(Default)]
pub(crate) struct Beginner {
    pub(crate) parent: Option<ChildOf>,
    /// Key and digest.
    pub(crate) idempotency: Option<(String, String)>,
    /// How many events and runs in turn led to it.
    pub(crate) event_depth: i16,
}

/// What became of a run to be.
pub(crate) enum Begun {
    /// It is there; this is how it stood then.
    Started(Box<RunView>),
    /// It was there already.
    Exists,
    /// The key was used before.
    Repeated { run: RunId, digest: String },
}

impl Engine {
    /// Starts a run and gives it as soon as it has ended, or as it stands after `bound`. The run depends on neither. A request
    /// whose key was used before gives the run that it started then.
    ///
    /// # Errors
    /// [`CommandError::UnknownWorkflow`]; [`CommandError::Invalid`] with every fault of the input, pointers relative to it;
    /// [`CommandError::KeyReused`] where the key was used for something else; [`CommandError::TooManyRuns`] where the workflow
    /// says so; [`CommandError::Overloaded`].
    pub async fn start_run(
        &self,
        workspace: WorkspaceId,
        command: StartRun,
        bound: Duration,
    ) -> Result<StartedRun, CommandError> {
        let asked = match command.idempotency_key {
            Some(_) => serde_json::json!([command.workflow, command.version, command.input]),
            // Nobody will ask whether it was the same.
            None => Value::Null,
        };
        self.start_asked(workspace, command, asked, bound).await
    }

    /// As [`Engine::start_run`], where `asked` is what tells the request from others with the same key.
    pub(crate) async fn start_asked(
        &self,
        workspace: WorkspaceId,
        command: StartRun,
        asked: Value,
        bound: Duration,
    ) -> Result<StartedRun, CommandError> {
        let id = self.host.next_id();
        self.start_asked_as(workspace, id, command, asked, bound).await
    }

    /// As [`Engine::start_asked`], under an id that is new.
    pub(crate) async fn start_asked_as(
        &self,
        workspace: WorkspaceId,
        mut id: RunId,
        command: StartRun,
        asked: Value,
        bound: Duration,
    ) -> Result<StartedRun, CommandError> {
        let room = Arc::clone(&self.host.starts).try_acquire_owned().map_err(|_| CommandError::Overloaded)?;
        // Before the run exists, so that no end is missed, however quick.
        let mut waiter = self.host.waiting.join(id);
        let idempotency = command.idempotency_key.clone().map(|key| (key, digest_of(asked)));
        let digest = idempotency.as_ref().map(|(_, digest)| digest.clone());
        // In a task of its own: a caller that hangs up must not leave a run that is in the database and that nobody drives.
        let host = Arc::clone(&self.host);
        let begun = tokio::spawn(async move {
            begin(&host, workspace, id, command, Beginner { idempotency, ..Beginner::default() }).await
        });
        let (mut as_started, mut is_repeat) = (None, false);
        match begun.await.map_err(|_| CommandError::Panicked)?? {
            Begun::Started(view) => as_started = Some(*view),
            Begun::Exists => {}
            Begun::Repeated { run, digest: known } if Some(&known) == digest.as_ref() => {
                (id, waiter, is_repeat) = (run, self.host.waiting.join(run), true);
            }
            Begun::Repeated { run, .. } => return Err(CommandError::KeyReused(run)),
        }
        drop(room);
        // The end of a run that is repeated may have come before anybody waited for it here.
        let has_ended = is_repeat && self.host.store.has_ended(workspace, id).await? == Some(true);
        let view = if bound.is_zero() || has_ended {
            self.run(workspace, id).await
        } else {
            self.wait_for_end(waiter, workspace, id, bound).await
        };
        let run = match (view, as_started) {
            // The run exists, and whoever started it must learn its id, even if no more can be said right now.
            (Err(CommandError::Store(error)), Some(as_started)) if error.is_unavailable() => as_started,
            (view, _) => view?,
        };
        Ok(StartedRun { run, is_repeat })
    }
}

/// What is known of the newest version of a workflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Newest {
    /// From before: the run is made only if it is so still.
    Remembered,
    /// From now.
    Asked,
}

/// A run to be, with what each try to begin it needs.
struct ToBegin<'a> {
    workspace: WorkspaceId,
    id: RunId,
    workflow: WorkflowId,
    version: Option<i32>,
    input: Arc<Value>,
    traceparent: Option<String>,
    beginner: &'a Beginner,
}

/// Begins a run, and gives it as it stands then.
pub(crate) async fn begin(
    host: &Arc<Host>,
    workspace: WorkspaceId,
    id: RunId,
    command: StartRun,
    beginner: Beginner,
) -> Result<Begun, CommandError> {
    let StartRun { workflow, version, input, traceparent, .. } = command;
    if host.stopping.is_cancelled() {
        return Err(CommandError::Stopping);
    }
    let to_begin =
        ToBegin { workspace, id, workflow, version, input: Arc::new(input), traceparent, beginner: &beginner };
    let is_plain = version.is_none() && beginner.parent.is_none() && beginner.idempotency.is_none();
    if is_plain
        && let Some(newest) = host.definitions.newest(workspace, workflow)
        && let Some(begun) = try_begin(host, &to_begin, newest, Newest::Remembered).await?
    {
        return Ok(begun);
    }
    let newest = host.definitions.ask_newest(&host.store, workspace, workflow).await?;
    let newest = newest.ok_or(CommandError::UnknownWorkflow(workflow))?;
    let begun = try_begin(host, &to_begin, newest, Newest::Asked).await?;
    begun.ok_or(CommandError::UnknownWorkflow(workflow))
}

/// Begins a run; `None` where the workflow is not there any more, or what was remembered of it does not hold.
async fn try_begin(
    host: &Arc<Host>,
    to_begin: &ToBegin<'_>,
    newest: i32,
    known: Newest,
) -> Result<Option<Begun>, CommandError> {
    let ToBegin { workspace, id, workflow: workflow_id, beginner, .. } = *to_begin;
    let version = to_begin.version.unwrap_or(newest);
    if !(1..=newest).contains(&version) {
        return Err(CommandError::UnknownWorkflowVersion { workflow: workflow_id, version });
    }
    let workflow = host.workflow(workflow_id, version).await?;
    // What a remembered version does not take, the newest may.
    let faults = input_faults(workflow.input_schema.as_ref(), &to_begin.input);
    if !faults.is_empty() {
        return if known == Newest::Remembered { Ok(None) } else { Err(CommandError::Invalid(faults)) };
    }
    if workflow.concurrency.is_some() && known == Newest::Remembered {
        return Ok(None);
    }
    let place_in_line = place_in_line(host, workflow_id, &workflow, &to_begin.input)?;

    if let (Some(place), Some(parent)) = (&place_in_line, &beginner.parent)
        && host.store.places_of_ancestors(parent.run, &place.line).await? >= i64::from(place.max)
    {
        return Err(CommandError::WaitsForItself { workflow: workflow_id, max: place.max });
    }

    let started_at = host.clock.now();
    let mut state = State::new(workflow, RunFacts { run_id: id, workflow_id, started_at });
    let plugins = host.catalog.snapshot().pins(workspace, state.workflow());
    let components: Vec<String> = plugins.iter().map(|pin| pin.digest.clone()).collect();
    let components = (!components.is_empty()).then_some(components);
    let first = Event::RunStarted { input: Arc::clone(&to_begin.input), plugins };
    state.apply(&first);
    let mut entries = vec![Entry { at: started_at, event: first }];
    // Without a place on this host the run waits in the database for one; so does one of which only so many go on at once,
    // since whether it may is known only when it is there.
    let place = if place_in_line.is_none() { Place::take(host) } else { None };
    let mut undurable = Vec::new();
    let of_run = OfRun { run_id: id, workflow_id, workflow_version: version };
    let mut told = vec![started(&of_run, beginner.parent.as_ref().map(|parent| parent.run), None)];
    let mut told_later = Vec::new();
    if place.is_some() {
        // What can be decided at once is durable with the run itself, which saves a statement; but for an end, which the
        // interpreter writes together with what the run answers, and for an approval, which others must find.
        let decided = state.decide(&host.templates, started_at);
        let decided = decided.into_iter().map(|event| Entry { at: started_at, event });
        let ended = state.status().is_final() || !state.approvals().is_empty();
        let (to, told) = if ended { (&mut undurable, &mut told_later) } else { (&mut entries, &mut told) };
        for entry in decided {
            told.extend(told_by(&of_run, &state, &entry.event, None, 0));
            to.push(entry);
        }
    }
    let events: Vec<NewEvent> = told.iter().map(|told| host.event_of(told, beginner.event_depth)).collect();
    let rows = Rows::of(&entries)?;
    let journal_bytes = rows.bytes();
    let lease = place.is_some().then(|| host.lease());
    let asked = Instant::now();
    let traceparent = to_begin.traceparent.clone();
    let is_plain = beginner.parent.is_none() && beginner.idempotency.is_none() && place_in_line.is_none();
    if is_plain {
        let must_be_newest = to_begin.version.is_none();
        let plain = PlainRun {
            id,
            workspace,
            workflow: workflow_id,
            version,
            must_be_newest,
            started_at,
            lease,
            traceparent: traceparent.clone(),
            entries: rows,
            plugins: components,
            event_depth: beginner.event_depth,
            events,
        };
        if !host.starter.write(&host.store, Arc::new(plain)).await? {
            return Ok(None);
        }
    } else {
        let new = NewRun {
            id,
            workspace,
            workflow: workflow_id,
            version,
            started_at,
            lease,
            traceparent: traceparent.as_deref(),
            entries: &rows,
            plugins: components.as_deref(),
            parent: beginner.parent.clone(),
            place_in_line: place_in_line.clone(),
            idempotency: beginner.idempotency.as_ref().map(|(key, digest)| Idempotency { key, digest }),
            event_depth: beginner.event_depth,
            events: &events,
        };
        match host.store.start_run(&new).await? {
            Started::Yes { admitted: true } => {}
            Started::Yes { admitted: false } => let_in(host, place_in_line.as_ref()).await,
            Started::Exists => return Ok(Some(Begun::Exists)),
            Started::Repeated { run, digest } => return Ok(Some(Begun::Repeated { run, digest })),
            Started::NoWorkflow => return Ok(None),
            Started::TooMany => {
                let max = place_in_line.map_or(0, |place| place.max);
                return Err(CommandError::TooManyRuns { workflow: workflow_id, max });
            }
        }
    }
    host.told.send_replace(());
    info!(run.id = %id, workflow.id = %workflow_id, "Run `{id}` of `{workflow_id}` was started");
    let as_started = RunView {
        id,
        workflow: workflow_id,
        version,
        status: if place.is_some() { RunStatus::Running } else { RunStatus::Queued },
        input: Arc::clone(state.input()),
        vars: Value::Object(serde_json::Map::new()),
        output: Value::Null,
        usage: None,
        error: None,
        created_at: started_at,
        started_at: Some(started_at),
        finished_at: None,
        parent: beginner.parent.as_ref().map(|parent| parent.run),
        forked_from: None,
    };
    match place {
        None => host.wake(&[id]),
        Some(place) => {
            let run = LeasedRun {
                id,
                workspace,
                workflow: workflow_id,
                version,
                first_version: version,
                parent: beginner.parent.as_ref().map(|parent| parent.run),
                depth: beginner.parent.as_ref().map_or(0, |parent| parent.depth),
                concurrency_key: None,
                admitted: true,
                leased_at: started_at,
                epoch: 1,
                started_at,
                traceparent,
                journal_len: entries.len() as i32,
                journal_bytes,
                claims: 1,
                event_depth: beginner.event_depth,
                was_waiting: false,
            };
            let pending = Pending::new(&run, undurable, told_later, Vec::new());
            host::spawn(host, place, run, asked, |host, hold, run| Interpreter::begin(host, hold, run, state, pending));
        }
    }
    Ok(Some(Begun::Started(Box::new(as_started))))
}

/// Somebody may have made room while this one took its place behind others.
async fn let_in(host: &Host, place: Option<&PlaceInLine>) {
    if let Some(place) = place
        // What this does not do the sweep does a moment later.
        && let Ok(admitted) = host.store.admit_next(&place.line).await
    {
        host.wake(&admitted);
    }
}

/// In which line a run stands, where its workflow bounds how many go on at once.
fn place_in_line(
    host: &Host,
    workflow_id: WorkflowId,
    workflow: &Workflow,
    input: &Value,
) -> Result<Option<PlaceInLine>, CommandError> {
    let Some(concurrency) = &workflow.concurrency else { return Ok(None) };
    let key = match &concurrency.key {
        None => String::new(),
        Some(template) => {
            let mut scope: Scope =
                input.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())).collect();
            scope.set("input", Arc::new(input.clone()));
            host.templates.render(template, &scope).map_err(|error| {
                let detail = format!("the workflow's `concurrency.key` cannot be made of this input: {error}");
                CommandError::Invalid(vec![Fault::new("", "input.concurrency_key", detail)])
            })?
        }
    };
    if key.chars().count() > CONCURRENCY_KEY_CHARS_MAX || key.contains('\0') {
        let detail = format!(
            "the workflow's `concurrency.key` gives a text that is longer than {CONCURRENCY_KEY_CHARS_MAX} characters or has U+0000"
        );
        return Err(CommandError::Invalid(vec![Fault::new("", "input.concurrency_key", detail)]));
    }
    Ok(Some(PlaceInLine {
        line: Line { workflow: workflow_id, key },
        max: concurrency.max as i32,
        rejects: concurrency.on_limit == OnLimit::Reject,
    }))
}

/// What tells two requests apart that have the same key.
fn digest_of(mut asked: Value) -> String {
    // The order of fields means nothing.
    asked.sort_all_objects();
    let digest = Sha256::digest(asked.to_string().as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What is wrong with a run's input; pointers are relative to it.
pub(crate) fn input_faults(schema: Option<&InputSchema>, input: &Value) -> Vec<Fault> {
    if !input.is_object() {
        return vec![Fault::new("", "input.type", "a run's input is an object")];
    }
    schema.map(|schema| schema.faults(input)).unwrap_or_default()
}
