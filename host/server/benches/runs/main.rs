//! What a run costs: five-step runs through the REST API of a whole server, against bare SQL, and against the pieces that a run is made of without an
//! engine, on the same durable Postgres in the same minute.
//!
//! `cargo bench -p armilla --bench runs [-- --seconds N]` after `make plugins`. It prints a Markdown table;
//! docs/benchmarks.md tells how to read them.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on stops")]

mod agent;
mod cpu;
mod floor;
mod load;
mod machine;
mod pieces;
mod report;
mod server;

use std::time::Duration;

use armilla_domain::id::WorkflowId;
use clap::Parser;
use serde_json::{Value, json};

use crate::floor::Floor;
use crate::load::{Slice, drive};
use crate::pieces::Pieces;
use crate::server::Server;

/// They take turns this often; each figure is the median of so many.
const ROUNDS: u32 = 5;
const IN_FLIGHT: [usize; 3] = [1, 32, 256];
const STEPS: usize = 5;

#[derive(Parser)]
struct Args {
    /// How long to measure, in seconds
    #[arg(long, default_value_t = 90)]
    seconds: u64,
    /// Measure only steps of this kind: `agents`, `tools with a grant` or `pure tools`
    #[arg(long)]
    only: Option<String>,
    /// Measure only with so many requests in flight; may be given several times
    #[arg(long, default_values_t = IN_FLIGHT)]
    in_flight: Vec<usize>,
    /// Leave out what Armilla is measured against, so that a profiler sees nothing else
    #[arg(long)]
    no_floor: bool,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

/// What the steps are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Agents,
    Granted,
    Pure,
}

impl What {
    const ALL: [Self; 3] = [Self::Agents, Self::Granted, Self::Pure];

    fn name(self) -> &'static str {
        match self {
            Self::Agents => "agents",
            Self::Granted => "tools with a grant",
            Self::Pure => "pure tools",
        }
    }

    /// Whether each outcome must be durable before the next step begins.
    fn each_is_durable(self) -> bool {
        self != Self::Pure
    }

    fn step(self, number: usize) -> Value {
        match self {
            Self::Agents => agent_step(number),
            Self::Granted => granted_step(number),
            Self::Pure => tool_step(number),
        }
    }
}

/// What is measured against what.
struct Contest {
    what: What,
    in_flight: usize,
    workflow: WorkflowId,
    /// How many commits a run takes here, and how many the floor makes.
    commits: usize,
    floor_commits: usize,
    floor: Vec<Slice>,
    pieces: Vec<Slice>,
    ours: Vec<Slice>,
}

fn main() {
    let args = Args::parse();
    // As the program's own runtime, which carries the agent and the clients as well here.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(measure(&args));
}

async fn measure(args: &Args) {
    let server = Server::start().await;
    let floor = Floor::new(server.connect_options());
    let pieces = Pieces::serve(floor.clone(), server.sandbox(), server.agent().to_owned()).await;
    let postmaster = server.postmaster();
    let mut contests = contests(&server, &floor, args).await;
    assert!(!contests.is_empty(), "there are no steps of that kind");
    // One more round than is counted: the first one fills caches and opens connections.
    let slice = Duration::from_secs(args.seconds) / (3 * (ROUNDS + 1) * contests.len() as u32);
    let slice_of_others = if args.no_floor { Duration::ZERO } else { slice };
    for round in 0..=ROUNDS {
        for contest in &mut contests {
            let Contest { what, in_flight, workflow, floor_commits, .. } = *contest;
            let of_floor = drive(in_flight, slice_of_others, postmaster, |_| floor.run(workflow, floor_commits)).await;
            let of_pieces = drive(in_flight, slice_of_others, postmaster, |_| pieces.run(what, workflow)).await;
            let of_server = drive(in_flight, slice, postmaster, |_| server.run(workflow)).await;
            if round > 0 {
                contest.floor.push(of_floor);
                contest.pieces.push(of_pieces);
                contest.ours.push(of_server);
            }
        }
    }
    report::print(&contests, &machine::describe(&floor).await);
    drop(floor);
    server.stop().await;
}

async fn contests(server: &Server, floor: &Floor, args: &Args) -> Vec<Contest> {
    let mut contests = Vec::new();
    for what in What::ALL {
        if args.only.as_ref().is_some_and(|only| only != what.name()) {
            continue;
        }
        let floor_commits = if what.each_is_durable() { STEPS + 2 } else { 2 };
        let steps: Vec<Value> = (1..=STEPS).map(|number| what.step(number)).collect();
        let workflow = server.create_workflow(what.name(), &json!({ "steps": steps })).await;
        let commits = floor.commits_of(server, workflow).await;
        contests.extend(args.in_flight.iter().map(|&in_flight| {
            let (floor, pieces, ours) = (Vec::new(), Vec::new(), Vec::new());
            Contest { what, in_flight, workflow, commits, floor_commits, floor, pieces, ours }
        }));
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

/// The plugin holds a grant, so each outcome must be durable before the next step begins.
fn granted_step(number: usize) -> Value {
    let time = if number == 1 { "2030-01-31T08:00:00Z".to_owned() } else { format!("{{{{s{}.rfc3339}}}}", number - 1) };
    json!({ "type": "tool", "id": format!("s{number}"), "toolName": "time.add",
        "params": { "time": time, "duration": "1 day" }, "outputVar": format!("s{number}") })
}
