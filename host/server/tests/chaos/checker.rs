//! What must hold of a history, whatever was done to hosts and database meanwhile. Each check gives every fault that it finds.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::history::{Entry, Expected, History, Micros, Told, TroubleKind};
use crate::receivers::{ALL, ORDERED};

#[cfg(test)]
#[path = "checker_tests.rs"]
mod tests;

const SECOND: Micros = 1_000_000;
/// A host that stood still may have had a request half sent: it arrives within this after it goes on.
const HALF_SENT_MAX: Micros = SECOND;
/// How long before its outcome's time a call's time may seem to lie: both are of one machine, rounded differently.
const ROUNDING: Micros = 1_000;
/// How late a timer may be that ended in calm: a look every half second, on a machine that does much else.
const TIMER_LATE_MAX: Micros = 20 * SECOND;
/// How long a child may outlive its parent: two seconds of grace, a sweep every five, and a machine that does much else.
const ORPHAN_MAX: Micros = 30 * SECOND;
/// Names of checks, with what they check.
type Check = (&'static str, fn(&History) -> Vec<String>);

/// All of them.
pub(crate) const CHECKS: [Check; 17] = [
    ("accepted runs exist, once", accepted_runs_exist),
    ("every run has ended", every_run_has_ended),
    ("journals have no gaps", journals_have_no_gaps),
    ("rows show what journals say", rows_show_journals),
    ("a visit has one outcome", one_outcome_per_visit),
    ("nothing is called after its outcome", no_call_after_outcome),
    ("only a host's death repeats a call", repeats_have_reasons),
    ("timers are kept", timers_are_kept),
    ("signals arrive once", signals_arrive_once),
    ("approvals are decided once", approvals_are_decided_once),
    ("children do not outlive their parents", children_end_with_parents),
    ("limits are kept", limits_are_kept),
    ("runs give what they must", results_are_right),
    ("what happens is told, once", what_happens_is_told),
    ("what is told arrives", what_is_told_arrives),
    ("nothing arrives that was not told", nothing_else_arrives),
    ("what arrives in order does", order_is_kept),
];

/// Every fault of every check.
pub(crate) fn faults(history: &History) -> Vec<String> {
    let told =
        |(name, check): &Check| check(history).into_iter().map(|fault| format!("{name}: {fault}")).collect::<Vec<_>>();
    CHECKS.iter().flat_map(told).collect()
}

fn accepted_runs_exist(history: &History) -> Vec<String> {
    let mut faults = Vec::new();
    let mut keys: BTreeMap<&str, &str> = BTreeMap::new();
    for accepted in &history.accepted {
        if !history.runs.contains_key(&accepted.run) {
            faults.push(format!("{} was promised and is not there", accepted.run));
        }
        if keys.insert(&accepted.key, &accepted.run).is_some_and(|before| before != accepted.run) {
            faults.push(format!("the key {} was answered with two runs", accepted.key));
        }
    }
    let mut started = BTreeSet::new();
    for (id, run) in history.runs.iter().filter(|(_, run)| run.parent.is_none()) {
        if !started.insert((&run.workflow, run.input.to_string())) {
            faults.push(format!("{id} was started twice, with {}", run.input));
        }
    }
    faults
}

fn every_run_has_ended(history: &History) -> Vec<String> {
    let open = history.runs.iter().filter(|(_, run)| !run.has_ended());
    open.map(|(id, run)| format!("{id} is {} and nobody goes on with it", run.status)).collect()
}

fn journals_have_no_gaps(history: &History) -> Vec<String> {
    let mut faults = Vec::new();
    for (id, run) in &history.runs {
        let numbers: Vec<i32> = history.journals.get(id).into_iter().flatten().map(|entry| entry.seq).collect();
        if numbers != (1..=run.journal_len).collect::<Vec<_>>() {
            faults.push(format!("{id} has {} entries, numbered {numbers:?}", run.journal_len));
        }
    }
    faults
}

fn rows_show_journals(history: &History) -> Vec<String> {
    let mut faults = Vec::new();
    for (id, run) in &history.runs {
        let journal = history.journals.get(id).map(Vec::as_slice).unwrap_or_default();
        let end = journal.last().filter(|entry| entry.ends_the_run());
        if run.has_ended() != end.is_some() {
            faults.push(format!("{id} is {} and its journal ends with {:?}", run.status, journal.last()));
        }
        for pair in journal.windows(2) {
            if pair[0].ends_the_run() && pair[1].kind != "run.retried" {
                faults.push(format!("{id} goes on after its end with {}", pair[1].kind));
            }
        }
    }
    faults
}

fn one_outcome_per_visit(history: &History) -> Vec<String> {
    let mut faults = Vec::new();
    for (id, journal) in &history.journals {
        let (mut begun, mut over) = (BTreeSet::new(), BTreeSet::new());
        for entry in journal {
            if entry.kind == "run.retried" {
                begun.clear();
                over.clear();
            }
            let Some(visit) = &entry.visit else { continue };
            if entry.kind == "step.started" && !begun.insert(visit) {
                faults.push(format!("{id}: {visit:?} begins twice"));
            }
            if entry.is_outcome() && !over.insert(visit) {
                faults.push(format!("{id}: {visit:?} has two outcomes"));
            }
        }
    }
    faults
}

/// When an attempt of a visit, and all before it, were over; by run, step and number.
type AttemptsOver<'a> = BTreeMap<(&'a str, &'a str, i32), Vec<(u64, Micros)>>;

fn attempts_over(history: &History) -> AttemptsOver<'_> {
    let mut over = AttemptsOver::new();
    for (run, journal) in &history.journals {
        for entry in journal {
            let Some((_, step, number)) = &entry.visit else { continue };
            let attempt = match entry.kind.as_str() {
                "step.attempt_failed" => entry.body["attempt"].as_u64().unwrap_or_default(),
                _ if entry.is_outcome() => u64::MAX,
                _ => continue,
            };
            over.entry((run.as_str(), step.as_str(), *number)).or_default().push((attempt, entry.at));
        }
    }
    over
}

fn no_call_after_outcome(history: &History) -> Vec<String> {
    let over = attempts_over(history);
    let half_sent = |at: Micros| {
        let frozen = history.troubles.iter().filter(|trouble| trouble.kind == TroubleKind::Freeze);
        frozen.into_iter().any(|trouble| (trouble.to..trouble.to + HALF_SENT_MAX).contains(&at))
    };
    let mut faults = Vec::new();
    let mut excused = 0;
    let frozen = history.troubles.iter().filter(|trouble| trouble.kind == TroubleKind::Freeze).count();
    for call in &history.calls {
        let outcomes = over.get(&(call.run.as_str(), call.step.as_str(), call.visit));
        let late =
            outcomes.into_iter().flatten().find(|(attempt, at)| call.attempt <= *attempt && call.at > at + ROUNDING);
        let Some((_, at)) = late else { continue };
        let fault = format!(
            "attempt {} of {} of {} began {} ms after its outcome",
            call.attempt,
            call.step,
            call.run,
            (call.at - at) / 1_000
        );
        if half_sent(call.at) && excused < frozen {
            excused += 1;
        } else {
            faults.push(fault);
        }
    }
    faults
}

/// Calls that were made again: the same attempt of the same visit. Each with the time of the one before.
pub(crate) fn repeats(history: &History) -> Vec<(&crate::history::Call, Micros)> {
    let mut calls: BTreeMap<_, Vec<&crate::history::Call>> = BTreeMap::new();
    for call in &history.calls {
        calls.entry((&call.run, &call.step, call.visit, call.attempt)).or_default().push(call);
    }
    calls.values().flat_map(|calls| calls.windows(2).map(|pair| (pair[1], pair[0].at))).collect()
}

fn repeats_have_reasons(history: &History) -> Vec<String> {
    let reasons: Vec<_> = history.troubles.iter().filter(|trouble| trouble.kind.repeats_calls()).collect();
    let unexplained = repeats(history).into_iter().filter(|(call, before)| {
        let befell = |run: &Option<String>| run.as_ref().is_none_or(|run| *run == call.run);
        // A call that was under way when somebody ended the run is made again when somebody lets it go on.
        let journal = history.journals.get(&call.run).into_iter().flatten();
        let mut retries = journal.filter(|entry| entry.kind == "run.retried");
        if retries.any(|entry| (*before..=call.at).contains(&entry.at)) {
            return false;
        }
        !reasons.iter().any(|trouble| trouble.from <= call.at && trouble.to >= *before && befell(&trouble.run))
    });
    let told = unexplained.map(|(call, before)| {
        format!(
            "attempt {} of {} of {} was made again after {} ms, and no host was away",
            call.attempt,
            call.step,
            call.run,
            (call.at - before) / 1_000
        )
    });
    told.collect()
}

/// A `wait` for time ends when the time has come, and not much later than that or the calm.
fn timers_are_kept(history: &History) -> Vec<String> {
    let mut faults = Vec::new();
    for (run, journal) in &history.journals {
        for (visit, started, ended) in visits(journal) {
            let until = started.body["input"]["until"].as_str().and_then(parse_time);
            let (Some(until), "step.succeeded") = (until, ended.kind.as_str()) else { continue };
            if ended.at + ROUNDING < until {
                faults.push(format!("{run}: {visit:?} ended {} ms too early", (until - ended.at) / 1_000));
            }
            if ended.at > until.max(history.calm_since) + TIMER_LATE_MAX {
                faults.push(format!("{run}: {visit:?} ended {} s late", (ended.at - until) / SECOND));
            }
        }
    }
    faults
}

/// Visits that began with an entry of their own and ended.
fn visits(journal: &[Entry]) -> impl Iterator<Item = (&(String, String, i32), &Entry, &Entry)> {
    let started = journal.iter().filter(|entry| entry.kind == "step.started");
    started.filter_map(|started| {
        let visit = started.visit.as_ref()?;
        let ended = journal.iter().find(|entry| entry.is_outcome() && entry.visit.as_ref() == Some(visit))?;
        Some((visit, started, ended))
    })
}

fn signals_arrive_once(history: &History) -> Vec<String> {
    let mut faults = Vec::new();
    let mut arrived: BTreeMap<(&str, u64), usize> = BTreeMap::new();
    for (run, journal) in &history.journals {
        let mut taken = BTreeSet::new();
        for entry in journal {
            if entry.kind == "signal.received" {
                let nonce = entry.body["payload"]["nonce"].as_u64().unwrap_or_default();
                *arrived.entry((run.as_str(), nonce)).or_default() += 1;
            }
            let signal = entry.body["signal"].as_u64().filter(|_| entry.kind == "step.succeeded");
            if let Some(signal) = signal.filter(|signal| !taken.insert(*signal)) {
                faults.push(format!("{run}: the signal {signal} was taken twice"));
            }
        }
    }
    for sent in &history.signals {
        let times = arrived.get(&(sent.run.as_str(), sent.nonce)).copied().unwrap_or_default();
        // One that came as the run ended lies in the inbox, for a retry to find.
        let run = history.runs.get(&sent.run);
        let is_unread =
            history.unread.iter().any(|(to, body)| *to == sent.run && body["payload"]["nonce"] == sent.nonce);
        let is_kept = is_unread && run.is_some_and(crate::history::Run::has_ended);
        if times > 1 || (sent.accepted && times == 0 && !is_kept) {
            faults.push(format!("{}: the signal of nonce {} arrived {times} times", sent.run, sent.nonce));
        }
    }
    faults
}

fn approvals_are_decided_once(history: &History) -> Vec<String> {
    let mut faults = Vec::new();
    let mut decided = BTreeSet::new();
    for id in &history.decided {
        if !decided.insert(id) {
            faults.push(format!("{id} was decided twice"));
        }
    }
    for approval in &history.approvals {
        let ended = history.runs.get(&approval.run).is_some_and(crate::history::Run::has_ended);
        if ended && approval.status == "open" {
            faults.push(format!("{} is open, and its run has ended", approval.id));
        }
        let journal = history.journals.get(&approval.run).map(Vec::as_slice).unwrap_or_default();
        let outcome = visits(journal).find(|(visit, ..)| **visit == approval.visit).map(|(_, _, ended)| ended);
        let by = outcome.map(|outcome| &outcome.body["output"]["by"]);
        if approval.status == "approved" && !by.is_some_and(Value::is_string) {
            faults.push(format!("{} was approved, and its run knows {outcome:?}", approval.id));
        }
        if decided.contains(&approval.id) && approval.status != "approved" {
            faults.push(format!("{} was approved and is {}", approval.id, approval.status));
        }
    }
    faults
}

fn children_end_with_parents(history: &History) -> Vec<String> {
    let mut faults = Vec::new();
    for (id, run) in &history.runs {
        let Some(parent) = run.parent.as_ref() else { continue };
        let Some(parent_run) = history.runs.get(parent) else {
            faults.push(format!("{id} has no parent"));
            continue;
        };
        let Some(parent_ended) = parent_run.finished_at else { continue };
        match run.finished_at {
            None => faults.push(format!("{id} goes on, and its parent {parent} has ended")),
            Some(ended) if ended > parent_ended.max(history.calm_since) + ORPHAN_MAX => {
                faults.push(format!("{id} outlived its parent by {} s", (ended - parent_ended) / SECOND));
            }
            Some(_) => {}
        }
    }
    faults
}

fn limits_are_kept(history: &History) -> Vec<String> {
    let mut faults = Vec::new();
    for (workflow, most) in &history.limits {
        let mut changes = Vec::new();
        for (id, run) in history.runs.iter().filter(|(_, run)| run.workflow == *workflow) {
            // It goes on from what it first did by itself to its end.
            let journal = history.journals.get(id).into_iter().flatten();
            let first = journal.filter(|entry| entry.visit.is_some()).map(|entry| entry.at).min();
            let Some(first) = first else { continue };
            changes.push((first, 1));
            changes.extend(run.finished_at.map(|end| (end, -1)));
        }
        // Who ends in the same moment in which another begins has made room for it.
        changes.sort_unstable();
        let mut going = 0;
        for (at, change) in changes {
            going += change;
            if going > *most as i32 {
                faults.push(format!("{going} runs of {workflow} went on at once, at {at}"));
                break;
            }
        }
    }
    faults
}

fn results_are_right(history: &History) -> Vec<String> {
    let mut faults = Vec::new();
    for accepted in &history.accepted {
        let Some(run) = history.runs.get(&accepted.run).filter(|run| run.has_ended()) else { continue };
        let is_right = match &accepted.expected {
            Expected::Success(output) => run.status == "success" && run.output == *output,
            Expected::Failed(code) => run.status == "failed" && run.error_code.as_deref() == Some(code),
            Expected::Cancelled => run.status == "cancelled",
        };
        if !is_right {
            let gave = json!({ "status": run.status, "output": run.output, "code": run.error_code });
            faults
                .push(format!("{} of {} gave {gave} in place of {:?}", accepted.run, accepted.key, accepted.expected));
        }
    }
    faults
}

fn parse_time(text: &str) -> Option<Micros> {
    let instant = sqlx::types::chrono::DateTime::parse_from_rfc3339(text).ok()?;
    Some(instant.timestamp_micros())
}

/// What an entry of a journal is told as.
fn told_as(kind: &str) -> Option<&str> {
    let is_told = matches!(
        kind,
        "run.started"
            | "run.succeeded"
            | "run.failed"
            | "run.cancelled"
            | "run.timed_out"
            | "step.succeeded"
            | "step.failed"
    );
    is_told.then_some(kind)
}

fn what_happens_is_told(history: &History) -> Vec<String> {
    if history.events.is_empty() {
        return Vec::new();
    }
    let mut told: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for event in history.events.iter().filter(|event| told_as(&event.kind).is_some()) {
        *told.entry((&event.run, &event.kind)).or_default() += 1;
    }
    let mut happened: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for (run, journal) in &history.journals {
        for kind in journal.iter().filter_map(|entry| told_as(&entry.kind)) {
            *happened.entry((run, kind)).or_default() += 1;
        }
    }
    let all: BTreeSet<_> = told.keys().chain(happened.keys()).copied().collect();
    let count = |of: &BTreeMap<(&str, &str), usize>, what| of.get(&what).copied().unwrap_or_default();
    let differ = all.into_iter().filter(|what| count(&told, *what) != count(&happened, *what));
    differ
        .map(|(run, kind)| {
            let (happened, told) = (count(&happened, (run, kind)), count(&told, (run, kind)));
            format!("{kind} happened {happened} times in {run} and was told {told} times")
        })
        .collect()
}

fn received<'a>(history: &'a History, path: &str) -> Vec<&'a str> {
    history.receipts.iter().filter(|receipt| receipt.path == path).map(|receipt| receipt.id.as_str()).collect()
}

fn what_is_told_arrives(history: &History) -> Vec<String> {
    let arrived: BTreeSet<&str> = received(history, ALL).into_iter().collect();
    let missing = history.events.iter().filter(|event| !arrived.contains(event.id.as_str()));
    missing.map(|event| format!("{} ({} of {}) did not arrive", event.id, event.kind, event.run)).collect()
}

fn nothing_else_arrives(history: &History) -> Vec<String> {
    let told: BTreeSet<&str> = history.events.iter().map(|event| event.id.as_str()).collect();
    let strange = history.receipts.iter().filter(|receipt| !told.contains(receipt.id.as_str()));
    strange.map(|receipt| format!("{} arrived at {} and was never told", receipt.id, receipt.path)).collect()
}

/// A delivery may come again; it comes for the first time when all before it have.
fn order_is_kept(history: &History) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let first: Vec<&str> = received(history, ORDERED).into_iter().filter(|id| seen.insert(*id)).collect();
    let told: Vec<&Told> = history.events.iter().filter(|event| event.kind.starts_with("run.")).collect();
    let wrong = first.iter().zip(&told).find(|(arrived, told)| **arrived != told.id);
    wrong
        .map(|(arrived, told)| format!("{arrived} arrived where {} ({} of {}) was next", told.id, told.kind, told.run))
        .or_else(|| (first.len() < told.len()).then(|| format!("{} of {} arrived in order", first.len(), told.len())))
        .into_iter()
        .collect()
}
