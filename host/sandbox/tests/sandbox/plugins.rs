//! The plugins that are shipped, through the sandbox.

use armilla_domain::call::ErrorClass;
use armilla_sandbox::{CheckError, ExpressionFault};
use serde_json::{Value, json};

use crate::common::{bench, context, shipped};

#[tokio::test]
async fn every_shipped_tool_is_described_in_full() {
    let bench = bench().await;
    let names: Vec<&str> = bench.plugins.keys().map(String::as_str).filter(|name| *name != "hostile").collect();
    assert_eq!(names, shipped().keys().collect::<Vec<_>>(), "a file has its plugin's name");
    for (plugin, tool) in bench.tools().filter(|(plugin, _)| plugin.description().name != "hostile") {
        let description = plugin.description();
        let pure = description.needs.is_empty();
        assert!(!pure || tool.hints.read_only && !tool.hints.open_world, "{}", tool.name);
        assert!(!tool.title.is_empty() && tool.description.len() > 30, "{}", tool.name);
        assert_eq!(plugin.digest().len(), 64);
        let properties = tool.input_schema["properties"].as_object().unwrap();
        for (name, property) in properties {
            assert!(property["description"].is_string(), "{} {name}", tool.name);
        }
    }
    let evaluators = bench.plugins.values().filter(|plugin| plugin.description().evaluator);
    assert_eq!(evaluators.map(|plugin| plugin.description().name.as_str()).collect::<Vec<_>>(), ["cel", "jsonlogic"]);
}

#[tokio::test]
async fn what_a_plugin_imports_shows_what_it_can_ask_for() {
    let bench = bench().await;
    let ours = |name: &str| -> Vec<&str> {
        let imports = bench.plugins[name].description().imports.iter();
        imports.filter_map(|import| import.strip_prefix("armilla:plugin/")).collect()
    };
    for pure in ["cel", "csv", "html", "jq", "jsonlogic", "text"] {
        assert!(ours(pure).iter().all(|import| *import == "log@0.1.0"), "{pure}: {:?}", ours(pure));
    }
    for needed in ["log@0.1.0", "config@0.1.0", "secrets@0.1.0", "http@0.1.0", "kv@0.1.0"] {
        assert!(ours("hostile").contains(&needed), "{needed}");
    }
}

#[tokio::test]
async fn jq_filters_json_and_says_who_answered() {
    let bench = bench().await;
    let params = json!({ "filter": "[.[] | select(. >= $min)]", "input": [1, 2, 3], "args": { "min": 2 } });
    let answer = bench.without_grant().call("jq", params).await.result.unwrap();
    assert_eq!(answer.value, json!({ "results": [[2, 3]], "first": [2, 3], "truncated": false }));
    assert_eq!((answer.answerer.kind.as_ref(), answer.answerer.name.as_str()), ("plugin", "jq"));
    assert_eq!(answer.answerer.digest, bench.plugins["jq"].digest());
}

#[tokio::test]
async fn jq_tells_a_bad_program_from_a_failing_one() {
    let caller = bench().await.without_grant();
    let bad = caller.call("jq", json!({ "filter": ".a | (" })).await.result.unwrap_err();
    assert_eq!(bad.code, "tool.invalid_input");
    assert!(bad.message.contains("at byte"), "{bad}");
    let failing = caller.call("jq", json!({ "filter": ".a", "input": 1 })).await.result.unwrap_err();
    assert_eq!((failing.code.as_ref(), failing.class), ("tool.failed", ErrorClass::Permanent));
}

#[tokio::test]
async fn every_text_tool_answers_its_own_example() {
    let bench = bench().await;
    for tool in &bench.plugins["text"].description().tools {
        let example = tool.input_schema["examples"][0].clone();
        let answer = bench.without_grant().answer(&tool.name, example).await;
        assert_eq!(answer, tool.output_schema.as_ref().unwrap()["examples"][0], "{}", tool.name);
    }
}

#[tokio::test]
async fn a_tool_that_the_plugin_does_not_have_is_refused() {
    let bench = bench().await;
    let access = bench.without_grant().access;
    for (plugin, tool) in [("jq", "nonesuch"), ("text", "jq"), ("cel", "cel")] {
        let plugin = &bench.plugins[plugin];
        let called = bench.sandbox.call_tool(plugin, tool, &json!({}), &context("a"), &access).await;
        let error = called.result.unwrap_err();
        assert_eq!((error.code.as_ref(), error.class), ("tool.unknown", ErrorClass::Permanent));
    }
}

#[tokio::test]
async fn an_input_against_the_schema_is_refused_with_a_pointer_for_each_fault() {
    let params = json!({ "filter": 1, "limit": 0, "colour": "red" });
    let error = bench().await.without_grant().call("jq", params).await.result.unwrap_err();
    assert_eq!((error.code.as_ref(), error.class), ("tool.invalid_input", ErrorClass::Permanent));
    assert!(error.message.contains("/filter: ") && error.message.contains("/limit: "), "{error}");
}

#[tokio::test]
async fn an_input_over_the_limit_is_refused() {
    let params = json!({ "text": "x".repeat(armilla_sandbox::INPUT_BYTES_MAX) });
    let error = bench().await.without_grant().call("text.plain", params).await.result.unwrap_err();
    assert_eq!(error.code, "tool.input_too_large");
}

#[tokio::test]
async fn cel_judges_a_condition_over_the_runs_variables() {
    let bench = bench().await;
    let (cel, access) = (&bench.plugins["cel"], bench.without_grant().access);
    let variables = json!({ "feedback": { "approved": true, "score": 7 } });
    for (expression, outcome) in [("feedback.approved && feedback.score > 5", true), ("feedback.score > 8", false)] {
        let answer = bench.sandbox.evaluate(cel, expression, &variables, &context("a"), &access).await.unwrap();
        assert_eq!((answer.value, answer.answerer.name.as_str()), (outcome, "cel"), "{expression}");
    }
}

#[tokio::test]
async fn cel_tells_a_wrong_type_a_bad_expression_and_a_failure_apart() {
    let bench = bench().await;
    let access = bench.without_grant().access;
    let error = |plugin: &'static str, expression: &'static str| {
        let (access, plugin) = (access.clone(), &bench.plugins[plugin]);
        let nothing: Value = json!({});
        async move { bench.sandbox.evaluate(plugin, expression, &nothing, &context("a"), &access).await.unwrap_err() }
    };
    for (expression, code) in [("1 + 1", "expr.type"), ("1 +", "expr.invalid"), ("nope == 1", "expr.failed")] {
        let error = error("cel", expression).await;
        assert_eq!((error.code.as_ref(), error.class), (code, ErrorClass::Permanent), "{expression}");
    }
    assert_eq!(error("text", "true").await.code, "expr.unknown_evaluator");
}

#[tokio::test]
async fn cel_checks_an_expression_without_variables() {
    let bench = bench().await;
    let access = bench.without_grant().access;
    let cel = &bench.plugins["cel"];
    assert_eq!(bench.sandbox.check_expression(cel, "a.b > 1 && c in d", &access).await, Ok(()));
    let checked = bench.sandbox.check_expression(cel, "a && (b", &access).await;
    let Err(CheckError::Fault(ExpressionFault { message, offset })) = checked else { panic!("it was accepted") };
    assert_eq!(offset, 7, "{message}");
    let checked = bench.sandbox.check_expression(&bench.plugins["jq"], "a", &access).await;
    assert!(matches!(checked, Err(CheckError::Call(_))));
}
