//! Fills the tables with what years of work leave behind, and counts what became of runs.

use sqlx::{Connection, PgConnection};

/// Rows of one statement: enough to be quick, few enough to say how far it is.
const BATCH: i64 = 250_000;

pub(crate) struct Tables {
    connection: PgConnection,
}

impl Tables {
    pub(crate) async fn open(database_url: &str) -> Self {
        Self { connection: PgConnection::connect(database_url).await.unwrap() }
    }

    /// Runs that ended well, each with its answer and two entries of its journal.
    pub(crate) async fn add_finished(&mut self, workflow: &str, runs: i64) {
        let statement = "with made as (
                insert into runs (id, workspace_id, workflow_id, workflow_version, first_version, status, journal_len, journal_bytes,
                    lease_epoch, created_at, started_at, finished_at, retain_until)
                select ('018f0000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, w.workspace_id, w.id, 1, 1, 'success', 2, 600,
                    1, now() - interval '1 day', now() - interval '1 day', now() - interval '1 day', now() + interval '30 days'
                from generate_series($2, $3) n, workflows w where 'wf_' || replace(w.id::text, '-', '') = $1
                returning id
            ), results as (
                insert into run_results (run_id, vars, output) select id, '{\"s5\":{\"rfc3339\":\"2030-02-05T08:00:00Z\"}}', 'null' from made
            )
            insert into journal (run_id, seq, at, kind, body)
            select id, seq, now() - interval '1 day', kind, repeat('x', 300)
            from made, (values (1, 'run.started'), (2, 'run.succeeded')) as e(seq, kind)";
        self.fill(statement, workflow, runs).await;
    }

    /// Runs that wait for a month.
    pub(crate) async fn add_waiting(&mut self, workflow: &str, runs: i64) {
        let statement = "with made as (
                insert into runs (id, workspace_id, workflow_id, workflow_version, first_version, status, journal_len, journal_bytes,
                    lease_epoch, created_at, started_at, due_at)
                select ('018e0000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, w.workspace_id, w.id, 1, 1, 'waiting', 1, 300,
                    1, now() - interval '1 day', now() - interval '1 day', now() + interval '30 days'
                from generate_series($2, $3) n, workflows w where 'wf_' || replace(w.id::text, '-', '') = $1
                returning id
            )
            insert into journal (run_id, seq, at, kind, body) select id, 1, now() - interval '1 day', 'run.started', repeat('x', 300)
            from made";
        self.fill(statement, workflow, runs).await;
    }

    async fn fill(&mut self, statement: &'static str, workflow: &str, runs: i64) {
        for first in (1..=runs).step_by(BATCH as usize) {
            let last = (first + BATCH - 1).min(runs);
            let statement = sqlx::query(statement).bind(workflow).bind(first).bind(last);
            statement.execute(&mut self.connection).await.unwrap();
            eprintln!("{last} of {runs} rows");
        }
        // As the database does by itself, some minutes later.
        for table in ["runs", "run_results", "journal"] {
            let vacuum = sqlx::raw_sql(sqlx::AssertSqlSafe(format!("vacuum analyze {table}")));
            vacuum.execute(&mut self.connection).await.unwrap();
        }
    }

    /// How many runs there are of which this holds.
    pub(crate) async fn count(&mut self, workflow: &str, condition: &str) -> i64 {
        let statement = format!(
            "select count(*) from runs where 'wf_' || replace(workflow_id::text, '-', '') = $1 and {condition}"
        );
        let counted = sqlx::query_scalar(sqlx::AssertSqlSafe(statement)).bind(workflow);
        counted.fetch_one(&mut self.connection).await.unwrap()
    }

    /// How late each run's last entry came, in milliseconds, after it had waited for so long.
    pub(crate) async fn lateness_ms(&mut self, workflow: &str, waited_seconds: f64) -> Vec<f64> {
        let statement = "select (extract(epoch from finished_at - started_at)::float8 - $2) * 1000.0 from runs
            where 'wf_' || replace(workflow_id::text, '-', '') = $1 and finished_at is not null order by 1";
        let late = sqlx::query_scalar(statement).bind(workflow).bind(waited_seconds);
        late.fetch_all(&mut self.connection).await.unwrap()
    }
}
