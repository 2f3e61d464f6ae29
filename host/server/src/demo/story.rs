//! What the demo shows: agents are registered, two workflows created and run, and each step told as it ends.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};

use super::client::Client;
use super::plugins::Plugins;
use super::{DemoError, terminal};

/// The same files that the README's commands send.
const PIPELINE: &str = include_str!("../../../../examples/workflows/content-pipeline.json");
/// Calls plugins.
const DESK: &str = include_str!("../../../../examples/workflows/content-desk.json");
const TOPIC: &str = "the armillary sphere";
const POLL: Duration = Duration::from_millis(50);

pub(super) async fn tell(client: &Client, plugins: &mut Plugins, agents_at: SocketAddr) -> Result<(), DemoError> {
    register_agents(client, agents_at).await?;
    run(client, &parsed(PIPELINE)?).await?;
    let desk = parsed(DESK)?;
    plugins.wait_for(client, &desk["definition"]).await?;
    tell_tools(client).await?;
    run(client, &desk).await
}

fn parsed(text: &str) -> Result<Value, DemoError> {
    serde_json::from_str(text).map_err(|_| DemoError::Unexpected("an example workflow".to_owned()))
}

async fn register_agents(client: &Client, agents_at: SocketAddr) -> Result<(), DemoError> {
    for agent in armilla_example_agents::AGENTS {
        let config = json!({
            "id": agent.id,
            "displayName": agent.about,
            "protocol": "openai",
            "endpoint": format!("http://{agents_at}{}", agent.path),
            "model": { "modelId": "example" },
        });
        client.put_or_post("/agents", agent.id, &config).await?;
    }
    let names: Vec<_> = armilla_example_agents::AGENTS.iter().map(|agent| agent.id).collect();
    terminal::line(&format!("  Agents over HTTP at http://{agents_at}: {}.", names.join(", ")));
    Ok(())
}

async fn tell_tools(client: &Client) -> Result<(), DemoError> {
    let tools = client.get("/tools").await?;
    let names: Vec<_> =
        tools["tools"].as_array().into_iter().flatten().filter_map(|tool| tool["name"].as_str()).collect();
    terminal::line(&format!("\n  Tools as WebAssembly components: {}.", names.join(", ")));
    Ok(())
}

async fn run(client: &Client, workflow: &Value) -> Result<(), DemoError> {
    let name = workflow["name"].as_str().unwrap_or_default();
    terminal::heading(&format!("{name}: {}", workflow["description"].as_str().unwrap_or_default()));
    let created = client.post("/workflows", workflow).await?;
    let id = text(&created["workflow"]["id"], "POST /workflows")?;
    let input = json!({ "input": { "topic": TOPIC } });
    let started = client.post(&format!("/workflows/{id}/run?wait=0"), &input).await?;
    let run_id = text(&started["run"]["id"], "POST /workflows/:id/run")?;

    let run = watch(client, run_id).await?;
    let status = run["status"].as_str().unwrap_or_default().to_owned();
    terminal::line("\n  The run's answer:");
    terminal::json(&run);
    let url = client.url();
    terminal::line(&format!(
        "\n  Workflow  {url}/workflows/{id}\n  Run       {url}/runs/{run_id}\n  Steps     {url}/runs/{run_id}/steps"
    ));
    if status == "success" {
        Ok(())
    } else {
        Err(DemoError::Run { workflow: name.to_owned(), status, detail: run["error"].to_string() })
    }
}

/// Tells each attempt as soon as it has ended, and gives the run when it has.
async fn watch(client: &Client, run_id: &str) -> Result<Value, DemoError> {
    let mut told = Vec::new();
    loop {
        // The run first: when it has ended, so have all the steps that are read after it.
        let run = client.get(&format!("/runs/{run_id}")).await?["run"].take();
        let steps = client.get(&format!("/runs/{run_id}/steps")).await?;
        for record in steps["steps"].as_array().into_iter().flatten() {
            let key = format!("{}{}{}", record["scope"], record["stepId"], json!([record["visit"], record["attempt"]]));
            if record["status"] != "running" && !told.contains(&key) {
                terminal::step(record);
                told.push(key);
            }
        }
        if !matches!(run["status"].as_str(), Some("queued" | "running")) {
            return Ok(run);
        }
        tokio::time::sleep(POLL).await;
    }
}

fn text<'a>(value: &'a Value, place: &str) -> Result<&'a str, DemoError> {
    value.as_str().ok_or_else(|| DemoError::Unexpected(place.to_owned()))
}
