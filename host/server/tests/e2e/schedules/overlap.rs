//! What becomes of an occurrence while a run of the same schedule goes on.

use serde_json::json;

use super::World;
use crate::harness::until;

#[tokio::test]
async fn an_occurrence_is_skipped_while_a_run_goes_on() {
    let world = World::new().await;
    let workflow = world.slow().await;
    let id = world.schedule(&workflow, json!({ "catchUp": "30d" })).await;
    world.ago(&id, 2).await;
    assert_eq!(world.outcomes(&id, 3).await, ["started", "skipped", "skipped"]);
    let skipped = &world.occurrences(&id).await[0];
    assert!(skipped["detail"].as_str().unwrap().contains("an earlier occurrence"), "{skipped:#}");
    assert!(skipped["runId"].is_null(), "{skipped:#}");
    let runs = world.runs(&workflow).await;
    assert_eq!(runs.len(), 1);
    world.ago(&id, 0).await;
    assert_eq!(world.outcomes(&id, 4).await[3], "skipped");
    let skipped = &world.occurrences(&id).await[0];
    assert!(skipped["detail"].as_str().unwrap().contains("went on"), "{skipped:#}");

    world.approve(runs[0]["id"].as_str().unwrap()).await;
    world.ago(&id, 0).await;
    assert_eq!(world.outcomes(&id, 5).await[4], "started", "nothing goes on any more");
}

#[tokio::test]
async fn occurrences_in_a_queue_have_their_turns_one_after_another_oldest_first() {
    let world = World::new().await;
    let workflow = world.slow().await;
    let id = world.schedule(&workflow, json!({ "catchUp": "30d", "overlap": "queue" })).await;
    world.ago(&id, 2).await;
    assert_eq!(world.outcomes(&id, 3).await, ["started", "queued", "queued"]);
    assert_eq!(world.show(&id).await["queued"], 2);
    for turn in 0..3 {
        let run = until("the next turn", || async {
            let mut occurrences = world.occurrences(&id).await;
            occurrences.reverse();
            (occurrences[turn]["outcome"] == "started").then(|| occurrences[turn]["runId"].as_str().unwrap().to_owned())
        })
        .await;
        assert_eq!(world.runs(&workflow).await.len(), turn + 1);
        world.approve(&run).await;
    }
    assert_eq!(world.show(&id).await["queued"], 0);
}

#[tokio::test]
async fn a_later_occurrence_ends_the_run_of_the_one_before() {
    let world = World::new().await;
    let workflow = world.slow().await;
    let id = world.schedule(&workflow, json!({ "catchUp": "30d", "overlap": "cancelOther" })).await;
    world.ago(&id, 0).await;
    world.outcomes(&id, 1).await;
    let first = world.runs(&workflow).await[0]["id"].as_str().unwrap().to_owned();
    world.client.asked(&first, 1).await;
    world.ago(&id, 1).await;
    let outcomes = world.outcomes(&id, 3).await;
    assert_eq!(outcomes.last().unwrap(), "started");
    assert_eq!(world.client.ended(&first).await["status"], "cancelled");
    let last = world.show(&id).await["lastRunId"].as_str().unwrap().to_owned();
    assert_ne!(last, first);
    world.client.comes_to(&last, "waiting").await;
    assert_eq!(world.runs(&workflow).await.len(), 2, "what would have been ended at once was skipped");
}

#[tokio::test]
async fn runs_go_on_side_by_side_where_that_is_allowed() {
    let world = World::new().await;
    let workflow = world.slow().await;
    let id = world.schedule(&workflow, json!({ "catchUp": "30d", "overlap": "allow" })).await;
    world.ago(&id, 2).await;
    assert_eq!(world.outcomes(&id, 3).await, ["started"; 3]);
    for run in world.runs(&workflow).await {
        world.client.comes_to(run["id"].as_str().unwrap(), "waiting").await;
    }
}
