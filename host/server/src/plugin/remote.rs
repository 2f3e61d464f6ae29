//! `armilla plugin push`, `list`, `activate`, …: the REST API from the command line.

use std::io::{IsTerminal, Write};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use armilla_egress::{Egress, EgressPolicy, HeaderMap, HeaderName, HeaderValue, Method, OutboundRequest, header};
use clap::Args;
use serde_json::{Value, json};

use super::{PluginError, read, say};
use crate::settings::Place;
use crate::token;

/// The longest that a server waits for a component, and some time for its way.
const REQUEST_MAX: Duration = Duration::from_secs(330);
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// How often a server is asked how a load goes.
const POLL: Duration = Duration::from_secs(1);
/// How long a server waits before it says that loading goes on.
const PUSH_WAIT: &str = "20s";
/// Loading the largest component on the slowest machine takes less.
const LOAD_MAX: Duration = Duration::from_secs(30 * 60);
const SIGNATURE_HEADER: HeaderName = HeaderName::from_static("x-armilla-signature");

/// Which server, and who asks.
#[derive(Debug, Args)]
pub(crate) struct ServerArgs {
    /// The server
    #[arg(long, env = "ARMILLA_SERVER", value_name = "URL", default_value = "http://127.0.0.1:3000")]
    server: String,

    /// A token of an admin; made with the server's key where it can be read
    #[arg(long, env = "ARMILLA_TOKEN", value_name = "JWT", hide_env_values = true)]
    token: Option<String>,

    /// Print the server's answer as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    place: Place,
}

/// What to load.
#[derive(Debug, Args)]
pub(crate) struct PushArgs {
    /// The component's file
    #[arg(required_unless_present = "oci")]
    file: Option<PathBuf>,

    /// Let the server fetch it from a registry instead: registry/name:tag, or registry/name@sha256:…
    #[arg(long, value_name = "REFERENCE", conflicts_with = "file")]
    oci: Option<String>,

    /// Make the new version the active one; a plugin's first version is in any case
    #[arg(long)]
    activate: bool,

    /// The signature's file; FILE.sig where there is one
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,

    #[command(flatten)]
    server: ServerArgs,
}

/// Which plugin.
#[derive(Debug, Args)]
pub(crate) struct NamedArgs {
    /// The plugin's name
    name: String,

    #[command(flatten)]
    server: ServerArgs,
}

/// Which version.
#[derive(Debug, Args)]
pub(crate) struct VersionArgs {
    /// The plugin's name
    name: String,

    /// The version's number
    version: i32,

    /// Let unfinished runs go on with this version
    #[arg(long)]
    move_runs: bool,

    #[command(flatten)]
    server: ServerArgs,
}

/// What to go back from.
#[derive(Debug, Args)]
pub(crate) struct RollbackArgs {
    /// The plugin's name
    name: String,

    /// Let unfinished runs go on with the earlier version
    #[arg(long)]
    move_runs: bool,

    #[command(flatten)]
    server: ServerArgs,
}

/// What to switch.
#[derive(Debug, Args)]
pub(crate) struct SwitchArgs {
    /// The plugin's name
    name: String,

    #[command(flatten)]
    server: ServerArgs,
}

/// What to delete.
#[derive(Debug, Args)]
pub(crate) struct RemoveArgs {
    /// The plugin's name
    name: String,

    /// One version alone
    version: Option<i32>,

    #[command(flatten)]
    server: ServerArgs,
}

/// Whether an address leads to this machine and nowhere else.
fn is_here(server: &str) -> bool {
    let rest = server.split_once("://").map_or(server, |(_, rest)| rest);
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if host.contains('@') {
        return false;
    }
    let host = match host.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => host,
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A server's API.
pub(super) struct Server {
    egress: Egress,
    url: String,
    headers: HeaderMap,
    pub(super) json: bool,
}

impl ServerArgs {
    pub(super) fn connect(self) -> Result<Server, PluginError> {
        let token = match self.token {
            Some(token) => token,
            // Made with this machine's key, it is for this machine's server alone.
            None if is_here(&self.server) => token::for_operator(&self.place)?,
            None => {
                let why = format!("{} is not on this machine; give a token with --token or ARMILLA_TOKEN", self.server);
                return Err(PluginError::Usage(why));
            }
        };
        // Whoever types the address means it, wherever it is.
        let everything = ["0.0.0.0/0", "::/0"].iter().filter_map(|net| net.parse().ok()).collect();
        let egress = Egress::new(EgressPolicy { allowed: everything });
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", token.trim()))
            .map_err(|_| PluginError::Usage("the token has characters that no token has".to_owned()))?;
        bearer.set_sensitive(true);
        Ok(Server {
            egress: egress.map_err(|error| PluginError::Failed(error.to_string()))?,
            url: self.server.trim_end_matches('/').to_owned(),
            headers: [(header::AUTHORIZATION, bearer)].into_iter().collect(),
            json: self.json,
        })
    }
}

impl Server {
    pub(super) async fn json(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, PluginError> {
        let kind = HeaderValue::from_static("application/json");
        let body = body.map(|body| (kind, body.to_string().into_bytes()));
        self.send(method, path, body, None).await.map(|(_, value)| value)
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<(HeaderValue, Vec<u8>)>,
        signature: Option<HeaderValue>,
    ) -> Result<(u16, Value), PluginError> {
        let request = format!("{method} {}{}", self.url, path.split('?').next().unwrap_or(path));
        let mut headers = self.headers.clone();
        let body = body.map(|(kind, body)| {
            headers.insert(header::CONTENT_TYPE, kind);
            body
        });
        headers.extend(signature.map(|signature| (SIGNATURE_HEADER, signature)));
        let outbound = OutboundRequest {
            method,
            url: format!("{}{path}", self.url),
            headers,
            body: body.unwrap_or_default(),
            timeout: REQUEST_MAX,
            answer_bytes_max: ANSWER_BYTES_MAX,
        };
        let failed = |why: String| PluginError::Http { request: request.clone(), why };
        let answer = self.egress.send(outbound).await.map_err(|error| failed(error.to_string()))?;
        let value: Value = match answer.body.as_slice() {
            [] => Value::Null,
            body => serde_json::from_slice(body).map_err(|_| failed("this is no Armilla server".to_owned()))?,
        };
        if (200..300).contains(&answer.status) {
            Ok((answer.status, value))
        } else {
            Err(refused(answer.status, &value))
        }
    }
}

fn refused(status: u16, problem: &Value) -> PluginError {
    let text = |key: &str| problem[key].as_str().unwrap_or_default().to_owned();
    let faults = problem["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
    let faults: String = faults
        .iter()
        .map(|fault| {
            let (pointer, detail) = (fault["pointer"].as_str(), fault["detail"].as_str());
            format!("\n  {}: {}", pointer.unwrap_or_default(), detail.unwrap_or_default())
        })
        .collect();
    let runs = problem["runs"].as_array().map(|runs| format!("\n  runs: {}", Value::Array(runs.clone())));
    PluginError::Refused {
        status,
        code: text("code"),
        detail: text("detail"),
        faults: faults + &runs.unwrap_or_default(),
    }
}

pub(super) async fn push(args: PushArgs) -> Result<(), PluginError> {
    let server = args.server.connect()?;
    let signature = match (&args.signature, &args.file) {
        (Some(file), _) => Some(read(file)?),
        // Beside the component, where `sign` puts it.
        (None, Some(file)) => std::fs::read(format!("{}.sig", file.display())).ok(),
        (None, None) => None,
    };
    let signature = signature.map(|text| String::from_utf8_lossy(&text).trim().to_owned());
    let path = format!("/plugins?activate={}&wait={PUSH_WAIT}", args.activate);
    let (status, answer) = match (&args.oci, &args.file) {
        (Some(reference), _) => {
            let body = json!({ "oci": reference, "signature": signature });
            let body = (HeaderValue::from_static("application/json"), body.to_string().into_bytes());
            server.send(Method::POST, &path, Some(body), None).await?
        }
        (None, Some(file)) => {
            let header = signature.as_deref().map(HeaderValue::from_str).transpose();
            let header = header.map_err(|_| PluginError::Usage("the signature is none".to_owned()))?;
            let body = (HeaderValue::from_static("application/wasm"), read(file)?);
            server.send(Method::POST, &path, Some(body), header).await?
        }
        (None, None) => return Err(PluginError::Usage("name a component's file, or --oci".to_owned())),
    };
    if status == 202 {
        return follow(&server, &answer["load"]).await;
    }
    if server.json {
        return say(answer);
    }
    let (plugin, version) = (&answer["plugin"], &answer["version"]);
    let what = if status == 200 { "was there already as" } else { "is" };
    report(plugin["name"].as_str().unwrap_or_default(), version["version"].as_i64(), version["active"] == true, what)?;
    for tool in version["tools"].as_array().map(Vec::as_slice).unwrap_or_default() {
        say(format!("  tool {}", tool["name"].as_str().unwrap_or_default()))?;
    }
    let needs = &version["needs"];
    let wants = needs.as_object().is_some_and(|needs| {
        needs.values().any(|need| need.as_array().is_some_and(|names| !names.is_empty()) || *need == true)
    });
    if wants {
        say(format!("  needs {needs}\n  granted {}", plugin["grant"]))?;
    }
    Ok(())
}

fn report(name: &str, version: Option<i64>, active: bool, what: &str) -> Result<(), PluginError> {
    let version = version.unwrap_or_default();
    let state =
        if active { "active".to_owned() } else { format!("not active yet: armilla plugin activate {name} {version}") };
    say(format!("{name}: the component {what} version {version}, {state}"))
}

/// Asks until a load has ended.
async fn follow(server: &Server, load: &Value) -> Result<(), PluginError> {
    let id = load["id"].as_str().unwrap_or_default();
    let began = std::time::Instant::now();
    let shown = std::io::stderr().is_terminal();
    loop {
        tokio::time::sleep(POLL).await;
        let answer = server.json(Method::GET, &format!("/plugin-loads/{id}"), None).await?;
        let load = &answer["load"];
        match load["status"].as_str() {
            Some("loading") if began.elapsed() < LOAD_MAX => {
                if shown {
                    write!(std::io::stderr(), "\rcompiling: {} s ", began.elapsed().as_secs())?;
                }
            }
            Some("loaded") => {
                if shown {
                    writeln!(std::io::stderr())?;
                }
                if server.json {
                    return say(&answer);
                }
                let name = load["plugin"].as_str().unwrap_or_default();
                let plugin = server.json(Method::GET, &format!("/plugins/{name}"), None).await?;
                let active = plugin["plugin"]["active"]["version"] == load["version"];
                return report(name, load["version"].as_i64(), active, "is");
            }
            _ => {
                let problem = &load["problem"];
                let text = |key: &str| problem[key].as_str().unwrap_or("no reason").to_owned();
                return Err(PluginError::Failed(format!("{} ({})", text("detail"), text("code"))));
            }
        }
    }
}

pub(super) async fn list(args: ServerArgs) -> Result<(), PluginError> {
    let server = args.connect()?;
    let answer = server.json(Method::GET, "/plugins", None).await?;
    if server.json {
        return say(answer);
    }
    say(format!("{:<20} {:>7}  {:<10} {:<9} {}", "NAME", "VERSION", "STATED", "STATE", "GRANTED"))?;
    for plugin in answer["plugins"].as_array().map(Vec::as_slice).unwrap_or_default() {
        let active = &plugin["active"];
        let state = if plugin["enabled"] == false { "disabled" } else { "enabled" };
        let granted = plugin["grant"].as_object().map(|grant| grant.keys().cloned().collect::<Vec<_>>().join(","));
        let granted = granted.filter(|granted| !granted.is_empty()).unwrap_or_else(|| "-".to_owned());
        say(format!(
            "{:<20} {:>7}  {:<10} {state:<9} {granted}",
            plugin["name"].as_str().unwrap_or_default(),
            active["version"].as_i64().map_or("-".to_owned(), |version| version.to_string()),
            active["statedVersion"].as_str().unwrap_or("-"),
        ))?;
    }
    Ok(())
}

pub(super) async fn versions(args: NamedArgs) -> Result<(), PluginError> {
    let server = args.server.connect()?;
    let answer = server.json(Method::GET, &format!("/plugins/{}/versions", args.name), None).await?;
    if server.json {
        return say(answer);
    }
    say(format!("{:>7}  {:<10} {:<7} {:<14} {:<24} {}", "VERSION", "STATED", "STATE", "DIGEST", "LOADED", "FROM"))?;
    for version in answer["versions"].as_array().map(Vec::as_slice).unwrap_or_default() {
        let text = |key: &str| version[key].as_str().unwrap_or("-").to_owned();
        say(format!(
            "{:>7}  {:<10} {:<7} {:<14} {:<24} {}",
            version["version"].as_i64().unwrap_or_default(),
            text("statedVersion"),
            if version["active"] == true { "active" } else { "-" },
            text("digest").chars().take(12).collect::<String>(),
            text("createdAt"),
            text("source"),
        ))?;
    }
    Ok(())
}

pub(super) async fn activate(args: VersionArgs) -> Result<(), PluginError> {
    let path = format!("/plugins/{}/versions/{}/activate", args.name, args.version);
    change(args.server, &path, args.move_runs).await
}

pub(super) async fn rollback(args: RollbackArgs) -> Result<(), PluginError> {
    change(args.server, &format!("/plugins/{}/rollback", args.name), args.move_runs).await
}

async fn change(server: ServerArgs, path: &str, move_runs: bool) -> Result<(), PluginError> {
    let server = server.connect()?;
    let answer = server.json(Method::POST, path, Some(&json!({ "moveRuns": move_runs }))).await?;
    if server.json {
        return say(answer);
    }
    let plugin = &answer["plugin"];
    let name = plugin["name"].as_str().unwrap_or_default();
    let (version, stated) = (&plugin["active"]["version"], plugin["active"]["statedVersion"].as_str());
    say(format!("{name}: version {version} ({}) is active", stated.unwrap_or_default()))
}

pub(super) async fn switch(args: SwitchArgs, deed: &str) -> Result<(), PluginError> {
    let server = args.server.connect()?;
    let answer = server.json(Method::POST, &format!("/plugins/{}/{deed}", args.name), None).await?;
    if server.json {
        return say(answer);
    }
    say(format!("{}: {deed}d", args.name))
}

pub(super) async fn remove(args: RemoveArgs) -> Result<(), PluginError> {
    let server = args.server.connect()?;
    let path = match args.version {
        Some(version) => format!("/plugins/{}/versions/{version}", args.name),
        None => format!("/plugins/{}", args.name),
    };
    server.json(Method::DELETE, &path, None).await?;
    match args.version {
        Some(version) => say(format!("{}: version {version} is deleted", args.name)),
        None => say(format!("{}: deleted", args.name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_made_for_a_server_on_this_machine_alone() {
        for here in ["http://127.0.0.1:3000", "http://localhost:3000/", "http://[::1]:3000", "https://127.0.0.9"] {
            assert!(is_here(here), "{here}");
        }
        for elsewhere in [
            "http://example.com",
            "http://127.0.0.1@example.com",
            "http://localhost.example.com:3000",
            "http://10.0.0.1",
        ] {
            assert!(!is_here(elsewhere), "{elsewhere}");
        }
    }
}
