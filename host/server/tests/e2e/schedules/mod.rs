//! Schedules: runs that are started by the clock. Nothing waits for a time to come; the schedule is moved in the database instead.

mod commands;
mod overlap;
mod refusals;
mod sweep;
mod walk;

use armilla_testkit::db::TestDatabase;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use crate::harness::{Client, TestServer, until, with};

/// A server with a schedule's table in reach.
struct World {
    database: TestDatabase,
    server: TestServer,
    client: Client,
}

impl World {
    async fn new() -> Self {
        let database = TestDatabase::create().await;
        let server = TestServer::on(&database, 1).await;
        let client = server.admin.clone();
        Self { database, server, client }
    }

    async fn sql(&self) -> PgConnection {
        PgConnection::connect_with(&self.database.connect_options()).await.unwrap()
    }

    /// A workflow whose runs end at once.
    async fn quick(&self) -> String {
        self.client.create(json!({ "steps": [{ "type": "return", "id": "r" }] })).await
    }

    /// A workflow whose runs go on until somebody decides.
    async fn slow(&self) -> String {
        self.client.create(json!({ "steps": [{ "type": "approval", "id": "ok", "message": "Go?" }] })).await
    }

    /// A schedule of a workflow that is far from its next instant.
    async fn schedule(&self, workflow: &str, fields: Value) -> String {
        let body = with(json!({ "name": "A test's", "workflowId": workflow, "every": "1d" }), fields);
        let made = self.client.post("/schedules", &body).await.expect(201);
        made["schedule"]["id"].as_str().unwrap().to_owned()
    }

    /// Lets the schedule's next instant be so many of its intervals ago.
    async fn ago(&self, id: &str, intervals: i32) {
        let moved = "update schedules set anchor_at = date_trunc('milliseconds', now()),
            next_at = date_trunc('milliseconds', now()) - $2 * every_ms * interval '1 millisecond', due_at = now() where id = $1";
        let moved = sqlx::query(moved).bind(uuid_of(id)).bind(intervals).execute(&mut self.sql().await).await.unwrap();
        assert_eq!(moved.rows_affected(), 1);
    }

    async fn occurrences(&self, id: &str) -> Vec<Value> {
        let list = self.client.get(&format!("/schedules/{id}/occurrences")).await.expect(200)["occurrences"].take();
        list.as_array().unwrap().clone()
    }

    /// The outcomes of the schedule's occurrences, oldest first, as soon as there are so many and none is about to be started.
    async fn outcomes(&self, id: &str, count: usize) -> Vec<String> {
        until(&format!("{count} occurrences of {id}"), || async {
            let mut outcomes: Vec<String> =
                self.occurrences(id).await.iter().map(|one| one["outcome"].as_str().unwrap().to_owned()).collect();
            outcomes.reverse();
            (outcomes.len() >= count && outcomes.iter().all(|one| one != "starting")).then_some(outcomes)
        })
        .await
    }

    /// The runs of a workflow, newest first.
    async fn runs(&self, workflow: &str) -> Vec<Value> {
        let list = self.client.get(&format!("/workflows/{workflow}/runs")).await.expect(200)["runs"].take();
        list.as_array().unwrap().clone()
    }

    async fn show(&self, id: &str) -> Value {
        self.client.get(&format!("/schedules/{id}")).await.expect(200)["schedule"].take()
    }

    async fn approve(&self, run: &str) {
        let approval = self.client.asked(run, 1).await.remove(0);
        self.client.post(&format!("/approvals/{approval}/approve"), &json!({})).await.expect(200);
        self.client.ended(run).await;
    }
}

fn uuid_of(id: &str) -> uuid::Uuid {
    id.split_once('_').unwrap().1.parse().unwrap()
}
