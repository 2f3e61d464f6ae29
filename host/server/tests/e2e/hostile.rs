//! What a plugin does wrong ends its own step, with its own code, and the host goes on serving.

use serde_json::json;

use crate::harness::{TestServer, tool_step, with};

async fn ends_its_step_alone(tool: &str, code: &str) {
    let server = TestServer::with_plugins().await;
    let before = tool_step("before", "text.word_count", json!({ "text": "all is well" }));
    let run = server.admin.run_steps(json!([before, tool_step("bad", tool, json!({}))])).await;
    assert_eq!((&run["status"], &run["error"]["code"]), (&json!("failed"), &json!(code)), "{run:#}");
    assert_eq!((&run["error"]["stepId"], &run["error"]["attempts"]), (&json!("bad"), &json!(1)));
    let message = run["error"]["message"].as_str().unwrap();
    assert!(message.contains(&format!("`{tool}`")) && !message.contains('/'), "no path of the host: {message}");

    let steps = server.admin.steps(run["id"].as_str().unwrap()).await;
    assert_eq!((&steps[0]["stepId"], &steps[0]["status"]), (&json!("before"), &json!("success")));
    assert_eq!((&steps[1]["status"], &steps[1]["error"]["code"]), (&json!("failed"), &json!(code)));

    let after =
        server.admin.run_steps(json!([tool_step("slug", "text.slugify", json!({ "text": "Still here" }))])).await;
    assert_eq!(after["vars"]["slug"]["slug"], "still-here", "the same host runs an ordinary tool");
}

#[tokio::test]
async fn a_trap_ends_its_step_alone() {
    ends_its_step_alone("trap", "tool.trap").await;
}

#[tokio::test]
async fn an_endless_loop_ends_its_step_alone() {
    ends_its_step_alone("loop", "tool.deadline").await;
}

#[tokio::test]
async fn a_memory_bomb_ends_its_step_alone() {
    ends_its_step_alone("memory_bomb", "tool.memory_limit").await;
}

#[tokio::test]
async fn a_too_large_output_ends_its_step_alone() {
    ends_its_step_alone("huge_output", "tool.output_too_large").await;
}

#[tokio::test]
async fn an_output_that_is_not_json_ends_its_step_alone() {
    ends_its_step_alone("bad_json", "tool.bad_output").await;
}

#[tokio::test]
async fn a_bottomless_recursion_ends_its_step_alone() {
    ends_its_step_alone("stack_overflow", "tool.stack_overflow").await;
}

#[tokio::test]
async fn a_tool_that_sleeps_is_woken_by_its_steps_timeout() {
    let server = TestServer::with_plugins().await;
    let sleepy =
        with(tool_step("sleepy", "sleep", json!({})), json!({ "timeout": "50ms", "retry": { "maxAttempts": 1 } }));
    let run = server.admin.run_steps(json!([sleepy])).await;
    assert_eq!((&run["status"], &run["error"]["code"]), (&json!("failed"), &json!("tool.deadline")), "{run:#}");
}

#[tokio::test]
async fn a_trap_that_is_passed_over_keeps_its_code_for_the_steps_after_it() {
    let server = TestServer::with_plugins().await;
    let bad = with(tool_step("bad", "trap", json!({})), json!({ "onError": "continue" }));
    let after = tool_step("after", "text.slugify", json!({ "text": "{{ errors.bad.code }}" }));
    let run = server.admin.run_steps(json!([bad, after])).await;
    assert_eq!((&run["status"], &run["vars"]["after"]["slug"]), (&json!("success"), &json!("tool-trap")), "{run:#}");
    assert!(run["vars"]["bad"].is_null());
}

#[tokio::test]
async fn hostile_branches_do_not_keep_a_good_one_from_its_result() {
    let server = TestServer::with_plugins().await;
    let steps = json!([{ "type": "parallel", "id": "all", "onFailure": "waitAll", "onError": "continue", "steps": [
        tool_step("a", "trap", json!({})),
        tool_step("b", "memory_bomb", json!({})),
        tool_step("good", "text.slugify", json!({ "text": "Good" })),
    ] }]);
    let run = server.admin.run_steps(steps).await;
    assert_eq!((&run["status"], &run["vars"]["good"]["slug"]), (&json!("success"), &json!("good")), "{run:#}");
    let steps = server.admin.steps(run["id"].as_str().unwrap()).await;
    let code_of = |id: &str| &steps.iter().find(|step| step["stepId"] == id).unwrap()["error"]["code"];
    assert_eq!((code_of("a"), code_of("b")), (&json!("tool.trap"), &json!("tool.memory_limit")));
}
