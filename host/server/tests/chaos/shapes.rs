//! The workflows of a campaign, and what each must give.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::history::Expected;

/// Ids of workflows, by name.
pub(crate) type Ids = BTreeMap<&'static str, String>;

/// One kind of workflow.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    /// Its definition, given the ids of those before it.
    pub(crate) definition: fn(ids: &Ids) -> Value,
    /// What a run gives that began with `{ "n": n }`; `None` for one that only others start.
    pub(crate) expected: Option<fn(n: i64) -> Expected>,
    /// Whether its runs are asked for with an idempotency key, again and again; once where not.
    pub(crate) has_key: bool,
    /// The most that go on at once.
    pub(crate) limit: Option<usize>,
}

/// Runs of the limited workflow that go on at once.
const LIMIT: usize = 2;

/// Those that others start come first.
pub(crate) const SHAPES: [Shape; 16] = [
    shape("child", child, None),
    shape("sleeper", sleeper, None),
    shape("healing", healing, None),
    Shape { has_key: false, ..shape("mixed", mixed, Some(|n| Expected::Success(mixed_output(n)))) },
    shape("each", each, Some(|n| Expected::Success(json!({ "sum": 6 * n + 6, "last": 6 })))),
    shape("kept", kept, Some(|n| Expected::Success(json!({ "read": n, "asked": 2 * n })))),
    Shape { has_key: false, ..shape("timer", timer, Some(|n| Expected::Success(json!({ "asked": 2 * n })))) },
    shape("signal", signal, Some(|n| Expected::Success(json!({ "first": n + 1, "second": n + 2 })))),
    shape("approval", approval, Some(|n| Expected::Success(json!({ "shipped": n })))),
    shape("parent", parent, Some(|n| Expected::Success(json!({ "sum": 4 * n + 2 })))),
    Shape { limit: Some(LIMIT), ..shape("limited", limited, Some(|n| Expected::Success(json!({ "asked": 2 * n })))) },
    shape("fails", fails, Some(|_| Expected::Failed("chaos.meant"))),
    shape("orphans", orphans, Some(|_| Expected::Failed("chaos.meant"))),
    shape("cancelled", cancelled, Some(|_| Expected::Cancelled)),
    shape("retried", retried, Some(|n| Expected::Success(json!({ "sum": 4 * n + 2 })))),
    shape("paused", paused, Some(|n| Expected::Success(json!({ "asked": 2 * n })))),
];

const fn shape(name: &'static str, definition: fn(&Ids) -> Value, expected: Option<fn(i64) -> Expected>) -> Shape {
    Shape { name, definition, expected, has_key: true, limit: None }
}

/// An agent step that goes on asking.
fn ask(id: &str, of: &str) -> Value {
    json!({ "type": "agent", "id": id, "agentId": "fake", "message": format!("double {{{{ {of} }}}}"), "outputVar": id,
        "retry": patience() })
}

fn patience() -> Value {
    json!({ "maxAttempts": 100, "initialDelay": "50ms", "maxDelay": "400ms" })
}

fn set(id: &str, name: &str, expression: &str) -> Value {
    json!({ "type": "set", "id": id, "vars": { name: expression } })
}

fn tool(id: &str, name: &str, params: Value) -> Value {
    json!({ "type": "tool", "id": id, "toolName": name, "params": params, "outputVar": id, "retry": patience() })
}

fn mixed(_: &Ids) -> Value {
    json!({ "steps": [
        set("prepare", "twice", "n * 2"),
        { "type": "parallel", "id": "both", "steps": [
            ask("left", "n"),
            [ask("right", "twice"), tool("words", "text.word_count", json!({ "text": "{{ right.value }} of three" }))],
        ] },
        { "type": "condition", "id": "check", "expr": "left.value > 100",
            "then": [set("large", "size", "'large'")], "else": [set("small", "size", "'small'")] },
        { "type": "switch", "id": "pick", "default": [set("two", "rest", "2")], "cases": [
            { "when": "n % 3 == 0", "then": [set("zero", "rest", "0")] },
            { "when": "n % 3 == 1", "then": [set("one", "rest", "1")] },
        ] },
        tool("tripled", "jq", json!({ "filter": ".n * 3", "input": { "n": "{{ n }}" } })),
        { "type": "return", "id": "done", "output": { "left": "left.value", "right": "right.value", "size": "size",
            "rest": "rest", "words": "words.words", "tripled": "tripled.first" } },
    ] })
}

fn mixed_output(n: i64) -> Value {
    let size = if 2 * n > 100 { "large" } else { "small" };
    json!({ "left": 2 * n, "right": 4 * n, "size": size, "rest": n % 3, "words": 3, "tripled": 3 * n })
}

fn each(_: &Ids) -> Value {
    json!({ "steps": [
        { "type": "forEach", "id": "all", "items": "[n, n + 1, n + 2]", "maxConcurrency": 2, "outputVar": "got",
            "steps": [ask("one", "item")] },
        { "type": "loop", "id": "again", "until": "iteration >= 3", "maxIterations": 10, "steps": [ask("pass", "iteration")] },
    ], "output": { "sum": "got[0].value + got[1].value + got[2].value", "last": "pass.value" } })
}

fn kept(_: &Ids) -> Value {
    json!({ "steps": [
        tool("put", "kv.put", json!({ "namespace": "chaos", "key": "k{{ n }}", "value": "{{ n }}" })),
        ask("asked", "n"),
        tool("read", "kv.get", json!({ "namespace": "chaos", "key": "k{{ n }}" })),
    ], "output": { "read": "read.value", "asked": "asked.value" } })
}

fn timer(_: &Ids) -> Value {
    json!({ "steps": [
        { "type": "wait", "id": "short", "duration": "300ms" },
        ask("asked", "n"),
        { "type": "wait", "id": "long", "duration": "3s" },
    ], "output": { "asked": "asked.value" } })
}

fn signal(_: &Ids) -> Value {
    let part = |id: &str, part: u32| json!({ "type": "wait", "id": id, "event": "go", "match": format!("event.part == {part}"), "outputVar": id });
    json!({ "steps": [part("first", 1), ask("asked", "n"), part("second", 2)],
        "output": { "first": "first.value", "second": "second.value" } })
}

fn approval(_: &Ids) -> Value {
    json!({ "steps": [
        { "type": "approval", "id": "decide", "message": "Ship {{ n }}?", "outputVar": "decision" },
        { "type": "condition", "id": "check", "expr": "decision.approved", "then": [set("yes", "shipped", "n")],
            "else": [set("no", "shipped", "0")] },
    ], "output": { "shipped": "shipped" } })
}

fn child(_: &Ids) -> Value {
    json!({ "steps": [
        { "type": "condition", "id": "asks", "expr": "n % 2 == 0", "then": [ask("asked", "n"),
            { "type": "wait", "id": "rest", "duration": "200ms" }] },
        set("double", "twice", "n * 2"),
    ], "output": { "twice": "twice" } })
}

fn start(id: &str, workflow: &str, of: &str) -> Value {
    json!({ "type": "workflow", "id": id, "workflowId": workflow, "input": { "n": format!("{{{{ {of} }}}}") }, "outputVar": id })
}

fn parent(ids: &Ids) -> Value {
    let both = [start("one", &ids["child"], "n"), start("other", &ids["child"], "n + 1")];
    json!({ "steps": [{ "type": "parallel", "id": "both", "steps": both }], "output": { "sum": "one.twice + other.twice" } })
}

/// Fails once, for good.
fn healing(_: &Ids) -> Value {
    let heal = json!({ "type": "agent", "id": "heal", "agentId": "fake", "message": "heal {{ n }}", "outputVar": "heal",
        "retry": patience() });
    json!({ "steps": [heal], "output": { "twice": "heal.value" } })
}

/// Fails with one of its children, while the other is told to end; then somebody lets all of them go on.
fn retried(ids: &Ids) -> Value {
    let both = [start("one", &ids["healing"], "n"), start("other", &ids["child"], "n + 1")];
    json!({ "steps": [{ "type": "parallel", "id": "both", "steps": both }], "output": { "sum": "one.twice + other.twice" } })
}

fn limited(_: &Ids) -> Value {
    json!({ "concurrency": { "max": LIMIT }, "steps": [
        ask("asked", "n"), { "type": "wait", "id": "rest", "duration": "50ms" },
    ], "output": { "asked": "asked.value" } })
}

fn fails(_: &Ids) -> Value {
    json!({ "steps": [
        { "type": "agent", "id": "hopeless", "agentId": "broken", "message": "fail", "onError": "continue",
            "retry": { "maxAttempts": 3, "initialDelay": "50ms", "maxDelay": "1s" } },
        { "type": "fail", "id": "end", "code": "chaos.meant", "message": "as it should" },
    ] })
}

fn sleeper(_: &Ids) -> Value {
    json!({ "steps": [{ "type": "wait", "id": "sleep", "duration": "1h" }] })
}

fn orphans(ids: &Ids) -> Value {
    json!({ "steps": [{ "type": "parallel", "id": "both", "steps": [
        { "type": "workflow", "id": "child", "workflowId": ids["sleeper"], "input": {} },
        [ask("asked", "n"), { "type": "fail", "id": "end", "code": "chaos.meant", "message": "as it should" }],
    ] }] })
}

fn cancelled(_: &Ids) -> Value {
    json!({ "steps": [ask("asked", "n"), { "type": "wait", "id": "ever", "event": "never" }] })
}

fn paused(_: &Ids) -> Value {
    json!({ "steps": [ask("a", "n"), ask("b", "n"), { "type": "wait", "id": "rest", "duration": "500ms" }, ask("c", "n")],
        "output": { "asked": "c.value" } })
}
