//! A check that cannot fail checks nothing: each is given a history that is wrong in one thing.

use serde_json::json;

use super::*;
use crate::history::{Accepted, Approval, Call, Entry, Receipt, Run, SentSignal, Trouble};

fn entry(seq: i32, at: Micros, kind: &str, step: &str, body: Value) -> Entry {
    let visit = (!step.is_empty()).then(|| (String::new(), step.to_owned(), 1));
    Entry { seq, at, kind: kind.to_owned(), visit, body }
}

fn run(workflow: &str, input: Value) -> Run {
    Run {
        workflow: workflow.to_owned(),
        status: "success".to_owned(),
        journal_len: 0,
        created_at: 0,
        finished_at: None,
        parent: None,
        output: Value::Null,
        error_code: None,
        input,
    }
}

fn insert(history: &mut History, id: &str, mut run: Run, journal: Vec<Entry>) {
    run.journal_len = journal.len() as i32;
    run.finished_at = journal.last().filter(|entry| entry.ends_the_run()).map(|entry| entry.at);
    history.runs.insert(id.to_owned(), run);
    history.journals.insert(id.to_owned(), journal);
}

fn call(at: Micros, attempt: u64) -> Call {
    Call { at, run: "run_a".to_owned(), step: "ask".to_owned(), visit: 1, attempt }
}

/// A history in which all is well: an agent that failed once, a timer, a signal, an approval, and a child.
fn good() -> History {
    let mut history = History { calm_since: 100 * SECOND, ..History::default() };
    let until = "1970-01-01T00:00:06.000Z";
    let journal = vec![
        entry(1, 0, "run.started", "", json!({})),
        entry(2, SECOND, "step.started", "ask", json!({})),
        entry(3, 2 * SECOND, "step.attempt_failed", "ask", json!({ "attempt": 1 })),
        entry(4, 4 * SECOND, "step.succeeded", "ask", json!({ "attempt": 2 })),
        entry(5, 4 * SECOND, "step.started", "rest", json!({ "input": { "until": until } })),
        entry(6, 7 * SECOND, "step.succeeded", "rest", json!({})),
        entry(7, 7 * SECOND, "step.started", "hear", json!({})),
        entry(8, 8 * SECOND, "signal.received", "", json!({ "number": 1, "payload": { "nonce": 7 } })),
        entry(9, 8 * SECOND, "step.succeeded", "hear", json!({ "signal": 1 })),
        entry(10, 8 * SECOND, "step.started", "decide", json!({})),
        entry(11, 9 * SECOND, "step.succeeded", "decide", json!({ "output": { "approved": true, "by": "ada" } })),
        entry(12, 10 * SECOND, "run.succeeded", "", json!({})),
    ];
    let parent = Run { output: json!(1), ..run("wf_a", json!({ "n": 1 })) };
    insert(&mut history, "run_a", parent, journal);
    let journal =
        vec![entry(1, SECOND, "step.skipped", "s", json!({})), entry(2, 2 * SECOND, "run.succeeded", "", json!({}))];
    insert(&mut history, "run_child", Run { parent: Some("run_a".to_owned()), ..run("wf_child", json!({})) }, journal);
    history.calls = vec![call(SECOND, 1), call(3 * SECOND, 2)];
    let expected = Expected::Success(json!(1));
    history.accepted = vec![Accepted { key: "k".to_owned(), run: "run_a".to_owned(), expected }];
    history.signals = vec![SentSignal { run: "run_a".to_owned(), nonce: 7, accepted: true }];
    let visit = (String::new(), "decide".to_owned(), 1);
    let (id, run) = ("apv_a".to_owned(), "run_a".to_owned());
    history.approvals = vec![Approval { id: id.clone(), run, visit, status: "approved".to_owned() }];
    history.decided = vec![id];
    history.limits.insert("wf_child".to_owned(), 1);
    history
}

/// The one fault of a history that was good before `spoil`.
#[track_caller]
fn spoilt(spoil: impl FnOnce(&mut History)) -> String {
    let mut history = good();
    spoil(&mut history);
    let found = faults(&history);
    assert_eq!(found.len(), 1, "{found:#?}");
    found.into_iter().next().unwrap()
}

fn journal(history: &mut History) -> &mut Vec<Entry> {
    history.journals.get_mut("run_a").unwrap()
}

#[test]
fn a_history_in_which_all_is_well_has_no_faults() {
    assert_eq!(faults(&good()), Vec::<String>::new());
}

#[test]
fn a_promised_run_that_is_not_there_is_found() {
    let fault = spoilt(|history| history.accepted[0].run = "run_gone".to_owned());
    assert!(fault.contains("run_gone was promised"), "{fault}");
}

#[test]
fn a_request_that_started_two_runs_is_found() {
    let fault = spoilt(|history| {
        let (again, entries) = (history.runs["run_a"].clone(), history.journals["run_a"].clone());
        insert(history, "run_b", again, entries);
    });
    assert!(fault.contains("started twice"), "{fault}");
    let fault = spoilt(|history| {
        let other = Accepted {
            run: "run_child".to_owned(),
            expected: Expected::Success(Value::Null),
            ..history.accepted[0].clone()
        };
        history.accepted.push(other);
    });
    assert!(fault.contains("answered with two runs"), "{fault}");
}

#[test]
fn a_run_that_is_stuck_is_found() {
    let fault = spoilt(|history| {
        let begun = vec![entry(1, 0, "run.started", "", json!({}))];
        insert(history, "run_stuck", run("wf_a", json!({ "n": 2 })), begun);
    });
    assert!(fault.contains("run_stuck"), "{fault}");
}

#[test]
fn a_gap_in_a_journal_is_found() {
    let fault = spoilt(|history| journal(history)[3].seq = 5);
    assert!(fault.starts_with("journals have no gaps"), "{fault}");
}

#[test]
fn a_row_that_says_something_else_than_its_journal_is_found() {
    let fault =
        spoilt(|history| history.journals.get_mut("run_child").unwrap()[1].kind = "loop.pass_started".to_owned());
    assert!(fault.starts_with("rows show"), "{fault}");
}

#[test]
fn an_entry_after_the_end_is_found() {
    let fault = spoilt(|history| {
        let last = entry(13, 11 * SECOND, "run.cancelled", "", json!({}));
        journal(history).push(last);
        history.runs.get_mut("run_a").unwrap().journal_len = 13;
    });
    assert!(fault.contains("goes on after its end"), "{fault}");
}

#[test]
fn a_visit_with_two_outcomes_is_found_unless_a_retry_stands_between_them() {
    let again = |seq| entry(seq, 9 * SECOND, "step.failed", "decide", json!({}));
    let fault = spoilt(|history| {
        journal(history).insert(11, again(12));
        journal(history)[12].seq = 13;
        history.runs.get_mut("run_a").unwrap().journal_len = 13;
    });
    assert!(fault.contains("two outcomes"), "{fault}");
}

#[test]
fn a_call_after_its_outcome_is_found_but_for_one_that_a_frozen_host_had_half_sent() {
    let fault = spoilt(|history| history.calls.push(call(5 * SECOND, 3)));
    assert!(fault.contains("after its outcome"), "{fault}");
    let fault = spoilt(|history| history.calls[0] = call(3 * SECOND, 1));
    assert!(fault.contains("attempt 1"), "a failed attempt is over too: {fault}");
    let mut history = good();
    history.troubles.push(Trouble { kind: TroubleKind::Freeze, run: None, from: 2 * SECOND, to: 5 * SECOND });
    history.calls.push(call(5 * SECOND + 10, 3));
    assert_eq!(faults(&history), Vec::<String>::new());
    history.calls.push(call(5 * SECOND + 20, 4));
    assert_eq!(faults(&history).len(), 1, "each freeze excuses one");
}

#[test]
fn a_call_that_was_made_again_is_found_unless_a_host_was_away() {
    let again = |history: &mut History| history.calls.push(call(SECOND + 500_000, 1));
    let fault = spoilt(again);
    assert!(fault.contains("made again"), "{fault}");
    let trouble = |kind| Trouble { kind, run: None, from: SECOND, to: 2 * SECOND };
    let mut history = good();
    again(&mut history);
    history.troubles.push(trouble(TroubleKind::Fast));
    assert_eq!(faults(&history).len(), 1, "a database that goes away repeats nothing");
    history.troubles.push(Trouble { run: Some("run_b".to_owned()), ..trouble(TroubleKind::LeaseLost) });
    assert_eq!(faults(&history).len(), 1, "the lease of another run is no reason");
    history.troubles.push(trouble(TroubleKind::Kill));
    assert_eq!(faults(&history), Vec::<String>::new());
}

#[test]
fn a_timer_that_fires_early_or_very_late_is_found() {
    let fault = spoilt(|history| journal(history)[5].at = 5 * SECOND);
    assert!(fault.contains("too early"), "{fault}");
    let fault = spoilt(|history| journal(history)[5].at = 121 * SECOND);
    assert!(fault.contains("late"), "{fault}");
}

#[test]
fn a_signal_that_was_lost_doubled_or_taken_twice_is_found() {
    let fault = spoilt(|history| history.signals.push(SentSignal { nonce: 8, ..history.signals[0].clone() }));
    assert!(fault.contains("arrived 0 times"), "{fault}");
    let fault = spoilt(|history| {
        journal(history)[9] = entry(10, 8 * SECOND, "signal.received", "", json!({ "payload": { "nonce": 7 } }));
        history.approvals.clear();
        history.decided.clear();
    });
    assert!(fault.contains("arrived 2 times"), "{fault}");
    let fault = spoilt(|history| journal(history)[10].body["signal"] = json!(1));
    assert!(fault.contains("taken twice"), "{fault}");
    let mut history = good();
    history.signals.push(SentSignal { nonce: 9, accepted: false, ..history.signals[0].clone() });
    assert_eq!(faults(&history), Vec::<String>::new(), "one that nobody promised may be lost");
}

#[test]
fn a_decision_that_was_lost_or_made_twice_is_found() {
    let fault = spoilt(|history| history.decided.push("apv_a".to_owned()));
    assert!(fault.contains("decided twice"), "{fault}");
    let fault = spoilt(|history| journal(history)[10].body["output"]["by"] = Value::Null);
    assert!(fault.contains("was approved, and its run knows"), "{fault}");
    let fault = spoilt(|history| {
        history.approvals[0].status = "open".to_owned();
        history.decided.clear();
    });
    assert!(fault.contains("is open"), "{fault}");
    let fault = spoilt(|history| history.approvals[0].status = "withdrawn".to_owned());
    assert!(fault.contains("is withdrawn"), "{fault}");
}

#[test]
fn a_child_that_outlives_its_parent_is_found() {
    let fault = spoilt(|history| {
        let journal = history.journals.get_mut("run_child").unwrap();
        journal[1].at = 200 * SECOND;
        history.runs.get_mut("run_child").unwrap().finished_at = Some(200 * SECOND);
    });
    assert!(fault.contains("outlived"), "{fault}");
    let mut history = good();
    let orphan = Run { parent: Some("run_a".to_owned()), ..run("wf_b", json!({})) };
    insert(&mut history, "run_orphan", orphan, vec![entry(1, 0, "run.started", "", json!({}))]);
    assert!(faults(&history).iter().any(|fault| fault.contains("its parent run_a has ended")));
}

#[test]
fn one_run_too_many_of_a_limited_workflow_is_found() {
    let fault = spoilt(|history| {
        let (mut other, mut entries) = (history.runs["run_child"].clone(), history.journals["run_child"].clone());
        other.input = json!({ "n": 2 });
        (entries[0].at, entries[1].at) = (SECOND + 1, 3 * SECOND);
        insert(history, "run_other", other, entries);
    });
    assert!(fault.contains("2 runs of wf_child"), "{fault}");
}

#[test]
fn a_wrong_result_is_found() {
    let fault = spoilt(|history| history.runs.get_mut("run_a").unwrap().output = json!(2));
    assert!(fault.contains("in place of"), "{fault}");
}

/// The same history as it is told, and as that arrives: once, but for one that came twice.
fn told() -> History {
    let mut history = good();
    for (run, journal) in history.journals.clone() {
        for (place, entry) in journal.iter().enumerate().filter(|(_, entry)| told_as(&entry.kind).is_some()) {
            let (id, kind) = (format!("evt_{run}_{place}"), entry.kind.clone());
            history.events.push(Told { id, kind, run: run.clone() });
        }
    }
    let receipt = |path: &str, event: &Told| Receipt { path: path.to_owned(), id: event.id.clone() };
    for event in history.events.clone() {
        history.receipts.push(receipt(ALL, &event));
        if event.kind.starts_with("run.") {
            history.receipts.push(receipt(ORDERED, &event));
        }
    }
    history.receipts.push(receipt(ORDERED, &history.events[0].clone()));
    history
}

/// The one fault of the same, spoilt.
#[track_caller]
fn spoilt_on_the_way(spoil: impl FnOnce(&mut History)) -> String {
    let mut history = told();
    spoil(&mut history);
    let found = faults(&history);
    assert_eq!(found.len(), 1, "{found:#?}");
    found.into_iter().next().unwrap()
}

#[test]
fn what_was_told_and_arrived_has_no_faults() {
    assert_eq!(faults(&told()), Vec::<String>::new());
}

#[test]
fn what_was_not_told_or_told_twice_is_found() {
    let fault = spoilt_on_the_way(|history| {
        let gone = history.events.pop().unwrap();
        history.receipts.retain(|receipt| receipt.id != gone.id);
    });
    assert!(fault.starts_with("what happens is told, once: run.succeeded happened 1 times"), "{fault}");
    let fault = spoilt_on_the_way(|history| {
        let again = Told { id: "evt_again".to_owned(), ..history.events[1].clone() };
        history.receipts.push(Receipt { path: ALL.to_owned(), id: again.id.clone() });
        history.events.push(again);
    });
    assert!(fault.ends_with("step.succeeded happened 4 times in run_a and was told 5 times"), "{fault}");
}

#[test]
fn what_did_not_arrive_is_found() {
    let fault = spoilt_on_the_way(|history| {
        let id = history.events[1].id.clone();
        history.receipts.retain(|receipt| receipt.id != id);
    });
    assert!(fault.starts_with("what is told arrives: "), "{fault}");
    let fault = spoilt_on_the_way(|history| {
        history.receipts.push(Receipt { path: ALL.to_owned(), id: "evt_made_up".to_owned() });
    });
    assert!(fault.starts_with("nothing arrives that was not told: evt_made_up"), "{fault}");
}

#[test]
fn what_arrived_out_of_order_is_found() {
    let ordered = |history: &History| -> Vec<usize> {
        let places = history.receipts.iter().enumerate().filter(|(_, receipt)| receipt.path == ORDERED);
        places.map(|(place, _)| place).collect()
    };
    let fault = spoilt_on_the_way(|history| {
        let places = ordered(history);
        history.receipts.swap(places[0], places[1]);
    });
    assert!(fault.starts_with("what arrives in order does: "), "{fault}");
    let fault = spoilt_on_the_way(|history| {
        let places = ordered(history);
        // The last one of them is the one that came again.
        history.receipts.remove(places[places.len() - 2]);
    });
    assert!(fault.ends_with("arrived in order"), "{fault}");
}
