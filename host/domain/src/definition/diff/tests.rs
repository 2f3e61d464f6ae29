use serde_json::json;

use super::*;

fn agent(id: &str, message: &str) -> Value {
    json!({ "type": "agent", "id": id, "agentId": "a", "message": message })
}

fn steps(steps: &[Value]) -> Value {
    json!({ "steps": steps })
}

/// A diff that is whole, each change as a line: its kind, where it was if elsewhere, where, in which step, and its values.
fn lines(from: &Value, to: &Value) -> Vec<String> {
    let diff = diff(from, to);
    assert!(!diff.truncated);
    diff.changes.iter().map(line).collect()
}

fn line(change: &Change) -> String {
    let word = match change.op {
        Op::Add => "add",
        Op::Remove => "remove",
        Op::Replace => "replace",
        Op::Move => "move",
    };
    let mut line = word.to_owned();
    line.extend(change.from_pointer.iter().map(|pointer| format!(" {pointer} ->")));
    line += &format!(" {}", change.pointer);
    line.extend(change.step.iter().map(|step| format!(" ({step})")));
    line.extend(change.from.iter().map(|value| format!(" -{value}")));
    line.extend(change.to.iter().map(|value| format!(" +{value}")));
    line
}

#[test]
fn a_definition_does_not_differ_from_itself_nor_from_one_with_its_fields_in_another_order() {
    let one: Value =
        serde_json::from_str(r#"{"steps":[{"type":"agent","id":"a","message":"Hi"}],"maxSteps":3}"#).unwrap();
    let other: Value =
        serde_json::from_str(r#"{"maxSteps":3,"steps":[{"id":"a","message":"Hi","type":"agent"}]}"#).unwrap();
    assert_eq!(diff(&one, &one), Diff::default());
    assert_eq!(diff(&one, &other), Diff::default());
}

#[test]
fn what_changed_inside_a_step_names_the_step_and_its_old_place() {
    let from = steps(&[agent("a", "Hi"), agent("b", "Bye")]);
    let to = steps(&[agent("new", "So"), agent("a", "Hi"), agent("b", "Farewell")]);
    let expected = [
        format!("add /steps/0 (new) +{}", agent("new", "So")),
        r#"replace /steps/1/message -> /steps/2/message (b) -"Bye" +"Farewell""#.to_owned(),
    ];
    assert_eq!(lines(&from, &to), expected);
}

#[test]
fn a_field_that_comes_or_goes_is_told_with_its_value_null_included() {
    let from = json!({ "steps": [], "timeout": "1m", "x/y": 1 });
    let to = json!({ "steps": [], "inputSchema": null });
    assert_eq!(lines(&from, &to), ["remove /timeout -\"1m\"", "remove /x~1y -1", "add /inputSchema +null"]);
}

#[test]
fn a_step_that_was_taken_out_is_gone_and_the_others_did_not_move() {
    let from = steps(&[agent("a", "1"), agent("b", "2"), agent("c", "3")]);
    let to = steps(&[agent("a", "1"), agent("c", "3")]);
    assert_eq!(lines(&from, &to), [format!("remove /steps/1 (b) -{}", agent("b", "2"))]);
}

#[test]
fn of_steps_in_another_order_as_few_moved_as_can_be() {
    let ids = |ids: &str| steps(&ids.chars().map(|id| agent(&id.to_string(), "")).collect::<Vec<_>>());
    assert_eq!(lines(&ids("abcde"), &ids("bcdea")), ["move /steps/0 -> /steps/4 (a)"]);
    assert_eq!(lines(&ids("abcde"), &ids("eabcd")), ["move /steps/4 -> /steps/0 (e)"]);
    assert_eq!(lines(&ids("abcde"), &ids("adcbe")).len(), 2);
    assert_eq!(lines(&ids("ab"), &ids("ba")).len(), 1);
}

#[test]
fn a_step_that_moved_and_changed_is_told_as_both() {
    let from = steps(&[agent("a", "1"), agent("b", "2"), agent("c", "3")]);
    let to = steps(&[agent("b", "2"), agent("c", "3"), agent("a", "one")]);
    let expected = ["move /steps/0 -> /steps/2 (a)", r#"replace /steps/0/message -> /steps/2/message (a) -"1" +"one""#];
    assert_eq!(lines(&from, &to), expected);
}

#[test]
fn a_step_that_went_into_a_group_or_came_out_of_it_moved() {
    let group = |branches: Value| json!({ "type": "parallel", "id": "group", "branches": branches });
    let flat = steps(&[agent("a", "1"), agent("b", "2")]);
    let grouped = steps(&[group(json!([[agent("a", "1")], [agent("b", "two")]]))]);
    let added = format!("add /steps/0 (group) +{}", grouped["steps"][0]);
    let expected = [
        added.as_str(),
        "move /steps/0 -> /steps/0/branches/0/0 (a)",
        "move /steps/1 -> /steps/0/branches/1/0 (b)",
        r#"replace /steps/1/message -> /steps/0/branches/1/0/message (b) -"2" +"two""#,
    ];
    assert_eq!(lines(&flat, &grouped), expected);

    let removed = format!("remove /steps/0 (group) -{}", grouped["steps"][0]);
    let expected = [
        removed.as_str(),
        "move /steps/0/branches/0/0 -> /steps/0 (a)",
        "move /steps/0/branches/1/0 -> /steps/1 (b)",
        r#"replace /steps/0/branches/1/0/message -> /steps/1/message (b) -"two" +"2""#,
    ];
    assert_eq!(lines(&grouped, &flat), expected);
}

#[test]
fn steps_that_stand_inside_each_other_the_other_way_round_are_told() {
    let block = |id: &str, inner: Value| json!({ "type": "condition", "id": id, "expr": "x", "then": inner });
    let from = steps(&[block("outer", json!([block("inner", json!([]))]))]);
    let to = steps(&[block("inner", json!([block("outer", json!([]))]))]);
    assert_eq!(
        lines(&from, &to),
        ["move /steps/0/then/0 -> /steps/0 (inner)", "move /steps/0 -> /steps/0/then/0 (outer)"]
    );
}

#[test]
fn branches_are_known_by_their_first_steps() {
    let group = |branches: Value| steps(&[json!({ "type": "parallel", "id": "group", "branches": branches })]);
    let from = group(json!([[agent("a", "1"), agent("a2", "1")], [agent("b", "2")]]));
    let to = group(json!([[agent("b", "2")], [agent("a", "1"), agent("a2", "changed")]]));
    let told = lines(&from, &to);
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(told.iter().any(|line| line.starts_with("move /steps/0/branches/")));
    let changed = r#"replace /steps/0/branches/0/1/message -> /steps/0/branches/1/1/message (a2) -"1" +"changed""#;
    assert!(told.iter().any(|line| line == changed));
}

#[test]
fn what_has_no_ids_is_told_by_position_between_what_stayed() {
    let condition = |then: Value| steps(&[json!({ "type": "condition", "id": "c", "expr": "x", "then": then })]);
    let compare = |from: Value, to: Value| lines(&condition(from), &condition(to));
    assert_eq!(compare(json!(["a", "b"]), json!(["new", "a", "b"])), [r#"add /steps/0/then/0 (c) +"new""#]);
    assert_eq!(compare(json!(["a", "b", "c"]), json!(["a", "c"])), [r#"remove /steps/0/then/1 (c) -"b""#]);
    assert_eq!(compare(json!(["a", "b"]), json!(["a", "x"])), [r#"replace /steps/0/then/1 (c) -"b" +"x""#]);
    assert_eq!(compare(json!("a"), json!(["a"])), [r#"replace /steps/0/then (c) -"a" +["a"]"#]);
    assert_eq!(compare(json!([1, 1]), json!([1])), ["remove /steps/0/then/1 (c) -1"]);
}

#[test]
fn ids_that_stand_twice_or_not_everywhere_lead_nobody_astray() {
    let params = |items: Value| steps(&[json!({ "type": "tool", "id": "t", "params": { "items": items } })]);
    let item = |id: &str| json!({ "type": "x", "id": id });
    let told = lines(&params(json!([item("a"), item("a"), 5])), &params(json!([item("b"), item("a"), 5])));
    let pairs = [format!("remove /steps/0/params/items/0 (a) -{}", item("a"))];
    assert_eq!(told, [pairs[0].clone(), format!("add /steps/0/params/items/0 (b) +{}", item("b"))]);
    let told = lines(&params(json!([{ "id": "a", "n": 1 }])), &params(json!([{ "id": "b" }, { "id": "a", "n": 2 }])));
    let expected = [
        r#"add /steps/0/params/items/0 (t) +{"id":"b"}"#,
        "replace /steps/0/params/items/0/n -> /steps/0/params/items/1/n (t) -1 +2",
    ];
    assert_eq!(told, expected);
}

#[test]
fn more_changes_than_the_bound_are_cut_and_that_is_told() {
    let count_of = |count: usize| {
        let numbers = |offset: usize| json!({ "n": (0..count).map(|n| n + offset).collect::<Vec<_>>() });
        let told = diff(&numbers(0), &numbers(count));
        (told.changes.len(), told.truncated)
    };
    assert_eq!(count_of(CHANGES_MAX), (CHANGES_MAX, false));
    assert_eq!(count_of(CHANGES_MAX + 1), (CHANGES_MAX, true));
}

#[test]
fn values_that_weigh_more_than_the_bound_are_cut_and_that_is_told() {
    let texts =
        |letter: &str| json!({ "a": letter.repeat(CHANGES_BYTES_MAX / 3), "b": letter.repeat(CHANGES_BYTES_MAX / 3) });
    let told = diff(&texts("x"), &texts("y"));
    assert_eq!((told.changes.len(), told.truncated), (1, true));
}

#[test]
fn what_stands_under_a_long_name_costs_no_more_than_the_bound() {
    let name = "n".repeat(CHANGES_BYTES_MAX / 10);
    let under = |by: usize| json!({ name.as_str(): (0..100_000).map(|n| n * by).collect::<Vec<_>>() });
    let told = diff(&under(1), &under(2));
    assert!((5..10).contains(&told.changes.len()) && told.truncated);
}
