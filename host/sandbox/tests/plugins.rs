//! The plugins that are shipped, through the sandbox.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

mod common;

use armilla_domain::call::ErrorClass;
use armilla_sandbox::{CheckError, ExpressionFault, Limits};
use common::{context, sandbox_of, shipped};
use serde_json::json;

#[tokio::test]
async fn every_shipped_tool_is_pure_and_described_in_full() {
    let sandbox = shipped().await;
    let names: Vec<String> = sandbox.tools().into_iter().map(|tool| tool.name).collect();
    assert_eq!(
        names,
        ["jq", "text.extract", "text.replace", "text.split", "text.slugify", "text.word_count", "text.plain"]
    );
    for tool in sandbox.tools() {
        assert!(tool.pure && tool.hints.read_only && !tool.hints.open_world, "{}", tool.name);
        assert!(!tool.title.is_empty() && tool.description.len() > 40, "{}", tool.name);
        assert_eq!(tool.digest.len(), 64);
        for (name, property) in tool.input_schema["properties"].as_object().unwrap() {
            assert!(property["description"].is_string() && property["title"].is_string(), "{} {name}", tool.name);
        }
    }
    assert_eq!(sandbox.evaluators(), ["cel"]);
    assert_eq!(sandbox.tool("jq").unwrap().plugin, "jq");
    assert!(sandbox.tool("nonesuch").is_none());
}

#[tokio::test]
async fn jq_filters_json_and_says_who_answered() {
    let sandbox = shipped().await;
    let params = json!({ "filter": "[.[] | select(. >= $min)]", "input": [1, 2, 3], "args": { "min": 2 } });
    let answer = sandbox.call_tool(None, "jq", &params, &context("a")).await.unwrap();
    assert_eq!(answer.value, json!({ "results": [[2, 3]], "first": [2, 3], "truncated": false }));
    assert_eq!((answer.answerer.kind.as_ref(), answer.answerer.name.as_str()), ("plugin", "jq"));
    assert_eq!(answer.answerer.digest, sandbox.tool("jq").unwrap().digest);
}

#[tokio::test]
async fn jq_tells_a_bad_program_from_a_failing_one() {
    let sandbox = shipped().await;
    let bad = sandbox.call_tool(None, "jq", &json!({ "filter": ".a | (" }), &context("a")).await.unwrap_err();
    assert_eq!(bad.code, "tool.invalid_input");
    assert!(bad.message.contains("at byte"), "{bad}");
    let failing = json!({ "filter": ".a", "input": 1 });
    let failing = sandbox.call_tool(None, "jq", &failing, &context("a")).await.unwrap_err();
    assert_eq!((failing.code.as_ref(), failing.class), ("tool.failed", ErrorClass::Permanent));
}

#[tokio::test]
async fn every_text_tool_answers_its_own_example() {
    let sandbox = shipped().await;
    for tool in sandbox.tools().into_iter().filter(|tool| tool.plugin == "text") {
        let example = &tool.input_schema["examples"][0];
        let answer = sandbox.call_tool(Some("text"), &tool.name, example, &context("a")).await.unwrap();
        assert_eq!(answer.value, tool.output_schema.unwrap()["examples"][0], "{}", tool.name);
    }
}

#[tokio::test]
async fn an_unknown_tool_and_one_of_another_plugin_are_refused() {
    let sandbox = shipped().await;
    for (plugin, tool) in [(None, "nonesuch"), (Some("text"), "jq"), (Some("nonesuch"), "jq")] {
        let error = sandbox.call_tool(plugin, tool, &json!({}), &context("a")).await.unwrap_err();
        assert_eq!((error.code.as_ref(), error.class), ("tool.unknown", ErrorClass::Permanent));
    }
}

#[tokio::test]
async fn an_input_against_the_schema_is_refused_with_a_pointer_for_each_fault() {
    let sandbox = shipped().await;
    let params = json!({ "filter": 1, "limit": 0, "colour": "red" });
    let error = sandbox.call_tool(None, "jq", &params, &context("a")).await.unwrap_err();
    assert_eq!((error.code.as_ref(), error.class), ("tool.invalid_input", ErrorClass::Permanent));
    assert!(error.message.contains("/filter: ") && error.message.contains("/limit: "), "{error}");
}

#[tokio::test]
async fn an_input_over_the_limit_is_refused() {
    let sandbox = shipped().await;
    let params = json!({ "text": "x".repeat(armilla_sandbox::INPUT_BYTES_MAX) });
    let error = sandbox.call_tool(None, "text.plain", &params, &context("a")).await.unwrap_err();
    assert_eq!(error.code, "tool.input_too_large");
}

#[tokio::test]
async fn cel_judges_a_condition_over_the_runs_variables() {
    let sandbox = shipped().await;
    let variables = json!({ "feedback": { "approved": true, "score": 7 } });
    for (expression, outcome) in [("feedback.approved && feedback.score > 5", true), ("feedback.score > 8", false)] {
        let answer = sandbox.evaluate("cel", expression, &variables, &context("a")).await.unwrap();
        assert_eq!((answer.value, answer.answerer.name.as_str()), (outcome, "cel"), "{expression}");
    }
}

#[tokio::test]
async fn cel_tells_a_wrong_type_a_bad_expression_and_a_failure_apart() {
    let sandbox = shipped().await;
    for (expression, code) in [("1 + 1", "expr.type"), ("1 +", "expr.invalid"), ("nope == 1", "expr.failed")] {
        let error = sandbox.evaluate("cel", expression, &json!({}), &context("a")).await.unwrap_err();
        assert_eq!((error.code.as_ref(), error.class), (code, ErrorClass::Permanent), "{expression}");
    }
    let error = sandbox.evaluate("nonesuch", "true", &json!({}), &context("a")).await.unwrap_err();
    assert_eq!(error.code, "expr.unknown_evaluator");
}

#[tokio::test]
async fn cel_checks_an_expression_without_variables() {
    let sandbox = shipped().await;
    assert_eq!(sandbox.check_expression("cel", "a.b > 1 && c in d").await, Ok(()));
    let Err(CheckError::Fault(ExpressionFault { message, offset })) = sandbox.check_expression("cel", "a && (b").await
    else {
        panic!("it was accepted")
    };
    assert_eq!(offset, 7, "{message}");
    assert!(matches!(sandbox.check_expression("nonesuch", "a").await, Err(CheckError::Call(_))));
}

#[tokio::test]
async fn the_same_call_gives_the_same_bytes_on_another_host() {
    let params = json!({ "filter": "to_entries | group_by(.value) | tojson", "input": { "z": 1, "a": 2, "m": 1 } });
    let one = shipped().await.call_tool(None, "jq", &params, &context("a")).await.unwrap();
    let another = sandbox_of("plugins", Limits::default()).await;
    let another = another.call_tool(None, "jq", &params, &context("a")).await.unwrap();
    assert_eq!(one.value.to_string(), another.value.to_string());
}
