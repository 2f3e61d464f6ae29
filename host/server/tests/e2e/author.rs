//! The author's side: a project of `armilla plugin new`, built by the very commands of its README, becomes a tool in a running
//! workflow. What a language's tools are not there for is skipped, and says why.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use armilla_testkit::db::TestDatabase;
use reqwest::Method;
use serde_json::json;
use tokio::process::Command;

use crate::harness::{ServerProcess, TestServer, armilla, root, target, tool_step};

/// Fetching and building what a project needs, for the first time and on a busy machine.
const BUILD_MAX: Duration = Duration::from_secs(600);

/// The folder that projects are written into; what their tools keep for later stays there.
fn workshop(language: &str) -> PathBuf {
    let folder = target().join("test-author").join(language);
    std::fs::create_dir_all(&folder).unwrap();
    folder.canonicalize().unwrap()
}

async fn new_project(language: &str) -> PathBuf {
    let folder = workshop(language);
    let project = folder.join("word-tools");
    if project.exists() {
        std::fs::remove_dir_all(&project).unwrap();
    }
    let mut command = armilla(["plugin", "new", "word-tools", "--lang", language, "--into"]);
    let written = command.arg(&folder).output().await.unwrap();
    assert!(written.status.success(), "{written:?}");
    let told = String::from_utf8(written.stdout).unwrap();
    assert!(told.contains("armilla plugin push"), "{told}");
    project
}

/// The lines of the README's fenced block that holds `word`.
fn commands(project: &Path, word: &str) -> String {
    let readme = std::fs::read_to_string(project.join("README.md")).unwrap();
    let mut blocks = readme.split("```sh\n").skip(1).filter_map(|rest| rest.split_once("```").map(|(block, _)| block));
    blocks
        .find(|block| block.contains(word))
        .unwrap_or_else(|| panic!("no commands with `{word}`:\n{readme}"))
        .to_owned()
}

async fn follow(project: &Path, commands: &str) {
    let mut shell = Command::new("sh");
    shell.args(["-euxc", commands]).current_dir(project).stdin(Stdio::null()).kill_on_drop(true);
    // A project of somebody's own knows nothing of this workspace's settings, and finds what it fetched before.
    shell.env_remove("SQLX_OFFLINE").env("CARGO_TARGET_DIR", project.with_file_name("cargo-target"));
    let ran = tokio::time::timeout(BUILD_MAX, shell.output()).await.expect("the commands end").unwrap();
    let (out, log) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{commands}\n{out}\n{log}");
}

fn there_is(program: &str) -> bool {
    std::process::Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Checks, tries, loads and calls the component as its author would.
async fn becomes_a_tool(component: &Path) {
    // What one command compiled, the next finds.
    let cache = workshop("cache");
    let checked = armilla(["plugin", "check"]).arg(component).env("XDG_CACHE_HOME", &cache).output().await.unwrap();
    assert!(checked.status.success(), "{checked:?}");
    let text = String::from_utf8(checked.stdout).unwrap();
    assert!(text.contains("word-tools.shout"), "{text}");

    let mut command = armilla(["plugin", "run"]);
    command.arg(component).args(["word-tools.shout", "--input", r#"{"text": "hello"}"#]).env("XDG_CACHE_HOME", &cache);
    let ran = command.output().await.unwrap();
    assert!(ran.status.success(), "{ran:?}");
    let answer: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!(answer, json!({ "text": "HELLO" }));

    let server = TestServer::start().await;
    let request = server.admin.request(Method::POST, "/plugins?wait=300").timeout(Duration::from_secs(300));
    let request = request.header("content-type", "application/wasm").body(std::fs::read(component).unwrap());
    let loaded = server.admin.send(request).await.expect(201);
    assert_eq!(loaded["version"]["active"], true);
    let steps = json!([
        tool_step("loud", "word-tools.shout", json!({ "text": "{{ 'hello' }}" })),
        tool_step("bad", "word-tools.shout", json!({ "text": 7 })),
    ]);
    let run = server.admin.run_steps(steps).await;
    assert_eq!(run["vars"]["loud"], json!({ "text": "HELLO" }), "{run:#}");
    assert_eq!((&run["error"]["stepId"], &run["error"]["code"]), (&json!("bad"), &json!("tool.invalid_input")));
}

#[tokio::test]
async fn a_rust_project_becomes_a_tool_by_the_commands_of_its_readme() {
    let project = new_project("rust").await;
    follow(&project, &commands(&project, "cargo build")).await;
    becomes_a_tool(&project.with_file_name("cargo-target").join("wasm32-wasip2/release/word_tools.wasm")).await;
}

#[tokio::test]
async fn the_walk_of_the_documentation_is_true() {
    let page = std::fs::read_to_string(root().join("docs/plugins.md")).unwrap();
    let walk =
        page.split("## From nothing to a tool in a running workflow").nth(1).unwrap().split("\n## ").next().unwrap();
    let blocks: Vec<&str> =
        walk.split("```sh\n").skip(1).filter_map(|rest| rest.split_once("```").map(|(block, _)| block)).collect();
    assert!(blocks.len() >= 6, "{blocks:#?}");
    let database = TestDatabase::create().await;
    let folder = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(folder.path(), Some(&database.url())).await;
    // As it stands, but for where the server is, whose key is meant, and where cargo keeps what it built before.
    let built = workshop("rust").join("cargo-target");
    let script = blocks[1..].concat().replace("localhost:3000", server.url().trim_start_matches("http://"));
    let script = script.replace("shout/target/", &format!("{}/", built.display()));
    let program = Path::new(env!("CARGO_BIN_EXE_armilla")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("bash");
    shell.args(["-euo", "pipefail", "-c", &script]).stdin(Stdio::null()).kill_on_drop(true);
    shell.current_dir(folder.path()).env("PATH", path).env("CARGO_TARGET_DIR", &built).env_remove("SQLX_OFFLINE");
    shell
        .env("ARMILLA_DATA_DIR", folder.path())
        .env("ARMILLA_SERVER", server.url())
        .env("XDG_CACHE_HOME", workshop("cache"));
    let ran = tokio::time::timeout(BUILD_MAX, shell.output()).await.expect("the commands end").unwrap();
    let (out, log) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{script}\n{out}\n{log}");
    let mut rest: &str = &out;
    for expected in [
        "tool     shout.shout: ",
        r#"{"text":"HELLO"}"#,
        "shout: the component is version 1, active",
        r#""vars":{"loud":{"text":"HELLO"}}"#,
        "shout: the component is version 2, active",
        "`config:MARK` is not permitted: no grant names it",
        r#"granted {"config":{"MARK":"!"}}"#,
        r#""vars":{"loud":{"text":"HELLO!"}}"#,
        "shout: version 1 (0.1.0) is active",
        r#""vars":{"loud":{"text":"HELLO"}}"#,
        "VERSION",
    ] {
        let at = rest.find(expected).unwrap_or_else(|| panic!("`{expected}` follows in\n{out}"));
        rest = &rest[at + expected.len()..];
    }
}

#[tokio::test]
async fn a_javascript_project_becomes_a_tool_by_the_commands_of_its_readme() {
    if !there_is("npm") {
        eprintln!("skipped: there is no npm");
        return;
    }
    let project = new_project("js").await;
    follow(&project, &commands(&project, "npm install")).await;
    becomes_a_tool(&project.join("out/word-tools.wasm")).await;
}

#[tokio::test]
async fn a_python_project_becomes_a_tool_by_the_commands_of_its_readme() {
    let venv =
        std::process::Command::new("python3").args(["-c", "import venv, ensurepip"]).stderr(Stdio::null()).status();
    if !venv.is_ok_and(|status| status.success()) {
        eprintln!("skipped: there is no python3 with venv");
        return;
    }
    let project = new_project("python").await;
    follow(&project, &commands(&project, "componentize-py")).await;
    becomes_a_tool(&project.join("out/word-tools.wasm")).await;
}

#[tokio::test]
async fn a_c_project_becomes_a_tool_by_the_commands_of_its_readme() {
    for program in ["clang", "wit-bindgen", "wasm-component-ld"] {
        if !there_is(program) {
            eprintln!("skipped: there is no {program}");
            return;
        }
    }
    let project = new_project("c").await;
    follow(&project, &commands(&project, "build.sh")).await;
    becomes_a_tool(&project.join("out/word-tools.wasm")).await;
}
