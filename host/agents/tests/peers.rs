//! Calls to other people's programs: agents by the official SDK of A2A, and a server of mock models. Skipped, with the reason on standard
//! error, where such a program cannot be had; `scripts/ensure-peers` fetches them.

#![allow(clippy::unwrap_used)]

mod common;

use std::path::PathBuf;
use std::time::Duration;

use armilla_agents::{A2aProgress, A2aTask, Agents, TokenUsage, a2a_task_is_over};
use armilla_domain::agent::AgentConfig;
use armilla_domain::call::{CallError, ErrorClass};
use armilla_testkit::peer::{Peer, PeerKit};
use serde_json::json;

use self::common::{agents, assert_failed, configured, context, run_id, saying};

#[tokio::test]
async fn agents_of_the_official_sdk_are_spoken_with_in_version_1_0_by_json_rpc() {
    converse("1.0", "jsonrpc").await;
}

#[tokio::test]
async fn agents_of_the_official_sdk_are_spoken_with_in_version_1_0_by_http_and_json() {
    converse("1.0", "rest").await;
}

#[tokio::test]
async fn agents_of_the_official_sdk_are_spoken_with_in_version_0_3_by_json_rpc() {
    converse("0.3", "jsonrpc").await;
}

#[tokio::test]
async fn agents_of_the_official_sdk_are_spoken_with_in_version_0_3_by_http_and_json() {
    converse("0.3", "rest").await;
}

/// All that an agent can do with a message, one after the other.
async fn converse(version: &str, binding: &str) {
    let Some(kit) = PeerKit::named(&format!("a2a-{version}")).await else { return };
    let mut command = kit.python(&script("a2a_agent.py"));
    command.args([version, binding]);
    let peer = Peer::start(command).await;
    let talk = Talk { agents: agents(), agent: configured("a2a", &peer.url) };

    let greeted = talk.send("hello", None).await.unwrap();
    let expected = format!("Hello to you, who sent {}:draft:3", run_id());
    assert!(matches!(&greeted, A2aProgress::Done(answer) if answer.text == expected), "{greeted:?}");

    // Works on when the message is answered, until it may end.
    let begun = talk.send("work", None).await.unwrap();
    let A2aProgress::Working { task, .. } = &begun else { panic!("{begun:?}") };
    let asked = talk.agents.a2a_get(&talk.agent, saying("", &context()), task, 1).await.unwrap();
    assert!(matches!(&asked, A2aProgress::Working { task: same, .. } if same == task), "{asked:?}");
    talk.send("end", None).await.unwrap();
    assert_eq!(talk.ended(begun).await, json!(["A long report", { "pages": 12 }]));

    let data = talk.send("data", None).await.unwrap();
    assert_eq!(talk.ended(data).await, json!({ "approved": true, "by": ["a", "b"] }));
    let file = talk.send("file", None).await.unwrap();
    let described = talk.ended(file).await;
    assert_eq!(
        (&described["url"], &described["mediaType"]),
        (&json!("https://files.example/a.png"), &json!("image/png"))
    );

    let asked = talk.settled(talk.send("ask", None).await.unwrap()).await.unwrap();
    let A2aProgress::InputRequired { task, question } = asked else { panic!("{asked:?}") };
    assert_eq!((question.as_str(), task.turns), ("Where to?", 1));
    let answered = talk.send("Rome", Some(&task)).await.unwrap();
    assert_eq!(talk.ended(answered).await, json!("A ticket to Rome"));

    for (said, code, class, why) in [
        ("fail", "agent.task_failed", ErrorClass::Server, "Out of paper"),
        ("refuse", "agent.task_rejected", ErrorClass::Permanent, "Not my business"),
        ("login", "agent.auth_required", ErrorClass::Permanent, "Sign in first"),
    ] {
        let outcome = match talk.send(said, None).await {
            Ok(progress) => talk.settled(progress).await,
            error => error,
        };
        let error = outcome.unwrap_err();
        assert!(error.message.contains(why) && a2a_task_is_over(&error), "{error}");
        assert_failed::<A2aProgress>(Err(error), code, class);
    }

    let hanging = talk.send("hang", None).await.unwrap();
    let A2aProgress::Working { task, .. } = hanging else { panic!("{hanging:?}") };
    assert!(talk.agents.a2a_cancel(&talk.agent, saying("", &context()), &task).await.unwrap());
    let canceled = talk.agents.a2a_get(&talk.agent, saying("", &context()), &task, 1).await;
    assert_failed(canceled, "agent.task_canceled", ErrorClass::Permanent);
    let again = talk.agents.a2a_cancel(&talk.agent, saying("", &context()), &task).await;
    assert!(
        again.as_ref().is_ok_and(|ended| *ended) || again.is_err_and(|error| error.code == "agent.task_not_cancelable")
    );

    let unknown = A2aTask { id: "no-such-task".into(), context_id: None, turns: 1 };
    let lost = talk.agents.a2a_get(&talk.agent, saying("", &context()), &unknown, 1).await;
    assert_failed(lost, "agent.task_not_found", ErrorClass::Permanent);
    assert!(talk.agents.a2a_cancel(&talk.agent, saying("", &context()), &unknown).await.unwrap());
    let lost = talk.send("Rome", Some(&unknown)).await;
    assert_failed(lost, "agent.task_not_found", ErrorClass::Permanent);

    let waited = talk.agents.call(&talk.agent, saying("work", &context())).await.unwrap();
    assert_eq!(waited.value, json!(["A long report", { "pages": 12 }]));
}

struct Talk {
    agents: Agents,
    agent: AgentConfig,
}

impl Talk {
    async fn send(&self, message: &str, task: Option<&A2aTask>) -> Result<A2aProgress, CallError> {
        self.agents.a2a_send(&self.agent, saying(message, &context()), task).await
    }

    /// What becomes of a task when it does not work any more.
    async fn settled(&self, mut progress: A2aProgress) -> Result<A2aProgress, CallError> {
        let mut polls = 0;
        while let A2aProgress::Working { task, poll_after } = progress {
            polls += 1;
            tokio::time::sleep(poll_after).await;
            progress = self.agents.a2a_get(&self.agent, saying("", &context()), &task, polls).await?;
        }
        Ok(progress)
    }

    async fn ended(&self, progress: A2aProgress) -> serde_json::Value {
        match self.settled(progress).await.unwrap() {
            A2aProgress::Done(answer) => answer.value,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_server_of_mock_models_is_spoken_with_as_openai_and_as_anthropic_and_its_faults_are_told() {
    let Some(kit) = PeerKit::named("aimock").await else { return };
    let peer = Peer::start(kit.node(&script("model_server.cjs"), "AIMOCK")).await;
    for protocol in ["openai", "anthropic"] {
        let mut agent = configured("http", &format!("{}/v1", peer.url));
        agent.protocol = serde_json::from_value(json!(protocol)).unwrap();
        agent.model.model_id = Some("mock-1".into());
        let (agents, context) = (agents(), context());
        let ask = |message: &'static str| agents.call(&agent, saying(message, &context));

        let answer = ask("Write about tides").await.unwrap();
        assert_eq!((answer.text.as_str(), answer.model.as_deref()), ("Tides come twice a day.", Some("mock-1")));
        assert!(matches!(answer.usage, Some(TokenUsage { .. })), "{answer:?}");
        assert_eq!(ask("A review, please").await.unwrap().value, json!({ "approved": true }));

        let limited = ask("limited").await.unwrap_err();
        assert_eq!((limited.code.as_ref(), limited.retry_after), ("agent.rate_limited", Some(Duration::from_secs(7))));
        assert!(limited.message.contains("Slow down"), "{limited}");
        assert_failed(ask("broken").await, "agent.server_error", ErrorClass::Server);
        assert_failed(ask("malformed").await, "agent.bad_answer", ErrorClass::Server);
        assert_failed(ask("gone").await, "agent.unavailable", ErrorClass::Unavailable);
    }
}

fn script(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/peers").join(name)
}
