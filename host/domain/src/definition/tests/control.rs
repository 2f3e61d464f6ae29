//! Steps that move control.

use super::*;

fn switch(more: Value) -> Value {
    let mut step = json!({ "type": "switch", "id": "s", "cases": [{ "when": "true", "then": [agent("a")] }] });
    step.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    step
}

#[test]
fn every_kind_of_step_is_accepted_with_all_its_fields() {
    let definition = json!({ "steps": [
        { "type": "switch", "id": "s", "name": "Which", "when": "input.go", "outputVar": "way", "onError": "continue",
          "cases": [{ "when": "true", "then": "b1" }, { "when": "x", "then": ["b1", "b2"] }, { "when": "y", "then": [agent("i")] }, { "when": "z" }],
          "default": "b2" },
        agent("b1"),
        agent("b2"),
        { "type": "forEach", "id": "fe", "items": "input.list", "as": "order", "maxConcurrency": 1000, "onFailure": "waitAll",
          "outputVar": "all", "timeout": "1h", "totalTimeout": "2h", "steps": [agent("inEach")] },
        { "type": "loop", "id": "l", "until": "done", "maxIterations": 10_000, "outputVar": "passes", "steps": [agent("inLoop")] },
        { "type": "set", "id": "set", "outputVar": "all2", "vars": { "a": "1 + 1", "b": "{{ x }}", "c": { "d": ["{{ x }}"] }, "e": "{'f': 1}", "g": null } },
        { "type": "wait", "id": "w1", "duration": "1m" },
        { "type": "wait", "id": "w2", "until": "2030-01-31T08:00:00Z" },
        { "type": "wait", "id": "w3", "event": "order.paid", "match": "event.id == input.id", "timeout": "7d", "outputVar": "paid" },
        { "type": "approval", "id": "ap", "message": "{{ x }}?", "approvers": ["admin", "owner", "admin"], "timeout": "1d", "onTimeout": "approve" },
        { "type": "workflow", "id": "wf", "workflowId": "wf_00000000000070008000000000000001", "version": 2, "input": { "x": "{{ x }}" },
          "retry": { "maxAttempts": 2 }, "timeout": "1h" },
        { "type": "return", "id": "r", "when": "input.early", "output": { "x": "x" } },
        { "type": "fail", "id": "f", "message": "no {{ x }}", "code": "my.own_code-1" },
    ] });
    let workflow = checked(&definition).unwrap_or_else(|faults| panic!("{faults:?}")).workflow;
    let kinds: Vec<_> = workflow.lists[MAIN_LIST].steps.iter().map(|step| workflow.steps[*step].kind.name()).collect();
    assert_eq!(
        kinds,
        [
            "switch", "agent", "agent", "forEach", "loop", "set", "wait", "wait", "wait", "approval", "workflow",
            "return", "fail"
        ]
    );
    let StepKind::Set(vars) = &workflow.steps[workflow.step_index("set").unwrap()].kind else { panic!() };
    let is_expression: Vec<_> = vars.iter().map(|(_, value)| matches!(value, Assigned::Expression(_))).collect();
    assert_eq!(is_expression, [true, false, false, true, false]);
}

#[test]
fn what_is_left_out_of_a_group_or_an_approval_has_a_default() {
    let StepKind::ForEach(each) =
        step_of(json!({ "type": "forEach", "id": "e", "items": "[]", "steps": [agent("a")] })).kind
    else {
        panic!()
    };
    assert_eq!((each.item_name.as_str(), each.max_concurrency, each.on_failure), ("item", 1, OnFailure::FailFast));
    let StepKind::Approval(approval) = step_of(json!({ "type": "approval", "id": "a", "message": "?" })).kind else {
        panic!()
    };
    assert_eq!((approval.approvers.len(), approval.on_timeout), (3, OnTimeout::Deny));
    let StepKind::Fail(fail) = step_of(json!({ "type": "fail", "id": "f", "message": "no" })).kind else { panic!() };
    assert_eq!(fail.code, "run.failed");
}

#[test]
fn a_switch_has_cases_each_with_an_expression() {
    assert_eq!(faults_of(json!({ "type": "switch", "id": "s" })), pairs([("/steps/0/cases", "definition.missing")]));
    for cases in [json!([]), json!({}), Value::Array(vec![json!({ "when": "true" }); 101])] {
        assert_eq!(faults_of(switch(json!({ "cases": cases }))), pairs([("/steps/0/cases", "definition.missing")]));
    }
    let cases = json!([7, { "then": [agent("a")] }, { "when": "1 +", "else": "x" }, { "when": "", "then": 5 }]);
    assert_eq!(
        faults_of(switch(json!({ "cases": cases, "default": "nowhere", "expr": "x" }))),
        pairs([
            ("/steps/0/expr", "definition.unknown_field"),
            ("/steps/0/cases/0", "definition.type"),
            ("/steps/0/cases/1/when", "definition.missing"),
            ("/steps/0/cases/2/else", "definition.unknown_field"),
            ("/steps/0/cases/2/when", "definition.expression"),
            ("/steps/0/cases/3/when", "definition.empty"),
            ("/steps/0/cases/3/then", "definition.type"),
            ("/steps/0/default", "definition.unknown_step"),
        ])
    );
}

#[test]
fn a_for_each_has_items_and_steps() {
    assert_eq!(
        faults_of(json!({ "type": "forEach", "id": "e" })),
        pairs([("/steps/0/items", "definition.missing"), ("/steps/0/steps", "definition.missing")])
    );
    let step = json!({ "type": "forEach", "id": "e", "items": "]", "as": "input", "steps": [], "maxConcurrency": 0,
                       "onFailure": "ignore", "while": "x" });
    assert_eq!(
        faults_of(step),
        pairs([
            ("/steps/0/while", "definition.unknown_field"),
            ("/steps/0/items", "definition.expression"),
            ("/steps/0/as", "definition.variable_name"),
            ("/steps/0/steps", "definition.empty"),
            ("/steps/0/maxConcurrency", "definition.range"),
            ("/steps/0/onFailure", "definition.value"),
        ])
    );
    let too_many =
        json!({ "type": "forEach", "id": "e", "items": "[]", "maxConcurrency": 1001, "steps": [agent("a")] });
    assert_eq!(faults_of(too_many), pairs([("/steps/0/maxConcurrency", "definition.range")]));
}

#[test]
fn a_loop_has_one_test_a_bound_and_steps() {
    let repeat = |more: Value| {
        let mut step = json!({ "type": "loop", "id": "l", "maxIterations": 3, "steps": [agent("a")] });
        step.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        faults_of(step)
    };
    assert_eq!(repeat(json!({})), pairs([("/steps/0/while", "definition.missing")]));
    assert_eq!(repeat(json!({ "while": "a", "until": "b" })), pairs([("/steps/0/while", "definition.missing")]));
    assert_eq!(repeat(json!({ "until": "1 +" })), pairs([("/steps/0/until", "definition.expression")]));
    assert_eq!(
        repeat(json!({ "while": "a", "maxIterations": 10_001 })),
        pairs([("/steps/0/maxIterations", "definition.range")])
    );
    assert_eq!(repeat(json!({ "while": "a", "steps": 1 })), pairs([("/steps/0/steps", "definition.type")]));
    assert_eq!(
        faults_of(json!({ "type": "loop", "id": "l", "while": "a" })),
        pairs([("/steps/0/steps", "definition.missing"), ("/steps/0/maxIterations", "definition.missing")])
    );
}

#[test]
fn a_set_step_sets_names_that_are_free() {
    let set = |vars: Value| faults_of(json!({ "type": "set", "id": "s", "vars": vars }));
    assert_eq!(faults_of(json!({ "type": "set", "id": "s" })), pairs([("/steps/0/vars", "definition.type")]));
    assert_eq!(set(json!([])), pairs([("/steps/0/vars", "definition.type")]));
    assert_eq!(
        set(json!({ "input": "1", "a-b": "1", "c": "1 +", "d": "{{ broken", "e": { "f": ["{% x %}"] } })),
        pairs([
            ("/steps/0/vars/input", "definition.variable_name"),
            ("/steps/0/vars/a-b", "definition.variable_name"),
            ("/steps/0/vars/c", "definition.expression"),
            ("/steps/0/vars/d", "definition.template"),
            ("/steps/0/vars/e/f/0", "definition.template"),
        ])
    );
    let many: serde_json::Map<_, _> = (0..101).map(|n| (format!("v{n}"), json!("1"))).collect();
    assert_eq!(set(Value::Object(many)), pairs([("/steps/0/vars", "definition.too_large")]));
    assert_eq!(
        set(json!({ "deep": crate::json::nested(65) })),
        pairs([("/steps/0/vars/deep", "definition.too_large")])
    );
}

#[test]
fn a_return_picks_expressions_and_a_fail_says_why() {
    let step = |step: Value| faults_of(step);
    assert_eq!(
        step(json!({ "type": "return", "id": "r", "output": 1 })),
        pairs([("/steps/0/output", "definition.type")])
    );
    assert_eq!(
        step(json!({ "type": "return", "id": "r", "outputVar": "x", "output": { "a": 1, "b/c": "1 +" } })),
        pairs([
            ("/steps/0/outputVar", "definition.unknown_field"),
            ("/steps/0/output/a", "definition.type"),
            ("/steps/0/output/b~1c", "definition.expression"),
        ])
    );
    assert_eq!(step(json!({ "type": "fail", "id": "f" })), pairs([("/steps/0/message", "definition.missing")]));
    for code in ["", "a b", &"x".repeat(65)] {
        let faults = step(json!({ "type": "fail", "id": "f", "message": "{{ x", "code": code }));
        assert_eq!(faults, pairs([("/steps/0/message", "definition.template"), ("/steps/0/code", "definition.value")]));
    }
}

#[test]
fn a_parallel_step_has_branches() {
    for steps in [json!([]), json!({}), Value::Null] {
        let faults = faults_of(json!({ "type": "parallel", "id": "p", "steps": steps }));
        assert_eq!(faults, pairs([("/steps/0/steps", "definition.missing")]));
    }
    let faults = faults_of(json!({ "type": "parallel", "id": "p", "steps": [[], agent("a")], "maxConcurrency": 501 }));
    assert_eq!(
        faults,
        pairs([("/steps/0/steps/0", "definition.empty"), ("/steps/0/maxConcurrency", "definition.range")])
    );
}

#[test]
fn the_definitions_retry_policy_is_the_default_of_steps_that_call_somebody() {
    let definition = json!({ "retry": { "maxAttempts": 7 }, "steps": [
        agent("a"),
        { "type": "tool", "id": "t", "toolName": "t", "retry": { "maxAttempts": 2 } },
        { "type": "workflow", "id": "w", "workflowId": "wf_00000000000070008000000000000001" },
    ] });
    let steps = checked(&definition).unwrap().workflow.steps;
    let attempts: Vec<_> = steps.into_iter().map(|step| step.retry.map(|retry| retry.max_attempts)).collect();
    assert_eq!(attempts, [Some(7), Some(2), None]);
}
