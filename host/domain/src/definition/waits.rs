//! Steps that wait: for time, an event, a decision, another run.

use chrono::DateTime;
use serde_json::{Map, Value};

use super::fields::{Fields, kind_of};
use super::step::{COMMON, Reader};
use super::{Approval, EVENT_NAME_CHARS_MAX, OnTimeout, StepIndex, Wait, WorkflowStep};
use crate::duration::parse_duration;
use crate::fault::pointer;
use crate::id::WorkflowId;
use crate::template::has_code;

/// The roles there are.
const ROLES: [&str; 4] = ["owner", "admin", "member", "viewer"];

impl Reader<'_> {
    pub(super) fn read_wait(&mut self, fields: Fields<'_>, index: StepIndex) -> Option<Wait> {
        let own = ["outputVar", "duration", "until", "event", "match"];
        fields.only(&[&COMMON, &own], "a wait step", self.findings);
        let stated: Vec<&str> =
            ["duration", "until", "event"].into_iter().filter(|key| fields.get(key).is_some()).collect();
        let [key] = stated[..] else {
            let detail = "a wait has one of `duration`, `until`, `event`";
            self.findings.fault(fields.pointer, "definition.missing", detail);
            return None;
        };
        let text = fields.required_text(key, self.findings)?;
        for (other, only_for) in [("match", "event"), ("timeout", "event"), ("totalTimeout", "event")] {
            if key != only_for && fields.get(other).is_some() {
                let detail = format!("`{other}` goes with `{only_for}`");
                self.findings.fault(fields.at(other), "definition.unknown_field", detail);
            }
        }
        match key {
            "event" => {
                check_event_name(text).unwrap_or_else(|why| {
                    self.findings.fault(fields.at("event"), "definition.value", why);
                });
                let matches = fields.text("match", self.findings);
                if let Some(matches) = matches {
                    self.check_expression(matches, fields.at("match"), index);
                }
                Some(Wait::Event { name: text.to_owned(), matches: matches.map(str::to_owned) })
            }
            _ if has_code(text) => {
                self.check_template(text, fields.at(key), index);
                Some(if key == "duration" { Wait::Duration(text.to_owned()) } else { Wait::Until(text.to_owned()) })
            }
            "duration" => {
                fields.duration("duration", self.findings)?;
                parse_duration(text).ok()?;
                Some(Wait::Duration(text.to_owned()))
            }
            _ => {
                if DateTime::parse_from_rfc3339(text).is_err() {
                    let detail = "`until` is a timestamp such as `2030-01-31T08:00:00Z` (RFC 3339)";
                    self.findings.fault(fields.at("until"), "definition.value", detail);
                }
                Some(Wait::Until(text.to_owned()))
            }
        }
    }

    pub(super) fn read_approval(&mut self, fields: Fields<'_>, index: StepIndex) -> Option<Approval> {
        let own = ["outputVar", "message", "approvers", "onTimeout"];
        fields.only(&[&COMMON, &own], "an approval step", self.findings);
        let message = fields.required_text("message", self.findings);
        if let Some(message) = message {
            self.check_template(message, fields.at("message"), index);
        }
        let approvers = self.read_approvers(fields);
        let on_timeout = match fields.text("onTimeout", self.findings) {
            None | Some("deny") => OnTimeout::Deny,
            Some("approve") => OnTimeout::Approve,
            Some("fail") => OnTimeout::Fail,
            Some(_) => {
                let detail = "`onTimeout` is `deny`, `approve` or `fail`";
                self.findings.fault(fields.at("onTimeout"), "definition.value", detail);
                OnTimeout::Deny
            }
        };
        Some(Approval { message: message?.to_owned(), approvers, on_timeout })
    }

    /// The roles that may decide.
    pub(super) fn read_approvers(&mut self, fields: Fields<'_>) -> Vec<String> {
        let mut approvers = Vec::new();
        match fields.get("approvers") {
            None => approvers.extend(["owner", "admin", "member"].map(str::to_owned)),
            Some(Value::Array(roles)) if !roles.is_empty() => {
                for (position, role) in roles.iter().enumerate() {
                    match role.as_str().filter(|role| ROLES.contains(role)) {
                        Some(role) => approvers.push(role.to_owned()),
                        None => {
                            let place = pointer(&fields.at("approvers"), position);
                            let detail = format!("an approver is one of the roles {}", ROLES.join(", "));
                            self.findings.fault(place, "definition.value", detail);
                        }
                    }
                }
                approvers.sort();
                approvers.dedup();
            }
            Some(_) => {
                let detail = "`approvers` is an array of at least one role";
                self.findings.fault(fields.at("approvers"), "definition.type", detail);
            }
        }
        approvers
    }

    pub(super) fn read_workflow(&mut self, fields: Fields<'_>, index: StepIndex) -> Option<WorkflowStep> {
        let own = ["outputVar", "workflowId", "version", "input"];
        fields.only(&[&COMMON, &own], "a workflow step", self.findings);
        let text = fields.required_text("workflowId", self.findings);
        let workflow_id: Option<WorkflowId> = text.and_then(|text| {
            let parsed = text.parse().ok();
            if parsed.is_none() {
                let detail = format!("`{text}` is no workflow's id");
                self.findings.fault(fields.at("workflowId"), "definition.value", detail);
            }
            parsed
        });
        let version = fields.whole_number("version", 1, i32::MAX as u64, self.findings).map(|version| version as i32);
        let input = match fields.get("input") {
            None => Value::Object(Map::new()),
            Some(input @ Value::Object(_)) => input.clone(),
            Some(other) => {
                let detail = format!("`input` is an object, not {}", kind_of(other));
                self.findings.fault(fields.at("input"), "definition.type", detail);
                return None;
            }
        };
        self.check_deep(&input, &fields.at("input"), index);
        Some(WorkflowStep { workflow_id: workflow_id?, version, input })
    }
}

/// Whether a text can be the name of an event that runs wait for, or why not.
///
/// # Errors
/// What such a name is, for people.
pub fn check_event_name(name: &str) -> Result<(), String> {
    let letters = |c: char| c.is_ascii_alphanumeric() || "._:-".contains(c);
    if (1..=EVENT_NAME_CHARS_MAX).contains(&name.len()) && name.chars().all(letters) {
        Ok(())
    } else {
        Err(format!("the name of an event is 1 to {EVENT_NAME_CHARS_MAX} of A-Z a-z 0-9 . _ : -"))
    }
}
