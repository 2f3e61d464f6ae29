//! Writes events and schedules as commits of others would, and reads what became of them.

use std::collections::HashMap;

use sqlx::{Connection, PgConnection, Row};

use crate::sink::Receipt;

/// An event's id as its receivers know it.
const EVENT_ID: &str = "'evt_' || replace(id::text, '-', '')";

pub(crate) struct Tables {
    connection: PgConnection,
}

impl Tables {
    pub(crate) async fn open(database_url: &str) -> Self {
        Self { connection: PgConnection::connect(database_url).await.unwrap() }
    }

    /// Writes so many events in one transaction.
    pub(crate) async fn tell(&mut self, events: usize) {
        let statement = "insert into events (id, workspace_id, type, data)
            select new_event_id(), w.id, 'workflow.updated',
                json_build_object('workflowId', 'wf_0196f0c45e7a7c3f8d1b2a3c4d5e6f70', 'name', 'bench', 'version', n, 'by', 'bench')::text
            from generate_series(1, $1) n, workspaces w where w.id in (select workspace_id from webhooks limit 1)";
        sqlx::query(statement).bind(events as i64).execute(&mut self.connection).await.unwrap();
    }

    /// How long each event took to its receiver, in milliseconds, since the transaction began that wrote it.
    pub(crate) async fn lateness_ms(&mut self, receipts: &[Receipt]) -> Vec<f64> {
        let statement =
            format!("select {EVENT_ID} as id, (extract(epoch from at) * 1000000)::bigint as at from events");
        let rows = sqlx::query(sqlx::AssertSqlSafe(statement)).fetch_all(&mut self.connection).await.unwrap();
        let written: HashMap<String, i64> = rows.into_iter().map(|row| (row.get("id"), row.get("at"))).collect();
        receipts.iter().map(|(id, at)| (at - written[id]) as f64 / 1_000.0).collect()
    }

    /// Schedules of a workflow that are all due at one instant.
    pub(crate) async fn schedule(&mut self, workflow: &str, schedules: i64, seconds: f64) {
        let statement = "insert into schedules (id, workspace_id, workflow_id, name, anchor_at, once_at, input, overlap, catch_up_ms, jitter_ms,
                next_at, due_at, created_by)
            select new_event_id(), w.workspace_id, w.id, 'bench', now(), t.at, '{}', 'allow', 0, 0, t.at, t.at, 'bench'
            from generate_series(1, $2) n, workflows w,
                (select date_trunc('milliseconds', now() + make_interval(secs => $3)) as at) t
            where 'wf_' || replace(w.id::text, '-', '') = $1";
        let statement = sqlx::query(statement).bind(workflow).bind(schedules).bind(seconds);
        statement.execute(&mut self.connection).await.unwrap();
    }

    /// How many runs of a workflow there are.
    pub(crate) async fn started(&mut self, workflow: &str) -> i64 {
        let statement = "select count(*) from runs where 'wf_' || replace(workflow_id::text, '-', '') = $1";
        sqlx::query_scalar(statement).bind(workflow).fetch_one(&mut self.connection).await.unwrap()
    }

    /// How long after their instant the runs of schedules began, in milliseconds, and how many began on each host.
    pub(crate) async fn schedules_late_ms(&mut self, workflow: &str) -> (Vec<f64>, String) {
        let statement = "select (extract(epoch from r.created_at - o.instant) * 1000)::float8 as late
            from schedule_occurrences o join runs r on r.id = o.run_id
            where 'wf_' || replace(r.workflow_id::text, '-', '') = $1";
        let late: Vec<f64> =
            sqlx::query_scalar(statement).bind(workflow).fetch_all(&mut self.connection).await.unwrap();
        let distinct = "select count(distinct o.schedule_id) from schedule_occurrences o join runs r on r.id = o.run_id
            where 'wf_' || replace(r.workflow_id::text, '-', '') = $1";
        let distinct: i64 = sqlx::query_scalar(distinct).bind(workflow).fetch_one(&mut self.connection).await.unwrap();
        (late, format!("{distinct} schedules"))
    }
}
