//! A wait lets time pass.

use super::*;

fn nap(more: Value) -> Value {
    with(json!({ "type": "wait", "id": "nap", "outputVar": "slept" }), more)
}

fn napping(more: Value, input: Value) -> Bench {
    Bench::start(json!({ "steps": [nap(more), agent("after")] }), input)
}

#[test]
fn a_duration_passes_and_the_wait_gives_null() {
    let mut bench = napping(json!({ "duration": "10m" }), json!({}));
    assert_eq!(bench.state.next_wake(), Some(facts().started_at + 600 * SECOND));
    assert_eq!(bench.entries("nap"), ["step.started"]);
    bench.pass(599 * SECOND);
    assert_eq!(bench.open(), [""; 0]);
    bench.pass(SECOND);
    assert_eq!(bench.open(), ["after"]);
    assert_eq!((bench.var("slept"), bench.state.next_wake()), (Value::Null, None));
    assert!(bench.state.variables().contains_key("slept"));
}

#[test]
fn a_timestamp_is_waited_for() {
    let mut bench = napping(json!({ "until": "2023-11-14T22:14:00Z" }), json!({}));
    assert_eq!(bench.state.next_wake(), Some(facts().started_at + 40 * SECOND));
    bench.pass(40 * SECOND);
    assert_eq!(bench.open(), ["after"]);
}

#[test]
fn both_may_be_templates() {
    let bench = napping(json!({ "duration": "{{ input.minutes }}m" }), json!({ "minutes": 2 }));
    assert_eq!(bench.state.next_wake(), Some(facts().started_at + 120 * SECOND));
    let bench = napping(json!({ "until": "{{ input.at }}" }), json!({ "at": "2023-11-15T00:14:00+02:00" }));
    assert_eq!(bench.state.next_wake(), Some(facts().started_at + 40 * SECOND));
}

#[test]
fn an_instant_that_has_passed_is_waited_for_no_more() {
    for wait in [json!({ "until": "2001-01-01T00:00:00Z" }), json!({ "duration": "0s" })] {
        let bench = napping(wait, json!({}));
        assert_eq!(bench.open(), ["after"]);
        assert_eq!(bench.entries("nap"), ["step.started", "step.succeeded"]);
    }
}

#[test]
fn what_is_no_duration_and_no_timestamp_fails_the_step() {
    for (key, text) in
        [("duration", "soon"), ("duration", "400d"), ("until", "tomorrow"), ("until", "2099-01-01T00:00:00Z")]
    {
        let bench = napping(json!({ key: "{{ input.text }}" }), json!({ "text": text }));
        assert_eq!((bench.code(), bench.status()), ("wait.invalid", RunStatus::Failed), "{key} {text}");
        assert!(bench.state.error().unwrap().message.contains(&format!("`{key}`")));
    }
}

#[test]
fn the_earliest_of_several_instants_wakes_the_run() {
    let sleep = |id: &str, time: &str| json!({ "type": "wait", "id": id, "duration": time });
    let definition = json!({ "steps": [
        { "type": "parallel", "id": "p", "steps": [sleep("long", "3m"), [sleep("short", "1m"), agent("a")]] },
    ] });
    let mut bench = Bench::start(definition, json!({}));
    assert_eq!(bench.state.next_wake(), Some(bench.now + 60 * SECOND));
    bench.pass(60 * SECOND);
    assert_eq!(bench.open(), ["a"]);
    assert_eq!(bench.state.next_wake(), Some(bench.now + 120 * SECOND));
    bench.pass(600 * SECOND);
    assert_eq!(bench.entries("long"), ["step.started", "step.succeeded"]);
}

#[test]
fn all_instants_that_have_passed_are_acted_upon_in_their_order() {
    let sleep = |id: &str, time: &str| json!({ "type": "wait", "id": id, "duration": time });
    let definition = json!({ "steps": [
        { "type": "parallel", "id": "p", "steps": [sleep("c", "3m"), sleep("a", "1m"), sleep("b", "2m")] },
    ] });
    let mut bench = Bench::start(definition, json!({}));
    bench.pass(3_600 * SECOND);
    let ended: Vec<_> = bench.journal.iter().filter(|event| event.kind() == "step.succeeded").collect();
    let ended: Vec<_> = ended.into_iter().map(|event| event.visit().unwrap().step.as_str()).collect();
    assert_eq!(ended, ["a", "b", "c", "p"]);
}
