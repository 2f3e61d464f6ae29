//! `armilla plugin check` and `run`: a component without a server, in the same sandbox that a server has.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use armilla_domain::call::CallContext;
use armilla_domain::duration::parse_duration;
use armilla_domain::id::{RunId, WorkspaceId};
use armilla_domain::plugin::Grant;
use armilla_egress::{Egress, EgressPolicy, IpNet};
use armilla_engine::{Chance, Clock, SystemChance, SystemClock};
use armilla_sandbox::{Access, Called, MemoryServices, Plugin, PluginDescription, Sandbox, SandboxConfig, SecretValue};
use clap::Args;
use serde_json::Value;

use super::{PluginError, read, say};
use crate::keys::Keys;
use crate::logging;

/// In bytes of an input that is read from a file.
const INPUT_BYTES_MAX: usize = 2 << 20;

/// What to look at.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// The component's file
    file: PathBuf,

    /// Print what the component says of itself as JSON
    #[arg(long)]
    json: bool,
}

/// What to call, and what it may touch.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The component's file
    file: PathBuf,

    /// The tool's name; the only one where there is one alone
    tool: Option<String>,

    /// The tool's input: JSON, or @FILE
    #[arg(long, value_name = "JSON", default_value = "{}")]
    input: String,

    /// What is granted: JSON as in `PUT /plugins/:name/grants`, or @FILE; nothing by default
    #[arg(long, value_name = "JSON", default_value = "{}")]
    grant: String,

    /// A secret that a grant may name, as NAME=VALUE
    #[arg(long, value_name = "NAME=VALUE")]
    secret: Vec<String>,

    /// Private networks that may be reached, such as 127.0.0.0/8; none by default
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    egress_allow: Vec<IpNet>,

    /// How long the call may take
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_duration)]
    timeout: Duration,
}

/// Loads a component as a server would, and says what it is.
pub(super) async fn check(args: &CheckArgs) -> Result<(), PluginError> {
    let (_sandbox, plugin, took) = load(&args.file, None).await?;
    let about = plugin.description();
    if args.json {
        let text = serde_json::to_string_pretty(&**about).map_err(|error| PluginError::Failed(error.to_string()))?;
        return say(text);
    }
    say(format!("{} {}: {}", about.name, about.version, about.description))?;
    say(format!("  digest   {}", plugin.digest()))?;
    let how = if plugin.is_from_cache() { "was compiled before: loaded" } else { "compiled" };
    say(format!("  {how} in {} ms, to {} KiB of machine code", took.as_millis(), plugin.code_bytes() >> 10))?;
    for tool in &about.tools {
        say(format!("  tool     {}: {}", tool.name, tool.description))?;
    }
    if about.evaluator {
        say(format!("  evaluator {}", about.name))?;
    }
    // WASI stands behind every language's standard library, with nothing behind it that is not granted.
    let (own, wasi): (Vec<String>, Vec<String>) =
        about.imports.iter().cloned().partition(|import| !import.starts_with("wasi:"));
    say(format!("  imports  {}, and {} interfaces of WASI", listed(&own), wasi.len()))?;
    say(format!("  needs    {}", needs(about)))
}

/// What a plugin wants, on one line.
fn needs(about: &PluginDescription) -> String {
    let needs = &about.needs;
    let mut wants = Vec::new();
    for (kind, names) in
        [("http", &needs.http_hosts), ("secret", &needs.secrets), ("config", &needs.config_keys), ("kv", &needs.kv)]
    {
        wants.extend(names.iter().map(|name| format!("{kind}:{name}")));
    }
    wants.extend(needs.clock.then(|| "clock".to_owned()));
    wants.extend(needs.random.then(|| "random".to_owned()));
    listed(&wants)
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

/// Calls a tool once. Its answer goes to standard output, everything else to standard error.
pub(super) async fn run(args: RunArgs) -> Result<(), PluginError> {
    logging::start();
    let grant = Grant::check(&json_of("--grant", &args.grant)?).map_err(|faults| {
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        PluginError::Usage(format!("--grant: {}", faults.join("; ")))
    })?;
    let input = json_of("--input", &args.input)?;
    let secrets = args.secret.iter().map(|secret| {
        let (name, value) = secret.split_once('=').ok_or_else(|| {
            // The text is not repeated: it may be a secret.
            PluginError::Usage("--secret is written NAME=VALUE".to_owned())
        })?;
        Ok((name.to_owned(), SecretValue::new(value.to_owned())))
    });
    let secrets = secrets.collect::<Result<Vec<_>, PluginError>>()?;
    let egress = Egress::new(EgressPolicy { allowed: args.egress_allow.clone() })
        .map_err(|error| PluginError::Failed(error.to_string()))?;
    let (sandbox, plugin, _) = load(&args.file, Some(egress)).await?;
    let tool = the_tool(&plugin, args.tool)?;
    let (clock, chance) = (SystemClock, SystemChance);
    let now = clock.now();
    let context = CallContext {
        run_id: RunId::from_parts(now.timestamp_millis().unsigned_abs(), chance.bytes()),
        run_started_at: now,
        step_id: "run".to_owned(),
        visit: 1,
        attempt: 1,
        turn: 0,
        timeout: args.timeout,
        traceparent: None,
    };
    let access = Access {
        workspace: WorkspaceId::DEFAULT,
        grant: Arc::new(grant),
        services: Arc::new(MemoryServices::new(secrets)),
    };
    let began = Instant::now();
    let Called { result, denied, used } = sandbox.call_tool(&plugin, &tool, &input, &context, &access).await;
    let took = began.elapsed();
    let mut notes = std::io::stderr();
    writeln!(
        notes,
        "{tool}: {:.2} ms, of which {:.2} ms computing; {} KiB of memory",
        took.as_secs_f64() * 1e3,
        used.cpu.as_secs_f64() * 1e3,
        used.memory_bytes >> 10
    )?;
    for capability in denied {
        writeln!(notes, "denied: {capability}")?;
    }
    let answer = result.map_err(|error| PluginError::Failed(error.to_string()))?;
    say(answer.value)
}

fn the_tool(plugin: &Plugin, asked: Option<String>) -> Result<String, PluginError> {
    let names: Vec<&str> = plugin.description().tools.iter().map(|tool| tool.name.as_str()).collect();
    match (asked, names.as_slice()) {
        (Some(asked), _) if names.contains(&asked.as_str()) => Ok(asked),
        (None, [only]) => Ok((*only).to_owned()),
        (Some(asked), _) => Err(PluginError::Usage(format!("there is no tool `{asked}`: it has {}", names.join(", ")))),
        (None, []) => Err(PluginError::Usage("it has no tools".to_owned())),
        (None, _) => Err(PluginError::Usage(format!("name one of its tools: {}", names.join(", ")))),
    }
}

fn json_of(flag: &str, text: &str) -> Result<Value, PluginError> {
    let text = match text.strip_prefix('@') {
        None => text.to_owned(),
        Some(file) => {
            let bytes = read(&PathBuf::from(file))?;
            if bytes.len() > INPUT_BYTES_MAX {
                return Err(PluginError::Usage(format!("{flag}: {file} has more than {INPUT_BYTES_MAX} bytes")));
            }
            String::from_utf8_lossy(&bytes).into_owned()
        }
    };
    serde_json::from_str(&text).map_err(|error| PluginError::Usage(format!("{flag} is not JSON: {error}")))
}

async fn load(file: &PathBuf, egress: Option<Egress>) -> Result<(Sandbox, Arc<Plugin>, Duration), PluginError> {
    let bytes: Arc<[u8]> = read(file)?.into();
    let (code_cache, mac_key) = code_cache().unzip();
    let config = SandboxConfig {
        code_cache,
        mac_key: mac_key.unwrap_or_default(),
        egress,
        calls_at_once: 1,
        ..SandboxConfig::default()
    };
    let sandbox = Sandbox::new(config).map_err(|error| PluginError::Failed(error.to_string()))?;
    let began = Instant::now();
    let plugin = sandbox.inspect(bytes).await;
    let plugin = plugin.map_err(|fault| PluginError::NotLoaded { file: file.clone(), why: fault.to_string() })?;
    Ok((sandbox, plugin, began.elapsed()))
}

/// Where machine code is kept between commands, so that the second look at a large component is quick; nowhere where there is
/// no such place. It is marked with a key of its own, as a server's is.
fn code_cache() -> Option<(PathBuf, [u8; 32])> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let caches = variable("XDG_CACHE_HOME").or_else(|| variable("HOME").map(|home| home.join(".cache")))?;
    let folder = caches.join("armilla");
    let key = Keys::open(&folder).ok()?.code_key().ok()?;
    Some((folder.join("code"), key))
}
