//! A run's state, folded from its journal.

use std::collections::BTreeSet;

use armilla_domain::id::{RunId, WorkflowId};
use armilla_domain::journal::{Entry, Event};
use armilla_domain::run::{RunFacts, State};
use armilla_store::StoreError;
use chrono::{DateTime, Utc};

use crate::host::Host;

/// Which run, and what it began with.
pub(crate) struct Beginning {
    pub(crate) run: RunId,
    pub(crate) workflow: WorkflowId,
    pub(crate) first_version: i32,
    pub(crate) started_at: DateTime<Utc>,
}

impl Host {
    /// The state that a journal leads to.
    pub(crate) async fn fold<'a>(
        &self,
        beginning: Beginning,
        journal: impl IntoIterator<Item = &'a Entry> + Clone,
    ) -> Result<State, StoreError> {
        let Beginning { run, workflow, first_version, started_at } = beginning;
        let facts = RunFacts { run_id: run, workflow_id: workflow, started_at };
        let mut state = State::new(self.workflow(workflow, first_version).await?, facts);
        let later: BTreeSet<i32> = journal
            .clone()
            .into_iter()
            .filter_map(|entry| match &entry.event {
                Event::RunRetried { version, .. } => *version,
                _ => None,
            })
            .collect();
        for version in later {
            state.know_version(version, self.workflow(workflow, version).await?);
        }
        for entry in journal {
            state.apply(&entry.event);
        }
        // Those who were abandoned were told so by the entry that did it.
        state.take_abandoned();
        state.take_abandoned_tasks();
        Ok(state)
    }
}
