//! The figures as Markdown, to be pasted.

use crate::load::{Slice, median};
use crate::{Contest, STEPS};

#[allow(clippy::print_stdout, reason = "its output is what a benchmark is for")]
pub(crate) fn print(contests: &[Contest], machine: &str) {
    println!("{machine}\n");
    println!(
        "| {STEPS} steps of | in flight | through | commits | runs/s | p50 ms | p99 ms | CPU ms | of it Postgres | of the floor |"
    );
    println!("| --- | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for contest in contests {
        println!("{}", row(contest, "bare SQL", contest.floor_commits, &contest.floor, "1.00".to_owned()));
        let rounds = contest.ours.iter().zip(&contest.floor);
        let ratio = median(rounds.map(|(ours, floor)| ours.per_second / floor.per_second));
        println!("{}", row(contest, "Armilla", contest.commits, &contest.ours, format!("**{ratio:.2}**")));
    }
}

fn row(contest: &Contest, through: &str, commits: usize, slices: &[Slice], ratio: String) -> String {
    let Slice { per_second, p50_ms, p99_ms, cpu_ms, postgres_ms } = Slice::median(slices);
    let (what, in_flight) = (contest.what, contest.in_flight);
    format!(
        "| {what} | {in_flight} | {through} | {commits} | {per_second:.0} | {p50_ms:.2} | {p99_ms:.2} | {cpu_ms:.2} | {postgres_ms:.2} | {ratio} |"
    )
}
