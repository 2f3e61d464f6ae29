//! What is loaded, what is refused, and what the cache of machine code may be trusted with.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use armilla_sandbox::{Limits, LoadFault, Sandbox, SandboxConfig};
use common::{built, config, context, folder_with};
use serde_json::json;

/// Without a cache.
fn sandbox() -> Sandbox {
    Sandbox::new(SandboxConfig { code_cache: None, ..config(Limits::default()) }).unwrap()
}

fn cached(folder: &Path, key: u8) -> Sandbox {
    let code_cache = Some(folder.to_owned());
    Sandbox::new(SandboxConfig { code_cache, mac_key: [key; 32], ..config(Limits::default()) }).unwrap()
}

async fn fault_of(name: &str, bytes: &[u8]) -> LoadFault {
    let folder = folder_with(name, bytes);
    let mut loaded = sandbox().load_folder(folder.path()).await;
    assert_eq!(loaded.len(), 1);
    let error = loaded.remove(0).unwrap_err();
    assert_eq!(error.file, name);
    error.fault
}

/// A good component that is compiled quickly.
fn good() -> Vec<u8> {
    fs::read(built("test-plugins").join("hostile.wasm")).unwrap()
}

/// The same with another digest: an empty custom section called `x` is added.
fn twin() -> Vec<u8> {
    [good(), vec![0, 2, 1, b'x']].concat()
}

#[tokio::test]
async fn a_broken_file_is_reported_and_the_others_are_loaded() {
    let folder = folder_with("a.wasm", b"not wasm");
    let mut torn = good();
    torn.truncate(torn.len() / 2);
    fs::write(folder.path().join("b.wasm"), torn).unwrap();
    fs::write(folder.path().join("c.wasm"), good()).unwrap();
    fs::write(folder.path().join("notes.txt"), "not looked at").unwrap();
    let sandbox = sandbox();
    let loaded = sandbox.load_folder(folder.path()).await;
    assert_eq!(loaded.len(), 3);
    assert_eq!(loaded[0].as_ref().unwrap_err().fault, LoadFault::NotWebAssembly);
    assert!(matches!(loaded[1].as_ref().unwrap_err().fault, LoadFault::Invalid(_)));
    assert_eq!(loaded[2].as_ref().unwrap().name, "hostile");
    assert!(sandbox.call_tool(None, "echo", &json!({}), &context("a")).await.is_ok());
}

#[tokio::test]
async fn a_core_module_is_refused_with_what_to_do_about_it() {
    let fault = fault_of("core.wasm", &wat::parse_str("(module)").unwrap()).await;
    assert_eq!(fault, LoadFault::CoreModule);
    assert!(fault.to_string().contains("wasm32-wasip2"));
}

#[tokio::test]
async fn a_component_of_no_known_world_is_refused() {
    assert_eq!(fault_of("empty.wasm", &wat::parse_str("(component)").unwrap()).await, LoadFault::UnknownWorld);
}

#[tokio::test]
async fn a_component_that_wants_what_the_host_has_not_is_refused_by_name() {
    let component = r#"(component
        (import "example:thing/door@1.0.0" (instance (export "open" (func))))
        (instance $tools)
        (export "armilla:plugin/tools@0.1.0" (instance $tools)))"#;
    let fault = fault_of("wants.wasm", &wat::parse_str(component).unwrap()).await;
    assert!(matches!(&fault, LoadFault::Unlinkable(why) if why.contains("example:thing/door@1.0.0")), "{fault}");
}

#[tokio::test]
async fn a_component_that_only_claims_to_have_tools_is_refused() {
    let component = r#"(component (instance $tools) (export "armilla:plugin/tools@0.1.0" (instance $tools)))"#;
    let fault = fault_of("claims.wasm", &wat::parse_str(component).unwrap()).await;
    assert!(matches!(&fault, LoadFault::Unlinkable(why) if why.contains("describe")), "{fault}");
}

#[tokio::test]
async fn a_name_that_two_plugins_want_stays_with_the_first() {
    let folder = folder_with("a.wasm", &good());
    fs::write(folder.path().join("b.wasm"), twin()).unwrap();
    let loaded = sandbox().load_folder(folder.path()).await;
    assert!(loaded[0].is_ok());
    let fault = &loaded[1].as_ref().unwrap_err().fault;
    assert!(
        matches!(fault, LoadFault::NameTaken { name, other, .. } if name == "hostile" && other == "hostile"),
        "{fault}"
    );
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let loaded = sandbox().load_folder(&folder.path().join("nonesuch")).await;
    assert_eq!(loaded[0].as_ref().unwrap_err().fault, LoadFault::Unreadable(std::io::ErrorKind::NotFound));
}

#[tokio::test]
async fn machine_code_is_made_once_and_then_taken_from_the_cache() {
    let (plugins, cache) = (folder_with("a.wasm", &good()), tempfile::tempdir().unwrap());
    let first = cached(cache.path(), 1).load_folder(plugins.path()).await.remove(0).unwrap();
    assert!(!first.from_cache);
    let files: Vec<_> = fs::read_dir(cache.path()).unwrap().map(|file| file.unwrap()).collect();
    assert_eq!(files.len(), 1);
    assert!(files[0].file_name().to_string_lossy().starts_with(&first.digest));
    assert_eq!(files[0].metadata().unwrap().permissions().mode() & 0o777, 0o600);

    let sandbox = cached(cache.path(), 1);
    let second = sandbox.load_folder(plugins.path()).await.remove(0).unwrap();
    assert!(second.from_cache);
    assert_eq!(second.digest, first.digest);
    let answer = sandbox.call_tool(None, "echo", &json!({}), &context("a")).await.unwrap();
    assert_eq!(answer.value["text"], "{}");
}

#[tokio::test]
async fn machine_code_that_was_touched_or_marked_with_another_key_is_made_anew() {
    let (plugins, cache) = (folder_with("a.wasm", &good()), tempfile::tempdir().unwrap());
    let from_cache = |key| {
        let sandbox = cached(cache.path(), key);
        let folder = plugins.path().to_owned();
        async move { sandbox.load_folder(&folder).await.remove(0).unwrap().from_cache }
    };
    assert!(!from_cache(1).await, "nothing is there yet");
    assert!(!from_cache(2).await, "another key");
    assert!(from_cache(2).await, "it was made anew");

    let file = fs::read_dir(cache.path()).unwrap().next().unwrap().unwrap().path();
    let code = fs::read(&file).unwrap();
    let mut touched = code.clone();
    *touched.last_mut().unwrap() ^= 1;
    for wrong in [touched, code[..20].to_vec(), Vec::new()] {
        fs::write(&file, wrong).unwrap();
        assert!(!from_cache(2).await, "it was touched");
        assert!(from_cache(2).await, "it was made anew");
    }
}

#[tokio::test]
async fn machine_code_of_one_component_cannot_stand_in_for_another() {
    let cache = tempfile::tempdir().unwrap();
    for component in [good(), twin()] {
        cached(cache.path(), 1).load_folder(folder_with("a.wasm", &component).path()).await.remove(0).unwrap();
    }
    let files: Vec<_> = fs::read_dir(cache.path()).unwrap().map(|file| file.unwrap().path()).collect();
    let [one, other] = files.as_slice() else { panic!("two files, not {files:?}") };
    fs::copy(one, other).unwrap();
    let mut from_cache = Vec::new();
    for component in [good(), twin()] {
        let folder = folder_with("a.wasm", &component);
        from_cache.push(cached(cache.path(), 1).load_folder(folder.path()).await.remove(0).unwrap().from_cache);
    }
    from_cache.sort_unstable();
    assert_eq!(from_cache, [false, true], "the one that was copied over is made anew");
}
