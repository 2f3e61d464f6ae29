//! What an agent's card says of where and how it is spoken with; the rest of it is for people.

use armilla_domain::agent::AgentConfig;
use armilla_domain::call::CallError;
use serde::Deserialize;
use url::Url;

use crate::failure;

/// A place where the agent is spoken with, in a way that is spoken here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Interface {
    /// Absolute, `http` or `https`, without a user's name.
    pub url: Url,
    pub binding: Binding,
    pub version: Version,
    /// Whom to name as the tenant, of those that share the place.
    pub tenant: Option<String>,
}

/// How messages are carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Binding {
    JsonRpc,
    HttpJson,
}

/// How they are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    V1,
    V03,
}

impl Version {
    /// As the header `A2A-Version` says it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::V1 => "1.0",
            Self::V03 => "0.3",
        }
    }

    /// What a card calls so. Patches do not count, and what a later 1.x adds is not needed here.
    fn of(text: &str) -> Option<Self> {
        let mut numbers = text.trim().split('.');
        match (numbers.next()?, numbers.next().unwrap_or("0")) {
            ("1", _) => Some(Self::V1),
            ("0", "3") => Some(Self::V03),
            _ => None,
        }
    }
}

impl Binding {
    fn of(text: &str) -> Option<Self> {
        match text {
            "JSONRPC" => Some(Self::JsonRpc),
            "HTTP+JSON" => Some(Self::HttpJson),
            _ => None,
        }
    }
}

/// A card of either version: 1.0 lists its interfaces, 0.3 has one place and perhaps others.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Card {
    supported_interfaces: Option<Vec<Declared>>,
    url: Option<String>,
    preferred_transport: Option<String>,
    additional_interfaces: Option<Vec<Declared>>,
    protocol_version: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Declared {
    url: Option<String>,
    #[serde(alias = "transport")]
    protocol_binding: Option<String>,
    protocol_version: Option<String>,
    tenant: Option<String>,
}

/// The interfaces of a card that are spoken here, the one that its agent likes best first.
///
/// # Errors
/// `agent.bad_answer` where it is no card, `agent.bad_card`, `agent.unsupported_transport` and `agent.unsupported_version` where none of it
/// can be used.
pub(crate) fn interfaces(agent: &str, body: &[u8]) -> Result<Vec<Interface>, CallError> {
    let card: Card = serde_json::from_slice(body).map_err(|_| failure::of_answer(agent, "its card is not one"))?;
    let (declared, version) = card.declared();
    if declared.is_empty() {
        return Err(unusable(agent, "agent.bad_card", "names no place where the agent is spoken with".to_owned()));
    }
    let mut usable: Vec<Interface> = Vec::new();
    let mut refusal = None;
    for declared in &declared {
        match declared.read(&version) {
            Ok(interface) => usable.push(interface),
            Err(why) => refusal = refusal.or(Some(why)),
        }
    }
    if usable.iter().all(|interface| interface.version == Version::V03) {
        // Servers disagree on the JSON of 0.3 over plain HTTP, and agree on its JSON-RPC.
        usable.sort_by_key(|interface| interface.binding != Binding::JsonRpc);
    }
    match refusal {
        Some((code, detail)) if usable.is_empty() => Err(unusable(agent, code, detail)),
        _ => Ok(usable),
    }
}

/// The interface to speak with. A secret goes to the host that the agent was registered with, and to no other that a card names, nor in the
/// clear where the endpoint was not: the card says where an agent is, and not whom its key belongs to.
pub(crate) fn choose<'a>(
    interfaces: &'a [Interface],
    agent: &AgentConfig,
    with_secret: bool,
) -> Result<&'a Interface, CallError> {
    let endpoint = Url::parse(&agent.endpoint).map_err(|_| failure::of_endpoint(&agent.id))?;
    let trusted = |interface: &&Interface| {
        !with_secret
            || (interface.url.host_str() == endpoint.host_str()
                && (interface.url.scheme() == "https" || endpoint.scheme() == "http"))
    };
    interfaces.iter().find(trusted).ok_or_else(|| {
        let place = interfaces.first().map(|interface| interface.url.origin().ascii_serialization());
        let detail = format!(
            "leads to {}, and its secret goes nowhere but to {}: register it with an endpoint there",
            place.unwrap_or_default(),
            endpoint.origin().ascii_serialization()
        );
        unusable(&agent.id, "agent.secret_withheld", detail)
    })
}

impl Card {
    /// What it declares, in its order, and the version of what does not name one.
    fn declared(self) -> (Vec<Declared>, String) {
        let version = self.protocol_version;
        if let Some(listed) = self.supported_interfaces.filter(|listed| !listed.is_empty()) {
            return (listed, version.unwrap_or_else(|| Version::V1.name().to_owned()));
        }
        let main = self.url.map(|url| Declared {
            url: Some(url),
            protocol_binding: Some(self.preferred_transport.unwrap_or_else(|| "JSONRPC".to_owned())),
            protocol_version: None,
            tenant: None,
        });
        let declared = main.into_iter().chain(self.additional_interfaces.unwrap_or_default()).collect();
        (declared, version.unwrap_or_else(|| Version::V03.name().to_owned()))
    }
}

impl Declared {
    fn read(&self, version: &str) -> Result<Interface, (&'static str, String)> {
        let binding = self.protocol_binding.as_deref().unwrap_or_default();
        let binding = Binding::of(binding).ok_or_else(|| {
            let detail =
                format!("offers `{}`, and what is spoken here is `JSONRPC` and `HTTP+JSON`", failure::line(binding));
            ("agent.unsupported_transport", detail)
        })?;
        let version = self.protocol_version.as_deref().filter(|own| !own.is_empty()).unwrap_or(version);
        let version = Version::of(version).ok_or_else(|| {
            let detail = format!("speaks version `{}`, and what is spoken here is 1.0 and 0.3", failure::line(version));
            ("agent.unsupported_version", detail)
        })?;
        let url = self.url.as_deref().and_then(|url| Url::parse(url).ok()).filter(can_be_called).ok_or_else(|| {
            ("agent.bad_card", "leads to what is no `http` or `https` URL without a user's name".to_owned())
        })?;
        Ok(Interface { url, binding, version, tenant: self.tenant.clone().filter(|tenant| !tenant.is_empty()) })
    }
}

fn can_be_called(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none()
}

fn unusable(agent: &str, code: &'static str, detail: String) -> CallError {
    CallError::permanent(code, format!("agent `{agent}`: its card {detail}"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(card: &Value) -> Result<Vec<(String, Binding, Version)>, String> {
        let found = interfaces("tester", card.to_string().as_bytes()).map_err(|error| error.code.into_owned())?;
        Ok(found.into_iter().map(|found| (found.url.into(), found.binding, found.version)).collect())
    }

    #[test]
    fn a_card_of_1_0_is_taken_in_the_order_in_which_it_prefers() {
        let card = json!({ "name": "x", "supportedInterfaces": [
            { "url": "https://h/grpc", "protocolBinding": "GRPC", "protocolVersion": "1.0" },
            { "url": "https://h/rest", "protocolBinding": "HTTP+JSON", "protocolVersion": "1.0", "tenant": "t" },
            { "url": "https://h/rpc", "protocolBinding": "JSONRPC", "protocolVersion": "0.3" },
            { "url": "https://h/later", "protocolBinding": "JSONRPC", "protocolVersion": "2.0" },
        ] });
        let expected = [
            ("https://h/rest".to_owned(), Binding::HttpJson, Version::V1),
            ("https://h/rpc".to_owned(), Binding::JsonRpc, Version::V03),
        ];
        assert_eq!(read(&card).unwrap(), expected);
        assert_eq!(interfaces("tester", card.to_string().as_bytes()).unwrap()[0].tenant.as_deref(), Some("t"));
    }

    #[test]
    fn a_card_of_0_3_has_one_place_and_others_and_json_rpc_is_liked_best() {
        let least = json!({ "url": "http://h/", "supportedInterfaces": [] });
        assert_eq!(read(&least).unwrap(), [("http://h/".to_owned(), Binding::JsonRpc, Version::V03)]);
        let card = json!({ "url": "http://h/rest", "preferredTransport": "HTTP+JSON", "protocolVersion": "0.3.0",
            "additionalInterfaces": [{ "url": "http://h/rpc", "transport": "JSONRPC" }] });
        let expected = [
            ("http://h/rpc".to_owned(), Binding::JsonRpc, Version::V03),
            ("http://h/rest".to_owned(), Binding::HttpJson, Version::V03),
        ];
        assert_eq!(read(&card).unwrap(), expected);
    }

    #[test]
    fn what_cannot_be_spoken_with_is_told_by_its_reason() {
        let one = |url: &str, binding: &str, version: &str| json!({ "supportedInterfaces": [{ "url": url, "protocolBinding": binding, "protocolVersion": version }] });
        for (card, code) in [
            (json!([]), "agent.bad_answer"),
            (json!({ "supportedInterfaces": "none" }), "agent.bad_answer"),
            (json!({}), "agent.bad_card"),
            (json!({ "name": "x", "supportedInterfaces": null }), "agent.bad_card"),
            (json!({ "additionalInterfaces": [{}] }), "agent.unsupported_transport"),
            (one("http://h/", "GRPC", "1.0"), "agent.unsupported_transport"),
            (one("http://h/", "JSONRPC", "0.2.5"), "agent.unsupported_version"),
            (one("http://h/", "JSONRPC", "2.0"), "agent.unsupported_version"),
            (json!({ "url": "http://h/", "protocolVersion": "0.2.6" }), "agent.unsupported_version"),
            (one("/relative", "JSONRPC", "1.0"), "agent.bad_card"),
            (one("file:///etc/passwd", "JSONRPC", "1.0"), "agent.bad_card"),
            (one("http://user:word@h/", "JSONRPC", "1.0"), "agent.bad_card"),
        ] {
            assert_eq!(read(&card).unwrap_err(), code, "{card}");
        }
    }

    #[test]
    fn a_secret_goes_to_the_endpoint_s_host_alone_and_not_in_the_clear() {
        let agent = |endpoint: &str| {
            AgentConfig::check(&json!({ "id": "tester", "protocol": "a2a", "endpoint": endpoint })).unwrap()
        };
        let card = |url: &str| interfaces("tester", json!({ "url": url }).to_string().as_bytes()).unwrap();
        for (endpoint, url, goes) in [
            ("https://a.example", "https://a.example/rpc", true),
            ("https://a.example", "https://a.example:8443/rpc", true),
            ("http://a.example", "https://a.example/rpc", true),
            ("https://a.example", "http://a.example/rpc", false),
            ("https://a.example", "https://b.example/rpc", false),
            ("https://a.example", "https://a.example.b.example/rpc", false),
        ] {
            let interfaces = card(url);
            let chosen = choose(&interfaces, &agent(endpoint), true).map(|chosen| chosen.url.as_str());
            assert_eq!(chosen.is_ok(), goes, "{endpoint} {url} {chosen:?}");
            assert!(choose(&interfaces, &agent(endpoint), false).is_ok(), "{endpoint} {url}");
            if let Err(error) = chosen {
                assert_eq!(error.code, "agent.secret_withheld");
            }
        }
    }
}
