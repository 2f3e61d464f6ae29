//! The thread that starts Postgres, waits for it and starts it again.

use std::io;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tokio::sync::watch;
use tracing::{info, warn};

use super::prepare::{Prepared, prepare};
use super::{ClusterConfig, ClusterError};

/// The first wait before a restart; it doubles with each failure.
pub const RESTART_MILLIS_MIN: u64 = 200;
/// The longest wait before a restart: a repaired disk is noticed within it.
pub const RESTART_MILLIS_MAX: u64 = 10_000;
/// A Postgres that ran this long has recovered: the next failure is a new one.
const STABLE_SECONDS_MIN: u64 = 30;
/// How long the Postgres of a host that was killed may take to leave: it writes a checkpoint first.
pub const LEFTOVER_SECONDS_MAX: u64 = 30;
const LEFTOVER_POLL_MILLIS: u64 = 100;

/// How far the thread is.
#[derive(Debug, Clone)]
pub(super) enum Progress {
    Preparing,
    /// Prepared, and a child was started at least once.
    Supervising(Prepared),
    Ended,
}

/// What the thread and the `Cluster` share.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    pub(super) progress: watch::Sender<Progress>,
}

#[derive(Debug, Default)]
struct State {
    is_stopping: bool,
    is_ready: bool,
    has_ended: bool,
    /// The child that is running: `initdb` or `postgres`. Not yet reaped while it is here, so the id is its own.
    child: Option<Pid>,
    error: Option<ClusterError>,
}

impl Shared {
    pub(super) fn new() -> Self {
        Self { state: Mutex::default(), changed: Condvar::new(), progress: watch::Sender::new(Progress::Preparing) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn child(&self) -> Option<u32> {
        self.state().child.and_then(|pid| pid.as_raw_nonzero().get().try_into().ok())
    }

    pub(super) fn take_error(&self) -> Option<ClusterError> {
        self.state().error.take()
    }

    /// From now on a child that ends is started again instead of being an error.
    pub(super) fn set_ready(&self) {
        self.state().is_ready = true;
    }

    /// No child is started from now on, and the present one gets `signal`.
    pub(super) fn stop(&self, signal: Signal) {
        let mut state = self.state();
        state.is_stopping = true;
        if let Some(pid) = state.child {
            // It may have ended by itself, which is what we want.
            let _ = kill_process(pid, signal);
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Waits until the thread is done, at most `wait_max`; whether it is.
    pub(super) fn wait_for_end(&self, wait_max: Duration) -> bool {
        let waited = self.changed.wait_timeout_while(self.state(), wait_max, |state| !state.has_ended);
        waited.unwrap_or_else(PoisonError::into_inner).0.has_ended
    }

    /// Runs `command` to its end. `None`: we are stopping, and it was not started.
    pub(super) fn run(&self, command: &mut Command) -> io::Result<Option<ExitStatus>> {
        let spawned = {
            let mut state = self.state();
            if state.is_stopping {
                return Ok(None);
            }
            let child = command.spawn()?;
            state.child = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
            child
        };
        self.reap(spawned).map(Some)
    }

    fn reap(&self, mut child: Child) -> io::Result<ExitStatus> {
        // Waits without reaping: until `child` is taken away below, nobody else can get its id and our signals.
        let pid = self.state().child;
        if let Some(pid) = pid {
            let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            while matches!(waitid(WaitId::Pid(pid), ended), Err(rustix::io::Errno::INTR)) {}
        }
        let mut state = self.state();
        let status = child.wait();
        state.child = None;
        status
    }

    /// Sleeps for `pause` or until a stop; whether to go on.
    fn pause(&self, pause: Duration) -> bool {
        let waited = self.changed.wait_timeout_while(self.state(), pause, |state| !state.is_stopping);
        !waited.unwrap_or_else(PoisonError::into_inner).0.is_stopping
    }
}

/// Tells the others that the thread is done, even where it panicked.
struct EndGuard<'a>(&'a Shared);

impl Drop for EndGuard<'_> {
    fn drop(&mut self) {
        self.0.state().has_ended = true;
        self.0.changed.notify_all();
        self.0.progress.send_replace(Progress::Ended);
    }
}

/// The thread's whole life. Children get their death signal when it ends, so it ends last.
pub(super) fn supervise(shared: &Shared, config: &ClusterConfig) {
    let _end = EndGuard(shared);
    // The data folder's lock lives in here and is free again before the end is told.
    if let Err(error) = prepare_and_run(shared, config) {
        shared.state().error = Some(error);
    }
}

fn prepare_and_run(shared: &Shared, config: &ClusterConfig) -> Result<(), ClusterError> {
    let Some((prepared, _lock)) = prepare(shared, config)? else { return Ok(()) };
    let started_at = Instant::now();
    let mut failures = 0;
    shared.progress.send_replace(Progress::Supervising(prepared.clone()));
    loop {
        let had_pid_file = prepared.judge_pid_file();
        let run_at = Instant::now();
        let mut command = prepared.postgres_command()?;
        let Some(status) = shared.run(&mut command).map_err(super::io_at("run", &prepared.postgres()))? else {
            return Ok(());
        };
        failures = if run_at.elapsed() > Duration::from_secs(STABLE_SECONDS_MIN) { 0 } else { failures + 1 };
        let state = shared.state();
        let next = after_exit(&Exit {
            is_stopping: state.is_stopping,
            was_ready: state.is_ready,
            is_leftover: had_pid_file && prepared.has_pid_file(),
            since_start: started_at.elapsed(),
            failures,
        });
        drop(state);
        let pause = match next {
            Next::End => return Ok(()),
            Next::Fail => return Err(ClusterError::Start { status, log: prepared.log_tail() }),
            Next::WaitForLeftover(pause) => {
                info!("Waiting for the Postgres of a host that ended to leave the cluster");
                pause
            }
            Next::Restart(pause) => {
                warn!(
                    postgres.status = %status, restart.failures = failures, restart.pause_ms = pause.as_millis() as u64,
                    "Postgres ended by itself and is started again; its log tells more"
                );
                pause
            }
        };
        if !shared.pause(pause) {
            return Ok(());
        }
    }
}

struct Exit {
    is_stopping: bool,
    was_ready: bool,
    /// A pid file was there before the start and still is: somebody else's, alive or with shared memory still held.
    is_leftover: bool,
    since_start: Duration,
    /// Counting this one, since it last ran for long.
    failures: u32,
}

#[derive(Debug, PartialEq, Eq)]
enum Next {
    End,
    Fail,
    WaitForLeftover(Duration),
    Restart(Duration),
}

fn after_exit(exit: &Exit) -> Next {
    match exit {
        Exit { is_stopping: true, .. } => Next::End,
        Exit { was_ready: true, failures, .. } => {
            let doublings = failures.saturating_sub(1).min(16);
            Next::Restart(Duration::from_millis((RESTART_MILLIS_MIN << doublings).min(RESTART_MILLIS_MAX)))
        }
        Exit { is_leftover: true, since_start, .. } if *since_start < Duration::from_secs(LEFTOVER_SECONDS_MAX) => {
            Next::WaitForLeftover(Duration::from_millis(LEFTOVER_POLL_MILLIS))
        }
        _ => Next::Fail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Exit =
        Exit { is_stopping: false, was_ready: false, is_leftover: false, since_start: Duration::ZERO, failures: 1 };

    #[test]
    fn a_postgres_that_never_answered_is_an_error_and_not_started_again() {
        assert_eq!(after_exit(&FIRST), Next::Fail);
    }

    #[test]
    fn another_postgres_in_the_cluster_is_waited_for_but_not_for_ever() {
        let leftover = Exit { is_leftover: true, ..FIRST };
        assert!(matches!(after_exit(&leftover), Next::WaitForLeftover(_)));
        assert_eq!(after_exit(&Exit { since_start: Duration::from_secs(30), ..leftover }), Next::Fail);
    }

    #[test]
    fn restarts_come_after_pauses_that_double_up_to_a_bound() {
        let pause = |failures| after_exit(&Exit { was_ready: true, failures, ..FIRST });
        let millis = |millis| Next::Restart(Duration::from_millis(millis));
        assert_eq!([pause(1), pause(2), pause(3)], [millis(200), millis(400), millis(800)]);
        assert_eq!([pause(7), pause(1_000)], [millis(10_000), millis(10_000)]);
    }

    #[test]
    fn an_exit_that_was_asked_for_is_the_end() {
        assert_eq!(after_exit(&Exit { is_stopping: true, was_ready: true, ..FIRST }), Next::End);
    }
}
