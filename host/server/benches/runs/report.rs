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
        let of_floor = |slices: &[Slice]| {
            let rounds = slices.iter().zip(&contest.floor);
            median(rounds.map(|(one, floor)| one.per_second / floor.per_second))
        };
        let pieces = format!("{:.2}", of_floor(&contest.pieces));
        println!("{}", row(contest, "its pieces", contest.floor_commits, &contest.pieces, pieces));
        let ours = format!("**{:.2}**", of_floor(&contest.ours));
        println!("{}", row(contest, "Armilla", contest.commits, &contest.ours, ours));
    }
}

fn row(contest: &Contest, through: &str, commits: usize, slices: &[Slice], ratio: String) -> String {
    let Slice { per_second, p50_ms, p99_ms, cpu_ms, postgres_ms } = Slice::median(slices);
    let (what, in_flight) = (contest.what.name(), contest.in_flight);
    format!(
        "| {what} | {in_flight} | {through} | {commits} | {per_second:.0} | {p50_ms:.2} | {p99_ms:.2} | {cpu_ms:.2} | {postgres_ms:.2} | {ratio} |"
    )
}
