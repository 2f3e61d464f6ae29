//! How time passes in a simulation: from one instant at which something is due to the next.

use super::{Simulation, Turn};
use crate::journal::{ScopePath, Visit};
use crate::run::frame::Work;

impl Simulation {
    /// Nothing more happens at this instant: the next one at which something does is now.
    pub(super) fn let_time_pass(&mut self) -> Turn {
        let wake =
            self.open().filter_map(|open| Some((self.state.acted_upon(open)?, &open.visit))).min_by_key(|(at, _)| *at);
        let wakes_what_is_left_open = wake.is_some_and(|(_, visit)| self.holds_an_open_call(visit));
        let wake = wake.map(|(at, _)| at);
        let calls = self.state.calls().into_iter().filter(|call| !self.open_for_good.contains(&call.visit));
        let retry = calls.filter_map(|call| call.not_before).min();
        let next = [wake, retry].into_iter().flatten().min();
        let deadline = self.state.deadline().filter(|deadline| next.is_none_or(|next| *deadline <= next));
        // What is late only because nobody answered says nothing about the workflow.
        let is_misleading =
            if deadline.is_some() { self.waits_for_a_call() } else { next == wake && wakes_what_is_left_open };
        match (next, deadline) {
            _ if is_misleading => Turn::Over,
            (_, Some(deadline)) => {
                self.now = self.now.max(deadline);
                self.take(self.state.time_out());
                Turn::GoesOn
            }
            (Some(next), None) => {
                self.now = self.now.max(next);
                Turn::GoesOn
            }
            (None, None) => Turn::Over,
        }
    }

    /// Whether a visit is, or encloses, a call that nobody answers.
    fn holds_an_open_call(&self, visit: &Visit) -> bool {
        let inside = ScopePath::prefix_inside(visit);
        let holds = |open: &&Visit| *open == visit || open.scope.as_str().starts_with(&inside);
        self.open_calls().any(|open| holds(&open))
    }

    pub(super) fn waits_for_a_call(&self) -> bool {
        self.open_calls().next().is_some()
    }

    /// The calls that nobody answers and that are still waited for.
    fn open_calls(&self) -> impl Iterator<Item = &Visit> {
        let open = self.open().filter(|open| matches!(open.work, Work::Calling { .. })).map(|open| &open.visit);
        open.filter(|visit| self.open_for_good.contains(visit))
    }
}
