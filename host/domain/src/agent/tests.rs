use serde_json::json;

use super::read::{PROVIDERS, endpoint_fault};
use super::*;

fn faults(value: &Value) -> Vec<(String, String)> {
    AgentConfig::check(value).unwrap_err().into_iter().map(|fault| (fault.pointer, fault.code)).collect()
}

#[test]
fn a_full_configuration_reads_back_what_it_writes() {
    let written = json!({
        "id": "writer-agent-2", "displayName": "Writer", "protocol": "openai",
        "endpoint": "https://models.example.com/v1?api-version=1",
        "model": { "provider": "local", "modelId": "small", "temperature": 0.2, "maxOutputTokens": 500 },
        "auth": { "header": "x-api-key", "secret": "models.key" },
        "systemPromptTemplate": "You write about {{ topic }}.",
        "limits": { "timeout": "30s" },
    });
    let config = AgentConfig::check(&written).unwrap();
    assert_eq!(config.limits.timeout, Some(Duration::from_secs(30)));
    assert_eq!(serde_json::to_value(&config).unwrap(), written);
    assert_eq!(serde_json::from_value::<AgentConfig>(written).unwrap(), config);
}

#[test]
fn the_least_configuration_has_an_id_a_protocol_and_an_endpoint() {
    let written = json!({ "id": "a", "protocol": "http", "endpoint": "http://127.0.0.1:3210/ops" });
    let config = AgentConfig::check(&written).unwrap();
    assert_eq!(serde_json::to_value(&config).unwrap(), written);
}

#[test]
fn all_faults_come_at_once_each_with_its_place() {
    let found = faults(&json!({
        "id": "Writer Agent", "displayName": 7, "protocol": "carrier-pigeon", "endpoint": "/relative", "color": "red",
        "model": { "temperature": 3, "maxOutputTokens": 0.5, "topK": 1 },
        "systemPromptTemplate": "", "limits": { "timeout": "soon", "maxConcurrency": 0 },
        "auth": { "header": "Content-Type", "scheme": "Basic" },
    }));
    let expected = [
        ("/color", "agent.unknown_field"),
        ("/id", "agent.id"),
        ("/displayName", "agent.value"),
        ("/protocol", "agent.value"),
        ("/endpoint", "agent.endpoint"),
        ("/systemPromptTemplate", "agent.value"),
        ("/model/topK", "agent.unknown_field"),
        ("/model/temperature", "agent.value"),
        ("/model/maxOutputTokens", "agent.value"),
        ("/limits/timeout", "agent.value"),
        ("/limits/maxConcurrency", "agent.value"),
        ("/auth/scheme", "agent.unknown_field"),
        ("/auth/header", "agent.value"),
        ("/auth/secret", "agent.missing"),
    ];
    assert_eq!(found, expected.map(|(place, code)| (place.to_owned(), code.to_owned())));
}

#[test]
fn what_is_not_an_object_and_what_is_missing_is_named() {
    assert_eq!(faults(&json!("writer")), [(String::new(), "agent.type".to_owned())]);
    let missing = ["/id", "/protocol", "/endpoint"].map(|place| (place.to_owned(), "agent.missing".to_owned()));
    assert_eq!(faults(&json!({})), missing);
    let wrong = json!({ "id": "a", "protocol": "http", "endpoint": "http://h", "model": [], "limits": null });
    let places = ["/model", "/limits"].map(|place| (place.to_owned(), "agent.type".to_owned()));
    assert_eq!(faults(&wrong), places);
}

#[test]
fn an_agent_that_speaks_a2a_chooses_its_model_itself() {
    let mut config = json!({ "id": "a", "protocol": "a2a", "endpoint": "http://h", "model": { "provider": "us" } });
    assert_eq!(serde_json::to_value(AgentConfig::check(&config).unwrap()).unwrap(), config);
    for (field, value) in [("modelId", json!("m")), ("temperature", json!(1)), ("maxOutputTokens", json!(9))] {
        config["model"] = json!({ field: value });
        assert_eq!(faults(&config), [("/model".to_owned(), "agent.unsupported".to_owned())], "{field}");
    }
}

#[test]
fn a_known_provider_s_name_says_what_is_spoken_and_where() {
    for (provider, protocol, endpoint) in PROVIDERS {
        let written = json!({ "id": "a", "model": { "provider": provider, "modelId": "m" } });
        let config = AgentConfig::check(&written).unwrap();
        assert_eq!((config.protocol, config.endpoint.as_str()), (protocol, endpoint));
        assert_eq!(endpoint_fault(endpoint), None);
        let elsewhere =
            json!({ "id": "a", "endpoint": "http://h/v1", "model": { "provider": provider, "modelId": "m" } });
        assert_eq!(AgentConfig::check(&elsewhere).unwrap().endpoint, "http://h/v1");
    }
}

#[test]
fn a_provider_that_is_not_known_or_not_served_is_told() {
    let of = |provider: &str| json!({ "id": "a", "model": { "provider": provider } });
    let missing =
        [("/protocol".to_owned(), "agent.missing".to_owned()), ("/endpoint".to_owned(), "agent.missing".to_owned())];
    assert_eq!(faults(&of("carrier-pigeon")), missing);
    assert_eq!(faults(&of("bedrock"))[0], ("/model/provider".to_owned(), "agent.unsupported".to_owned()));
    let mut behind_a_gateway = of("bedrock");
    behind_a_gateway["protocol"] = json!("openai");
    behind_a_gateway["endpoint"] = json!("http://gateway/v1");
    assert!(AgentConfig::check(&behind_a_gateway).is_ok());
}

#[test]
fn a_provider_that_is_spoken_with_otherwise_wants_an_endpoint() {
    let of = |protocol: &str| json!({ "id": "a", "protocol": protocol, "model": { "provider": "ollama" } });
    assert_eq!(AgentConfig::check(&of("openai")).unwrap().endpoint, "http://127.0.0.1:11434/v1");
    assert_eq!(faults(&of("http")), [("/endpoint".to_owned(), "agent.missing".to_owned())]);
}

#[test]
fn a_message_names_its_model() {
    let mut config = json!({ "id": "a", "protocol": "anthropic", "endpoint": "http://h", "model": {} });
    assert_eq!(faults(&config), [("/model".to_owned(), "agent.missing".to_owned())]);
    config["model"]["modelId"] = json!("m");
    assert_eq!(AgentConfig::check(&config).unwrap().protocol, AgentProtocol::Anthropic);
}

#[test]
fn a_secret_travels_in_the_header_of_the_protocol_unless_another_one_is_named() {
    let auth = |header: Option<&str>| AgentAuth { header: header.map(str::to_owned), secret: "key".to_owned() };
    let header = |named, protocol, value| {
        let auth = auth(named);
        let (name, value) = auth.header(protocol, value);
        format!("{name}: {value}")
    };
    assert_eq!(header(None, AgentProtocol::Openai, "k"), "authorization: Bearer k");
    assert_eq!(header(None, AgentProtocol::Http, "Basic dTpw"), "authorization: Basic dTpw");
    assert_eq!(header(None, AgentProtocol::Anthropic, "k"), "x-api-key: k");
    assert_eq!(header(None, AgentProtocol::A2a, "k"), "authorization: Bearer k");
    assert_eq!(header(Some("api-key"), AgentProtocol::Openai, "k"), "api-key: k");
}

#[test]
fn a_secret_does_not_travel_in_a_header_that_says_what_the_call_is() {
    for name in ["host", "content-length", "idempotency-key", "a2a-version", "x-armilla-run", "X-Api-Key", "a b", ""] {
        let config =
            json!({ "id": "a", "protocol": "http", "endpoint": "http://h", "auth": { "header": name, "secret": "k" } });
        assert_eq!(faults(&config), [("/auth/header".to_owned(), "agent.value".to_owned())], "{name}");
    }
}

#[test]
fn ids_that_are_not_kebab_case_are_refused() {
    for id in ["-a", "a-", "a--b", "A", "a_b", "a b", "é", &"a".repeat(65)] {
        assert_eq!(faults(&json!({ "id": id, "protocol": "http", "endpoint": "http://h" })).len(), 1, "{id}");
    }
}

#[test]
fn endpoints_that_cannot_be_called_or_that_hold_a_password_are_refused() {
    for endpoint in ["host/v1", "ftp://h/", "http://", "http://u:p@h/", "http://u@h/", "http://h/#part", "http://[::1"]
    {
        let found = faults(&json!({ "id": "a", "protocol": "http", "endpoint": endpoint }));
        assert_eq!(found, [("/endpoint".to_owned(), "agent.endpoint".to_owned())], "{endpoint}");
    }
}

#[test]
fn a_step_overrides_only_the_model_settings_it_names() {
    let agent = ModelSettings { model_id: Some("small".into()), temperature: Some(0.1), ..ModelSettings::default() };
    let step = ModelSettings { model_id: Some("large".into()), ..ModelSettings::default() };
    let both = agent.overridden_by(&step);
    assert_eq!((both.model_id.as_deref(), both.temperature), (Some("large"), Some(0.1)));
}

#[test]
fn an_answer_that_is_a_json_object_or_array_as_a_whole_or_in_one_fence_is_data() {
    let data = json!({ "approved": true });
    for text in [
        r#"{"approved": true}"#,
        " \n{\"approved\": true}\n",
        "```json\n{\"approved\": true}\n```",
        "```\n{\"approved\": true}```\n",
        "\n```JSON\r\n{\"approved\": true}\r\n```",
    ] {
        assert_eq!(answer_value(text), data, "{text}");
    }
    assert_eq!(answer_value("[1, 2]"), json!([1, 2]));
}

#[test]
fn every_other_answer_is_its_text() {
    for text in [
        "",
        "42",
        "true",
        "\"quoted\"",
        "{not json}",
        "Here you are: {\"approved\": true}",
        "```json\n{\"approved\": true}\n```\nAnything else?",
        "```json\n{}\n```\n```json\n{}\n```",
        "```json\n42\n```",
        "```",
        "``````",
    ] {
        assert_eq!(answer_value(text), Value::String(text.to_owned()), "{text}");
    }
}

#[test]
fn an_answer_that_nests_too_deep_is_its_text() {
    let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    assert!(answer_value(&nested(64)).is_array());
    assert_eq!(answer_value(&nested(65)), Value::String(nested(65)));
    assert!(answer_value(&nested(100_000)).is_string());
}

#[test]
fn settings_are_checked_on_their_own_as_they_are_in_an_agent() {
    assert_eq!(ModelSettings::check(&json!({ "temperature": 0.5 })).unwrap().temperature, Some(0.5));
    let faults = ModelSettings::check(&json!({ "temperature": 3, "maxTokens": 1 })).unwrap_err();
    let told: Vec<_> = faults.iter().map(|fault| (fault.pointer.as_str(), fault.code.as_str())).collect();
    assert_eq!(told, [("/maxTokens", "agent.unknown_field"), ("/temperature", "agent.value")]);
    assert!(ModelSettings::check(&json!("small")).is_err());
}
