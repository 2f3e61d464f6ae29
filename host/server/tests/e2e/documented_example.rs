//! The definition that the workflow language's documentation prints.

use armilla_testkit::agent::{Answer, ScriptedAgent};
use serde_json::{Value, json};

use crate::harness::{Client, TestServer, register_example_agents, root};

/// To the letter.
const DOCUMENTED: &str = r#"{ "steps": [
  { "type": "agent", "id": "research", "agentId": "research-agent", "message": "Research {{topic}}", "outputVar": "research_output" },
  { "type": "agent", "id": "draft", "agentId": "writer-agent", "message": "Write article using: {{research_output}}", "outputVar": "draft" },
  { "type": "agent", "id": "review", "agentId": "review-agent", "message": "Review: {{draft}}", "outputVar": "feedback" },
  { "type": "condition", "id": "check", "expr": "feedback.approved", "then": "publish", "else": "revise" },
  { "type": "agent", "id": "publish", "agentId": "ops-agent", "message": "Publish: {{draft}}" },
  { "type": "agent", "id": "revise", "agentId": "writer-agent", "message": "Revise using: {{feedback}}", "outputVar": "draft" }
] }"#;

fn documented() -> Value {
    serde_json::from_str(DOCUMENTED).unwrap()
}

fn ids_of(steps: &[Value]) -> Vec<&str> {
    steps.iter().map(|step| step["stepId"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_documented_definition_is_accepted_and_given_back_exactly_as_it_stands() {
    let server = TestServer::start().await;
    let body = json!({ "name": "Content pipeline", "description": "As documented.", "definition": documented() });
    let made = server.admin.post("/workflows", &body).await.expect(201);
    let workflow = &made["workflow"];
    assert_eq!(workflow["definition"].to_string(), documented().to_string(), "the order of keys included");
    assert_eq!((&workflow["name"], &workflow["description"]), (&json!("Content pipeline"), &json!("As documented.")));
    assert_eq!(workflow["version"], 1);
    // The agents are not there yet, which is worth a word and no fault.
    let warned: Vec<_> = workflow["warnings"].as_array().unwrap().iter().map(|fault| &fault["code"]).collect();
    assert_eq!(warned, [&json!("definition.unknown_name"); 5]);

    let read = server.admin.get(&format!("/workflows/{}", workflow["id"].as_str().unwrap())).await.expect(200);
    assert_eq!(read.to_string(), made.to_string());
}

#[tokio::test]
async fn the_shipped_example_is_the_documented_one() {
    let shipped = std::fs::read_to_string(root().join("examples/workflows/content-pipeline.json")).unwrap();
    let shipped: Value = serde_json::from_str(&shipped).unwrap();
    assert_eq!(shipped["definition"].to_string(), documented().to_string());
}

#[tokio::test]
async fn an_approved_article_is_published_and_not_revised() {
    let server = TestServer::start().await;
    register_example_agents(&server.admin).await;
    let workflow = server.admin.create(documented()).await;
    let run = server.admin.run(&workflow, json!({ "topic": "tidal power" })).await;

    assert_eq!((&run["status"], &run["error"]), (&json!("success"), &Value::Null));
    assert_eq!(run["input"], json!({ "topic": "tidal power" }));
    assert!(run["vars"]["research_output"].as_str().unwrap().starts_with("Notes on tidal power."));
    assert!(run["vars"]["draft"].as_str().unwrap().starts_with("# Tidal power\n"));
    assert_eq!(run["vars"]["feedback"]["approved"], true, "the reviewer's JSON is data");
    assert_eq!(run["vars"].as_object().unwrap().len(), 3, "the input is in `input`");

    let steps = server.admin.steps(run["id"].as_str().unwrap()).await;
    assert_eq!(ids_of(&steps), ["research", "draft", "review", "check", "publish"]);
    assert_eq!(steps[3]["output"], true);
    assert!(steps[4]["output"].as_str().unwrap().starts_with("Published as \"Tidal power\""));
}

#[tokio::test]
async fn an_article_that_is_not_approved_is_revised_and_not_published() {
    let server = TestServer::start().await;
    register_example_agents(&server.admin).await;
    let workflow = server.admin.create(documented()).await;
    let topic = format!("{} claims about tides", armilla_example_agents::MARKER);
    let run = server.admin.run(&workflow, json!({ "topic": topic })).await;

    assert_eq!(run["status"], "success");
    assert_eq!(run["vars"]["feedback"]["approved"], false);
    assert!(run["vars"]["draft"].as_str().unwrap().contains("This is the second version."), "{run:#}");

    let steps = server.admin.steps(run["id"].as_str().unwrap()).await;
    assert_eq!(ids_of(&steps), ["research", "draft", "review", "check", "revise"]);
    assert_eq!(steps[3]["output"], false);
    let given = steps[4]["input"]["message"].as_str().unwrap();
    let feedback: Value = serde_json::from_str(given.strip_prefix("Revise using: ").unwrap()).unwrap();
    assert_eq!(feedback, run["vars"]["feedback"], "a value that is not text is written into a template as JSON");
}

#[tokio::test]
async fn each_agent_is_told_what_the_one_before_it_answered() {
    let server = TestServer::start().await;
    let agent = ScriptedAgent::start().await;
    for id in ["research-agent", "writer-agent", "review-agent", "ops-agent"] {
        server.admin.register_as(id, &agent).await;
    }
    agent.answers("notes");
    agent.answers("an article");
    agent.answers(Answer::text("```json\n{ \"approved\": true }\n```"));
    let workflow = server.admin.create(documented()).await;
    let run = server.admin.run(&workflow, json!({ "topic": "tides" })).await;

    let vars = json!({ "research_output": "notes", "draft": "an article", "feedback": { "approved": true } });
    assert_eq!(run["vars"], vars);
    let told: Vec<_> = agent.calls().iter().map(|call| call.message().to_owned()).collect();
    assert_eq!(told, ["Research tides", "Write article using: notes", "Review: an article", "Publish: an article"]);
}

#[tokio::test]
async fn every_shipped_workflow_is_accepted_without_a_warning() {
    let server = TestServer::with_plugins().await;
    register_example_agents(&server.admin).await;
    let files: Vec<_> = std::fs::read_dir(root().join("examples/workflows")).unwrap().map(Result::unwrap).collect();
    assert!(files.len() >= 2, "{files:?}");
    for file in files {
        accepted(&server.admin, &std::fs::read_to_string(file.path()).unwrap()).await;
    }
}

async fn accepted(client: &Client, file: &str) {
    let body: Value = serde_json::from_str(file).unwrap();
    let made = client.post("/workflows", &body).await.expect(201);
    assert_eq!(made["workflow"]["warnings"], json!([]), "{}", made["workflow"]["name"]);
}
