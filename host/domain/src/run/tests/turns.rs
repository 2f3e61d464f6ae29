//! An agent step takes turns before it answers: each is an entry, and none is taken twice.

use std::sync::Arc;

use super::*;
use crate::journal::Measured;
use crate::run::{Answered, Attempt};
use crate::talk::{RemoteTask, ToolAsked, Turn};

fn measured() -> Measured {
    Measured { duration_ms: 1, input_bytes: 1, output_bytes: 1, answerer: None, usage: None, prompt: None }
}

/// The agent asks for these tools.
fn asks_for(names: &[&str]) -> Turn {
    let call = |name: &&str| ToolAsked {
        id: format!("call-{name}"),
        name: (*name).to_owned(),
        arguments: Arc::new(json!({ "of": name })),
    };
    Turn::ToolsAsked { text: String::new(), calls: names.iter().map(call).collect(), measured: measured() }
}

fn task() -> RemoteTask {
    RemoteTask { agent_id: "a".into(), id: "t-1".into(), turns: 1, context_id: None }
}

fn with_tools(more: Value) -> Bench {
    let tools = json!({ "tools": ["one", { "toolName": "two", "approve": true, "approvers": ["admin"] }] });
    Bench::start(json!({ "steps": [with(with(agent("ask"), tools), more), agent("after")] }), json!({ "topic": "it" }))
}

/// The owed call of the step gives this turn.
fn turn(bench: &mut Bench, turn: Turn) {
    let call = bench.call("ask");
    let attempt = Attempt { call, result: Ok(Answered::Turn(turn)), duration: Duration::from_millis(1) };
    let event = bench.state.judge(attempt, false, bench.now, 0.0).unwrap();
    bench.write(event);
}

#[test]
fn tools_are_called_in_their_order_each_with_its_own_input_and_the_agent_goes_on_with_what_they_gave() {
    let mut bench = with_tools(json!({}));
    turn(&mut bench, asks_for(&["one", "one"]));
    let call = bench.call("ask");
    assert_eq!((call.talk.len(), &*call.input), (1, &json!({ "of": "one" })));
    assert!(matches!(&call.kind, CallKind::Tool { tool_name, .. } if tool_name == "one"), "{call:?}");
    bench.answer("ask", Ok(json!("first")));
    assert!(!bench.wants(call), "the call of an earlier turn means nothing any more");
    bench.answer("ask", Err(refused()));
    let call = bench.call("ask");
    assert!(matches!(call.kind, CallKind::Agent { .. }), "a tool that fails fails no step");
    assert_eq!((call.talk.len(), &call.input["message"]), (3, &json!("do it")));
    bench.answer("ask", Ok(json!("done")));
    assert_eq!((bench.open(), bench.var("ask_out")), (vec!["after".to_owned()], json!("done")));
    assert_eq!(bench.entries("ask"), ["step.started", "step.turn", "step.turn", "step.turn", "step.succeeded"]);
}

#[test]
fn a_tool_that_needs_leave_is_called_when_it_is_given_and_each_call_needs_its_own() {
    let mut bench = with_tools(json!({}));
    turn(&mut bench, asks_for(&["two", "two"]));
    assert!(bench.open().is_empty(), "nothing is owed: the run may wait for months");
    let open = bench.state.approvals().remove(0);
    assert_eq!(open.approvers, ["admin"]);
    assert!(open.message.contains("`two`") && open.message.contains(r#"{"of":"two"}"#), "{}", open.message);
    assert!(bench.decision("ask", true));
    bench.answer("ask", Ok(json!(1)));
    let again = bench.state.approvals().remove(0);
    assert_ne!(again.visit, open.visit);
    let late = Message::Decision { visit: open.visit, approved: true, by: "ann".into(), note: None };
    assert!(!bench.receive(late), "leave for one call is none for another");
    assert!(bench.decision("ask", false));
    assert!(matches!(bench.call("ask").kind, CallKind::Agent { .. }));
    let told = format!("{:?}", bench.call("ask").talk.last());
    assert!(told.contains("approval.denied"), "{told}");
}

#[test]
fn a_tool_that_is_not_given_is_answered_at_once() {
    let mut bench = with_tools(json!({}));
    turn(&mut bench, asks_for(&["three", "one"]));
    let call = bench.call("ask");
    assert_eq!((call.talk.len(), &*call.input), (2, &json!({ "of": "one" })));
}

#[test]
fn an_agent_has_so_many_rounds_and_no_more() {
    let mut bench = with_tools(json!({ "maxRounds": 1 }));
    turn(&mut bench, asks_for(&["one"]));
    bench.answer("ask", Ok(json!(1)));
    turn(&mut bench, asks_for(&["one"]));
    assert_eq!((bench.status(), bench.code()), (RunStatus::Failed, "agent.too_many_rounds"));
}

#[test]
fn an_attempt_that_fails_between_two_turns_goes_on_with_what_was_said() {
    let mut bench = with_tools(json!({}));
    turn(&mut bench, asks_for(&["one"]));
    bench.answer("ask", Ok(json!(1)));
    bench.answer("ask", Err(CallError::new(ErrorClass::Server, "agent.server_error", "broken")));
    let call = bench.call("ask");
    assert_eq!((call.attempt, call.talk.len()), (2, 2), "no tool is called again");
    // A task that has failed is no use to the next attempt.
    let mut bench = with_tools(json!({}));
    let at = bench.now;
    turn(&mut bench, Turn::TaskBegun { task: task(), at });
    bench.answer("ask", Err(CallError::new(ErrorClass::Server, "agent.task_failed", "out of paper")));
    let call = bench.call("ask");
    assert!(call.talk.is_empty());
    assert_eq!(call.turn, 1, "what is said anew is another message");
}

#[test]
fn a_question_is_answered_by_a_signal_of_the_step_s_name_which_may_be_there_already() {
    for early in [true, false] {
        let mut bench = with_tools(json!({}));
        bench.signal("other", json!("no"));
        if early {
            bench.signal("ask", json!("Rome"));
        }
        turn(&mut bench, Turn::InputRequired { task: task(), question: "Where to?".into() });
        if !early {
            assert!(bench.open().is_empty());
            bench.signal("ask", json!("Rome"));
        }
        let call = bench.call("ask");
        assert!(matches!(&**call.talk.last().unwrap(), Turn::InputGiven { input, .. } if **input == "Rome"));
        assert_eq!(bench.state.signals_waiting(), 1, "the other one waits for its own step");
    }
}

#[test]
fn a_question_and_a_decision_are_waited_for_no_longer_than_the_step_may_take() {
    let mut bench = with_tools(json!({ "totalTimeout": "1h" }));
    turn(&mut bench, asks_for(&["two"]));
    assert_eq!(bench.state.approvals()[0].expires_at, Some(facts().started_at + 3_600 * SECOND));
    bench.pass(3_600 * SECOND);
    assert_eq!(bench.status(), RunStatus::Running, "a decision made in time may still be on its way");
    bench.pass(APPROVAL_MARGIN);
    assert_eq!((bench.status(), bench.code()), (RunStatus::Failed, "step.timeout"));
    let mut bench = with_tools(json!({ "totalTimeout": "1h" }));
    turn(&mut bench, Turn::InputRequired { task: task(), question: "Where to?".into() });
    bench.pass(3_600 * SECOND);
    assert_eq!(bench.code(), "step.timeout");
}

#[test]
fn a_fork_begins_no_talk_with_another_run_s_task() {
    let mut bench = with_tools(json!({}));
    let at = bench.now;
    turn(&mut bench, Turn::TaskBegun { task: task(), at });
    let fork = bench.fork(bench.journal.len(), json!({}));
    assert!(fork.call("ask").talk.is_empty());
    assert_eq!(bench.call("ask").talk.len(), 1);
}

#[test]
fn tokens_of_every_turn_are_counted() {
    let usage = |read| crate::journal::Usage { input_tokens: read, output_tokens: 1, cost_micros: Some(10) };
    let mut bench = with_tools(json!({}));
    let paid = Measured { usage: Some(usage(5)), ..measured() };
    turn(&mut bench, Turn::AnswerRefused { text: "x".into(), why: "y".into(), measured: paid.clone() });
    let attempt = Attempt {
        call: bench.call("ask"),
        result: Ok((json!("done"), Measured { usage: Some(usage(7)), ..paid }).into()),
        duration: SECOND,
    };
    let event = bench.state.judge(attempt, false, bench.now, 0.0).unwrap();
    bench.write(event);
    let sum = bench.state.usage().unwrap();
    assert_eq!((sum.input_tokens, sum.output_tokens, sum.cost_micros), (12, 2, Some(20)));
}

#[test]
fn a_question_that_was_taken_back_with_the_run_is_asked_anew_after_a_retry() {
    let mut bench = with_tools(json!({}));
    turn(&mut bench, asks_for(&["two"]));
    let before = bench.state.approvals().remove(0).visit;
    bench.cancel();
    bench.retry();
    let after = bench.state.approvals().remove(0).visit;
    assert_ne!(before, after, "the first one is closed for good");
    assert!(!bench.receive(Message::Decision { visit: before, approved: true, by: "ann".into(), note: None }));
    assert!(bench.decision("ask", true));
    assert!(matches!(bench.call("ask").kind, CallKind::Tool { .. }), "and the model is not asked again");
}

#[test]
fn leave_that_was_given_in_one_run_is_none_in_a_fork_of_it() {
    let mut bench = with_tools(json!({}));
    turn(&mut bench, asks_for(&["two"]));
    bench.decision("ask", true);
    assert_eq!(bench.open(), ["ask"]);
    let fork = bench.fork(bench.journal.len(), json!({}));
    assert!(fork.open().is_empty());
    assert_eq!(fork.state.approvals().len(), 1);
}

/// A run whose agent works on a task.
fn with_task(more: Value) -> Bench {
    let mut bench = with_tools(more);
    let at = bench.now;
    turn(&mut bench, Turn::TaskBegun { task: task(), at });
    assert!(bench.state.take_abandoned_tasks().is_empty());
    bench
}

#[test]
fn a_task_that_nobody_waits_for_any_more_is_told_of_once_however_that_came() {
    let left = |bench: &mut Bench| {
        let left: Vec<_> = bench.state.take_abandoned_tasks().into_iter().map(|(_, task)| task.id).collect();
        assert!(bench.state.take_abandoned_tasks().is_empty());
        left
    };
    let mut bench = with_task(json!({}));
    bench.cancel();
    assert_eq!(left(&mut bench), ["t-1"]);
    let mut bench = with_task(json!({ "totalTimeout": "1h", "onError": "continue" }));
    bench.pass(3_600 * SECOND);
    assert_eq!((left(&mut bench), bench.open()), (vec!["t-1".to_owned()], vec!["after".to_owned()]));
    let mut bench = with_task(json!({}));
    bench.answer("ask", Ok(json!("done")));
    assert!(left(&mut bench).is_empty(), "it has ended by itself");
    let mut bench = with_task(json!({}));
    bench.answer("ask", Err(CallError::permanent("agent.task_rejected", "no")));
    assert!(left(&mut bench).is_empty());
    // A sibling's failure lets go of it.
    let steps = json!([{ "type": "parallel", "id": "group", "steps": [agent("ask"), agent("other")] }]);
    let mut bench = Bench::start(json!({ "steps": steps }), json!({ "topic": "it" }));
    let at = bench.now;
    turn(&mut bench, Turn::TaskBegun { task: task(), at });
    bench.answer("other", Err(refused()));
    assert_eq!(left(&mut bench), ["t-1"]);
}

#[test]
fn a_run_that_is_retried_begins_its_tasks_anew() {
    let mut bench = with_task(json!({}));
    bench.cancel();
    bench.retry();
    let call = bench.call("ask");
    assert!(call.talk.is_empty(), "the agent was asked to give the first one up");
    assert_eq!(call.turn, 1);
}
