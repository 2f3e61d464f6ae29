//! Events: told once and as their schemas say, listed, followed, and starting runs.

mod catalogue;
mod lists;
mod order;
mod prompts;
mod starts;
mod stream;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::harness::{Client, until};

/// Every event of a workspace that a query asks for, oldest first, page by page.
async fn events(client: &Client, query: &str) -> Vec<Value> {
    let mut events = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = client.get(&format!("/events?limit=100{query}{cursor}")).await.expect(200);
        events.extend(page["events"].as_array().unwrap().iter().cloned());
        let Some(next) = page["nextCursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    events.reverse();
    events
}

/// Waits until there is an event of a type with this text somewhere in its data, and gives it.
async fn event_with(client: &Client, kind: &str, text: &str) -> Value {
    until(&format!("{kind} with {text}"), || async {
        let found = events(client, &format!("&type={kind}")).await;
        found.into_iter().find(|event| event["data"].to_string().contains(text))
    })
    .await
}

/// Types of events, in their order.
fn types(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap()).collect()
}

/// Those that are of a run.
fn of_run(events: &[Value], run: &str) -> Vec<Value> {
    events.iter().filter(|event| event["data"]["runId"] == run).cloned().collect()
}

/// What the server says that events tell.
struct Schemas {
    known: BTreeMap<String, (jsonschema::Validator, BTreeSet<String>)>,
}

impl Schemas {
    async fn of(client: &Client) -> Self {
        let list = client.get("/event-types").await.expect(200)["eventTypes"].take();
        let mut known = BTreeMap::new();
        for listed in list.as_array().unwrap() {
            let name = listed["type"].as_str().unwrap();
            let one = client.get(&format!("/event-types/{name}")).await.expect(200)["eventType"].take();
            assert_eq!(one, *listed);
            let fields = one["schema"]["properties"].as_object().unwrap().keys().cloned().collect();
            known.insert(name.to_owned(), (jsonschema::validator_for(&one["schema"]).unwrap(), fields));
        }
        Self { known }
    }

    fn types(&self) -> impl Iterator<Item = &str> {
        self.known.keys().map(String::as_str)
    }

    /// Sees that an event tells what its type's schema says, and nothing that it does not say.
    #[track_caller]
    fn check(&self, event: &Value) {
        assert!(event["id"].as_str().unwrap().starts_with("evt_") && event["timestamp"].is_string(), "{event:#}");
        let (validator, fields) = &self.known[event["type"].as_str().unwrap()];
        let wrong: Vec<String> = validator.iter_errors(&event["data"]).map(|error| error.to_string()).collect();
        assert!(wrong.is_empty(), "{wrong:?}: {event:#}");
        for (name, value) in event["data"].as_object().unwrap() {
            assert!(fields.contains(name), "`{name}` stands in no schema: {event:#}");
            // What an agent or a run answers may be null.
            assert!(!value.is_null() || name == "output", "`{name}` is null and not absent: {event:#}");
        }
    }

    /// The same of several, none of which is told twice.
    #[track_caller]
    fn check_all(&self, events: &[Value]) {
        let ids: BTreeSet<&str> = events.iter().map(|event| event["id"].as_str().unwrap()).collect();
        assert_eq!(ids.len(), events.len());
        events.iter().for_each(|event| self.check(event));
    }
}

/// A step that answers at once.
fn set(id: &str) -> Value {
    json!({ "type": "set", "id": id, "vars": { id: "1" } })
}

fn wait(id: &str, event: &str) -> Value {
    json!({ "type": "wait", "id": id, "event": event })
}

fn approval(id: &str) -> Value {
    json!({ "type": "approval", "id": id, "message": "Go?", "approvers": ["admin"] })
}
