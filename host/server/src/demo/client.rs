//! Calls the REST API as any client would, through the project's one way out.

use std::time::Duration;

use armilla_egress::{Egress, EgressPolicy, HeaderMap, HeaderValue, Method, OutboundRequest, header};
use serde_json::Value;

use super::DemoError;

/// Longer than any request of the demo takes: it asks again rather than waits.
const REQUEST_MAX: Duration = Duration::from_secs(30);
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

pub(super) struct Client {
    egress: Egress,
    url: String,
    headers: HeaderMap,
}

impl Client {
    pub(super) fn new(url: String, token: String) -> Result<Self, DemoError> {
        let failed = |source| DemoError::Http { request: "the HTTP client".to_owned(), source };
        let policy = EgressPolicy { allowed: "127.0.0.0/8".parse().into_iter().collect() };
        let mut headers = HeaderMap::new();
        let bearer = HeaderValue::from_str(&format!("Bearer {token}"));
        headers.insert(header::AUTHORIZATION, bearer.map_err(|error| DemoError::Token(error.to_string()))?);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(Self { egress: Egress::new(policy).map_err(failed)?, url, headers })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) async fn get(&self, path: &str) -> Result<Value, DemoError> {
        self.send(Method::GET, path, None).await.and_then(|answer| answer.expect_success())
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Value, DemoError> {
        self.send(Method::POST, path, Some(body)).await.and_then(|answer| answer.expect_success())
    }

    /// Makes a thing, or replaces the one that an earlier demo made.
    pub(super) async fn put_or_post(&self, collection: &str, id: &str, body: &Value) -> Result<(), DemoError> {
        let made = self.send(Method::POST, collection, Some(body)).await?;
        if made.status == 409 {
            self.send(Method::PUT, &format!("{collection}/{id}"), Some(body)).await?.expect_success()?;
        } else {
            made.expect_success()?;
        }
        Ok(())
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer, DemoError> {
        let request = format!("{method} {path}");
        let outbound = OutboundRequest {
            method,
            url: format!("{}{path}", self.url),
            headers: self.headers.clone(),
            body: body.map(|body| body.to_string().into_bytes()).unwrap_or_default(),
            timeout: REQUEST_MAX,
            answer_bytes_max: ANSWER_BYTES_MAX,
        };
        match self.egress.send(outbound).await {
            Ok(answer) => Ok(Answer { request, status: answer.status, body: answer.body }),
            Err(source) => Err(DemoError::Http { request, source }),
        }
    }
}

struct Answer {
    request: String,
    status: u16,
    body: Vec<u8>,
}

impl Answer {
    fn expect_success(self) -> Result<Value, DemoError> {
        if !(200..300).contains(&self.status) {
            let body = String::from_utf8_lossy(&self.body).into_owned();
            return Err(DemoError::Refused { request: self.request, status: self.status, body });
        }
        serde_json::from_slice(&self.body).map_err(|_| DemoError::Unexpected(self.request))
    }
}
