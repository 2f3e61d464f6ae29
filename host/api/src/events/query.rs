//! Which events are asked for.

use armilla_domain::event::EventType;
use armilla_engine::EventFilter;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::page::PageQuery;
use crate::problem::{Code, Problem};
use crate::wire::Timestamp;

/// Which events.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct EventsQuery {
    /// Events of these types alone: names in either spelling, separated by commas.
    #[param(required = false, value_type = String, example = "run.failed,run.timed_out")]
    r#type: Option<String>,
    /// Those that happened at this instant or later.
    #[param(required = false, value_type = String, format = DateTime)]
    from: Option<Timestamp>,
    /// Those that happened before this instant.
    #[param(required = false, value_type = String, format = DateTime)]
    before: Option<Timestamp>,
    /// How many, at most; the most that a list gives where absent.
    #[param(minimum = 1, required = false, value_type = u32)]
    limit: Option<u32>,
    /// The `nextCursor` of the page before; the list's beginning where absent.
    #[param(required = false, value_type = String)]
    cursor: Option<String>,
}

/// Which events, and from where on.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct FollowQuery {
    /// Events of these types alone: names in either spelling, separated by commas.
    #[param(required = false, value_type = String, example = "run.failed,run.timed_out")]
    pub(super) r#type: Option<String>,
    /// The id of the last event that is known already; what happens from now on where absent. `Last-Event-ID` takes precedence: it is newer.
    #[param(required = false, value_type = String, example = "evt_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")]
    pub(super) after: Option<String>,
}

impl EventsQuery {
    /// Which events, and which page of them.
    pub(super) fn parts(self) -> Result<(EventFilter, PageQuery), Problem> {
        let filter = EventFilter {
            kinds: self.r#type.as_deref().map(types_of).transpose()?,
            from: self.from.map(|instant| instant.0),
            before: self.before.map(|instant| instant.0),
        };
        Ok((filter, PageQuery { limit: self.limit, cursor: self.cursor }))
    }
}

/// Types of events by their names, separated by commas; either spelling.
pub(super) fn types_of(names: &str) -> Result<Vec<EventType>, Problem> {
    let parsed = names.split(',').map(|name| EventType::parse(name.trim()).ok_or(name.trim()));
    parsed.collect::<Result<_, _>>().map_err(|name| {
        let name: String = name.chars().take(64).collect();
        Problem::new(
            Code::QueryInvalid,
            format!("`type` names `{name}`, and there are no such events; `GET /event-types` lists them."),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_in_either_spelling_and_an_unknown_one_is_named() {
        let read = types_of("run.failed, run_timed_out").unwrap();
        assert_eq!(read, [EventType::RunFailed, EventType::RunTimedOut]);
        for wrong in ["", "run.failed,", "run.exploded", "run.failed;run.started"] {
            assert_eq!(types_of(wrong).unwrap_err().code(), Code::QueryInvalid, "{wrong}");
        }
    }
}
