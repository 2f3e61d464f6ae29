//! A circuit breaker: takes out of service what fails too often, and lets it back by one call that goes well.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// So many faults within [`WINDOW`] open the breaker.
pub const FAULTS_MAX: usize = 5;
/// How long a fault counts.
pub const WINDOW: Duration = Duration::from_secs(60);

/// The breaker of one plugin, or of one endpoint. Time is an argument.
#[derive(Debug)]
pub struct Breaker {
    open_for: Duration,
    /// Whether a call that goes well makes up for the faults before it.
    forgives: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    Closed {
        faults: VecDeque<Instant>,
    },
    Open {
        until: Instant,
    },
    /// One call is under way to find out.
    Probing,
}

impl Default for State {
    fn default() -> Self {
        Self::Closed { faults: VecDeque::new() }
    }
}

/// A call that was let through. It says how it ended; one that is dropped before has found out nothing.
#[derive(Debug)]
pub struct Admission<'a> {
    breaker: &'a Breaker,
    since: Instant,
    probe: bool,
    settled: bool,
}

impl Breaker {
    /// A closed one, which refuses calls for `open_for` once it has opened, before it lets one through to try.
    pub fn new(open_for: Duration) -> Self {
        Self { open_for, forgives: false, state: Mutex::default() }
    }

    /// The same where only faults in a row count: of what is asked very often, some calls fail in any minute.
    pub fn forgiving(open_for: Duration) -> Self {
        Self { forgives: true, ..Self::new(open_for) }
    }

    /// Lets a call through.
    ///
    /// # Errors
    /// For how long none is let through.
    pub fn admit(&self, now: Instant) -> Result<Admission<'_>, Duration> {
        let mut state = self.lock();
        let probe = match &*state {
            State::Closed { .. } => false,
            State::Open { until } if *until <= now => {
                *state = State::Probing;
                true
            }
            State::Open { until } => return Err(*until - now),
            State::Probing => return Err(self.open_for),
        };
        Ok(Admission { breaker: self, since: now, probe, settled: false })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Admission<'_> {
    /// How the call ended. Says whether this was what opened the breaker.
    pub fn settle(mut self, now: Instant, faulty: bool) -> bool {
        self.settled = true;
        let mut state = self.breaker.lock();
        let open_for = self.breaker.open_for;
        if self.probe {
            *state = if faulty { State::Open { until: now + open_for } } else { State::default() };
            return false;
        }
        let State::Closed { faults } = &mut *state else { return false };
        if !faulty {
            if self.breaker.forgives {
                faults.clear();
            }
            return false;
        }
        while faults.front().is_some_and(|fault| now.duration_since(*fault) > WINDOW) {
            faults.pop_front();
        }
        faults.push_back(now);
        let opens = faults.len() >= FAULTS_MAX;
        if opens {
            *state = State::Open { until: now + open_for };
        }
        opens
    }
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        if self.probe && !self.settled {
            // The next call finds out instead.
            let mut state = self.breaker.lock();
            if matches!(*state, State::Probing) {
                *state = State::Open { until: self.since };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN_FOR: Duration = Duration::from_secs(30);

    fn fault(breaker: &Breaker, now: Instant) -> bool {
        breaker.admit(now).unwrap().settle(now, true)
    }

    #[test]
    fn it_opens_at_the_fifth_fault_within_a_minute_and_closes_by_a_probe() {
        let (breaker, start) = (Breaker::new(OPEN_FOR), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        for second in 0..4 {
            assert!(!fault(&breaker, at(second)));
        }
        assert!(!breaker.admit(at(4)).unwrap().settle(at(4), false), "a good call is no fault");
        assert!(fault(&breaker, at(5)));
        assert_eq!(breaker.admit(at(15)).unwrap_err(), Duration::from_secs(20));

        // A probe that fails keeps it open, and only one is let through at a time.
        let probe = breaker.admit(at(35)).unwrap();
        assert!(breaker.admit(at(35)).is_err());
        assert!(!probe.settle(at(36), true));
        assert!(breaker.admit(at(40)).is_err());
        breaker.admit(at(66)).unwrap().settle(at(66), false);
        assert!(!fault(&breaker, at(67)), "it counts anew");
    }

    #[test]
    fn one_that_forgives_counts_faults_in_a_row() {
        let (breaker, now) = (Breaker::forgiving(OPEN_FOR), Instant::now());
        for _ in 0..3 {
            (0..4).for_each(|_| assert!(!fault(&breaker, now)));
            breaker.admit(now).unwrap().settle(now, false);
        }
        (0..4).for_each(|_| assert!(!fault(&breaker, now)));
        assert!(fault(&breaker, now));
    }

    #[test]
    fn old_faults_do_not_count() {
        let (breaker, start) = (Breaker::new(OPEN_FOR), Instant::now());
        for minute in 0..20 {
            assert!(!fault(&breaker, start + Duration::from_secs(61 * minute / 4)), "{minute}");
        }
    }

    #[test]
    fn a_probe_that_nobody_waited_for_leaves_the_question_open() {
        let (breaker, start) = (Breaker::new(OPEN_FOR), Instant::now());
        for _ in 0..FAULTS_MAX {
            fault(&breaker, start);
        }
        drop(breaker.admit(start + OPEN_FOR).unwrap());
        assert!(breaker.admit(start + OPEN_FOR + Duration::from_secs(60)).is_ok());
    }
}
