//! How many runs may go on, and how long they are kept.

use std::time::Duration;

use super::*;
use crate::run::RunStatus;

fn with(key: &str, value: Value) -> Value {
    json!({ key: value, "steps": [agent("a")] })
}

#[test]
fn concurrency_is_a_bound_with_a_key() {
    let definition = with("concurrency", json!({ "key": "{{ input.customer }}", "max": 3, "onLimit": "reject" }));
    let concurrency = checked(&definition).unwrap().workflow.concurrency.unwrap();
    let expected = Concurrency { key: Some("{{ input.customer }}".into()), max: 3, on_limit: OnLimit::Reject };
    assert_eq!(concurrency, expected);
    let concurrency = checked(&with("concurrency", json!({ "max": 1 }))).unwrap().workflow.concurrency.unwrap();
    assert_eq!(concurrency, Concurrency { key: None, max: 1, on_limit: OnLimit::Queue });
    assert_eq!(
        faults(&with("concurrency", json!({ "key": "{{ x", "onLimit": "wait", "min": 1 }))),
        pairs([
            ("/concurrency/min", "definition.unknown_field"),
            ("/concurrency/key", "definition.template"),
            ("/concurrency/max", "definition.missing"),
        ])
    );
    assert_eq!(
        faults(&with("concurrency", json!({ "max": 10_001 }))),
        pairs([("/concurrency/max", "definition.range")])
    );
    assert_eq!(faults(&with("concurrency", json!(3))), pairs([("/concurrency", "definition.type")]));
}

#[test]
fn retention_is_a_duration_by_status() {
    let definition = with("retention", json!({ "success": "7d", "timedOut": "30d" }));
    let retention = checked(&definition).unwrap().workflow.retention;
    let days = |days: u64| Some(Duration::from_secs(days * 86_400));
    assert_eq!((retention.of(RunStatus::Success), retention.of(RunStatus::TimedOut)), (days(7), days(30)));
    assert_eq!((retention.of(RunStatus::Failed), retention.of(RunStatus::Running)), (None, None));
    assert_eq!(
        faults(&with("retention", json!({ "failed": "long", "running": "1d" }))),
        pairs([("/retention/running", "definition.unknown_field"), ("/retention/failed", "definition.duration")])
    );
}
