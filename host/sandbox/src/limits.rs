//! What one call, one plugin and all of them together may use.

use std::time::Duration;

use armilla_domain::plugin::GrantLimits;

/// In bytes, of a component's file: room for a guest that brings an interpreter along, and 18 MB is what one takes.
pub const COMPONENT_BYTES_MAX: u64 = 64 << 20;
/// In bytes of JSON that go into a call: a tool works on a document, not on a database.
pub const INPUT_BYTES_MAX: usize = 1 << 20;
/// In bytes of JSON that come out of a call: an output ends up in the journal.
pub const OUTPUT_BYTES_MAX: usize = 1 << 20;
/// In bytes that one call may log, standard output and standard error included: a page for each of a few dozen screens.
pub const LOG_BYTES_MAX: usize = 64 << 10;
/// In bytes of machine stack: an interpreter needs a few hundred KiB, recursion without end takes everything.
pub const STACK_BYTES_MAX: usize = 512 << 10;
/// In elements of one table: an interpreter's table of functions has a few thousand.
pub const TABLE_ELEMENTS_MAX: usize = 20_000;
/// Live handles of one call: a guest without grants needs those of its standard streams.
pub const HANDLES_MAX: usize = 256;
/// In bytes that one request for chance may ask for.
pub const RANDOM_BYTES_MAX: u64 = 64 << 10;
/// In bytes of one schema's text: a schema is read by people and models.
pub const SCHEMA_BYTES_MAX: usize = 64 << 10;
/// A plugin with more tools than this is several plugins.
pub const TOOLS_PER_PLUGIN_MAX: usize = 100;

/// Core instances, memories and tables that one call may have: what adapters and interpreters are seen to need, doubled.
pub(crate) const CORE_INSTANCES_MAX: u32 = 30;
pub(crate) const MEMORIES_MAX: u32 = 4;
pub(crate) const TABLES_MAX: u32 = 8;
/// In bytes: the fiber that a guest runs on also holds the host functions that it calls.
pub(crate) const FIBER_BYTES: usize = 1 << 20;
/// In bytes that move from guest to host in one piece: the longest output, and room to see that it is too long.
pub(crate) const HOST_CALL_BYTES_MAX: usize = 2 * OUTPUT_BYTES_MAX;

/// Calls at the same time on one host, of all plugins. A slot costs address space and some kilobytes; that there are many more
/// than one plugin can take is what keeps a bad one from the others.
pub const CALLS_AT_ONCE_TOTAL: u32 = 256;
/// Which part of them one workspace may have: what its plugins do wrong together leaves the rest to the others.
pub(crate) const SHARE_OF_ONE_WORKSPACE: usize = 2;
/// Slots whose memory is kept from call to call: what a busy host uses at once, and not all that it could.
pub(crate) const WARM_SLOTS_MAX: u32 = 64;
/// In bytes, of all memories of all calls on one host together.
pub const MEMORY_BYTES_TOTAL: u64 = 4 << 30;
/// In bytes of all results that are kept for plugins whose grants say so.
pub(crate) const RESULT_CACHE_BYTES_MAX: usize = 64 << 20;
/// Components that are compiled at the same time: each uses all cores already, and holds its code in memory.
pub(crate) const COMPILED_AT_ONCE: usize = 2;
/// Components that wait to be compiled; one more is refused.
pub(crate) const COMPILES_QUEUED_MAX: usize = 64;

/// The limits of one call and of one plugin.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long one call may compute. What it waits is not counted.
    pub cpu: Duration,
    /// How long one call may take, waiting for its turn included. A call's own timeout makes it shorter, never longer.
    pub wall: Duration,
    /// In bytes, of all memories of one call together.
    pub memory_bytes: usize,
    /// In bytes of JSON that a call may answer.
    pub output_bytes: usize,
    /// Calls to host functions in one call.
    pub host_calls: u64,
    /// In bytes, of all requests and answers of one call together.
    pub http_bytes: u64,
    /// Calls of one plugin that run at the same time.
    pub calls_at_once: usize,
    /// Calls of one plugin that wait for their turn; one more is refused.
    pub calls_queued: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            cpu: Duration::from_secs(1),
            wall: Duration::from_secs(30),
            memory_bytes: 64 << 20,
            output_bytes: OUTPUT_BYTES_MAX,
            host_calls: 10_000,
            http_bytes: 8 << 20,
            calls_at_once: 16,
            calls_queued: 256,
        }
    }
}

impl Limits {
    /// These, with what a grant says otherwise.
    pub(crate) fn under(mut self, granted: &GrantLimits) -> Self {
        fn set<T: TryFrom<u64>>(limit: &mut T, granted: Option<u64>) {
            if let Some(granted) = granted.and_then(|granted| T::try_from(granted).ok()) {
                *limit = granted;
            }
        }
        set(&mut self.memory_bytes, granted.memory_bytes);
        set(&mut self.output_bytes, granted.output_bytes);
        set(&mut self.host_calls, granted.host_calls);
        set(&mut self.http_bytes, granted.http_bytes);
        set(&mut self.calls_at_once, granted.concurrency);
        set(&mut self.calls_queued, granted.queue);
        self.cpu = granted.cpu.unwrap_or(self.cpu);
        self.wall = granted.timeout.unwrap_or(self.wall);
        self
    }
}
