//! Prompts, on a real Postgres: bounds that no caller waits for, and what becomes of agents that are older than their prompts' versions.

#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use armilla_domain::event::EventType;
use armilla_domain::id::{EventId, PromptOverrideId, PromptTemplateId, WorkspaceId};
use armilla_store::{
    ConfigPrompt, MadePromptVersion, NewEvent, NewPromptOverride, NewPromptTemplate, NewPromptVersion,
    PROMPT_TEMPLATE_VERSIONS_MAX, PROMPT_VERSIONS_MAX, PromptTemplateChange, ReplacedAgent, RevisedPromptTemplate,
    Store,
};
use armilla_testkit::db::TestDatabase;
use sqlx::{Connection, PgConnection};
use tokio::task::JoinSet;

const WORKSPACE: WorkspaceId = WorkspaceId::DEFAULT;
const CONFIG: &str = r#"{"id":"a","protocol":"http","endpoint":"http://h","systemPromptTemplate":"One."}"#;

/// Something else to tell each time.
fn event() -> &'static NewEvent {
    static COUNT: AtomicU64 = AtomicU64::new(1);
    let id = EventId::from_parts(COUNT.fetch_add(1, Ordering::Relaxed), [1; 10]);
    Box::leak(Box::new(NewEvent { id, kind: EventType::PromptVersionCreated, data: "{}".to_owned(), depth: 0 }))
}

fn prompt(system_prompt: &str) -> Option<ConfigPrompt<'_>> {
    Some(ConfigPrompt { system_prompt, event: event() })
}

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
        event: event(),
        label_event: event(),
    }
}

#[tokio::test]
async fn a_prompt_has_a_bounded_number_of_versions_however_they_are_made() {
    let database = TestDatabase::create().await;
    let store = Store::new(database.connect_options());
    store.create_agent(WORKSPACE, "a", CONFIG, prompt("One."), "ada").await.unwrap().unwrap();
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

    let replaced = store.replace_agent(WORKSPACE, "a", CONFIG, prompt("Three."), "ada", None).await.unwrap().unwrap();
    assert!(matches!(replaced, ReplacedAgent::TooManyPrompts));
    let kept = store.agent(WORKSPACE, "a").await.unwrap().unwrap();
    assert_eq!((kept.version, kept.newest_prompt.as_deref()), (1, Some("Two.")), "nothing was changed");
    let replaced = store.replace_agent(WORKSPACE, "a", CONFIG, prompt("Two."), "ada", None).await.unwrap().unwrap();
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
    let undo = "drop function override_told;
        drop table prompt_metrics, prompt_overrides, prompt_label_moves, prompt_labels, prompt_versions,
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

#[tokio::test]
async fn the_end_of_an_override_is_told_once_whoever_ends_it_while_its_time_runs_out() {
    let database = TestDatabase::create().await;
    let store = Store::new(database.connect_options());
    let mut connection = connect(&database).await;
    for n in 0..10 {
        let agent = format!("a{n}");
        store.create_agent(WORKSPACE, &agent, CONFIG, prompt("One."), "ada").await.unwrap().unwrap();
        let over = NewPromptOverride {
            id: PromptOverrideId::from_parts(n, [1; 10]),
            workspace: WORKSPACE,
            agent: &agent,
            system_prompt: Some("Instead."),
            version: None,
            hash: "hash",
            ttl: Duration::from_millis(40),
            reason: None,
            share: None,
            runs: None,
            by: "ada",
            replaced_event: event(),
            event: event(),
        };
        assert!(store.set_prompt_override(&over).await.unwrap());
        let mut ending = JoinSet::new();
        for end in 0..4 {
            let (store, agent) = (store.clone(), agent.clone());
            let ended = NewEvent { kind: EventType::PromptOverrideEnded, ..event().clone() };
            ending.spawn(async move {
                // Around the end of its time, which the database judges.
                tokio::time::sleep(Duration::from_millis(34 + 2 * end)).await;
                if end % 2 == 0 {
                    store.end_prompt_override(WORKSPACE, &agent, "ada", &ended).await.unwrap();
                } else {
                    store.tell_of_ended_overrides(100).await.unwrap();
                }
            });
        }
        ending.join_all().await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    store.tell_of_ended_overrides(100).await.unwrap();
    assert_eq!(store.tell_of_ended_overrides(100).await.unwrap(), 0);
    let told = "select (data::jsonb ->> 'overrideId') from events where type = 'prompt.override_ended' order by 1";
    let told: Vec<String> = sqlx::query_scalar(told).fetch_all(&mut connection).await.unwrap();
    let expected: Vec<String> = (0..10).map(|n| PromptOverrideId::from_parts(n, [1; 10]).to_string()).collect();
    assert_eq!(told, expected);
}
