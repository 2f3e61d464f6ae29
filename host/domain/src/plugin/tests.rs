//! Deny by default, and what a grant opens, exactly.

use serde_json::{Value, json};

use super::*;

fn grant(value: Value) -> Grant {
    Grant::check(&value).unwrap()
}

fn needs(value: Value) -> Needs {
    serde_json::from_value(value).unwrap()
}

fn all_needs() -> Needs {
    needs(
        json!({ "httpHosts": ["*"], "secrets": ["*"], "configKeys": ["*"], "kv": ["*"], "clock": true, "random": true }),
    )
}

fn target<'a>(method: &'a str, scheme: &'a str, host: &'a str, port: u16) -> HttpTarget<'a> {
    HttpTarget { method, scheme, host, port }
}

#[test]
fn nothing_is_permitted_without_a_grant() {
    let (needs, none) = (all_needs(), Grant::default());
    let denial = permit_http(&needs, &none, target("GET", "https", "api.example.com", 443)).unwrap_err();
    assert_eq!(denial.capability, "http:GET https://api.example.com:443");
    assert_eq!(permit_secret(&needs, &none, "key").unwrap_err().capability, "secret:key");
    assert_eq!(permit_kv(&needs, &none, "notes").unwrap_err().capability, "kv:notes");
    assert_eq!(permit_config(&needs, &none, "REGION").unwrap_err().capability, "config:REGION");
    assert!(none.is_pure());
}

#[test]
fn nothing_is_permitted_that_the_plugin_does_not_state() {
    let all = grant(json!({
        "http": ["*"], "secrets": [{ "name": "key", "hosts": ["*"] }], "kv": ["notes"], "config": { "REGION": "eu" },
    }));
    let none = Needs::default();
    let denial = permit_http(&none, &all, target("GET", "https", "api.example.com", 443)).unwrap_err();
    assert!(denial.message.contains("does not state"), "{}", denial.message);
    assert!(permit_secret(&none, &all, "key").is_err());
    assert!(permit_kv(&none, &all, "notes").is_err());
    assert!(permit_config(&none, &all, "REGION").is_err());
}

#[test]
fn a_host_alone_means_reading_over_https_on_its_own_port() {
    let (needs, grant) = (all_needs(), grant(json!({ "http": ["api.example.com"] })));
    let permits = |t| permit_http(&needs, &grant, t).is_ok();
    assert!(permits(target("GET", "https", "api.example.com", 443)));
    assert!(permits(target("HEAD", "https", "api.example.com.", 443)));
    for other in [
        target("POST", "https", "api.example.com", 443),
        target("GET", "http", "api.example.com", 80),
        target("GET", "http", "api.example.com", 443),
        target("GET", "https", "api.example.com", 8443),
        target("GET", "https", "example.com", 443),
        target("GET", "https", "api.example.com.evil.net", 443),
        target("GET", "https", "xapi.example.com", 443),
    ] {
        assert!(!permits(other), "{other:?}");
    }
}

#[test]
fn schemes_ports_and_methods_open_what_they_name_and_nothing_else() {
    let needs = needs(json!({ "httpHosts": ["*.example.com"] }));
    let rule = json!({ "host": "*.example.com", "schemes": ["http"], "ports": [8080], "methods": ["POST"] });
    let grant = grant(json!({ "http": [rule] }));
    let permits = |t| permit_http(&needs, &grant, t).is_ok();
    assert!(permits(target("POST", "http", "a.b.example.com", 8080)));
    assert!(!permits(target("POST", "http", "example.com", 8080)));
    assert!(!permits(target("POST", "http", "a.example.com", 80)));
    assert!(!permits(target("GET", "http", "a.example.com", 8080)));
}

#[test]
fn a_pattern_never_means_an_address() {
    assert!(!host_matches("*.1", "127.0.0.1"));
    assert!(host_matches("127.0.0.1", "127.0.0.1"));
    assert!(host_matches("*", "127.0.0.1"), "which egress then judges");
    for bad in ["", "*.", "a*.example.com", "https://a", "a:80", "A.example.com", "a/b", "*.*.com", "a b"] {
        assert!(check_host_pattern(bad).is_err(), "{bad}");
    }
    for good in ["*", "localhost", "*.example.com", "[::1]", "127.0.0.1", "xn--bcher-kva.example"] {
        assert!(check_host_pattern(good).is_ok(), "{good}");
    }
}

#[test]
fn a_secret_travels_to_its_hosts_and_to_no_other() {
    let needs = all_needs();
    let grant = grant(json!({ "http": ["*"], "secrets": [{ "name": "key", "hosts": ["api.example.com"] }] }));
    assert!(permit_secret_at(&needs, &grant, "key", "api.example.com").is_ok());
    let denial = permit_secret_at(&needs, &grant, "key", "evil.example.net").unwrap_err();
    assert_eq!(denial.capability, "secret:key at evil.example.net");
}

#[test]
fn every_fault_of_a_grant_is_told_at_once_with_its_place() {
    let faults = Grant::check(&json!({
        "http": [{ "host": "https://x" , "ports": [0] }, 7],
        "secrets": [{ "name": "a b", "hosts": [] }],
        "files": ["/etc"],
        "kv": "notes",
        "config": { "A": 1 },
        "clock": "yes",
        "logLevel": "loud",
        "limits": { "memoryBytes": 1, "cpu": "2h", "threads": 4 },
    }))
    .unwrap_err();
    let pointers: Vec<_> = faults.iter().map(|fault| (fault.pointer.as_str(), fault.code.as_str())).collect();
    for expected in [
        ("/files", "grant.unknown_capability"),
        ("/http/0", "grant.host"),
        ("/http/0/ports", "grant.value"),
        ("/http/1", "grant.type"),
        ("/secrets/0/name", "grant.name"),
        ("/kv", "grant.type"),
        ("/config/A", "grant.value"),
        ("/clock", "grant.type"),
        ("/logLevel", "grant.value"),
        ("/limits/threads", "grant.unknown_field"),
        ("/limits/memoryBytes", "grant.range"),
        ("/limits/cpu", "grant.range"),
    ] {
        assert!(pointers.contains(&expected), "{expected:?} in {pointers:?}");
    }
}

#[test]
fn results_are_kept_only_of_a_plugin_that_can_touch_nothing() {
    assert!(grant(json!({ "cacheResults": true })).is_pure());
    let faults = Grant::check(&json!({ "cacheResults": true, "clock": true })).unwrap_err();
    assert_eq!(faults[0].code, "grant.cache_impure");
}

#[test]
fn limits_and_log_level_grant_nothing() {
    let limited = grant(json!({ "limits": { "cpu": "2s", "memoryBytes": 8_388_608 }, "logLevel": "debug" }));
    assert!(limited.is_pure());
    let text = serde_json::to_value(&limited).unwrap();
    assert_eq!(text, json!({ "limits": { "cpu": "2s", "memoryBytes": 8_388_608 }, "logLevel": "debug" }));
    assert_eq!(grant(text), limited, "a grant reads back what it wrote");
}
