//! `armilla plugin grant`: what a plugin may touch, in words that fit on a command line.

use std::path::PathBuf;

use armilla_egress::Method;
use clap::Args;
use serde_json::{Map, Value, json};

use super::remote::ServerArgs;
use super::{PluginError, read, say};

/// What is granted. Without any of it, the present grant is shown.
#[derive(Debug, Args)]
pub(crate) struct GrantArgs {
    /// The plugin's name
    name: String,

    /// The whole grant as JSON, from a file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["http", "secret", "kv", "set", "clock", "random", "nothing"])]
    file: Option<PathBuf>,

    /// A host that requests may go to: a name, *.name or *; [METHOD,METHOD@][http://]HOST[:PORT], GET and https by default
    #[arg(long, value_name = "HOST")]
    http: Vec<String>,

    /// A secret, and a host it may be sent to, as NAME@HOST
    #[arg(long, value_name = "NAME@HOST")]
    secret: Vec<String>,

    /// A key-value namespace
    #[arg(long, value_name = "NAMESPACE")]
    kv: Vec<String>,

    /// A value that the plugin may read, as KEY=VALUE
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,

    /// A clock that moves
    #[arg(long)]
    clock: bool,

    /// Chance that nobody can foretell
    #[arg(long)]
    random: bool,

    /// Take everything away
    #[arg(long)]
    nothing: bool,

    #[command(flatten)]
    server: ServerArgs,
}

pub(super) async fn grant(args: GrantArgs) -> Result<(), PluginError> {
    let grant = wanted(&args)?;
    let server = args.server.connect()?;
    let path = format!("/plugins/{}/grants", args.name);
    let answer = match &grant {
        Some(grant) => server.json(Method::PUT, &path, Some(grant)).await?,
        None => server.json(Method::GET, &path, None).await?,
    };
    if server.json {
        return say(answer);
    }
    let revision = answer["revision"].as_i64().map_or("never granted anything".to_owned(), |revision| {
        let by = answer["by"].as_str().unwrap_or_default();
        format!("revision {revision} by {by}, {}", answer["at"].as_str().unwrap_or_default())
    });
    say(format!("{}: {revision}", args.name))?;
    say(format!("  needs   {}", answer["needs"]))?;
    say(format!("  granted {}", answer["grant"]))
}

/// The grant that the flags say; none where they say nothing.
fn wanted(args: &GrantArgs) -> Result<Option<Value>, PluginError> {
    if let Some(file) = &args.file {
        let grant = serde_json::from_slice(&read(file)?);
        return grant.map(Some).map_err(|error| PluginError::Usage(format!("{}: {error}", file.display())));
    }
    let mut grant = Map::new();
    if !args.http.is_empty() {
        let rules = args.http.iter().map(|rule| http_rule(rule)).collect::<Result<Vec<_>, _>>()?;
        grant.insert("http".to_owned(), Value::Array(rules));
    }
    if !args.secret.is_empty() {
        grant.insert("secrets".to_owned(), secrets(&args.secret)?);
    }
    if !args.kv.is_empty() {
        grant.insert("kv".to_owned(), json!(args.kv));
    }
    if !args.set.is_empty() {
        let values = args.set.iter().map(|value| {
            let (key, value) = value.split_once('=').ok_or_else(|| usage("--set is written KEY=VALUE"))?;
            Ok((key.to_owned(), Value::from(value)))
        });
        grant.insert("config".to_owned(), Value::Object(values.collect::<Result<_, PluginError>>()?));
    }
    for (flag, name) in [(args.clock, "clock"), (args.random, "random")] {
        if flag {
            grant.insert(name.to_owned(), Value::Bool(true));
        }
    }
    let said_something = args.nothing || !grant.is_empty();
    Ok(said_something.then_some(Value::Object(grant)))
}

fn usage(text: &str) -> PluginError {
    PluginError::Usage(text.to_owned())
}

/// `GET,POST@http://localhost:8080` and less.
fn http_rule(text: &str) -> Result<Value, PluginError> {
    let (methods, rest) = match text.split_once('@') {
        Some((methods, rest)) => (Some(methods.split(',').collect::<Vec<_>>()), rest),
        None => (None, text),
    };
    let (scheme, rest) = match rest.split_once("://") {
        Some((scheme, rest)) => (Some(scheme), rest),
        None => (None, rest),
    };
    let port = |text: &str| text.parse::<u16>().ok();
    // The colons inside of brackets belong to an address.
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, digits)) if !digits.contains(']') => {
            let port = port(digits).ok_or_else(|| usage("--http: a port is a number from 1 to 65535"))?;
            (host, Some(port))
        }
        _ => (rest, None),
    };
    let mut rule = json!({ "host": host });
    if let Some(methods) = methods {
        rule["methods"] = json!(methods);
    }
    if let Some(scheme) = scheme {
        rule["schemes"] = json!([scheme]);
    }
    if let Some(port) = port {
        rule["ports"] = json!([port]);
    }
    Ok(rule)
}

/// Several hosts of one secret stand in one rule.
fn secrets(given: &[String]) -> Result<Value, PluginError> {
    let mut rules: Vec<(&str, Vec<&str>)> = Vec::new();
    for secret in given {
        let (name, host) = secret.split_once('@').ok_or_else(|| usage("--secret is written NAME@HOST"))?;
        match rules.iter_mut().find(|(known, _)| *known == name) {
            Some((_, hosts)) => hosts.push(host),
            None => rules.push((name, vec![host])),
        }
    }
    Ok(rules.into_iter().map(|(name, hosts)| json!({ "name": name, "hosts": hosts })).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_on_the_command_line_says_as_much_as_it_needs_to() {
        let rule = |text| http_rule(text).unwrap();
        assert_eq!(rule("api.example.com"), json!({ "host": "api.example.com" }));
        assert_eq!(
            rule("GET,POST@http://localhost:8080"),
            json!({ "host": "localhost", "methods": ["GET", "POST"], "schemes": ["http"], "ports": [8080] })
        );
        assert_eq!(rule("http://[::1]"), json!({ "host": "[::1]", "schemes": ["http"] }));
        assert_eq!(rule("[::1]:8443"), json!({ "host": "[::1]", "ports": [8443] }));
        assert!(http_rule("host:port").is_err());
    }

    #[test]
    fn one_secret_may_go_to_several_hosts() {
        let given = ["key@a.example".to_owned(), "key@b.example".to_owned(), "other@a.example".to_owned()];
        assert_eq!(
            secrets(&given).unwrap(),
            json!([
                { "name": "key", "hosts": ["a.example", "b.example"] },
                { "name": "other", "hosts": ["a.example"] },
            ])
        );
        assert!(secrets(&["key".to_owned()]).is_err());
    }
}
