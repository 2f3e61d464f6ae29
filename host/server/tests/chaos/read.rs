//! Reads a history from the database itself, past everything that is tested.

use std::collections::BTreeMap;

use armilla_domain::id::{ApprovalId, EventId, RunId, WorkflowId};
use armilla_store::cluster::PgConnectOptions;
use serde_json::Value;
use sqlx::postgres::PgConnection;
use sqlx::types::Uuid;
use sqlx::{Connection, Row};

use crate::history::{Approval, Entry, History, Run, Told};

/// Fills in what the database knows.
pub(crate) async fn read(options: &PgConnectOptions, history: &mut History) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect_with(options).await?;
    read_runs(&mut connection, history).await?;
    read_journals(&mut connection, history).await?;
    let rows = sqlx::query("select id, run_id, scope, step_id, visit, status from approvals");
    for row in rows.fetch_all(&mut connection).await? {
        history.approvals.push(Approval {
            id: ApprovalId::from_uuid(row.get("id")).to_string(),
            run: run_id(row.get("run_id")),
            visit: (row.get("scope"), row.get("step_id"), row.get("visit")),
            status: row.get("status"),
        });
    }
    read_events(&mut connection, history).await?;
    let rows = sqlx::query("select run_id, body from run_inbox");
    for row in rows.fetch_all(&mut connection).await? {
        history.unread.push((run_id(row.get("run_id")), json(Some(row.get("body")))));
    }
    connection.close().await
}

async fn read_runs(connection: &mut PgConnection, history: &mut History) -> Result<(), sqlx::Error> {
    let rows = sqlx::query(
        "select r.id, r.workflow_id, r.status, r.journal_len, r.parent_run, r.error_code, e.output,
            (extract(epoch from r.created_at) * 1000000)::bigint as created,
            (extract(epoch from r.finished_at) * 1000000)::bigint as finished
        from runs r left join run_results e on e.run_id = r.id",
    );
    for row in rows.fetch_all(&mut *connection).await? {
        let run = Run {
            workflow: WorkflowId::from_uuid(row.get("workflow_id")).to_string(),
            status: row.get("status"),
            journal_len: row.get("journal_len"),
            created_at: row.get("created"),
            finished_at: row.get("finished"),
            parent: row.get::<Option<Uuid>, _>("parent_run").map(run_id),
            output: json(row.get("output")),
            error_code: row.get("error_code"),
            input: Value::Null,
        };
        history.runs.insert(run_id(row.get("id")), run);
    }
    Ok(())
}

async fn read_journals(connection: &mut PgConnection, history: &mut History) -> Result<(), sqlx::Error> {
    let rows = sqlx::query(
        "select j.run_id, j.seq, j.kind, j.scope, j.step_id, j.visit, coalesce(j.body, b.body) as body,
            (extract(epoch from j.at) * 1000000)::bigint as at
        from journal j left join journal_bodies b on b.run_id = j.run_id and b.seq = j.seq order by j.run_id, j.seq",
    );
    let mut journals: BTreeMap<String, Vec<Entry>> = BTreeMap::new();
    for row in rows.fetch_all(&mut *connection).await? {
        let run = run_id(row.get("run_id"));
        let entry = Entry {
            seq: row.get("seq"),
            at: row.get("at"),
            kind: row.get("kind"),
            visit: row
                .get::<Option<String>, _>("step_id")
                .map(|step| (row.get::<Option<String>, _>("scope").unwrap_or_default(), step, row.get("visit"))),
            body: json(row.get("body")),
        };
        if let (Some(run), "run.started") = (history.runs.get_mut(&run), entry.kind.as_str()) {
            run.input = entry.body["input"].clone();
        }
        journals.entry(run).or_default().push(entry);
    }
    history.journals = journals;
    Ok(())
}

async fn read_events(connection: &mut PgConnection, history: &mut History) -> Result<(), sqlx::Error> {
    let rows = sqlx::query("select id, type, data from events order by transaction, id");
    for row in rows.fetch_all(&mut *connection).await? {
        let data = json(Some(row.get("data")));
        // What happens to anything but runs is told while hosts are made ready.
        if let Some(run) = data["runId"].as_str() {
            let id = EventId::from_uuid(row.get("id")).to_string();
            history.events.push(Told { id, kind: row.get("type"), run: run.to_owned() });
        }
    }
    Ok(())
}

fn run_id(id: Uuid) -> String {
    RunId::from_uuid(id).to_string()
}

fn json(text: Option<String>) -> Value {
    text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}
