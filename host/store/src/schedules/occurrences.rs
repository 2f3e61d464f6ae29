//! What became of the instants of schedules.

use armilla_domain::id::{RunId, ScheduleId};
use chrono::{DateTime, Utc};

use crate::{Store, StoreError};

/// An occurrence.
#[derive(Debug, Clone)]
pub struct OccurrenceRow {
    /// Its instant.
    pub instant: DateTime<Utc>,
    /// The word for what brought it about.
    pub brought_by: String,
    /// The word for what became of it.
    pub outcome: String,
    /// Its run.
    pub run: Option<RunId>,
    /// Why no run was started.
    pub detail: Option<String>,
    /// How many were missed in a row, from this one on.
    pub missed: Option<i32>,
    /// When that was decided.
    pub decided_at: DateTime<Utc>,
}

impl Store {
    /// Occurrences of a schedule, newest first, from before `before` on.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn schedule_occurrences(
        &self,
        id: ScheduleId,
        before: Option<DateTime<Utc>>,
        limit: u32,
    ) -> Result<Vec<OccurrenceRow>, StoreError> {
        let rows = sqlx::query!(
            "select instant, brought_by, outcome, run_id, detail, missed, decided_at from schedule_occurrences
            where schedule_id = $1 and ($2::timestamptz is null or instant < $2) order by instant desc limit $3",
            id.uuid(),
            before,
            i64::from(limit),
        );
        let rows = self.page(rows).await?;
        let occurrences = rows.into_iter().map(|row| OccurrenceRow {
            instant: row.instant,
            brought_by: row.brought_by,
            outcome: row.outcome,
            run: row.run_id.map(RunId::from_uuid),
            detail: row.detail,
            missed: row.missed,
            decided_at: row.decided_at,
        });
        Ok(occurrences.collect())
    }

    /// Which of these instants have a run of a schedule, or will have one.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn instants_taken(&self, id: ScheduleId, among: &[DateTime<Utc>]) -> Result<i64, StoreError> {
        let taken = sqlx::query_scalar!(
            r#"select count(*) as "taken!" from schedule_occurrences
            where schedule_id = $1 and instant = any($2) and outcome not in ('missed', 'skipped')"#,
            id.uuid(),
            among,
        );
        Ok(taken.fetch_one(&self.pool).await?)
    }

    /// Removes up to `limit` occurrences of which something was decided more than `days` ago, and whose runs do not go on.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn remove_old_occurrences(&self, days: i32, limit: u32) -> Result<u64, StoreError> {
        let done = sqlx::query!(
            "delete from schedule_occurrences o using (
                select schedule_id, instant from schedule_occurrences
                where decided_at < now() - make_interval(days => $1) and outcome not in ('starting', 'queued') and not goes_on
                order by decided_at limit $2 for update skip locked
            ) old
            where o.schedule_id = old.schedule_id and o.instant = old.instant",
            days,
            i64::from(limit),
        );
        Ok(done.execute(&self.pool).await?.rows_affected())
    }
}
