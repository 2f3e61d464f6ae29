//! Versions of workflows, on a real Postgres.

#![allow(clippy::unwrap_used)]

use armilla_domain::id::{WorkflowId, WorkspaceId};
use armilla_store::{NewDefinition, NewWorkflow, Revised, Revision, Store, WORKFLOW_VERSIONS_MAX};
use armilla_testkit::db::TestDatabase;
use sqlx::{Connection, PgConnection};

const WORKSPACE: WorkspaceId = WorkspaceId::DEFAULT;

fn revision(workflow: WorkflowId, definition: Option<&str>) -> Revision<'_> {
    let definition = definition.map(|definition| NewDefinition { definition, warnings: "[]", restored_from: None });
    let (name, description, expected) = (Some("renamed"), None, None);
    Revision { workflow, workspace: WORKSPACE, name, description, definition, expected, by: "ada" }
}

#[tokio::test]
async fn a_workflow_has_a_bounded_number_of_versions_and_can_still_be_renamed_at_the_last() {
    let database = TestDatabase::create().await;
    let store = Store::new(database.connect_options());
    let id = WorkflowId::from_parts(1_700_000_000_000, [1; 10]);
    let (name, description, definition, warnings, by) = ("w", None, "{}", "[]", "ada");
    store
        .create_workflow(NewWorkflow { id, workspace: WORKSPACE, name, description, definition, warnings, by })
        .await
        .unwrap();
    // As if all but one had been made.
    let mut connection = PgConnection::connect_with(&database.connect_options()).await.unwrap();
    let nearly = sqlx::query("update workflows set version = $1").bind(WORKFLOW_VERSIONS_MAX - 1);
    nearly.execute(&mut connection).await.unwrap();

    let Some(Revised::Done(row)) = store.revise_workflow(&revision(id, Some("[1]"))).await.unwrap() else { panic!() };
    assert_eq!((row.version, row.is_new), (WORKFLOW_VERSIONS_MAX, true));
    assert_eq!(store.revise_workflow(&revision(id, Some("[2]"))).await.unwrap(), Some(Revised::TooMany));
    for definition in [None, Some("[1]")] {
        let Some(Revised::Done(row)) = store.revise_workflow(&revision(id, definition)).await.unwrap() else {
            panic!()
        };
        assert_eq!((row.name.as_str(), row.version, row.is_new), ("renamed", WORKFLOW_VERSIONS_MAX, false));
    }
}
