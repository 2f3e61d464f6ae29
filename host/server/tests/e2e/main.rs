//! The whole program from outside: real HTTP, a real Postgres, real components, agents that are real servers. Each test has
//! a database of its own.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
#![allow(clippy::print_stderr, reason = "a test that is skipped says why")]

mod agent_answers;
mod agent_calls;
mod agent_limits;
mod agent_tasks;
mod agent_tools;
mod agent_versions;
mod agents;
mod approvals;
mod author;
mod bounds;
mod bulk;
mod chat;
mod chat_stream;
mod children;
mod concurrency;
mod contract;
mod control;
mod database;
mod documented_example;
mod durability;
mod errors;
mod events;
mod flow;
mod fork;
mod harness;
mod hooks;
mod hostile;
mod language;
mod lists;
mod overload;
mod packages;
mod pipeline_templates;
mod pipelines;
mod plugins;
mod process;
mod prompts;
mod recorded;
mod refused_early;
mod repeated_requests;
mod retry;
mod schedules;
mod signals;
mod starting;
mod streams;
mod takeover;
mod test_runs;
mod tokens;
mod tools;
mod typed;
mod versions;
mod waiting;
mod waits;
mod walks;
mod webhooks;
mod workflows;
mod workspaces;
