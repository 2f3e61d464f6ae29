use chrono::{DateTime, TimeDelta, Utc};

use super::*;
use crate::id::ScheduleId;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn cron(text: &str, zone: &str) -> Cadence {
    Cadence::cron(text, Zone::from_name(zone).unwrap()).unwrap()
}

fn next(cadence: &Cadence, after: &str, count: usize) -> Vec<String> {
    let first = cadence.next_after(at(after));
    let next = std::iter::successors(first, |one| cadence.next_after(*one));
    next.take(count).map(|one| one.format("%F %T").to_string()).collect()
}

fn codes(text: &ScheduleText) -> Vec<(String, String)> {
    let now = at("2026-01-01T00:00:00Z");
    let faults = read(text, now, now).unwrap_err();
    faults.into_iter().map(|fault| (fault.pointer, fault.code)).collect()
}

#[test]
fn five_fields_are_minutes_and_six_are_seconds() {
    assert_eq!(
        next(&cron("30 9 * * MON-FRI", "UTC"), "2026-01-02T09:30:00Z", 2),
        ["2026-01-05 09:30:00", "2026-01-06 09:30:00"]
    );
    assert_eq!(
        next(&cron("*/20 * * * * *", "UTC"), "2026-01-01T00:00:19.500Z", 2),
        ["2026-01-01 00:00:20", "2026-01-01 00:00:40"]
    );
    assert_eq!(next(&cron("@daily", "UTC"), "2026-01-01T00:00:00Z", 1), ["2026-01-02 00:00:00"]);
    for (wrong, fields) in [("", 0), ("* * * *", 4), ("* * * * * * *", 7)] {
        assert_eq!(Cadence::cron(wrong, Zone::UTC).unwrap_err(), CronFault::Fields(fields), "{wrong}");
    }
    for (wrong, unread) in [("60 * * * *", "minute"), ("a b c d e", "minute"), ("0 0 32 1 *", "day of month")] {
        let fault = Cadence::cron(wrong, Zone::UTC).unwrap_err();
        assert!(matches!(fault, CronFault::Field { name, .. } if name == unread), "{wrong}: {fault}");
    }
    assert_eq!(Cadence::cron(&"*".repeat(201), Zone::UTC).unwrap_err(), CronFault::TooLong);
}

#[test]
fn a_time_of_day_that_does_not_exist_is_the_first_instant_after_the_gap() {
    // In Berlin the clocks go from 02:00 to 03:00 on 29 March 2026, at 01:00 UTC.
    let daily = cron("30 2 * * *", "Europe/Berlin");
    assert_eq!(
        next(&daily, "2026-03-28T00:00:00Z", 3),
        ["2026-03-28 01:30:00", "2026-03-29 01:00:00", "2026-03-30 00:30:00"]
    );
    let quarters = cron("*/30 2 * * *", "Europe/Berlin");
    assert_eq!(next(&quarters, "2026-03-28T02:00:00Z", 1), ["2026-03-30 00:00:00"], "what recurs has no time that day");
}

#[test]
fn a_time_of_day_that_comes_twice_is_meant_once_and_what_recurs_goes_on() {
    // In Berlin the clocks go from 03:00 back to 02:00 on 25 October 2026, at 01:00 UTC.
    let daily = cron("30 2 * * *", "Europe/Berlin");
    assert_eq!(next(&daily, "2026-10-24T12:00:00Z", 2), ["2026-10-25 00:30:00", "2026-10-26 01:30:00"]);
    let hourly = cron("30 * * * *", "Europe/Berlin");
    assert_eq!(
        next(&hourly, "2026-10-25T00:00:00Z", 3),
        ["2026-10-25 00:30:00", "2026-10-25 01:30:00", "2026-10-25 02:30:00"]
    );
}

#[test]
fn every_is_counted_from_its_anchor_in_both_directions() {
    let every = Cadence::Every { every: Duration::from_secs(90), anchor: at("2026-01-01T00:00:10Z") };
    assert_eq!(next(&every, "2026-01-01T00:00:10Z", 2), ["2026-01-01 00:01:40", "2026-01-01 00:03:10"]);
    assert_eq!(next(&every, "2025-12-31T23:58:40Z", 1), ["2026-01-01 00:00:10"]);
    let between: Vec<_> = every.between(at("2026-01-01T00:00:10Z"), at("2026-01-01T00:03:10Z")).collect();
    assert_eq!(between, [at("2026-01-01T00:00:10Z"), at("2026-01-01T00:01:40Z")]);
}

#[test]
fn once_is_once() {
    let once = Cadence::At(at("2026-01-01T00:00:00Z"));
    assert_eq!(next(&once, "2025-12-31T23:59:59Z", 9), ["2026-01-01 00:00:00"]);
}

#[test]
fn every_fault_is_told_at_once() {
    let text = |text: &str| Some(text.to_owned());
    let all = ScheduleText {
        cron: text("61 * * * *"),
        timezone: text("Europe/Atlantis"),
        every: text("10ms"),
        at: Some(at("2025-01-01T00:00:00Z")),
        overlap: text("never"),
        catch_up: text("long"),
        jitter: text("-1s"),
    };
    let expected = [
        ("/timezone", "schedule.timezone"),
        ("", "schedule.timing"),
        ("/cron", "schedule.cron"),
        ("/every", "schedule.every"),
        ("/at", "schedule.past"),
        ("/overlap", "schedule.value"),
        ("/catchUp", "schedule.duration"),
        ("/jitter", "schedule.duration"),
    ];
    assert_eq!(codes(&all), expected.map(|(place, code)| (place.to_owned(), code.to_owned())));
    let one = |text: &ScheduleText| codes(text).remove(0).1;
    assert_eq!(one(&ScheduleText::default()), "schedule.timing");
    assert_eq!(one(&ScheduleText { cron: text("0 0 30 2 *"), ..Default::default() }), "schedule.never");
    assert_eq!(one(&ScheduleText { every: text("1m"), jitter: text("61s"), ..Default::default() }), "schedule.jitter");
    let uneven = ScheduleText { cron: text("0,5 * * * *"), jitter: text("6m"), ..Default::default() };
    assert_eq!(one(&uneven), "schedule.jitter");
    assert_eq!(
        one(&ScheduleText { every: text("1m"), timezone: text("UTC"), ..Default::default() }),
        "schedule.timezone"
    );
}

#[test]
fn a_cron_text_is_refused_with_the_field_that_cannot_be_read() {
    let why = |text: &str| Cadence::cron(text, Zone::UTC).unwrap_err().to_string();
    for (text, begins) in [
        ("61 * * * *", "the minute `61` cannot be read: "),
        ("* 24 * * *", "the hour `24` cannot be read: "),
        ("0 99 * * * *", "the minute `99` cannot be read: "),
        ("0 0 1 13 *", "the month `13` cannot be read: "),
        ("0 0 * * MONDAYS", "the day of week `MONDAYS` cannot be read: "),
        (
            "0 9 * *",
            "a cron text has five fields (minute, hour, day of month, month, day of week), or six with seconds",
        ),
        ("", "a cron text has five fields"),
        ("@often", "this is none of `@hourly`, "),
    ] {
        assert!(why(text).starts_with(begins), "{text}: {}", why(text));
    }
}

fn minutely() -> Cadence {
    Cadence::Every { every: Duration::from_secs(60), anchor: at("2026-01-01T00:00:00Z") }
}

fn due<'a>(cadence: &'a Cadence, overlap: Overlap, next_at: &str, now: &str) -> Due<'a> {
    Due {
        id: ScheduleId::from_parts(1, [1; 10]),
        cadence,
        overlap,
        catch_up: Duration::ZERO,
        jitter: Duration::ZERO,
        next_at: at(next_at),
        now: at(now),
        goes_on: false,
        queued: 0,
    }
}

fn outcomes(plan: &Plan) -> Vec<&'static str> {
    plan.decided.iter().map(|one| one.outcome.as_str()).collect()
}

#[test]
fn what_is_a_minute_late_is_on_time_and_what_is_later_is_missed() {
    let cadence = minutely();
    let due = due(&cadence, Overlap::Allow, "2026-01-01T00:00:00Z", "2026-01-01T00:10:00.500Z");
    let plan = plan(&due);
    assert_eq!(plan.missed, Some(Missed { first: at("2026-01-01T00:00:00Z"), count: 10 }));
    assert_eq!(plan.decided.iter().map(|one| one.instant).collect::<Vec<_>>(), [at("2026-01-01T00:10:00Z")]);
    assert_eq!(plan.next_at, Some(at("2026-01-01T00:11:00Z")));
}

#[test]
fn what_is_younger_than_the_window_is_made_up_for() {
    let cadence = minutely();
    let due = due(&cadence, Overlap::Allow, "2026-01-01T00:00:00Z", "2026-01-01T00:10:00.500Z");
    let made_up = plan(&Due { catch_up: Duration::from_secs(300), ..due });
    assert_eq!((made_up.missed.unwrap().count, made_up.decided.len()), (6, 5));
    let due = Due { catch_up: Duration::from_secs(86_400), now: at("2026-01-01T05:00:00Z"), ..due };
    let all = plan(&due);
    assert_eq!((all.missed, all.decided.len()), (None, OCCURRENCES_AT_ONCE));
    assert_eq!(all.next_at, Some(at("2026-01-01T01:40:00Z")), "the rest follows");
}

#[test]
fn years_of_absence_are_counted_only_so_far() {
    let cadence = minutely();
    let plan = plan(&due(&cadence, Overlap::Skip, "2016-01-01T00:00:00Z", "2026-01-01T00:00:00Z"));
    assert_eq!(plan.missed.unwrap().count, MISSED_COUNTED_MAX);
}

#[test]
fn overlap_decides_about_what_comes_while_a_run_goes_on() {
    let cadence = minutely();
    let three = |overlap, goes_on, queued| {
        let due = due(&cadence, overlap, "2026-01-01T00:00:00Z", "2026-01-01T00:02:00Z");
        outcomes(&plan(&Due { catch_up: Duration::from_secs(600), goes_on, queued, ..due }))
    };
    assert_eq!(three(Overlap::Skip, false, 0), ["starting", "skipped", "skipped"]);
    assert_eq!(three(Overlap::Skip, true, 0), ["skipped"; 3]);
    assert_eq!(three(Overlap::Queue, false, 0), ["starting", "queued", "queued"]);
    assert_eq!(three(Overlap::Queue, false, 1), ["queued"; 3], "nobody jumps the queue");
    assert_eq!(three(Overlap::Queue, true, QUEUED_MAX - 1), ["queued", "skipped", "skipped"]);
    assert_eq!(three(Overlap::CancelOther, true, 0), ["skipped", "skipped", "starting"]);
    assert_eq!(three(Overlap::Allow, true, 0), ["starting"; 3]);
}

#[test]
fn what_is_skipped_says_which_run_stands_in_its_way() {
    let cadence = minutely();
    let why = |goes_on| -> Vec<bool> {
        let due = due(&cadence, Overlap::Skip, "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z");
        let plan = plan(&Due { catch_up: Duration::from_secs(600), goes_on, ..due });
        plan.decided.iter().filter_map(|one| Some(one.why?.contains("an earlier occurrence"))).collect()
    };
    assert_eq!(why(false), [true], "the one before it, which was due as well");
    assert_eq!(why(true), [false; 2], "one from before");
}

#[test]
fn jitter_puts_off_by_less_than_itself_and_alike_on_every_host() {
    let (id, jitter) = (ScheduleId::from_parts(1, [1; 10]), Duration::from_secs(30));
    let delays: Vec<Duration> =
        (0..1_000).map(|n| delay_of(id, at("2026-01-01T00:00:00Z") + TimeDelta::minutes(n), jitter)).collect();
    assert!(delays.iter().all(|delay| *delay < jitter));
    let mean = delays.iter().sum::<Duration>() / 1_000;
    assert!((13..17).contains(&mean.as_secs()), "{mean:?}");
    assert_eq!(delay_of(id, at("2026-01-01T00:00:00Z"), jitter), delays[0]);
    assert_eq!(delay_of(id, at("2026-01-01T00:00:00Z"), Duration::ZERO), Duration::ZERO);

    let cadence = minutely();
    let due = due(&cadence, Overlap::Allow, "2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z");
    let put_off = plan(&Due {
        jitter,
        now: due.now + TimeDelta::from_std(delays[0]).unwrap() - TimeDelta::milliseconds(1),
        ..due
    });
    assert_eq!((put_off.decided.len(), put_off.next_at), (0, Some(due.next_at)));
}
