//! The program itself: what its commands print, keep and refuse.

use std::os::unix::fs::PermissionsExt;

use armilla_testkit::db::TestDatabase;
use serde_json::json;

use crate::harness::{ServerProcess, armilla, tool_step};

#[tokio::test]
async fn a_printed_token_is_good_for_the_server_of_the_same_data_folder() {
    let database = TestDatabase::create().await;
    let folder = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(folder.path(), Some(&database.url())).await;
    server.client("viewer").await.get("/workflows").await.expect(200);
    let refused = server.client("viewer").await.post("/agents", &json!({})).await;
    refused.problem(403, "auth.role");

    let elsewhere = tempfile::tempdir().unwrap();
    let mut command = armilla(["token", "--sub", "ada", "--role", "admin", "--data-dir"]);
    let printed = command.arg(elsewhere.path()).output().await.unwrap();
    let token = String::from_utf8(printed.stdout).unwrap();
    assert_eq!(token.lines().count(), 1, "the token and nothing else");
    let stranger = server.client("viewer").await.as_bearer(token.trim());
    stranger.get("/workflows").await.problem(401, "auth.bad_signature");
}

#[tokio::test]
async fn a_generated_secret_is_for_its_owner_alone_is_told_of_and_never_shown() {
    let database = TestDatabase::create().await;
    let folder = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(folder.path(), Some(&database.url())).await;
    let client = server.client("admin").await;
    client.get("/workflows").await.expect(200);
    let file = folder.path().join("jwt.secret");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let (secret, log) = (std::fs::read_to_string(&file).unwrap(), server.log());
    assert!(log.contains("jwt.secret"), "the log says that a secret was made, and where:\n{log}");
    assert!(!log.contains(secret.trim()), "the log holds the secret");
}

#[tokio::test]
async fn a_role_that_is_none_is_refused_with_those_there_are() {
    let refused = armilla(["token", "--sub", "ada", "--role", "king"]).output().await.unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && refused.stdout.is_empty());
    for role in ["king", "owner", "admin", "member", "viewer"] {
        assert!(said.contains(role), "{said}");
    }
}

#[tokio::test]
async fn a_second_server_of_a_data_folder_is_told_of_the_first_and_does_it_no_harm() {
    let database = TestDatabase::create().await;
    let folder = tempfile::tempdir().unwrap();
    let first = ServerProcess::start(folder.path(), Some(&database.url())).await;
    let client = first.client("viewer").await;
    let address = std::fs::read_to_string(folder.path().join("address")).unwrap();

    let mut second = armilla(["serve", "--listen", "127.0.0.1:0", "--database-url", &database.url(), "--data-dir"]);
    let refused = second.arg(folder.path()).output().await.unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("another armilla (process ") && said.contains("--data-dir"), "{said}");
    client.get("/workflows").await.expect(200);
    assert_eq!(std::fs::read_to_string(folder.path().join("address")).unwrap(), address);
}

#[tokio::test]
async fn a_database_that_is_not_there_is_an_error_that_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let url = "postgres://nobody:hush@127.0.0.1:1/nothing";
    let mut command = armilla(["serve", "--listen", "127.0.0.1:0", "--database-url", url, "--data-dir"]);
    let refused = command.arg(folder.path()).output().await.unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("database") && !said.contains("hush"), "{said}");
}

#[tokio::test]
async fn a_schema_that_is_up_to_date_is_left_alone_by_migrate() {
    let database = TestDatabase::create().await;
    let folder = tempfile::tempdir().unwrap();
    let mut command = armilla(["migrate", "--database-url", &database.url(), "--data-dir"]);
    let done = command.arg(folder.path()).output().await.unwrap();
    assert!(done.status.success(), "{done:?}");
}

#[tokio::test]
async fn a_server_without_plugins_serves_and_its_tools_are_unknown() {
    let database = TestDatabase::create().await;
    let folder = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(folder.path(), Some(&database.url())).await;
    let client = server.client("admin").await;
    assert_eq!(client.get("/tools").await.expect(200)["tools"], json!([]));
    let run = client.run_steps(json!([tool_step("t", "jq", json!({ "filter": "." }))])).await;
    assert_eq!((&run["status"], &run["error"]["code"]), (&json!("failed"), &json!("tool.unknown")));
}
