//! What the engine's errors on schedules are to a caller.

use armilla_engine::ScheduleError;

use super::command::sentence;
use super::{Code, Problem};

impl From<ScheduleError> for Problem {
    fn from(error: ScheduleError) -> Self {
        match &error {
            ScheduleError::Unknown(_) => Self::not_found(Code::ScheduleNotFound),
            ScheduleError::TooMany => Self::new(Code::ScheduleTooMany, sentence(&error)),
            ScheduleError::TooManyQueued => Self::new(Code::ScheduleTooManyQueued, sentence(&error)),
            ScheduleError::NotStarted(_) => Self::new(Code::ScheduleNotStarted, sentence(&error)),
        }
    }
}
