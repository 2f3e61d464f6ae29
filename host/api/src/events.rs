//! Events: what happened.

mod body;
mod catalogue;
mod handlers;
mod query;
mod stream;

pub(crate) use self::catalogue::{
    __path_get_event_type, __path_list_event_types, describe, get_event_type, list_event_types,
};
pub(crate) use self::handlers::{
    __path_get_event, __path_list_event_starts, __path_list_events, get_event, list_event_starts, list_events,
};
pub(crate) use self::stream::{__path_follow_events, follow_events};
