//! Calls agents over HTTP: one attempt in, an answer or a typed error out. Whether to try again is decided elsewhere.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod a2a;
mod answer;
mod anthropic;
mod call;
mod conversation;
mod failure;
mod headers;
mod http;
mod openai;
mod sse;

pub use a2a::{
    A2aProgress, A2aTask, CARD_AGE_MAX, CARD_BYTES_MAX, CARDS_MAX, POLL_FIRST, POLL_MAX, QUESTION_CHARS_MAX,
    TASK_ID_BYTES_MAX, a2a_task_is_over,
};
pub use answer::{AgentAnswer, TokenUsage};
pub use call::{AgentCall, Agents, Deltas, ToolOffer};

/// Larger answers are documents, which belong into a store and not into a run's variables.
pub const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// What is repeated of an agent's own account of its failure: enough for a sentence or two.
pub const FAILURE_MESSAGE_CHARS_MAX: usize = 300;

/// No server means a longer `Retry-After`; a run that should rest for longer has a `wait` step.
pub const RETRY_AFTER_SECONDS_MAX: u64 = 24 * 60 * 60;
