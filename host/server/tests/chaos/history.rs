//! What happened, as plain data: read from the database, the agents' log and the harness's own notes. The checker knows nothing
//! else, so that its tests can doctor it.

use std::collections::BTreeMap;

use serde_json::Value;

/// Microseconds since 1970.
pub(crate) type Micros = i64;

/// A whole campaign.
#[derive(Debug, Default, Clone)]
pub(crate) struct History {
    pub(crate) runs: BTreeMap<String, Run>,
    /// By run, in order of their numbers.
    pub(crate) journals: BTreeMap<String, Vec<Entry>>,
    pub(crate) approvals: Vec<Approval>,
    pub(crate) calls: Vec<Call>,
    pub(crate) accepted: Vec<Accepted>,
    pub(crate) signals: Vec<SentSignal>,
    /// The approvals whose decision was answered with a success.
    pub(crate) decided: Vec<String>,
    /// Signals, still in an inbox, by run.
    pub(crate) unread: Vec<(String, Value)>,
    pub(crate) troubles: Vec<Trouble>,
    /// When everything was well again.
    pub(crate) calm_since: Micros,
    /// The most runs of a workflow that go on at once, by its id.
    pub(crate) limits: BTreeMap<String, usize>,
    /// In their order.
    pub(crate) events: Vec<Told>,
    /// In the order in which they came.
    pub(crate) receipts: Vec<Receipt>,
}

/// A row of `runs`.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) workflow: String,
    pub(crate) status: String,
    pub(crate) journal_len: i32,
    pub(crate) created_at: Micros,
    pub(crate) finished_at: Option<Micros>,
    pub(crate) parent: Option<String>,
    pub(crate) output: Value,
    pub(crate) error_code: Option<String>,
    /// What it was started with.
    pub(crate) input: Value,
}

/// A row of `journal`.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) seq: i32,
    pub(crate) at: Micros,
    pub(crate) kind: String,
    /// Scope, step and number.
    pub(crate) visit: Option<(String, String, i32)>,
    pub(crate) body: Value,
}

/// A row of `approvals`.
#[derive(Debug, Clone)]
pub(crate) struct Approval {
    pub(crate) id: String,
    pub(crate) run: String,
    pub(crate) visit: (String, String, i32),
    pub(crate) status: String,
}

/// A call that reached an agent.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) at: Micros,
    pub(crate) run: String,
    pub(crate) step: String,
    pub(crate) visit: i32,
    pub(crate) attempt: u64,
}

/// A row of `events`.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) id: String,
    pub(crate) kind: String,
    /// The run that it tells of.
    pub(crate) run: String,
}

/// A delivery that reached a receiver, whatever that answered.
#[derive(Debug, Clone)]
pub(crate) struct Receipt {
    /// Which receiver.
    pub(crate) path: String,
    /// The event.
    pub(crate) id: String,
}

/// A run that a host promised.
#[derive(Debug, Clone)]
pub(crate) struct Accepted {
    /// The request's idempotency key.
    pub(crate) key: String,
    pub(crate) run: String,
    pub(crate) expected: Expected,
}

/// How a run must end.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expected {
    Success(Value),
    Failed(&'static str),
    Cancelled,
}

/// A signal that was sent, once.
#[derive(Debug, Clone)]
pub(crate) struct SentSignal {
    pub(crate) run: String,
    pub(crate) nonce: u64,
    /// Whether a host said that it was taken; otherwise nobody knows.
    pub(crate) accepted: bool,
}

/// What was done to whom, and until when it lasted.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Trouble {
    pub(crate) kind: TroubleKind,
    /// The one run that it befell; any where absent.
    pub(crate) run: Option<String>,
    pub(crate) from: Micros,
    pub(crate) to: Micros,
}

/// What can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TroubleKind {
    /// A host was killed; until it served again.
    Kill,
    /// A host was asked to stop; until it served again.
    Term,
    /// A host stood still, and went on.
    Freeze,
    /// A host found that its lease was another's, or that it could not renew it.
    LeaseLost,
    /// Connections were cut.
    Cut,
    /// The database was stopped and started.
    Fast,
    /// The database was stopped without goodbye and started.
    Immediate,
    /// The database was killed and started.
    DatabaseKill,
}

impl TroubleKind {
    /// Whether calls may be made again because of it: a host was, or took itself for, dead.
    pub(crate) fn repeats_calls(self) -> bool {
        matches!(self, Self::Kill | Self::Term | Self::Freeze | Self::LeaseLost)
    }
}

impl Entry {
    /// Whether it is the outcome of its visit.
    pub(crate) fn is_outcome(&self) -> bool {
        matches!(self.kind.as_str(), "step.succeeded" | "step.failed" | "step.skipped")
    }

    /// Whether it ends the run.
    pub(crate) fn ends_the_run(&self) -> bool {
        matches!(self.kind.as_str(), "run.succeeded" | "run.failed" | "run.cancelled" | "run.timed_out")
    }
}

impl Run {
    pub(crate) fn has_ended(&self) -> bool {
        self.finished_at.is_some()
    }
}
