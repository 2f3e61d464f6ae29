//! Which events are asked for.

use serde::Deserialize;
use utoipa::IntoParams;

/// Which events.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct EventsQuery {
    /// Events of these types alone: names, separated by commas.
    #[param(required = false, example = "plugin.activated")]
    pub(super) r#type: Option<String>,
    /// How many, at most; the most that a list gives where absent.
    #[param(minimum = 1, required = false)]
    pub(super) limit: Option<u32>,
    /// The `nextCursor` of the page before; the list's beginning where absent.
    #[param(required = false)]
    pub(super) cursor: Option<String>,
}
