//! Ids are types with a prefix on the wire, time-ordered (UUID version 7, RFC 9562), made from a given instant and given chance.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;

mod growing;

pub use self::growing::GrowingIds;

/// A text that is not an id of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected an id that starts with `{prefix}` and goes on with 32 hexadecimal digits")]
pub struct IdError {
    /// The prefix of the kind of id that was expected, underscore included.
    pub prefix: &'static str,
}

/// An id that is made from an instant and chance.
pub trait TimeOrdered {
    /// The id of an instant (milliseconds since 1970) and 74 bits of `chance` (of 80 given, the id's version and variant take 6).
    fn from_parts(unix_millis: u64, chance: [u8; 10]) -> Self;
}

impl TimeOrdered for Uuid {
    fn from_parts(unix_millis: u64, chance: [u8; 10]) -> Self {
        uuid::Builder::from_unix_timestamp_millis(unix_millis, &chance).into_uuid()
    }
}

macro_rules! typed_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Uuid);

        impl $name {
            /// What every such id starts with on the wire.
            pub const PREFIX: &'static str = $prefix;

            /// The id of an instant (milliseconds since 1970) and 74 bits of `chance` (of 80 given, the id's version and
            /// variant take 6).
            pub fn from_parts(unix_millis: u64, chance: [u8; 10]) -> Self {
                Self(Uuid::from_parts(unix_millis, chance))
            }

            /// The id that a database column holds.
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// What a database column holds.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl TimeOrdered for $name {
            fn from_parts(unix_millis: u64, chance: [u8; 10]) -> Self {
                Self::from_parts(unix_millis, chance)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0.simple())
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let wrong = IdError { prefix: $prefix };
                let digits = text.strip_prefix($prefix).ok_or_else(|| wrong.clone())?;
                // `Uuid` reads several spellings; only one of them is ours.
                if digits.len() != 32 || digits.bytes().any(|b| b.is_ascii_uppercase()) {
                    return Err(wrong);
                }
                Uuid::try_parse(digits).map(Self).map_err(|_| wrong)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    };
}

typed_id!(
    /// A workflow, whatever its version.
    WorkflowId, "wf_"
);
typed_id!(
    /// One run of one version of a workflow.
    RunId, "run_"
);
typed_id!(
    /// A decision that a run waits for.
    ApprovalId, "apr_"
);
typed_id!(
    /// A prompt template, whatever its version.
    PromptTemplateId, "pt_"
);
typed_id!(
    /// A prompt that an agent has for a while.
    PromptOverrideId, "po_"
);
typed_id!(
    /// A schedule: what starts runs by the clock.
    ScheduleId, "sch_"
);
typed_id!(
    /// A URL that starts runs.
    InboundHookId, "ih_"
);
typed_id!(
    /// Something that happened, and is told.
    EventId, "evt_"
);
typed_id!(
    /// Where events are sent to.
    WebhookId, "wh_"
);
typed_id!(
    /// One event on its way to one webhook.
    DeliveryId, "dlv_"
);
typed_id!(
    /// A workspace: the fence around everything its members make.
    WorkspaceId, "ws_"
);

impl WorkflowId {
    /// The id of a workflow that is known by what it does: made of a digest (UUID version 8, RFC 9562 section 5.8), so it tells
    /// no time and never meets an id that was drawn.
    pub fn from_digest(digest: [u8; 16]) -> Self {
        Self(uuid::Builder::from_custom_bytes(digest).into_uuid())
    }
}

impl WorkspaceId {
    /// The workspace of a token that names none.
    pub const DEFAULT: Self = Self(Uuid::from_u128(0x0000_0000_0000_7000_8000_0000_0000_0001));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_what_it_writes() {
        let id = RunId::from_parts(1_700_000_000_000, [7; 10]);
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn an_id_of_another_kind_is_refused() {
        let id = RunId::from_parts(1_700_000_000_000, [7; 10]);
        assert_eq!(id.to_string().parse::<WorkflowId>(), Err(IdError { prefix: "wf_" }));
    }

    #[test]
    fn only_one_spelling_of_an_id_is_accepted() {
        let id = RunId::from_parts(1_700_000_000_000, [0xab; 10]).to_string();
        let upper = format!("run_{}", id["run_".len()..].to_uppercase());
        assert!(upper.parse::<RunId>().is_err());
        assert!(format!("run_{}", RunId::from_parts(1, [1; 10]).uuid()).parse::<RunId>().is_err());
    }

    #[test]
    fn an_id_of_a_digest_is_the_same_each_time_and_reads_back() {
        let id = WorkflowId::from_digest([0xff; 16]);
        assert_eq!(id, WorkflowId::from_digest([0xff; 16]));
        assert_ne!(id, WorkflowId::from_digest([0; 16]));
        assert_eq!((id.uuid().get_version_num(), id.to_string().parse()), (8, Ok(id)));
    }

    #[test]
    fn ids_sort_by_the_instant_they_were_made_at() {
        assert!(RunId::from_parts(1_000, [255; 10]) < RunId::from_parts(1_001, [0; 10]));
    }
}
