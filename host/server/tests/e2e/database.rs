//! A Postgres that goes away: requests are told so, nothing is lost, and all goes on when it is back.

use armilla_store::cluster::{Cluster, ClusterConfig, Durability};
use armilla_testkit::agent::{Answer, Gate, ScriptedAgent};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::harness::{ServerProcess, agent_step, cluster_folder, until};

async fn cluster(name: &str) -> Cluster {
    let config = ClusterConfig {
        data_dir: cluster_folder(name),
        postgres_bin: std::env::var_os("ARMILLA_POSTGRES_BIN").map(Into::into),
        durability: Durability::Disposable,
        extra_bin_dirs: Vec::new(),
    };
    Cluster::start(config).await.unwrap()
}

#[tokio::test]
async fn a_postgres_that_goes_away_in_the_middle_of_a_run_costs_nothing_but_time() {
    let (postgres, agent) = tokio::join!(cluster("away"), ScriptedAgent::start());
    let folder = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(folder.path(), Some(&postgres.database_url())).await;
    let client = server.client("admin").await;
    client.register(&agent).await;
    let gate = Gate::closed();
    agent.answers(Answer::text("alpha").behind(&gate));
    let definition = json!({ "steps": [agent_step("one", "First"), agent_step("two", "After {{one}}")] });
    let workflow = client.create(definition).await;
    let run = client.start(&workflow, json!({})).await;
    agent.called(1).await;
    client.without_token().get("/readyz").await.expect(200);

    postgres.stop().await;
    let empty = json!({});
    let (read, started, ready) = (format!("/runs/{run}"), format!("/workflows/{workflow}/run"), client.without_token());
    let (read, started, ready) = tokio::join!(client.get(&read), client.post(&started, &empty), ready.get("/readyz"));
    assert_eq!(read.header("retry-after"), "1");
    read.problem(503, "store.unavailable");
    started.problem(503, "store.unavailable");
    ready.problem(503, "server.not_ready");
    client.without_token().get("/healthz").await.expect(200);
    // The agent's answer comes while nobody can write it down.
    gate.open();

    let _postgres = cluster("away").await;
    let ended = until("the run's end", || async {
        let answer = client.get(&format!("/runs/{run}")).await;
        (answer.status == 200 && answer.body["run"]["status"] != "running").then_some(answer.body)
    })
    .await;
    assert_eq!(
        (&ended["run"]["status"], &ended["run"]["vars"]),
        (&json!("success"), &json!({ "one": "alpha", "two": "ok" }))
    );
    let messages: Vec<_> = agent.calls().iter().map(|call| call.message().to_owned()).collect();
    assert_eq!(messages, ["First", "After alpha"], "what the agent had answered was kept");
    client.without_token().get("/readyz").await.expect(200);
    let list = client.get(&format!("/workflows/{workflow}/runs")).await.expect(200);
    assert_eq!(list["runs"].as_array().unwrap().len(), 1, "the run that was answered with 503 was not begun");
}

#[tokio::test]
async fn the_private_cluster_is_brought_up_again_when_it_is_killed_and_the_run_goes_on() {
    let folder = cluster_folder("embedded");
    let (mut server, agent) = tokio::join!(ServerProcess::start(&folder, None), ScriptedAgent::start());
    let client = server.client("admin").await;
    client.register(&agent).await;
    let gate = Gate::closed();
    agent.answers(Answer::text("alpha").behind(&gate));
    let definition = json!({ "steps": [agent_step("one", "First"), agent_step("two", "After {{one}}")] });
    let workflow = client.create(definition).await;
    let run = client.start(&workflow, json!({})).await;
    agent.called(1).await;

    kill_process(postmaster_of(&server.log(), &folder), Signal::KILL).unwrap();
    // A request meanwhile is answered as ever, or told to come back.
    let meanwhile = client.get(&format!("/runs/{run}")).await;
    if meanwhile.status != 200 {
        meanwhile.problem(503, "store.unavailable");
    }
    gate.open();
    let ended = until("the run's end", || async {
        let answer = client.get(&format!("/runs/{run}")).await;
        (answer.status == 200 && answer.body["run"]["status"] != "running").then_some(answer.body)
    })
    .await;
    assert_eq!(ended["run"]["vars"], json!({ "one": "alpha", "two": "ok" }), "{ended:#}");
    assert_eq!(agent.calls().len(), 2);

    server.signal(Signal::TERM);
    assert_eq!(server.ended().await.code(), Some(0), "{}", server.log());
    assert!(server.log().contains("Stopped"));
}

/// The private cluster's first process, as its pid file names it.
fn postmaster_of(log: &str, folder: &std::path::Path) -> Pid {
    let file = std::fs::read_to_string(folder.join("postgres/data/postmaster.pid"));
    let file = file.unwrap_or_else(|error| panic!("no pid file: {error}\n{log}"));
    let pid = file.lines().next().and_then(|line| line.trim().parse().ok()).and_then(Pid::from_raw);
    pid.unwrap_or_else(|| panic!("no process id in {file:?}"))
}
