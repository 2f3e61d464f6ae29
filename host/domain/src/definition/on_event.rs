//! Which events start runs of a workflow.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::fields::{Fields, Findings};
use crate::call::CallError;
use crate::event::EventType;
use crate::fault::pointer;
use crate::json::is_too_deep;
use crate::template::{Scope, TEMPLATE_OUTPUT_BYTES_MAX, Templates};

/// The only name that its expressions have.
const VARIABLE: &str = "event";

/// Fields of `input`: each is an expression that is evaluated for each event.
const INPUT_FIELDS_MAX: usize = 20;

/// Which events start runs, and what those are given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnEvent {
    /// Events of these types.
    pub events: Vec<EventType>,
    /// Those for which this holds.
    pub matches: Option<String>,
    /// What a run is given: names and expressions; the whole event, as `event`, where absent.
    pub input: Option<Vec<(String, String)>>,
}

impl OnEvent {
    /// What a run is given that this event starts; `None` where it starts none. `event` is an object with `id`, `type`, `timestamp` and
    /// `data`.
    ///
    /// # Errors
    /// Those of expressions, and `expr.limit` where the input nests too deep.
    pub fn judge(&self, templates: &Templates, event: Value) -> Result<Option<Value>, CallError> {
        let event = Arc::new(event);
        let mut scope = Scope::default();
        scope.set(VARIABLE, Arc::clone(&event));
        if let Some(matches) = &self.matches
            && !templates.holds(matches, &scope)?
        {
            return Ok(None);
        }
        let input = match &self.input {
            None => json!({ VARIABLE: *event }),
            Some(fields) => {
                let mut room = TEMPLATE_OUTPUT_BYTES_MAX;
                let fields = fields.iter().map(|(name, expression)| {
                    Ok((name.clone(), templates.evaluate_within(expression, &scope, &mut room)?))
                });
                Value::Object(fields.collect::<Result<Map<_, _>, CallError>>()?)
            }
        };
        if is_too_deep(&input) {
            return Err(CallError::permanent("expr.limit", "the input nests too deep"));
        }
        Ok(Some(input))
    }

    pub(super) fn read(fields: Fields<'_>, templates: &Templates, findings: &mut Findings) -> Option<Self> {
        let place = fields.at("onEvent");
        let Some(object) = fields.get("onEvent")?.as_object() else {
            findings.fault(place, "definition.type", "`onEvent` is an object");
            return None;
        };
        let fields = Fields { object, pointer: &place };
        fields.only(&[&["event", "match", "input"]], "`onEvent`", findings);
        let events = read_events(fields, findings);
        let matches = fields.text("match", findings).map(str::to_owned);
        if let Some(matches) = &matches {
            check(templates, matches, fields.at("match"), findings);
        }
        let input = read_input(fields, templates, findings);
        Some(Self { events, matches, input })
    }
}

fn read_events(fields: Fields<'_>, findings: &mut Findings) -> Vec<EventType> {
    let place = fields.at("event");
    let names: Vec<(String, &Value)> = match fields.get("event") {
        None => {
            findings.fault(place, "definition.missing", "`event` is missing");
            return Vec::new();
        }
        Some(Value::Array(names)) if names.is_empty() => {
            findings.fault(place, "definition.missing", "`event` names no event");
            return Vec::new();
        }
        Some(Value::Array(names)) => {
            names.iter().enumerate().map(|(position, name)| (pointer(&place, position), name)).collect()
        }
        Some(name) => vec![(place, name)],
    };
    let mut events = Vec::new();
    for (place, name) in names {
        match name.as_str().map(EventType::parse) {
            None => findings.fault(place, "definition.type", "an event is named by a text"),
            Some(None) => {
                findings.fault(place, "definition.event", "there are no such events; `GET /event-types` lists them")
            }
            Some(Some(event)) if events.contains(&event) => {
                findings.fault(place, "definition.event", "the event is named twice");
            }
            Some(Some(event)) => events.push(event),
        }
    }
    events
}

fn read_input(fields: Fields<'_>, templates: &Templates, findings: &mut Findings) -> Option<Vec<(String, String)>> {
    let place = fields.at("input");
    let Some(object) = fields.get("input")?.as_object() else {
        findings.fault(place, "definition.type", "`input` is an object of names and expressions");
        return None;
    };
    if object.len() > INPUT_FIELDS_MAX {
        findings.fault(place, "definition.limit", format!("`input` has at most {INPUT_FIELDS_MAX} fields"));
        return None;
    }
    let mut input = Vec::new();
    for (name, expression) in object {
        let place = pointer(&place, name);
        if ["input", "run"].contains(&name.as_str()) {
            let detail =
                format!("`{name}` means something else in expressions; they read this field as `input.{name}`");
            findings.warn(place.clone(), "definition.shadowed_name", detail);
        }
        match expression.as_str() {
            None => findings.fault(place, "definition.type", "an input is an expression, written as text"),
            Some(source) => {
                check(templates, source, place, findings);
                input.push((name.clone(), source.to_owned()));
            }
        }
    }
    Some(input)
}

fn check(templates: &Templates, source: &str, place: String, findings: &mut Findings) {
    match templates.check_expression(source) {
        Err(why) => findings.fault(place, "definition.expression", format!("does not parse: {why}")),
        Ok(read) => {
            if let Some(unknown) = read.iter().filter(|name| *name != VARIABLE).min() {
                let detail = format!("there is no variable `{unknown}` here; there is `{VARIABLE}`");
                findings.fault(place, "definition.expression", detail);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::{Known, check};

    fn read(on_event: Value) -> Result<Option<OnEvent>, Vec<(String, String)>> {
        let definition = json!({ "onEvent": on_event, "steps": [{ "type": "return", "id": "done" }] });
        let checked = check(&definition, &Known::default(), &Templates::new());
        checked
            .map(|checked| checked.workflow.on_event)
            .map_err(|faults| faults.into_iter().map(|fault| (fault.pointer, fault.detail)).collect())
    }

    fn failed(run: &str) -> Value {
        json!({ "id": "evt_1", "type": "run.failed", "timestamp": "2026-01-01T00:00:00.000Z", "data": { "runId": run } })
    }

    #[test]
    fn an_event_that_matches_starts_a_run_with_what_is_picked_out_of_it() {
        let on_event = read(json!({
            "event": ["run_failed", "run.timed_out"],
            "match": "event.data.runId != \"run_2\"",
            "input": { "run": "event.data.runId", "kind": "event.type" }
        }));
        let on_event = on_event.unwrap().unwrap();
        assert_eq!(on_event.events, [EventType::RunFailed, EventType::RunTimedOut]);
        let templates = Templates::new();
        let input = on_event.judge(&templates, failed("run_1")).unwrap();
        assert_eq!(input, Some(json!({ "run": "run_1", "kind": "run.failed" })));
        assert_eq!(on_event.judge(&templates, failed("run_2")).unwrap(), None);
    }

    #[test]
    fn a_field_that_expressions_take_for_something_else_is_warned_of() {
        let on_event = json!({ "event": "run.failed", "input": { "run": "event.id", "input": "1", "why": "2" } });
        let definition = json!({ "onEvent": on_event, "steps": [{ "type": "return", "id": "done" }] });
        let warnings = check(&definition, &Known::default(), &Templates::new()).unwrap().warnings;
        let mut places: Vec<&str> = warnings.iter().map(|warning| warning.pointer.as_str()).collect();
        places.sort_unstable();
        assert_eq!(places, ["/onEvent/input/input", "/onEvent/input/run"]);
        let of_run = warnings.iter().find(|warning| warning.pointer.ends_with("run")).unwrap();
        assert!(of_run.detail.contains("`input.run`"), "{of_run}");
    }

    #[test]
    fn without_a_mapping_the_run_is_given_the_whole_event() {
        let on_event = read(json!({ "event": "run.failed" })).unwrap().unwrap();
        let input = on_event.judge(&Templates::new(), failed("run_1")).unwrap();
        assert_eq!(input, Some(json!({ "event": failed("run_1") })));
        assert_eq!(read(Value::Null).unwrap_err()[0].0, "/onEvent");
    }

    #[test]
    fn every_fault_is_told_with_its_place() {
        let faults = read(json!({
            "event": ["run.exploded", "run.failed", "run_failed", 7],
            "match": "data.runId ==",
            "input": { "a": "other.thing", "b": 1 },
            "when": "true"
        }));
        let places: Vec<String> = faults.unwrap_err().into_iter().map(|(place, _)| place).collect();
        assert_eq!(
            places,
            [
                "/onEvent/when",
                "/onEvent/event/0",
                "/onEvent/event/2",
                "/onEvent/event/3",
                "/onEvent/match",
                "/onEvent/input/a",
                "/onEvent/input/b"
            ]
        );
        assert_eq!(read(json!({})).unwrap_err()[0].0, "/onEvent/event");
        assert_eq!(read(json!({ "event": [] })).unwrap_err()[0].0, "/onEvent/event");
    }
}
