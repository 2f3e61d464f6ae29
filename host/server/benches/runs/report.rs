//! The figures as Markdown, to be pasted.

use crate::load::{Slice, median};
use crate::{Contest, STEPS};

#[allow(clippy::print_stdout, reason = "its output is what a benchmark is for")]
pub(crate) fn print(contests: &[Contest], machine: &str) {
    println!("{machine}\n");
    println!("| {STEPS} steps of | in flight | through | runs/s | p50 ms | p99 ms | commits/s | of the floor |");
    println!("| --- | ---: | --- | ---: | ---: | ---: | ---: | ---: |");
    for contest in contests {
        println!("{}", row(contest, "bare SQL", &contest.floor, "1.00".to_owned()));
        let rounds = contest.ours.iter().zip(&contest.floor);
        let ratio = median(rounds.map(|(ours, floor)| ours.per_second / floor.per_second));
        println!("{}", row(contest, "Armilla", &contest.ours, format!("**{ratio:.2}**")));
    }
    println!("\n| {STEPS} steps of | journal entries | commits |\n| --- | ---: | ---: |");
    for Contest { what, journal, .. } in contests.iter().filter(|contest| contest.in_flight == 1) {
        println!("| {what} | {} | {} |", journal.entries(), journal.commits());
    }
}

fn row(contest: &Contest, through: &str, slices: &[Slice], ratio: String) -> String {
    let Slice { per_second, p50_ms, p99_ms } = Slice::median(slices);
    let commits = per_second * contest.journal.commits() as f64;
    let (what, in_flight) = (contest.what, contest.in_flight);
    format!(
        "| {what} | {in_flight} | {through} | {per_second:.0} | {p50_ms:.2} | {p99_ms:.2} | {commits:.0} | {ratio} |"
    )
}
