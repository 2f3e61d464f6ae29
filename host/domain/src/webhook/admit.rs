//! How many deliveries of a webhook may begin now, and when to look again.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Endpoint, Rate, RatePeriod, Webhook};

/// Due deliveries of one webhook that one look counts: as many as may be under way.
pub const LANE_DUE_MAX: u32 = 64;
/// The part of a rate that may be used up at once after a rest; the remainder is spread, so that the rate holds for any stretch of time.
const BURST_PART: u32 = 10;

/// What of a webhook waits and goes on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Attempts under way, on all hosts.
    pub in_flight: u32,
    /// Deliveries that are due, at most [`LANE_DUE_MAX`]; of an ordered webhook only the oldest unfinished one counts.
    pub due: u32,
    /// When the next one is due that is not yet.
    pub next: Option<DateTime<Utc>>,
    /// When the first of those under way is given up.
    pub lease_ends: Option<DateTime<Utc>>,
}

/// What may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admission {
    /// So many deliveries.
    pub take: u32,
    /// The theoretical arrival time after them, of a webhook with a rate.
    pub arrival: Option<DateTime<Utc>>,
    /// When the webhook is to be looked at again, if nothing happens to it before.
    pub look_again: Option<DateTime<Utc>>,
}

/// How many may begin: as many as are due, have room in what is configured (`webhook`), in what the endpoint bears (`endpoint`), in the rate
/// (`arrival`) and on this host (`room`). What is taken is given up after `lease`.
pub fn admit(
    webhook: &Webhook,
    endpoint: &Endpoint,
    arrival: Option<DateTime<Utc>>,
    waiting: &Waiting,
    room: u32,
    (now, lease): (DateTime<Utc>, TimeDelta),
) -> Admission {
    let nothing = |look_again| Admission { take: 0, arrival, look_again };
    let earliest = |a: Option<DateTime<Utc>>, b: Option<DateTime<Utc>>| a.into_iter().chain(b).min();
    if waiting.due == 0 {
        return nothing(earliest(waiting.next, waiting.lease_ends));
    }
    if let Some(until) = endpoint.paused_until.filter(|until| *until > now) {
        return nothing(Some(until));
    }
    let lanes = endpoint.share.map_or(webhook.lanes(), |share| share.min(webhook.lanes()).max(1));
    let free = lanes.saturating_sub(waiting.in_flight);
    if free == 0 {
        return nothing(waiting.lease_ends);
    }
    let wanted = waiting.due.min(free).min(room);
    let (take, arrival, permitted_at) = match webhook.rate {
        Some(rate) => permit(rate, arrival, wanted, now),
        None => (wanted, arrival, None),
    };
    let lease_ends = earliest(waiting.lease_ends, (take > 0).then(|| now + lease));
    let look_again = if let Some(at) = permitted_at.filter(|_| take < wanted) {
        Some(at)
    } else if take == waiting.due {
        earliest(waiting.next, lease_ends)
    } else if take == free {
        lease_ends
    } else {
        // This host has no more room now; another one may, and everybody else had their turn by then.
        Some(now)
    };
    Admission { take, arrival, look_again }
}

/// The generic cell rate algorithm: how many of `wanted` are permitted, the arrival time after them, and when the next one is.
fn permit(
    rate: Rate,
    arrival: Option<DateTime<Utc>>,
    wanted: u32,
    now: DateTime<Utc>,
) -> (u32, Option<DateTime<Utc>>, Option<DateTime<Utc>>) {
    let period = match rate.per {
        RatePeriod::Second => TimeDelta::seconds(1),
        RatePeriod::Minute => TimeDelta::minutes(1),
    };
    let count = rate.count.max(1);
    let burst = (count / BURST_PART).max(1);
    // Rounded up to the database's microseconds. `burst` at once and then one for each interval are `count` in a period, whichever.
    let micros = period.num_microseconds().unwrap_or(i64::MAX);
    let interval = TimeDelta::microseconds(micros.div_euclid(i64::from(count - burst + 1)) + 1);
    let tolerance = interval * (burst as i32 - 1);
    let mut arrival = arrival.map_or(now, |arrival| arrival.max(now));
    let mut permitted = 0;
    while permitted < wanted && arrival - tolerance <= now {
        arrival += interval;
        permitted += 1;
    }
    (permitted, Some(arrival), Some(arrival - tolerance))
}
