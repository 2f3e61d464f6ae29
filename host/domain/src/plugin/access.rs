//! Whether one deed of a plugin is permitted.

use super::{Grant, Needs, SecretGrant, host_matches};

/// What a plugin wanted and did not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// As a grant would name it: `http:GET https://api.example.com:443`, `secret:api-key`, `kv:notes`, `config:REGION`.
    pub capability: String,
    /// One sentence for people.
    pub message: String,
}

impl Denial {
    fn new(capability: String, why: &str) -> Self {
        Self { message: format!("`{capability}` is not permitted: {why}"), capability }
    }

    /// A denial because no grant names the thing.
    pub fn ungranted(capability: String) -> Self {
        Self::new(capability, "no grant names it")
    }

    /// A denial because the plugin never said that it needs the thing.
    pub fn unstated(capability: String) -> Self {
        Self::new(capability, "the plugin does not state that it needs it")
    }
}

/// Where a request goes, as a parsed URL says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpTarget<'a> {
    /// In capitals.
    pub method: &'a str,
    /// `http` or `https`.
    pub scheme: &'a str,
    /// In lower case.
    pub host: &'a str,
    /// The scheme's own where the URL has none.
    pub port: u16,
}

impl HttpTarget<'_> {
    fn capability(&self) -> String {
        let Self { method, scheme, host, port } = self;
        format!("http:{method} {scheme}://{host}:{port}")
    }
}

/// Whether a request may be sent.
///
/// # Errors
/// The denial that names it.
pub fn permit_http(needs: &Needs, grant: &Grant, target: HttpTarget<'_>) -> Result<(), Denial> {
    let own_port = if target.scheme == "https" { 443 } else { 80 };
    let granted = grant.http.iter().any(|rule| {
        host_matches(&rule.host, target.host)
            && rule.schemes.iter().any(|scheme| scheme == target.scheme)
            && rule.methods.iter().any(|method| method == "*" || method == target.method)
            && if rule.ports.is_empty() { target.port == own_port } else { rule.ports.contains(&target.port) }
    });
    if !granted {
        return Err(Denial::ungranted(target.capability()));
    }
    let stated = needs.http_hosts.iter().any(|pattern| host_matches(pattern, target.host));
    if stated { Ok(()) } else { Err(Denial::unstated(target.capability())) }
}

/// Whether a plugin may hold the placeholder of a secret.
///
/// # Errors
/// The denial that names it.
pub fn permit_secret<'a>(needs: &Needs, grant: &'a Grant, name: &str) -> Result<&'a SecretGrant, Denial> {
    let capability = || format!("secret:{name}");
    let granted = grant.secrets.iter().find(|secret| secret.name == name);
    let granted = granted.ok_or_else(|| Denial::ungranted(capability()))?;
    if states(&needs.secrets, name) { Ok(granted) } else { Err(Denial::unstated(capability())) }
}

/// Whether a secret may travel to a host.
///
/// # Errors
/// The denial that names both.
pub fn permit_secret_at(needs: &Needs, grant: &Grant, name: &str, host: &str) -> Result<(), Denial> {
    let granted = permit_secret(needs, grant, name)?;
    if granted.hosts.iter().any(|pattern| host_matches(pattern, host)) {
        Ok(())
    } else {
        Err(Denial::ungranted(format!("secret:{name} at {host}")))
    }
}

/// Whether a key-value namespace may be used.
///
/// # Errors
/// The denial that names it.
pub fn permit_kv(needs: &Needs, grant: &Grant, namespace: &str) -> Result<(), Denial> {
    let capability = || format!("kv:{namespace}");
    if !grant.kv.iter().any(|granted| granted == namespace) {
        return Err(Denial::ungranted(capability()));
    }
    if states(&needs.kv, namespace) { Ok(()) } else { Err(Denial::unstated(capability())) }
}

/// The value of a configuration key.
///
/// # Errors
/// The denial that names it.
pub fn permit_config<'a>(needs: &Needs, grant: &'a Grant, key: &str) -> Result<&'a str, Denial> {
    let capability = || format!("config:{key}");
    let value = grant.config.get(key).ok_or_else(|| Denial::ungranted(capability()))?;
    if states(&needs.config_keys, key) { Ok(value) } else { Err(Denial::unstated(capability())) }
}

fn states(stated: &[String], name: &str) -> bool {
    stated.iter().any(|one| one == "*" || one == name)
}
