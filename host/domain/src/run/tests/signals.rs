//! A wait for an event takes a signal.

use std::sync::Arc;

use super::*;
use crate::journal::Signal;

fn listen(id: &str, more: Value) -> Value {
    with(json!({ "type": "wait", "id": id, "event": "paid", "outputVar": format!("{id}_out") }), more)
}

fn listening(more: Value) -> Bench {
    Bench::start(json!({ "steps": [listen("hear", more), told("after", "{{ hear_out }}")] }), json!({ "order": 7 }))
}

#[test]
fn a_signal_ends_the_wait_with_its_payload() {
    let mut bench = listening(json!({}));
    assert_eq!((bench.open(), bench.state.next_wake()), (vec![], None));
    bench.signal("paid", json!({ "sum": 3 }));
    assert_eq!(bench.told(), [r#"{"sum":3}"#]);
    assert_eq!(bench.state.signals_waiting(), 0);
}

#[test]
fn a_signal_that_comes_before_the_wait_is_kept_for_it() {
    let definition = json!({ "steps": [agent("before"), listen("hear", json!({})), told("after", "{{ hear_out }}")] });
    let mut bench = Bench::start(definition, json!({}));
    bench.signal("paid", json!(1));
    bench.signal("paid", json!(2));
    assert_eq!(bench.state.signals_waiting(), 2);
    bench.answer("before", Ok(json!("")));
    assert_eq!((bench.told(), bench.state.signals_waiting()), (vec!["1".to_owned()], 1));
}

#[test]
fn a_signal_of_another_name_is_left() {
    let mut bench = listening(json!({}));
    bench.signal("refunded", json!(1));
    assert_eq!((bench.open(), bench.state.signals_waiting()), (vec![], 1));
    bench.signal("paid", json!(2));
    assert_eq!((bench.told(), bench.state.signals_waiting()), (vec!["2".to_owned()], 1));
}

#[test]
fn only_a_signal_that_matches_is_taken() {
    let mut bench = listening(json!({ "match": "event.order == input.order" }));
    bench.signal("paid", json!({ "order": 1 }));
    bench.signal("paid", json!("nothing to see"));
    assert_eq!((bench.open(), bench.state.signals_waiting()), (vec![], 2));
    bench.signal("paid", json!({ "order": 7 }));
    assert_eq!((bench.told(), bench.state.signals_waiting()), (vec![r#"{"order":7}"#.to_owned()], 2));
}

#[test]
fn a_run_that_keeps_as_many_signals_as_it_may_fails_at_the_next() {
    let mut bench = Bench::start(json!({ "steps": [agent("a")] }), json!({}));
    for _ in 0..SIGNALS_KEPT_MAX {
        let signal = Signal {
            number: bench.state.signals_received + 1,
            name: "x".into(),
            payload: Arc::default(),
            by: "b".into(),
        };
        bench.state.apply(&Event::SignalReceived { signal });
    }
    let message = Message::Signal { name: "x".into(), payload: Arc::default(), by: "b".into() };
    let event = bench.state.receive(message, facts().started_at, 0.0);
    assert!(matches!(event, Some(Event::RunFailed { error }) if error.code == "run.too_many_events"));
}

#[test]
fn a_match_that_cannot_be_judged_fails_the_wait() {
    let mut bench = listening(json!({ "match": "nobody == event" }));
    assert_eq!(bench.status(), RunStatus::Running);
    bench.signal("paid", json!(1));
    assert_eq!(bench.code(), "expr.unknown_variable");
}

#[test]
fn two_waits_take_two_signals() {
    let definition = json!({ "steps": [
        { "type": "parallel", "id": "both", "steps": [listen("a", json!({})), listen("b", json!({}))] },
        told("after", "{{ a_out }} {{ b_out }}"),
    ] });
    let mut bench = Bench::start(definition, json!({}));
    bench.signal("paid", json!(1));
    assert_eq!(bench.state.signals_waiting(), 0);
    assert_eq!(bench.open(), [""; 0]);
    bench.signal("paid", json!(2));
    assert_eq!(bench.told(), ["1 2"]);
}

#[test]
fn waits_for_different_signals_each_take_their_own_in_any_order() {
    let wants = |id: &str, n: u32| listen(id, json!({ "match": format!("event.n == {n}") }));
    let definition = json!({ "steps": [
        { "type": "parallel", "id": "both", "steps": [wants("a", 1), wants("b", 2)] },
        told("after", "{{ a_out.n }} {{ b_out.n }}"),
    ] });
    let mut bench = Bench::start(definition, json!({}));
    bench.signal("paid", json!({ "n": 2 }));
    bench.signal("paid", json!({ "n": 1 }));
    assert_eq!(bench.told(), ["1 2"]);
}

#[test]
fn one_wait_in_a_loop_takes_one_signal_after_the_other() {
    let body = json!([listen("hear", json!({})), { "type": "set", "id": "add", "vars": { "sum": "sum + hear_out" } }]);
    let definition = json!({ "steps": [
        { "type": "loop", "id": "again", "until": "sum > 5", "maxIterations": 9, "steps": body },
        told("after", "{{ sum }}"),
    ] });
    let mut bench = Bench::start(definition, json!({ "sum": 0 }));
    for n in [1, 2, 3] {
        bench.signal("paid", json!(n));
    }
    assert_eq!(bench.told(), ["6"]);
}

#[test]
fn a_signal_that_does_not_come_in_time_fails_the_wait() {
    let mut bench = listening(json!({ "timeout": "1m" }));
    bench.pass(59 * SECOND);
    assert_eq!(bench.status(), RunStatus::Running);
    bench.pass(SECOND);
    assert_eq!((bench.code(), bench.status()), ("wait.timeout", RunStatus::Failed));
}

#[test]
fn a_wait_that_may_fail_goes_on_with_null() {
    let mut bench = listening(json!({ "timeout": "1m", "onError": "continue" }));
    bench.pass(60 * SECOND);
    assert_eq!(bench.told(), ["null"]);
    bench.signal("paid", json!(1));
    assert_eq!(bench.state.signals_waiting(), 1);
}

#[test]
fn a_signal_after_the_end_means_nothing() {
    let mut bench = Bench::start(json!({ "steps": [{ "type": "set", "id": "s", "vars": {} }] }), json!({}));
    assert_eq!(bench.status(), RunStatus::Success);
    assert!(!bench.signal("paid", json!(1)));
}
