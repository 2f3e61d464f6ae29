//! What came of attempts is written down, of as many as have ended at once.

use std::sync::Arc;
use std::time::Duration;

use armilla_domain::event::data::WebhookTold;
use armilla_domain::event::{EventType, Told};
use armilla_domain::id::WebhookId;
use armilla_domain::webhook::{Change, DisabledBecause, Verdict, wait_after};
use armilla_store::{AttemptResult, ClaimedDelivery, EndpointChange, EndpointRow, NewEvent};
use chrono::{DateTime, SubsecRound, Utc};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{error, info, warn};

use crate::Inner;
use crate::attempt::Attempted;
use crate::dispatch::{CLAIM_LEASE, Place};

/// Attempts that one transaction writes down.
const WRITTEN_AT_ONCE: usize = 256;
/// How long is waited before it is tried again to write them down.
const RETRY_WAIT: Duration = Duration::from_millis(200);
/// An attempt that has ended.
pub(crate) struct Done {
    pub(crate) delivery: ClaimedDelivery,
    pub(crate) attempted: Attempted,
    /// The waits between the tries.
    pub(crate) retry_seconds: Vec<u32>,
    /// Given back when it is written down.
    pub(crate) place: Place,
}

impl Inner {
    /// Writes down what comes, until nothing more can come.
    pub(crate) async fn record_forever(self: Arc<Self>, mut done: mpsc::UnboundedReceiver<Done>) {
        let mut ended = Vec::new();
        while done.recv_many(&mut ended, WRITTEN_AT_ONCE).await > 0 {
            let (mut results, mut verdicts, mut places) = (Vec::new(), Vec::new(), Vec::new());
            for one in ended.drain(..) {
                verdicts.push((one.delivery.webhook, one.attempted.verdict, one.attempted.attempt.url.clone()));
                places.push(one.place);
                results.push(self.result_of(one.delivery, one.attempted, &one.retry_seconds));
            }
            self.record(&results, &verdicts).await;
            drop(places);
            self.due.notify_one();
        }
    }

    async fn record(&self, results: &[AttemptResult], verdicts: &[(WebhookId, Verdict, String)]) {
        let begun = Instant::now();
        loop {
            let mut told = false;
            let judge = |row: &EndpointRow, now: DateTime<Utc>| {
                let change = self.judge(row, verdicts, now);
                told |= change.event.is_some();
                change
            };
            let recorded = {
                let _turn = self.turn.lock().await;
                self.store.record_attempts(self.host_id, results, judge).await
            };
            match recorded {
                Ok(kept) => {
                    if kept < results.len() {
                        warn!("{} attempts came too late to count: their claims had passed on", results.len() - kept);
                    }
                    if told {
                        // What is told of webhooks is told by webhooks, too.
                        self.happened.notify_one();
                    }
                    return;
                }
                // After that their claims are others', who try them again.
                Err(error) if error.is_unavailable() && begun.elapsed() < CLAIM_LEASE => {
                    warn!("What came of {} attempts could not be written down yet: {error}", results.len());
                    tokio::time::sleep(RETRY_WAIT).await;
                }
                Err(error) => {
                    error!("What came of {} attempts is lost, and they are made again: {error}", results.len());
                    return;
                }
            }
        }
    }

    /// What comes of a delivery by an attempt.
    fn result_of(&self, delivery: ClaimedDelivery, attempted: Attempted, retry_seconds: &[u32]) -> AttemptResult {
        let Attempted { mut attempt, verdict, retry_after } = attempted;
        let mut status = attempt.outcome;
        let mut retry_ms = None;
        if status == "failed" && verdict != Verdict::Gone {
            let wait = wait_after(retry_seconds, delivery.tries + 1, retry_after, self.chance.fraction());
            if let Some(wait) = wait {
                status = "pending";
                retry_ms = Some(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX));
                let asked = retry_after.is_some_and(|asked| asked == wait);
                attempt.retry_reason = Some(if asked {
                    "the endpoint asked for it by `Retry-After`"
                } else {
                    "the next wait of its plan"
                });
            }
        }
        AttemptResult {
            delivery: delivery.id,
            webhook: delivery.webhook,
            claims: delivery.claims,
            status,
            retry_ms,
            attempt,
        }
    }

    /// What becomes of a webhook by what its endpoint has answered.
    fn judge(
        &self,
        row: &EndpointRow,
        verdicts: &[(WebhookId, Verdict, String)],
        now: DateTime<Utc>,
    ) -> EndpointChange {
        let mut endpoint = row.endpoint;
        let mut told = None;
        // What another address answered, before it was changed, says nothing about this one.
        let of_row = |(webhook, _, url): &&(WebhookId, Verdict, String)| *webhook == row.id && *url == row.webhook.url;
        for (_, verdict, _) in verdicts.iter().filter(of_row) {
            let (after, change) = endpoint.after(*verdict, row.webhook.lanes(), now);
            endpoint = after;
            // To be disabled is the last that is told.
            told = match (told, change) {
                (Some(Change::Disabled(why)), _) => Some(Change::Disabled(why)),
                (told, change) => change.or(told),
            };
        }
        let told = told.filter(|_| row.enabled);
        let disabled = match told {
            Some(Change::Disabled(why)) => Some(why),
            _ => None,
        };
        if let Some(why) = disabled {
            info!(webhook.id = %row.id, workspace.id = %row.workspace, reason = why.as_str(), "Webhook `{}` was disabled: {}", row.id, why.about());
        }
        let event = told.map(|change| {
            let (kind, reason) = match change {
                Change::Failing => (EventType::WebhookFailing, DisabledBecause::Failing),
                Change::Disabled(why) => (EventType::WebhookDisabled, why),
            };
            let host = row.webhook.host();
            let failing_since = endpoint.failing_since.map(|since| since.trunc_subsecs(3));
            let told = WebhookTold { webhook_id: row.id, host: &host, failing_since, reason: reason.as_str() };
            let Told { kind, data } = Told::new(kind, &told);
            let id = self.next_id();
            NewEvent { id, kind, data, depth: 0 }
        });
        EndpointChange { endpoint, disabled, event }
    }
}
