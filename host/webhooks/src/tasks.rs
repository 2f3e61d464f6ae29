//! The tasks of one host: begun before it serves, ended before its database is closed.

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What runs in the background.
#[derive(Default)]
pub(crate) struct Tasks {
    pub(crate) stopping: CancellationToken,
    pub(crate) tracker: TaskTracker,
}
