//! The `http` plugin: one tool that sends one request. It tries once: the engine knows when to try again, from the error.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod answer;
mod request;

use armilla_plugin::{Error, Plugin, Tool, http, secrets};

armilla_plugin::plugin! {
    Plugin::new("http", "Sends HTTP requests to hosts that an operator granted.").needs_http("*").needs_secret("*").tool(
        Tool::new(
            "http.request",
            "HTTP request",
            "Sends one HTTP request and gives status, headers and body of the answer. Statuses from 400 on are errors, which are \
             tried again where that may help. Names a secret instead of holding it.",
            send,
        ),
    )
}

fn send(input: request::Input) -> Result<answer::Output, Error> {
    let secret = input.auth.as_ref().map(|auth| secrets::get(&auth.secret)).transpose()?;
    let fail_on = input.fail_on;
    let response = request::build(input, secret.as_deref())?.send().map_err(|error| match error {
        // The caller wrote it, so the caller's input is at fault.
        http::Error::InvalidRequest(message) => Error::invalid_input(message),
        other => other.into(),
    })?;
    answer::read(response, fail_on)
}

#[cfg(test)]
mod tests {
    use super::*;
    use armilla_plugin::{Code, Context};
    use serde_json::{Value, json};

    fn call(input: &Value) -> Error {
        plugin().call("http.request", &input.to_string(), &Context::example()).unwrap_err()
    }

    #[test]
    fn without_a_host_nothing_is_sent() {
        assert_eq!(call(&json!({ "url": "https://api.example.com" })).code(), Code::Unavailable);
    }

    #[test]
    fn a_secret_that_was_not_granted_is_a_denial() {
        let error = call(&json!({ "url": "https://api.example.com", "auth": { "secret": "api-key" } }));
        assert_eq!(error.code(), Code::Denied);
        assert!(error.message().contains("secret:api-key"), "{error}");
    }

    #[test]
    fn an_input_that_does_not_fit_is_refused() {
        for input in [
            json!({ "method": "GET" }),
            json!({ "url": "https://a.example", "method": "get" }),
            json!({ "url": "https://a.example", "json": 1, "body": "1" }),
            json!({ "url": "https://a.example", "retries": 3 }),
        ] {
            assert_eq!(call(&input).code(), Code::InvalidInput, "{input}");
        }
    }

    #[test]
    fn the_operator_names_hosts_and_secrets() {
        assert_eq!(
            (&plugin().needs().http_hosts[..], &plugin().needs().secrets[..]),
            (&["*".into()][..], &["*".into()][..])
        );
    }
}
