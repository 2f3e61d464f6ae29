//! Prompts, on a real Postgres: bounds that no caller waits for, and what becomes of agents that are older than their prompts' versions.

#![allow(clippy::unwrap_used)]

use std::collections::HashMap;

use armilla_domain::id::{PromptTemplateId, WorkspaceId};
use armilla_store::{
    MadePromptVersion, NewPromptTemplate, NewPromptVersion, PROMPT_TEMPLATE_VERSIONS_MAX, PROMPT_VERSIONS_MAX,
    PromptTemplateChange, ReplacedAgent, RevisedPromptTemplate, Store,
};
use armilla_testkit::db::TestDatabase;
use sqlx::{Connection, PgConnection};

const WORKSPACE: WorkspaceId = WorkspaceId::DEFAULT;
const CONFIG: &str = r#"{"id":"a","protocol":"http","endpoint":"http://h","systemPromptTemplate":"One."}"#;

async fn connect(database: &TestDatabase) -> PgConnection {
    PgConnection::connect_with(&database.connect_options()).await.unwrap()
}

fn version<'a>(system_prompt: &'a str, hash: &'a str, restored_from: Option<i32>) -> NewPromptVersion<'a> {
    let (model, label, message) = (None, None, None);
    NewPromptVersion {
        workspace: WORKSPACE,
        agent: "a",
        system_prompt,
        model,
        hash,
        label,
        message,
        restored_from,
        by: "ada",
    }
}

#[tokio::test]
async fn a_prompt_has_a_bounded_number_of_versions_however_they_are_made() {
    let database = TestDatabase::create().await;
    let store = Store::new(database.connect_options());
    store.create_agent(WORKSPACE, "a", CONFIG, Some("One."), "ada").await.unwrap().unwrap();
    // As if all but one had been made.
    let nearly = sqlx::query("update prompt_versions set version = $1").bind(PROMPT_VERSIONS_MAX - 1);
    nearly.execute(&mut connect(&database).await).await.unwrap();

    let made = store.make_prompt_version(version("Two.", "2", None)).await.unwrap();
    assert_eq!(made, Some(MadePromptVersion::New(PROMPT_VERSIONS_MAX)));
    for restored_from in [None, Some(1)] {
        let made = store.make_prompt_version(version("Three.", "3", restored_from)).await.unwrap();
        assert_eq!(made, Some(MadePromptVersion::TooMany));
    }
    let made = store.make_prompt_version(version("Two.", "2", None)).await.unwrap();
    assert_eq!(made, Some(MadePromptVersion::Same(PROMPT_VERSIONS_MAX)));

    let replaced = store.replace_agent(WORKSPACE, "a", CONFIG, Some("Three."), "ada", None).await.unwrap().unwrap();
    assert!(matches!(replaced, ReplacedAgent::TooManyPrompts));
    let kept = store.agent(WORKSPACE, "a").await.unwrap().unwrap();
    assert_eq!((kept.version, kept.newest_prompt.as_deref()), (1, Some("Two.")), "nothing was changed");
    let replaced = store.replace_agent(WORKSPACE, "a", CONFIG, Some("Two."), "ada", None).await.unwrap().unwrap();
    assert!(matches!(replaced, ReplacedAgent::Done(agent) if agent.version == 2));
}

#[tokio::test]
async fn a_template_has_a_bounded_number_of_versions() {
    let database = TestDatabase::create().await;
    let store = Store::new(database.connect_options());
    let id = PromptTemplateId::from_parts(1, [1; 10]);
    let content = |template| PromptTemplateChange { template, variables: "[]", included: &[], pinned: &[], by: "ada" };
    let new = NewPromptTemplate { id, workspace: WORKSPACE, name: "t", category: None, content: content("one") };
    assert!(store.create_prompt_template(new).await.unwrap());
    let mut connection = connect(&database).await;
    for statement in ["update prompt_templates set version = $1", "update prompt_template_versions set version = $1"] {
        sqlx::query(statement).bind(PROMPT_TEMPLATE_VERSIONS_MAX - 1).execute(&mut connection).await.unwrap();
    }
    let revise =
        async |template| store.revise_prompt_template(WORKSPACE, id, None, content(template)).await.unwrap().unwrap();
    let last = RevisedPromptTemplate::Done(PROMPT_TEMPLATE_VERSIONS_MAX);
    assert_eq!(revise("two").await, last);
    assert_eq!(revise("three").await, RevisedPromptTemplate::TooMany);
    assert_eq!(revise("two").await, last);
}

#[tokio::test]
async fn agents_that_are_older_than_versions_have_their_template_as_the_first() {
    let database = TestDatabase::create().await;
    let store = Store::new(database.connect_options());
    for (id, config) in [
        ("a", CONFIG),
        ("none", r#"{"id":"none","protocol":"http","endpoint":"http://h"}"#),
        (
            "zero",
            r#"{"id":"zero","protocol":"http","endpoint":"http://h","systemPromptTemplate":"a\u0000b","promptLabel":"x"}"#,
        ),
    ] {
        store.create_agent(WORKSPACE, id, config, None, "ada").await.unwrap().unwrap();
    }
    // The schema as it was before, and the migration once more.
    let undo = "drop table prompt_metrics, prompt_overrides, prompt_label_moves, prompt_labels, prompt_versions,
        prompt_template_versions, prompt_templates";
    let mut connection = connect(&database).await;
    sqlx::raw_sql(undo).execute(&mut connection).await.unwrap();
    sqlx::raw_sql(include_str!("../../../migrations/0014_prompts.sql")).execute(&mut connection).await.unwrap();

    let mut found = HashMap::new();
    for id in ["a", "none", "zero"] {
        let agent = store.agent_for_call(WORKSPACE, id).await.unwrap().unwrap();
        found.insert(id, agent.prompt.map(|prompt| (prompt.version, prompt.system_prompt, prompt.hash)));
    }
    // As `printf One. | sha256sum` says.
    let hash = "70277bfc409b502132d7a48b2a3b386294264b31f7bf024a5fb0cafabb8ac122";
    assert_eq!(found["a"], Some((1, "One.".to_owned(), hash.to_owned())));
    assert_eq!((&found["none"], &found["zero"]), (&None, &None));
    let author = store.prompt_version(WORKSPACE, "a", 1).await.unwrap().unwrap().author;
    assert_eq!(author, None, "nobody knows any more");
}
