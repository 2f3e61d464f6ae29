use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::*;

const LEASE: TimeDelta = TimeDelta::seconds(60);
const FAILURE: Verdict = Verdict::Failure { timed_out: false };

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000, 0).unwrap()
}

fn seconds(seconds: i64) -> TimeDelta {
    TimeDelta::seconds(seconds)
}

/// The endpoint after so many failures, each as soon as it may be.
fn failed(times: u32) -> (Endpoint, DateTime<Utc>) {
    (0..times).fold((Endpoint::default(), now()), |(endpoint, at), _| {
        let at = endpoint.paused_until.map_or(at, |until| until.max(at));
        (endpoint.after(FAILURE, 8, at).0, at)
    })
}

#[test]
fn only_2xx_is_a_success_and_410_is_the_end() {
    for status in [200, 201, 204, 299] {
        assert_eq!(Verdict::of_status(status, None), Verdict::Success, "{status}");
    }
    for status in [100, 301, 302, 307, 400, 404, 500, 503] {
        assert_eq!(Verdict::of_status(status, None), FAILURE, "{status}");
    }
    for status in [429, 502, 504] {
        assert_eq!(Verdict::of_status(status, None), Verdict::Overloaded { retry_after: None }, "{status}");
    }
    let (_, change) = Endpoint::default().after(Verdict::of_status(410, None), 8, now());
    assert_eq!(change, Some(Change::Disabled(DisabledBecause::Gone)));
}

#[test]
fn after_several_failures_an_endpoint_is_probed_with_pauses_that_grow_to_a_bound() {
    assert_eq!(failed(PROBES_AFTER - 1).0.share, None, "a few failures change nothing");
    let mut pauses = Vec::new();
    let (mut endpoint, mut at) = failed(PROBES_AFTER);
    for _ in 0..12 {
        assert_eq!(endpoint.share, Some(1), "one delivery at a time");
        let until = endpoint.paused_until.unwrap();
        pauses.push((until - at).num_seconds());
        at = until;
        endpoint = endpoint.after(FAILURE, 8, at).0;
    }
    assert_eq!(pauses[..8], [2, 4, 8, 16, 32, 64, 128, 256]);
    assert!(pauses[8..].iter().all(|pause| *pause == 300), "{pauses:?}");
    assert_eq!(endpoint.after(Verdict::Success, 8, at).0, Endpoint::default(), "full speed after the first success");
}

#[test]
fn failures_of_attempts_that_began_before_a_pause_make_it_no_longer() {
    let (endpoint, at) = failed(PROBES_AFTER);
    let again = (0..7).fold(endpoint, |endpoint, _| endpoint.after(FAILURE, 8, at).0);
    assert_eq!(again.paused_until, endpoint.paused_until);
}

#[test]
fn an_endpoint_that_is_asked_too_much_is_paused_and_asked_half_of_it() {
    let busy = |retry_after| Verdict::Overloaded { retry_after };
    let (first, change) = Endpoint::default().after(busy(None), 8, now());
    assert_eq!((first.share, first.paused_until, change), (Some(4), Some(now() + seconds(2)), None));
    let later = now() + seconds(2);
    let (second, _) = first.after(busy(Some(Duration::from_secs(90))), 8, later);
    assert_eq!((second.share, second.paused_until), (Some(2), Some(later + seconds(90))), "as long as it asks for");
    let (third, _) = second.after(busy(None), 8, later + seconds(90));
    let (fourth, _) = third.after(busy(None), 8, later + seconds(200));
    assert_eq!(fourth.share, Some(1), "never less than one");
    assert_eq!(fourth.after(Verdict::Success, 8, later + seconds(900)).0, Endpoint::default());
}

#[test]
fn an_endpoint_that_lets_time_run_out_has_one_place_until_it_answers() {
    let (slow, _) = Endpoint::default().after(Verdict::Failure { timed_out: true }, 8, now());
    assert_eq!((slow.share, slow.paused_until), (Some(1), None));
    assert_eq!(slow.after(Verdict::Unsent, 8, now()), (slow, None), "what was not sent says nothing");
}

#[test]
fn a_tool_that_makes_nothing_is_told_of_and_given_up_as_an_endpoint_that_fails_and_slows_nothing_down() {
    let after = |hours: i64, endpoint: Endpoint| endpoint.after(Verdict::NotMade, 8, now() + TimeDelta::hours(hours));
    let (mut endpoint, mut change) = (Endpoint::default(), None);
    for _ in 0..PROBES_AFTER * 2 {
        (endpoint, change) = after(0, endpoint);
    }
    assert_eq!(
        (endpoint.failures, endpoint.share, endpoint.paused_until, change),
        (PROBES_AFTER * 2, None, None, None)
    );
    let (endpoint, change) = after(24, endpoint);
    assert_eq!(change, Some(Change::Failing));
    let (_, change) = after(5 * 24, endpoint);
    assert_eq!(change, Some(Change::Disabled(DisabledBecause::Failing)));
    assert_eq!(endpoint.after(Verdict::Success, 8, now()).0, Endpoint::default());
}

#[test]
fn a_streak_of_failures_is_told_once_after_a_day_and_ends_after_five() {
    let after = |hours: i64, endpoint: Endpoint| endpoint.after(FAILURE, 8, now() + TimeDelta::hours(hours));
    let (endpoint, change) = after(0, Endpoint::default());
    assert_eq!(change, None);
    let (endpoint, change) = after(23, endpoint);
    assert_eq!(change, None);
    let (endpoint, change) = after(24, endpoint);
    assert_eq!(change, Some(Change::Failing));
    let (endpoint, change) = after(30, endpoint);
    assert_eq!(change, None, "once");
    let (endpoint, change) = after(5 * 24, endpoint);
    assert_eq!(change, Some(Change::Disabled(DisabledBecause::Failing)));
    let (well, _) = endpoint.after(Verdict::Success, 8, now() + TimeDelta::hours(121));
    let (again, _) = after(130, well);
    assert_eq!(after(155, again).1, Some(Change::Failing), "another streak is told again");
}

fn waiting(due: u32, in_flight: u32) -> Waiting {
    let lease_ends = (in_flight > 0).then(|| now() + seconds(40));
    Waiting { in_flight, due, next: Some(now() + seconds(500)), lease_ends }
}

fn admitted(webhook: &Webhook, endpoint: &Endpoint, waiting: &Waiting, room: u32) -> (u32, Option<i64>) {
    let admission = admit(webhook, endpoint, None, waiting, room, (now(), LEASE));
    (admission.take, admission.look_again.map(|at| (at - now()).num_seconds()))
}

#[test]
fn as_many_begin_as_are_due_and_have_room() {
    let (webhook, well) = (webhook(all_events()), Endpoint::default());
    assert_eq!(admitted(&webhook, &well, &waiting(3, 0), 64), (3, Some(60)), "then when the first may be given up");
    assert_eq!(admitted(&webhook, &well, &waiting(64, 0), 64), (8, Some(60)));
    assert_eq!(admitted(&webhook, &well, &waiting(64, 6), 64), (2, Some(40)));
    assert_eq!(admitted(&webhook, &well, &waiting(64, 8), 64), (0, Some(40)));
    assert_eq!(admitted(&webhook, &well, &waiting(5, 0), 2), (2, Some(0)), "the rest in its next turn");
    assert_eq!(admitted(&webhook, &well, &waiting(0, 2), 64), (0, Some(40)));
    assert_eq!(admitted(&webhook, &well, &Waiting::default(), 64), (0, None), "nothing waits");
    let paused = Endpoint { paused_until: Some(now() + seconds(7)), ..well };
    assert_eq!(admitted(&webhook, &paused, &waiting(3, 0), 64), (0, Some(7)));
    assert_eq!(admitted(&webhook, &Endpoint { share: Some(1), ..well }, &waiting(9, 0), 64), (1, Some(60)));
}

#[test]
fn a_rate_holds_for_every_stretch_of_time() {
    for (count, per, millis) in
        [(1, RatePeriod::Second, 1_000), (5, RatePeriod::Second, 1_000), (100, RatePeriod::Minute, 60_000)]
    {
        let limited = webhook(WebhookText { rate: Some(Rate { count, per }), concurrency: Some(64), ..all_events() });
        let mut arrival = None;
        let mut calls: Vec<i64> = Vec::new();
        let mut at = now();
        // As often as it is let, from a rest on, three periods long.
        while at < now() + TimeDelta::milliseconds(3 * millis) {
            let many = Waiting { due: 64, ..Waiting::default() };
            let admission = admit(&limited, &Endpoint::default(), arrival, &many, 64, (at, LEASE));
            calls.extend((0..admission.take).map(|_| (at - now()).num_microseconds().unwrap()));
            arrival = admission.arrival;
            assert!(admission.look_again.unwrap() > at, "it comes on");
            at = admission.look_again.unwrap();
        }
        let period = millis * 1_000;
        for (n, begin) in calls.iter().enumerate() {
            let within = calls[n..].iter().take_while(|call| **call < begin + period).count();
            assert!(within <= count as usize, "{within} calls of {count} within a period from {begin}");
        }
        assert!(calls.len() >= 2 * count as usize, "{} calls of {count} in three periods", calls.len());
    }
}
