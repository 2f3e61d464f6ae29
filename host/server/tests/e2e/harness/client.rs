//! Calls the REST API as any client would.

use std::sync::LazyLock;

use armilla_egress::{Egress, EgressPolicy};
use armilla_testkit::agent::ScriptedAgent;
use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::until;

/// reqwest is built without a provider of TLS; the project's own client brings one for the whole process.
static TLS_PROVIDER: LazyLock<Egress> = LazyLock::new(|| Egress::new(EgressPolicy::default()).unwrap());

/// One caller of one server.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    pub(crate) url: String,
    pub(crate) token: Option<String>,
}

/// An answer, read to its end. A body that is no JSON is null.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Client {
    pub(crate) fn new(url: impl Into<String>, token: Option<String>) -> Self {
        LazyLock::force(&TLS_PROVIDER);
        // Plain HTTP needs no roots of trust, and to read the system's takes longer than most tests.
        let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
        Self { http, url: url.into(), token }
    }

    /// The same server, asked by somebody else.
    pub(crate) fn as_bearer(&self, token: impl Into<String>) -> Self {
        Self { token: Some(token.into()), ..self.clone() }
    }

    /// The same server, asked by nobody.
    pub(crate) fn without_token(&self) -> Self {
        Self { token: None, ..self.clone() }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Sends a request that is expected to be answered, whatever the status.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Answer {
        self.try_send(request).await.unwrap()
    }

    /// As [`Client::send`], where nobody may be listening.
    pub(crate) async fn try_send(&self, request: RequestBuilder) -> Result<Answer, reqwest::Error> {
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().await?;
        Ok(Answer { status, headers, body: serde_json::from_slice(&bytes).unwrap_or_default() })
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::PUT, path).json(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(self.request(Method::DELETE, path)).await
    }

    /// Registers a scripted agent as `scripted`.
    pub(crate) async fn register(&self, agent: &ScriptedAgent) {
        self.register_as("scripted", agent).await;
    }

    pub(crate) async fn register_as(&self, id: &str, agent: &ScriptedAgent) {
        let config = json!({ "id": id, "protocol": "openai", "endpoint": agent.endpoint() });
        self.post("/agents", &config).await.expect(201);
    }

    /// Creates a workflow and gives its id.
    pub(crate) async fn create(&self, definition: Value) -> String {
        let body = json!({ "name": "A test's", "definition": definition });
        text(&self.post("/workflows", &body).await.expect(201)["workflow"]["id"])
    }

    /// Runs a workflow to its end and gives the run.
    pub(crate) async fn run(&self, workflow: &str, input: Value) -> Value {
        let path = format!("/workflows/{workflow}/run");
        self.post(&path, &json!({ "input": input })).await.expect(200)["run"].take()
    }

    /// Creates a workflow of these steps, runs it to its end and gives the run.
    pub(crate) async fn run_steps(&self, steps: Value) -> Value {
        let workflow = self.create(json!({ "steps": steps })).await;
        self.run(&workflow, json!({})).await
    }

    /// Starts a run, does not wait for it and gives its id.
    pub(crate) async fn start(&self, workflow: &str, input: Value) -> String {
        let path = format!("/workflows/{workflow}/run?wait=0");
        let answer = self.post(&path, &json!({ "input": input })).await;
        // A short run may have ended all the same.
        assert!(matches!(answer.status, 200 | 202), "{:#}", answer.body);
        text(&answer.body["run"]["id"])
    }

    /// Creates a workflow of these steps, starts a run of it, does not wait for it and gives its id.
    pub(crate) async fn start_steps(&self, steps: Value) -> String {
        let workflow = self.create(json!({ "steps": steps })).await;
        self.start(&workflow, json!({})).await
    }

    /// Tells a run something and gives the run: `cancel`, `pause`, `resume`, `retry`.
    pub(crate) async fn tell(&self, run: &str, command: &str, body: Value) -> Value {
        self.post(&format!("/runs/{run}/{command}"), &body).await.expect(200)["run"].take()
    }

    /// Sends a run an event.
    pub(crate) async fn signal(&self, run: &str, event: &str, payload: Value) {
        let path = format!("/runs/{run}/signals/{event}");
        self.post(&path, &json!({ "payload": payload })).await.expect(202);
    }

    /// Waits until a run asks for `count` decisions and gives their ids, the latest first.
    pub(crate) async fn asked(&self, run: &str, count: usize) -> Vec<String> {
        until(&format!("{count} approvals of {run}"), || async {
            let list = self.get(&format!("/approvals?status=open&runId={run}")).await.expect(200);
            let open: Vec<String> = list["approvals"].as_array().unwrap().iter().map(|one| text(&one["id"])).collect();
            (open.len() == count).then_some(open)
        })
        .await
    }

    /// The runs that a run started.
    pub(crate) async fn children(&self, run: &str) -> Vec<Value> {
        let list = self.get(&format!("/runs?parentRunId={run}")).await.expect(200)["runs"].take();
        list.as_array().unwrap().clone()
    }

    /// Waits for the end of a run, whichever, by asking.
    pub(crate) async fn ended(&self, run: &str) -> Value {
        until(&format!("the end of {run}"), || async {
            let mut answer = self.get(&format!("/runs/{run}")).await.expect(200);
            let status = answer["run"]["status"].as_str().unwrap();
            matches!(status, "success" | "failed" | "cancelled" | "timedOut").then(|| answer["run"].take())
        })
        .await
    }

    /// Waits until a run has a status, by asking.
    pub(crate) async fn comes_to(&self, run: &str, status: &str) -> Value {
        until(&format!("{run} to be {status}"), || async {
            let mut answer = self.get(&format!("/runs/{run}")).await.expect(200);
            (answer["run"]["status"] == status).then(|| answer["run"].take())
        })
        .await
    }

    /// Every attempt of a run's steps.
    pub(crate) async fn steps(&self, run: &str) -> Vec<Value> {
        let steps = self.get(&format!("/runs/{run}/steps")).await.expect(200)["steps"].take();
        steps.as_array().unwrap().clone()
    }
}

impl Answer {
    /// The body, where the status is the expected one.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{:#}", self.body);
        self.body
    }

    /// The problem, where it is the expected one and keeps to the form.
    #[track_caller]
    pub(crate) fn problem(self, status: u16, code: &str) -> Value {
        assert_eq!((self.status, self.body["code"].as_str()), (status, Some(code)), "{:#}", self.body);
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.body["status"], status);
        assert_eq!(self.body["type"], format!("/problems/{code}"));
        assert!(self.body["title"].is_string() && self.body["detail"].is_string(), "{:#}", self.body);
        assert_eq!(self.body["requestId"], self.header("x-request-id"));
        self.body
    }

    /// A header's text; empty where there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
