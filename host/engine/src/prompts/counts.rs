//! What was done with prompts: counted here, and written down about once a second, so that a call costs no statement more.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use armilla_domain::call::PromptUse;
use armilla_domain::id::WorkspaceId;
use armilla_domain::journal::Usage;
use armilla_store::{NO_VERSION, PromptCount, PromptMetricsRow};
use tokio::time::MissedTickBehavior;
use tracing::warn;
use uuid::Uuid;

use crate::host::Host;

/// How often the counts are written down: what a host that is killed forgets.
const FLUSH_INTERVAL: Duration = Duration::from_secs(1);
/// Prompts and templates that are counted at once while the database is away; of more, the counts are lost.
const COUNTED_MAX: usize = 10_000;

/// What was done with a version of a prompt, or under an override.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PromptMetrics {
    /// Calls that were made.
    pub calls: u64,
    /// Those that failed.
    pub failures: u64,
    /// Tokens that the model read, where the agent said.
    pub input_tokens: u64,
    /// Tokens that the model wrote, where the agent said.
    pub output_tokens: u64,
    /// Milliseconds of all calls together.
    pub duration_ms: u64,
}

impl From<PromptMetricsRow> for PromptMetrics {
    fn from(row: PromptMetricsRow) -> Self {
        Self {
            calls: row.calls.unsigned_abs(),
            failures: row.failures.unsigned_abs(),
            input_tokens: row.input_tokens.unsigned_abs(),
            output_tokens: row.output_tokens.unsigned_abs(),
            duration_ms: row.duration_ms.unsigned_abs(),
        }
    }
}

/// A prompt as it is counted: workspace, agent, version, override.
type Key = (WorkspaceId, String, i32, Uuid);

/// The counts of a host since they were last written down.
#[derive(Debug, Default)]
pub(crate) struct PromptCounts {
    counted: Mutex<Counted>,
    /// Held while counts are written down: who waits for it sees all that was counted before.
    flush: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Counted {
    calls: HashMap<Key, PromptMetricsRow>,
    uses: HashMap<(WorkspaceId, String), i64>,
}

impl PromptCounts {
    /// Counts a call that was made with a prompt.
    pub(crate) fn note_call(
        &self,
        workspace: WorkspaceId,
        agent: &str,
        used: &PromptUse,
        went_well: bool,
        usage: Option<Usage>,
        duration: Duration,
    ) {
        let tokens = |read: fn(Usage) -> u64| usage.map_or(0, |usage| i64::try_from(read(usage)).unwrap_or(i64::MAX));
        let counted = PromptMetricsRow {
            calls: 1,
            failures: i64::from(!went_well),
            input_tokens: tokens(|usage| usage.input_tokens),
            output_tokens: tokens(|usage| usage.output_tokens),
            duration_ms: i64::try_from(duration.as_millis()).unwrap_or(i64::MAX),
        };
        let override_id = used.override_id.map_or(Uuid::nil(), |id| id.uuid());
        let key = (workspace, agent.to_owned(), used.version.unwrap_or(NO_VERSION), override_id);
        self.locked(|all| add_call(&mut all.calls, key, counted));
    }

    /// Counts templates that were rendered.
    pub(crate) fn note_uses<'a>(&self, workspace: WorkspaceId, names: impl Iterator<Item = &'a str>) {
        let mut names = names.peekable();
        if names.peek().is_some() {
            self.locked(|all| names.for_each(|name| add_uses(&mut all.uses, (workspace, name.to_owned()), 1)));
        }
    }

    fn locked<T>(&self, work: impl FnOnce(&mut Counted) -> T) -> T {
        work(&mut self.counted.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn slot<K: Eq + Hash, V: Default>(counts: &mut HashMap<K, V>, key: K) -> Option<&mut V> {
    let has_room = counts.len() < COUNTED_MAX || counts.contains_key(&key);
    has_room.then(|| counts.entry(key).or_default())
}

fn add_call(counts: &mut HashMap<Key, PromptMetricsRow>, key: Key, more: PromptMetricsRow) {
    if let Some(counted) = slot(counts, key) {
        counted.calls = counted.calls.saturating_add(more.calls);
        counted.failures = counted.failures.saturating_add(more.failures);
        counted.input_tokens = counted.input_tokens.saturating_add(more.input_tokens);
        counted.output_tokens = counted.output_tokens.saturating_add(more.output_tokens);
        counted.duration_ms = counted.duration_ms.saturating_add(more.duration_ms);
    }
}

fn add_uses(counts: &mut HashMap<(WorkspaceId, String), i64>, key: (WorkspaceId, String), more: i64) {
    if let Some(uses) = slot(counts, key) {
        *uses = uses.saturating_add(more);
    }
}

impl Host {
    /// Writes down what was counted. What cannot be written is counted on.
    pub(crate) async fn flush_prompt_counts(&self) {
        let _one_at_a_time = self.prompt_counts.flush.lock().await;
        let Counted { calls, uses } = self.prompt_counts.locked(std::mem::take);
        if !calls.is_empty() {
            let mut counts: Vec<PromptCount> = calls.iter().map(|(key, counted)| count_of(key, *counted)).collect();
            counts.sort_unstable_by(|a, b| {
                let key = |one: &PromptCount| (one.workspace, one.agent.clone(), one.version, one.override_id);
                key(a).cmp(&key(b))
            });
            if let Err(error) = self.store.add_prompt_counts(&counts).await {
                warn!("The counts of prompts could not be written down yet: {error}");
                self.prompt_counts.locked(|all| {
                    calls.into_iter().for_each(|(key, counted)| add_call(&mut all.calls, key, counted));
                });
            }
        }
        if !uses.is_empty() {
            let rows: Vec<_> = uses.iter().map(|((workspace, name), uses)| (*workspace, name.clone(), *uses)).collect();
            if let Err(error) = self.store.add_template_uses(&rows).await {
                warn!("The counts of prompt templates could not be written down yet: {error}");
                self.prompt_counts
                    .locked(|all| uses.into_iter().for_each(|(key, uses)| add_uses(&mut all.uses, key, uses)));
            }
        }
    }
}

fn count_of((workspace, agent, version, override_id): &Key, counted: PromptMetricsRow) -> PromptCount {
    PromptCount { workspace: *workspace, agent: agent.clone(), version: *version, override_id: *override_id, counted }
}

/// Writes down what was counted so far, for a caller who is to see it. In a task of its own: a caller who hangs up must not take the
/// counts along.
pub(super) async fn flush_now(host: &Arc<Host>) {
    let host = Arc::clone(host);
    if tokio::spawn(async move { host.flush_prompt_counts().await }).await.is_err() {
        warn!("The counts of prompts could not be written down");
    }
}

/// Writes down the counts about once a second, until the host stops; what comes after that is the stop's to write.
pub(crate) async fn flush_forever(host: Arc<Host>) {
    let mut ticks = tokio::time::interval(FLUSH_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => host.flush_prompt_counts().await,
            () = host.stopping.cancelled() => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_add_up_by_version_and_override_and_their_number_is_bounded() {
        let counts = PromptCounts::default();
        let note = |version: i32, went_well: bool| {
            let used = PromptUse { version: Some(version), ..PromptUse::default() };
            let usage = went_well.then_some(Usage { input_tokens: 3, output_tokens: 2, cost_micros: None });
            counts.note_call(WorkspaceId::DEFAULT, "a", &used, went_well, usage, Duration::from_millis(5));
        };
        for version in 1..=COUNTED_MAX as i32 + 5 {
            note(version, true);
        }
        note(1, false);
        counts.note_uses(WorkspaceId::DEFAULT, ["t", "t"].into_iter());
        let Counted { calls, uses } = counts.locked(std::mem::take);
        assert_eq!(calls.len(), COUNTED_MAX);
        let first = calls[&(WorkspaceId::DEFAULT, "a".to_owned(), 1, Uuid::nil())];
        let expected = PromptMetricsRow { calls: 2, failures: 1, input_tokens: 3, output_tokens: 2, duration_ms: 10 };
        assert_eq!(first, expected);
        assert_eq!(uses[&(WorkspaceId::DEFAULT, "t".to_owned())], 2);
    }
}
