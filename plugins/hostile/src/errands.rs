//! Tools that ask the host for things. They tell what they were answered as a result, whatever it was, as a plugin would that
//! copes with every refusal; with `fail` they report a failure of their own then.

use serde_json::{Value, json};

use crate::guest::armilla::plugin::http::{self, HttpError, Request};
use crate::guest::armilla::plugin::kv::{self, KvError};
use crate::guest::armilla::plugin::log::{self, Level};
use crate::guest::armilla::plugin::types::Denial;
use crate::guest::armilla::plugin::{config, secrets};

/// Runs the tool of this name, or says that it is not one of these.
pub(crate) fn run(tool: &str, input: &Value) -> Option<Result<String, String>> {
    let told = match tool {
        "request" => request(input),
        "secret" => secret(input),
        "kv" => by_key(input),
        "config" => configured(input),
        "log" => Ok(say(input)),
        "host_calls" => Ok(host_calls(input)),
        _ => return None,
    };
    Some(match told {
        Ok(told) => Ok(told.to_string()),
        Err(told) if input["fail"] == true => Err(format!("this went wrong: {told}")),
        Err(told) => Ok(told.to_string()),
    })
}

type Told = Result<Value, Value>;

fn text<'a>(input: &'a Value, field: &str) -> &'a str {
    input[field].as_str().unwrap_or_default()
}

fn denied(denial: Denial) -> Value {
    json!({ "denied": denial.capability, "message": denial.message })
}

/// `{secret:NAME}` becomes the placeholder of the secret.
fn filled(template: &str) -> Result<String, Value> {
    let mut text = template.to_owned();
    while let Some((before, rest)) = text.split_once("{secret:") {
        let Some((name, after)) = rest.split_once('}') else { break };
        text = format!("{before}{}{after}", secrets::get(name).map_err(denied)?);
    }
    Ok(text)
}

fn request(input: &Value) -> Told {
    let mut headers = Vec::new();
    for header in input["headers"].as_array().into_iter().flatten() {
        let (name, value) = (header[0].as_str().unwrap_or_default(), header[1].as_str().unwrap_or_default());
        headers.push((filled(name)?, filled(value)?));
    }
    let request = Request {
        method: input["method"].as_str().unwrap_or("GET").to_owned(),
        url: filled(text(input, "url"))?,
        headers,
        body: filled(text(input, "body"))?.into_bytes(),
        timeout_milliseconds: input["timeout"].as_u64().and_then(|millis| u32::try_from(millis).ok()),
    };
    let response = http::send(&request).map_err(|error| match error {
        HttpError::Denied(denial) => denied(denial),
        HttpError::InvalidRequest(why) => json!({ "invalidRequest": why }),
        HttpError::Timeout(why) => json!({ "timeout": why }),
        HttpError::TooLarge(why) => json!({ "tooLarge": why }),
        HttpError::Unavailable(why) => json!({ "unavailable": why }),
    })?;
    Ok(json!({
        "status": response.status,
        "headers": response.headers,
        "body": String::from_utf8_lossy(&response.body),
    }))
}

/// Lets what it holds of a secret out by every way there is.
fn secret(input: &Value) -> Told {
    let word = secrets::get(text(input, "name")).map_err(denied)?;
    for level in [Level::Debug, Level::Info, Level::Warn, Level::Error] {
        log::write(level, &word);
    }
    #[allow(clippy::print_stdout, clippy::print_stderr, reason = "the host hears it")]
    {
        println!("{word}");
        eprintln!("{word}");
    }
    match text(input, "then") {
        "trap" => panic!("{word}"),
        "fail" => Err(json!({ "placeholder": word })),
        _ => Ok(json!({ "placeholder": word, "again": secrets::get(text(input, "name")).ok() })),
    }
}

fn by_key(input: &Value) -> Told {
    let (namespace, key, expected) = (text(input, "namespace"), text(input, "key"), input["expected"].as_u64());
    let refused = |error: KvError| match error {
        KvError::Denied(denial) => denied(denial),
        KvError::Conflict(revision) => json!({ "conflict": revision }),
        KvError::Refused(why) => json!({ "refused": why }),
        KvError::Unavailable(why) => json!({ "unavailable": why }),
    };
    match text(input, "do") {
        "get" => kv::get(namespace, key).map(|entry| {
            entry.map_or(Value::Null, |entry| json!({ "value": entry.value, "revision": entry.revision }))
        }),
        "put" => {
            kv::put(namespace, key, text(input, "value"), expected).map(|revision| json!({ "revision": revision }))
        }
        "put_long" => {
            let value = "x".repeat(input["bytes"].as_u64().unwrap_or(0) as usize);
            kv::put(namespace, key, &value, expected).map(|revision| json!({ "revision": revision }))
        }
        "delete" => kv::delete(namespace, key, expected).map(|there| json!({ "there": there })),
        _ => {
            let limit = input["limit"].as_u64().unwrap_or(1_000) as u32;
            kv::list(namespace, text(input, "prefix"), input["after"].as_str(), limit)
                .map(|keys| json!({ "keys": keys }))
        }
    }
    .map_err(refused)
}

fn configured(input: &Value) -> Told {
    let key = text(input, "key");
    let environment = std::env::var(key).ok();
    match config::get(key) {
        Ok(value) => Ok(json!({ "value": value, "environment": environment })),
        Err(denial) => {
            let mut told = denied(denial);
            told["environment"] = json!(environment);
            Err(told)
        }
    }
}

fn say(input: &Value) -> Value {
    let level = match text(input, "level") {
        "debug" => Level::Debug,
        "warn" => Level::Warn,
        "error" => Level::Error,
        _ => Level::Info,
    };
    log::write(level, text(input, "text"));
    json!({})
}

/// Calls one function of the host so many times.
fn host_calls(input: &Value) -> Value {
    for _ in 0..input["times"].as_u64().unwrap_or(0) {
        match text(input, "of") {
            "config" => drop(config::get("NONE")),
            "secrets" => drop(secrets::get("none")),
            "kv" => drop(kv::get("none", "none")),
            _ => log::write(Level::Debug, ""),
        }
    }
    json!({ "done": true })
}
