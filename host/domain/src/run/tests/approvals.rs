//! An approval waits for somebody's decision.

use super::*;

fn ask(more: Value) -> Value {
    with(json!({ "type": "approval", "id": "ask", "message": "Ship {{ input.what }}?", "outputVar": "decided" }), more)
}

fn asking(more: Value) -> Bench {
    let definition = json!({ "steps": [ask(more), told("after", "{{ decided.approved }} {{ decided.by }}")] });
    Bench::start(definition, json!({ "what": "it" }))
}

#[test]
fn an_open_approval_says_what_is_asked_whom_and_until_when() {
    let bench = asking(json!({ "approvers": ["owner", "admin"], "timeout": "24h" }));
    let open = bench.state.approvals().remove(0);
    assert_eq!((open.message.as_str(), open.approvers), ("Ship it?", vec!["admin".to_owned(), "owner".to_owned()]));
    assert_eq!(open.expires_at, Some(facts().started_at + 86_400 * SECOND));
    assert_eq!(asking(json!({})).state.approvals()[0].expires_at, None);
}

#[test]
fn a_decision_is_the_result() {
    let mut bench = asking(json!({}));
    let visit = bench.state.approvals()[0].visit.clone();
    bench.now += 5 * SECOND;
    let note = Some("looks good".to_owned());
    assert!(bench.receive(Message::Decision { visit, approved: true, by: "ann".into(), note }));
    let at = "2023-11-14T22:13:25.000Z";
    assert_eq!(bench.var("decided"), json!({ "approved": true, "by": "ann", "note": "looks good", "at": at }));
    let mut bench = asking(json!({}));
    bench.decision("ask", false);
    assert_eq!(bench.told(), ["false someone"]);
}

#[test]
fn a_decision_of_a_closed_approval_means_nothing() {
    let mut bench = asking(json!({}));
    let visit = bench.state.approvals()[0].visit.clone();
    bench.decision("ask", true);
    let again = Message::Decision { visit: visit.clone(), approved: false, by: "bob".into(), note: None };
    assert!(!bench.receive(again.clone()));
    assert!(!bench.receive(Message::Decision {
        visit: Visit { number: 9, ..visit },
        approved: true,
        by: "bob".into(),
        note: None,
    }));
    bench.cancel();
    assert!(!bench.receive(again));
}

#[test]
fn a_decision_about_a_step_that_asks_nothing_means_nothing() {
    let mut bench = Bench::start(json!({ "steps": [agent("a")] }), json!({}));
    let visit = bench.call("a").visit;
    assert!(!bench.receive(Message::Decision { visit, approved: true, by: "bob".into(), note: None }));
}

#[test]
fn silence_is_acted_upon_a_second_after_the_timeout_so_that_a_decision_in_time_has_arrived() {
    let mut bench = asking(json!({ "timeout": "1m" }));
    assert_eq!(bench.state.next_wake(), Some(facts().started_at + 61 * SECOND));
    bench.pass(60 * SECOND);
    assert_eq!(bench.state.approvals().len(), 1);
    bench.decision("ask", true);
    assert_eq!(bench.told(), ["true someone"]);
}

#[test]
fn silence_denies_approves_or_fails() {
    let after = |on_timeout: Option<&str>| {
        let mut more = json!({ "timeout": "1m" });
        if let Some(on_timeout) = on_timeout {
            more["onTimeout"] = json!(on_timeout);
        }
        let mut bench = asking(more);
        bench.pass(61 * SECOND);
        bench
    };
    let at = "2023-11-14T22:14:20.000Z";
    for (on_timeout, approved) in [(None, false), (Some("deny"), false), (Some("approve"), true)] {
        let bench = after(on_timeout);
        let decided = json!({ "approved": approved, "by": null, "note": "nobody decided in time", "at": at });
        assert_eq!(bench.var("decided"), decided, "{on_timeout:?}");
    }
    let bench = after(Some("fail"));
    assert_eq!((bench.code(), bench.state.approvals().len()), ("approval.timeout", 0));
}

#[test]
fn an_approval_inside_a_for_each_inside_a_parallel_resumes_only_itself() {
    let each = json!({ "type": "forEach", "id": "each", "items": "[1, 2, 3]", "maxConcurrency": 3, "steps": [
        with(ask(json!({})), json!({ "message": "{{ item }}?" })),
        told("then", "{{ item }} {{ decided.approved }}"),
    ] });
    let definition = json!({ "steps": [{ "type": "parallel", "id": "p", "steps": [each, agent("other")] }] });
    let mut bench = Bench::start(definition, json!({}));
    let asked =
        |bench: &Bench| -> Vec<String> { bench.state.approvals().into_iter().map(|open| open.message).collect() };
    assert_eq!(asked(&bench), ["1?", "2?", "3?"]);
    let second = bench.state.approvals().remove(1).visit;
    let before = bench.journal.len();
    bench.receive(Message::Decision { visit: second, approved: true, by: "ann".into(), note: None });
    assert_eq!(asked(&bench), ["1?", "3?"]);
    assert_eq!(bench.open(), ["then", "other"]);
    assert_eq!(bench.told()[0], "2 true");
    assert_eq!(bench.journal.len(), before + 2, "its end, and the beginning of the next step");
}
