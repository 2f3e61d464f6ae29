//! What a run costs: five-step runs through the REST API of a whole server, against the same commits in bare SQL, on the same
//! durable Postgres in the same minute.
//!
//! `cargo bench -p armilla --bench runs [-- --seconds N]` after `make plugins`. It prints two Markdown tables;
//! docs/benchmarks.md tells how to read them.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on stops")]

mod agent;
mod floor;
mod load;
mod machine;
mod report;
mod server;

use std::time::Duration;

use armilla_domain::id::WorkflowId;
use clap::Parser;
use serde_json::{Value, json};

use crate::floor::{Floor, Journal};
use crate::load::{Slice, drive};
use crate::server::Server;

/// Floor and server take turns this often; each figure is the median of so many.
const ROUNDS: u32 = 5;
const IN_FLIGHT: [usize; 2] = [1, 32];
const STEPS: usize = 5;

#[derive(Parser)]
struct Args {
    /// How long to measure, in seconds
    #[arg(long, default_value_t = 48)]
    seconds: u64,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

/// What is measured against what.
struct Contest {
    what: &'static str,
    in_flight: usize,
    workflow: WorkflowId,
    journal: Journal,
    floor: Vec<Slice>,
    ours: Vec<Slice>,
}

fn main() {
    let Args { seconds, bench: _ } = Args::parse();
    // As the program's own runtime, which carries the agent and the clients as well here.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(measure(Duration::from_secs(seconds)));
}

async fn measure(total: Duration) {
    let server = Server::start().await;
    let floor = Floor::new(server.connect_options());
    let mut contests = contests(&server, &floor).await;
    // One more round than is counted: the first one fills caches and opens connections.
    let slice = total / (2 * (ROUNDS + 1) * contests.len() as u32);
    for round in 0..=ROUNDS {
        for contest in &mut contests {
            let of_floor =
                drive(contest.in_flight, slice, |worker| floor.replay(worker, contest.workflow, &contest.journal))
                    .await;
            let of_server = drive(contest.in_flight, slice, |_| server.run(contest.workflow)).await;
            if round > 0 {
                contest.floor.push(of_floor);
                contest.ours.push(of_server);
            }
        }
    }
    report::print(&contests, &machine::describe(&floor).await);
    floor.close().await;
    server.stop().await;
}

async fn contests(server: &Server, floor: &Floor) -> Vec<Contest> {
    let mut contests = Vec::new();
    for (what, step) in [("agents", agent_step as fn(usize) -> Value), ("tools", tool_step)] {
        let steps: Vec<Value> = (1..=STEPS).map(step).collect();
        let workflow = server.create_workflow(what, &json!({ "steps": steps })).await;
        // What the floor repeats is what the server really wrote.
        let journal = floor.journal_of(server, workflow).await;
        let contest = |in_flight| {
            let (floor, ours, journal) = (Vec::new(), Vec::new(), journal.clone());
            Contest { what, in_flight, workflow, journal, floor, ours }
        };
        contests.extend(IN_FLIGHT.map(contest));
    }
    contests
}

/// Each step reads what the one before it answered.
fn agent_step(number: usize) -> Value {
    let message =
        if number == 1 { "Research {{topic}}".to_owned() } else { format!("Go on from: {{{{s{}}}}}", number - 1) };
    json!({ "type": "agent", "id": format!("s{number}"), "agentId": server::AGENT_ID, "message": message,
        "outputVar": format!("s{number}") })
}

fn tool_step(number: usize) -> Value {
    let text = if number == 1 { "{{topic}}".to_owned() } else { format!("{{{{s{}.slug}}}} once more", number - 1) };
    json!({ "type": "tool", "id": format!("s{number}"), "toolName": "text.slugify", "params": { "text": text },
        "outputVar": format!("s{number}") })
}
