//! A plugin without grants is a function of its input, the run and the visit: the same bytes on every host.

use std::collections::BTreeMap;

use armilla_sandbox::SandboxConfig;
use serde_json::{Value, json};

use crate::common::{Bench, bench, config, context, hostile, shipped};

/// An input for every shipped tool that needs nothing, or no more than a clock that may as well stand.
fn inputs() -> BTreeMap<&'static str, Value> {
    let page = "<main><h1>Title</h1><p>A <a href='/b'>link</a>.</p><ul><li>x<li>y</ul></main>";
    BTreeMap::from([
        (
            "jq",
            json!({
                "filter": "to_entries | group_by(.value) | map({(.[0].key): length, t: (1e300 * 3.3 | tostring)}) | ., tojson",
                "input": { "z": 1, "a": 2.5, "m": 1, "nested": { "b": [1, 0.1, 1e-7], "a": null } },
            }),
        ),
        (
            "text.extract",
            json!({ "text": "Released 2026-03-01, again 2027-04.", "pattern": "(?<year>\\d{4})-(\\d{2})" }),
        ),
        (
            "text.plain",
            json!({ "text": "# Head\n\n*a* [b](c) `d`\n\n- one\n- two\n\n| a | b |\n|---|---|\n| 1 | 2 |" }),
        ),
        ("text.replace", json!({ "text": "a-b-c", "pattern": "(\\w)-", "replacement": "$1+" })),
        ("text.slugify", json!({ "text": "Größe & Höhe: 北京 – déjà vu" })),
        ("text.split", json!({ "text": "red, green,, blue", "separator": ",", "trim": true, "omitEmpty": true })),
        ("text.word_count", json!({ "text": "seven words in a line of text" })),
        ("csv.parse", json!({ "text": "name,n,when\na,1,\nb,2.50,true\n\"c \"\"d\"\"\",,x\n" })),
        ("csv.write", json!({ "rows": [{ "a": 1, "b": "x,y" }, { "b": "=1+1", "c": null, "a": 0.1 }] })),
        ("html.to_markdown", json!({ "html": page })),
        ("html.links", json!({ "html": page, "baseUrl": "https://example.com/a/" })),
        ("html.select", json!({ "html": page, "selector": "li, a" })),
        ("time.now", json!({ "zone": "Europe/Berlin" })),
        ("time.parse", json!({ "text": "July 2, 2026 07:30", "zone": "Asia/Tokyo" })),
        ("time.format", json!({ "time": "2026-07-02T07:30:00+09:00", "format": "%A, %d %B %Y %H:%M %Z" })),
        ("time.add", json!({ "time": "2026-01-31", "duration": "1 month 3h" })),
        ("time.diff", json!({ "from": "2026-01-31", "to": "2027-03-01T12:00:00Z" })),
    ])
}

/// The same expression in the language of each shipped evaluator; what it says of the variables is true.
fn expressions() -> BTreeMap<&'static str, String> {
    let logic = json!({ "and": [{ ">": [{ "var": "score" }, 0.3] }, { "in": ["b", { "var": "tags" }] }] });
    BTreeMap::from([("cel", "score > 0.3 && 'b' in tags".to_owned()), ("jsonlogic", logic.to_string())])
}

/// Without a cache: machine code is made once more, which takes an engine built for development some seconds.
fn another_host() -> SandboxConfig {
    SandboxConfig { code_cache: None, calls_at_once: 3, memory_bytes_total: 1 << 30, egress: None, ..config() }
}

#[tokio::test]
async fn every_shipped_tool_without_grants_gives_the_same_bytes_on_another_host() {
    let one = bench().await;
    let other = Bench::of(another_host(), shipped().into_values()).await;
    let (inputs, expressions) = (inputs(), expressions());
    let mut called = 0;
    for (plugin, tool) in other.tools() {
        let needs = &plugin.description().needs;
        let reaches = [&needs.http_hosts, &needs.secrets, &needs.config_keys, &needs.kv];
        if reaches.iter().any(|names| !names.is_empty()) {
            continue;
        }
        let name = tool.name.as_str();
        let input = inputs.get(name).unwrap_or_else(|| panic!("the shipped tool `{name}` has no input in this test"));
        let answer = one.without_grant().answer(name, input.clone()).await.to_string();
        for (bench, again) in [(one, 1), (&other, 1), (&other, 2)] {
            let another = bench.without_grant().answer(name, input.clone()).await.to_string();
            assert_eq!(answer, another, "{name}, {again}");
        }
        called += 1;
    }
    assert_eq!(called, inputs.len(), "an input of this test belongs to no tool");

    let variables = json!({ "score": 0.1 + 0.2, "tags": ["a", "b"] });
    for plugin in other.plugins.values().filter(|plugin| plugin.description().evaluator) {
        let name = plugin.description().name.as_str();
        let expression =
            expressions.get(name).unwrap_or_else(|| panic!("the evaluator `{name}` has no expression here"));
        for bench in [one, &other] {
            let access = bench.without_grant().access;
            let plugin = &bench.plugins[name];
            let judged = bench.sandbox.evaluate(plugin, expression, &variables, &context("a"), &access).await;
            assert!(judged.unwrap().value, "{name}");
        }
    }
}

#[tokio::test]
async fn time_stands_at_the_runs_start_and_chance_comes_from_the_run() {
    let one = bench().await;
    let other = Bench::of(config(), [hostile()]).await;
    let first = one.without_grant().answer("probe", json!({})).await;
    assert_eq!(first["unix_millis"], json!(context("a").run_started_at.timestamp_millis()));
    assert_eq!(first["elapsed_nanos"], json!(0));
    let again = other.without_grant().answer("probe", json!({})).await;
    assert_eq!(first.to_string(), again.to_string(), "the same call on another host");

    let chance = |context| async move {
        one.without_grant().call_in("probe", json!({}), &context).await.result.unwrap().value["chance"].clone()
    };
    assert_ne!(first["chance"], chance(context("b")).await, "another step");
    let mut later = context("a");
    later.visit = 2;
    assert_ne!(first["chance"], chance(later.clone()).await, "another visit");
    later.visit = 1;
    later.attempt = 2;
    assert_eq!(first["chance"], chance(later).await, "another attempt is the same visit");
}

#[tokio::test]
async fn a_kept_result_is_used_only_where_the_grant_says_so() {
    let bench = bench().await;
    let chance = |caller: &crate::common::Caller<'static>, step: &'static str, input: Value| {
        let caller = caller.clone();
        async move {
            let called = caller.call_in("probe", input, &context(step)).await;
            called.result.unwrap().value["chance"].as_str().unwrap().to_owned()
        }
    };
    let plain = bench.without_grant();
    assert_ne!(chance(&plain, "a", json!({})).await, chance(&plain, "b", json!({})).await);

    let keeping = bench.grant(json!({ "cacheResults": true }));
    let kept = chance(&keeping, "a", json!({})).await;
    assert_eq!(kept, chance(&keeping, "b", json!({})).await, "another step would have another chance");
    assert_ne!(kept, chance(&keeping, "b", json!({ "other": "input" })).await);
    assert_ne!(kept, chance(&plain, "b", json!({})).await, "a grant that does not say so does not use it");

    // A result that is kept must not stand in where the plugin may touch something.
    let mut impure = plain.clone();
    let mut grant = armilla_domain::plugin::Grant::clone(&keeping.access.grant);
    grant.clock = true;
    impure.access.grant = grant.into();
    assert_ne!(chance(&impure, "c", json!({})).await, kept);
}
