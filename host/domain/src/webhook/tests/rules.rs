use std::time::Duration;

use chrono::DateTime;
use serde_json::Value;

use super::*;
use crate::event::EventType;
use crate::id::{EventId, WebhookId};

fn codes(text: WebhookText) -> Vec<(String, String)> {
    let faults = check(&Templates::new(), text).unwrap_err();
    faults.into_iter().map(|fault| (fault.pointer, fault.code)).collect()
}

fn pointers(text: WebhookText) -> Vec<String> {
    codes(text).into_iter().map(|(pointer, _)| pointer).collect()
}

#[test]
fn a_webhook_of_url_and_events_alone_is_good_and_has_the_documented_defaults() {
    let made = webhook(all_events());
    assert_eq!((made.lanes(), made.timeout_seconds, made.ordered), (8, 15, false));
    assert_eq!(made.retry_seconds, [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400]);
    assert_eq!(webhook(WebhookText { ordered: Some(true), ..all_events() }).lanes(), 1);
    assert_eq!(webhook(made.clone().into_text()), made, "what it was written as makes the same again");
    let text = serde_json::to_string(&made).unwrap();
    assert_eq!(serde_json::from_str::<Webhook>(&text).unwrap(), made);
}

#[test]
fn events_are_known_by_both_spellings_and_by_prefix_and_kept_dotted() {
    let events = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let made = webhook(WebhookText { events: events(&["agent_completed", "run.*", "run_timed_out"]), ..all_events() });
    assert_eq!(made.clone().into_text().events, ["agent.completed", "run.*", "run.timed_out"]);
    for (kind, wanted) in [("agent.completed", true), ("run.failed", true), ("agent.failed", false), ("runs", false)] {
        assert_eq!(made.wants(kind), wanted, "{kind}");
    }
    assert_eq!(
        made.kinds().unwrap().len(),
        1 + EventType::ALL.iter().filter(|kind| kind.as_str().starts_with("run.")).count()
    );
    assert_eq!(webhook(all_events()).kinds(), None);
    let bad = events(&["run.exploded", "agent.completed", "agent_completed", "nothing.*", "run*", "**"]);
    assert_eq!(
        pointers(WebhookText { events: bad, ..all_events() }),
        ["/events/0", "/events/2", "/events/3", "/events/4", "/events/5"]
    );
    assert_eq!(pointers(WebhookText { events: Vec::new(), ..all_events() }), ["/events"]);
    assert_eq!(pointers(WebhookText { events: vec!["*".to_owned(); 101], ..all_events() }), ["/events"]);
}

#[test]
fn a_pattern_that_a_later_version_wrote_is_kept_and_means_its_type_alone() {
    let pattern: EventPattern = serde_json::from_str(r#""moon.full""#).unwrap();
    assert!(pattern.means("moon.full") && !pattern.means("run.failed"));
    assert_eq!(pattern.to_string(), "moon.full");
}

#[test]
fn all_faults_of_a_webhook_are_told_at_once() {
    let text = WebhookText {
        url: "ftp://example.com".to_owned(),
        events: vec!["nope".to_owned()],
        description: Some("x".repeat(501)),
        filter: Some("steps.a.output".to_owned()),
        transform: Some(Transform { tool: String::new(), plugin: Some("p".repeat(129)) }),
        ordered: None,
        concurrency: Some(65),
        rate: Some(Rate { count: 0, per: RatePeriod::Minute }),
        timeout_seconds: Some(31),
        retry_seconds: Some(vec![0; 20]),
    };
    let found = pointers(text);
    for place in
        ["/url", "/events/0", "/description", "/filter", "/transform/tool", "/transform/plugin", "/concurrency"]
    {
        assert!(found.iter().any(|found| found == place), "{place} of {found:?}");
    }
    for place in ["/rate/count", "/timeoutSeconds", "/retrySeconds/0", "/retrySeconds/19", "/retrySeconds"] {
        assert!(found.iter().any(|found| found == place), "{place} of {found:?}");
    }
}

#[test]
fn a_url_is_one_that_a_request_can_be_sent_to() {
    for good in ["http://example.com", "https://example.com:8443/a?token=b", "http://10.0.0.1:8080/"] {
        webhook(WebhookText { url: good.to_owned(), ..all_events() });
    }
    let told = webhook(WebhookText { url: "https://example.com:8443/a?token=b".to_owned(), ..all_events() });
    assert_eq!((told.host().as_str(), webhook(all_events()).host().as_str()), ("example.com:8443", "example.com"));
    let long = format!("https://example.com/{}", "x".repeat(2_048));
    for (bad, code) in [
        ("", "webhook.url"),
        ("example.com", "webhook.url"),
        (" http://example.com", "webhook.url"),
        ("http://example.com/a\nb", "webhook.url"),
        ("http://example.com/\0", "webhook.url"),
        ("http://example.com/#a", "webhook.url"),
        (&long, "webhook.url"),
        ("ftp://example.com", "webhook.url_scheme"),
        ("https://u:p@example.com", "webhook.url_credentials"),
        ("https://u@example.com", "webhook.url_credentials"),
    ] {
        let found = codes(WebhookText { url: bad.to_owned(), ..all_events() });
        assert_eq!(found, [("/url".to_owned(), code.to_owned())], "{bad}");
    }
}

#[test]
fn a_filter_decides_by_type_time_id_and_data_and_its_failure_is_no_match() {
    let templates = Templates::new();
    let id = EventId::from_parts(1_700_000_000_000, [1; 10]);
    let at = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
    let told = |filter: &str| {
        let webhook = webhook(WebhookText { filter: Some(filter.to_owned()), ..all_events() });
        webhook.matches(&templates, &mut FilterScope::new(id, "run.failed", at, r#"{"runId":"run_1","tries":3}"#))
    };
    for holds in
        ["data.tries > 2", "type == 'run.failed'", "timestamp < '2024'", "id is startingwith 'evt_'", "data.runId"]
    {
        assert_eq!(told(holds), Matched::Yes, "{holds}");
    }
    for holds_not in ["data.tries > 3", "type in ['run.started']", "data.nothing.at.all"] {
        assert_eq!(told(holds_not), Matched::No, "{holds_not}");
    }
    assert!(matches!(told("data.tries + data.runId"), Matched::FilterFailed(_)));
    assert!(matches!(
        told("range(100000) | list | length > 0 and range(100000) | sum > 0"),
        Matched::FilterFailed(_) | Matched::Yes
    ));
}

#[test]
fn an_event_about_a_webhook_names_it_and_no_other_event_does() {
    let id = WebhookId::from_parts(1, [1; 10]);
    let data = format!(r#"{{"webhookId":"{id}"}}"#);
    assert_eq!(told_of("webhook.disabled", &data), Some(id));
    assert_eq!(told_of("run.failed", &data), None);
    assert_eq!(told_of("webhook.disabled", "{}"), None);
}

#[test]
fn a_body_has_both_names_of_the_type_and_the_data_as_it_was_written() {
    let at = DateTime::from_timestamp_millis(1_700_000_000_123).unwrap();
    let body = body_of("run.failed", at, r#"{"b":1,"a":1.50}"#);
    let text =
        r#"{"type":"run.failed","event":"run.failed","timestamp":"2023-11-14T22:13:20.123Z","data":{"b":1,"a":1.50}}"#;
    assert_eq!(String::from_utf8(body).unwrap(), text);
    let sample: Value = serde_json::from_slice(&sample_body(at, WebhookId::from_parts(1, [1; 10]))).unwrap();
    assert_eq!((&sample["type"], &sample["event"]), (&Value::from("webhook.test"), &Value::from("webhook.test")));
}

#[test]
fn a_delivery_is_tried_once_more_than_there_are_waits() {
    let seconds = Duration::from_secs;
    let plan = RETRY_SECONDS_DEFAULT;
    let waits: Vec<_> = (1..=10).map(|tries| wait_after(&plan, tries, None, 0.0)).collect();
    let planned = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400].map(|wait| Some(seconds(wait)));
    assert_eq!(waits[..9], planned);
    assert_eq!(waits[9], None);
    assert_eq!(wait_after(&[], 1, None, 0.0), None);
    let latest = wait_after(&plan, 2, None, 1.0).unwrap();
    assert_eq!(latest, seconds(330), "never earlier than planned, at most a tenth later");
    assert_eq!(wait_after(&plan, 1, Some(seconds(60)), 0.0), Some(seconds(60)), "what is asked for is waited for");
    assert_eq!(wait_after(&plan, 2, Some(seconds(60)), 0.0), Some(seconds(300)), "and never less than planned");
    assert_eq!(wait_after(&plan, 10, Some(seconds(60)), 0.0), None, "the last try is the last");
}

#[test]
fn retry_after_is_read_as_seconds_and_as_a_date_and_bounded() {
    let now = DateTime::from_timestamp(1_445_412_420, 0).unwrap(); // 2015-10-21 07:27:00
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    for (text, asked) in [
        ("120", seconds(120)),
        (" 0 ", seconds(0)),
        ("Wed, 21 Oct 2015 07:28:00 GMT", seconds(60)),
        ("Wednesday, 21-Oct-15 07:28:00 GMT", seconds(60)),
        ("Wed Oct 21 07:28:00 2015", seconds(60)),
        ("Tue, 20 Oct 2015 07:28:00 GMT", seconds(0)),
        ("86400", seconds(3_600)),
        ("99999999999999999999999", seconds(3_600)),
        ("Wed, 21 Oct 2099 07:28:00 GMT", seconds(3_600)),
        ("", None),
        ("-5", None),
        ("soon", None),
    ] {
        assert_eq!(read_retry_after(text, now), asked, "{text:?}");
    }
}

#[test]
fn a_command_line_means_to_a_shell_what_was_sent() {
    let headers = [("webhook-id".to_owned(), "evt_1".to_owned()), ("x-odd".to_owned(), "it's $HOME".to_owned())];
    let line = curl_of("POST", "https://example.com/?a=[1]&b='c'", &headers, br#"{"a":"it's `x` \"y\""}"#);
    // The shell itself says what it reads.
    let script = format!("curl() {{ printf '%s\\n' \"$@\"; }}\n{line}");
    let read = std::process::Command::new("sh").arg("-c").arg(script).output().unwrap();
    let expected = "--globoff\n--request\nPOST\nhttps://example.com/?a=[1]&b='c'\n--header\nwebhook-id: evt_1\n--header\nx-odd: it's $HOME\n--data-raw\n{\"a\":\"it's `x` \\\"y\\\"\"}\n";
    assert_eq!(String::from_utf8(read.stdout).unwrap(), expected);
}
