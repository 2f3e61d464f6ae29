//! Versions of workflows, on a real Postgres.

#![allow(clippy::unwrap_used)]

use armilla_domain::event::EventType;
use armilla_domain::id::{EventId, WorkflowId, WorkspaceId};
use armilla_store::{NewDefinition, NewEvent, NewWorkflow, Revised, Revision, Store, WORKFLOW_VERSIONS_MAX};
use armilla_testkit::db::TestDatabase;
use sqlx::{Connection, PgConnection};

const WORKSPACE: WorkspaceId = WorkspaceId::DEFAULT;

fn revision(workflow: WorkflowId, definition: Option<&str>) -> Revision<'_> {
    let definition =
        definition.map(|definition| NewDefinition { definition, warnings: "[]", restored_from: None, on_events: None });
    let (name, description, expected) = (Some("renamed"), None, None);
    Revision { workflow, workspace: WORKSPACE, name, description, definition, expected, by: "ada" }
}

fn event_id(n: u8) -> EventId {
    EventId::from_parts(1_700_000_000_000, [n; 10])
}

#[tokio::test]
async fn a_workflow_has_a_bounded_number_of_versions_and_can_still_be_renamed_at_the_last() {
    let database = TestDatabase::create().await;
    let store = Store::new(database.connect_options());
    let id = WorkflowId::from_parts(1_700_000_000_000, [1; 10]);
    let (name, description, definition, warnings, by) = ("w", None, "{}", "[]", "ada");
    let on_events = None;
    let new = NewWorkflow { id, workspace: WORKSPACE, name, description, definition, warnings, on_events, by };
    let data = "{}".to_owned();
    let event = NewEvent { id: event_id(0), kind: EventType::WorkflowCreated, data, depth: 0 };
    store.create_workflow(new, &event).await.unwrap();
    // As if all but one had been made.
    let mut connection = PgConnection::connect_with(&database.connect_options()).await.unwrap();
    let nearly = sqlx::query("update workflows set version = $1").bind(WORKFLOW_VERSIONS_MAX - 1);
    nearly.execute(&mut connection).await.unwrap();

    let Some(Revised::Done(row)) = store.revise_workflow(&revision(id, Some("[1]")), event_id(1)).await.unwrap() else {
        panic!()
    };
    assert_eq!((row.version, row.is_new), (WORKFLOW_VERSIONS_MAX, true));
    assert_eq!(store.revise_workflow(&revision(id, Some("[2]")), event_id(2)).await.unwrap(), Some(Revised::TooMany));
    for (n, definition) in [(3, None), (4, Some("[1]"))] {
        let Some(Revised::Done(row)) = store.revise_workflow(&revision(id, definition), event_id(n)).await.unwrap()
        else {
            panic!()
        };
        assert_eq!((row.name.as_str(), row.version, row.is_new), ("renamed", WORKFLOW_VERSIONS_MAX, false));
    }
}
