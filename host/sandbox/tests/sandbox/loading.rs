//! What is loaded, what is refused before anything of it runs, and what the cache of machine code may be trusted with.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use armilla_sandbox::{
    COMPONENT_BYTES_MAX, LoadFault, Plugin, PluginDescription, Sandbox, SandboxConfig, TOOLS_PER_PLUGIN_MAX, digest_of,
};
use serde_json::json;
use tempfile::TempDir;

use crate::common::{Bench, at_once, bench, config, fault_of, hostile, hostile_as, wat};
use crate::limits::evaluator;

#[tokio::test]
async fn what_is_no_component_is_refused_with_what_it_is() {
    assert_eq!(fault_of(*b"not wasm").await, LoadFault::NotWebAssembly);
    assert_eq!(fault_of([]).await, LoadFault::NotWebAssembly);
    assert_eq!(fault_of(*b"\0asm").await, LoadFault::NotWebAssembly);
    let fault = fault_of(wat("(module)")).await;
    assert_eq!(fault, LoadFault::CoreModule);
    assert!(fault.to_string().contains("wasm32-wasip2"), "it says what to do about it");
}

#[tokio::test]
async fn a_component_that_was_cut_off_or_damaged_is_refused() {
    let whole = hostile();
    for length in [8, 9, 100, whole.len() / 2, whole.len() - 1] {
        let fault = fault_of(&whole[..length]).await;
        assert!(matches!(fault, LoadFault::Invalid(_) | LoadFault::UnknownWorld), "{length}: {fault}");
    }
    let mut garbled = whole.to_vec();
    let middle = garbled.len() / 2;
    garbled[middle..middle + 2_000].fill(0xff);
    assert!(matches!(fault_of(garbled).await, LoadFault::Invalid(_)));
}

#[tokio::test]
async fn a_file_over_the_limit_is_refused_before_it_is_looked_at() {
    assert_eq!(fault_of(vec![0; COMPONENT_BYTES_MAX as usize + 1]).await, LoadFault::TooLarge);
}

#[tokio::test]
async fn a_component_of_no_known_world_is_refused() {
    assert_eq!(fault_of(wat("(component)")).await, LoadFault::UnknownWorld);
    let other = r#"(component (instance $run) (export "wasi:cli/run@0.2.0" (instance $run)))"#;
    assert_eq!(fault_of(wat(other)).await, LoadFault::UnknownWorld);
}

#[tokio::test]
async fn a_component_of_another_version_of_the_contract_is_refused_by_that_version() {
    for version in ["0.2.0", "0.1.1", "0.1.0-draft", "1.0.0"] {
        let found = format!("armilla:plugin/tools@{version}");
        let component = format!(r#"(component (instance $tools) (export "{found}" (instance $tools)))"#);
        let fault = fault_of(wat(&component)).await;
        assert!(fault.to_string().contains(&found) && fault.to_string().contains("this host speaks 0.1.0"), "{fault}");
        assert_eq!(fault, LoadFault::OtherContract { found });
    }
    let component = r#"(component
        (import "armilla:plugin/kv@0.2.0" (instance))
        (instance $tools) (export "armilla:plugin/tools@0.1.0" (instance $tools)))"#;
    assert!(matches!(fault_of(wat(component)).await, LoadFault::OtherContract { .. }));
}

#[tokio::test]
async fn a_component_that_wants_what_no_plugin_gets_is_refused_by_name() {
    for import in [
        "wasi:http/outgoing-handler@0.2.0",
        "wasi:keyvalue/store@0.2.0",
        "example:thing/door@1.0.0",
        "wasi:cli/run@0.3.0",
    ] {
        let component = format!(
            r#"(component
                (import "{import}" (instance (export "open" (func))))
                (import "wasi:io/error@0.2.0" (instance))
                (instance $tools) (export "armilla:plugin/tools@0.1.0" (instance $tools)))"#
        );
        let fault = fault_of(wat(&component)).await;
        assert_eq!(fault, LoadFault::UnknownImports(vec![import.to_owned()]));
        assert!(fault.to_string().contains(import), "{fault}");
    }
}

#[tokio::test]
async fn a_component_that_only_claims_to_have_tools_is_refused() {
    let component = r#"(component (instance $tools) (export "armilla:plugin/tools@0.1.0" (instance $tools)))"#;
    let fault = fault_of(wat(component)).await;
    assert!(matches!(&fault, LoadFault::Unlinkable(why) if why.contains("describe")), "{fault}");
}

#[tokio::test]
async fn a_component_that_wants_more_of_wasi_than_there_is_is_refused() {
    let component = r#"(component
        (import "wasi:cli/environment@0.2.0" (instance (export "own-the-host" (func))))
        (instance $tools) (export "armilla:plugin/tools@0.1.0" (instance $tools)))"#;
    let fault = fault_of(wat(component)).await;
    assert!(matches!(&fault, LoadFault::Unlinkable(why) if why.contains("own-the-host")), "{fault}");
}

#[tokio::test]
async fn an_evaluator_by_hand_is_loaded() {
    let plugin = bench().await.sandbox.inspect(wat(&evaluator("")).into()).await.unwrap();
    let description = plugin.description();
    assert_eq!((description.name.as_str(), description.version.as_str()), ("tiny1", "1"));
    assert!(description.evaluator && description.tools.is_empty() && description.imports.is_empty());
}

#[tokio::test]
async fn a_plugin_whose_description_comes_to_no_good_end_is_refused() {
    let (_keep, sandbox) = impatient();
    for (guise, why) in [("traps", "trapped"), ("loops", "computed longer")] {
        let fault = sandbox.inspect(hostile_as(guise)).await.unwrap_err();
        assert!(matches!(&fault, LoadFault::Undescribed(text) if text.to_string().contains(why)), "{guise}: {fault}");
    }
}

fn impatient() -> (TempDir, Sandbox) {
    let mut config = config();
    config.limits.cpu = std::time::Duration::from_millis(200);
    (tempfile::tempdir().unwrap(), Sandbox::new(config).unwrap())
}

#[tokio::test]
async fn a_description_that_breaks_the_contract_is_refused_with_the_reason() {
    for (guise, why) in [
        ("name", "`Not A Name` is no name for a plugin"),
        ("no-version", "its version"),
        ("tool-name", "`../../etc/passwd` is no name for a tool"),
        ("twins", "two tools of the name `echo`"),
        ("no-tools", "0 tools"),
        ("many-tools", "101 tools"),
        ("long-text", "the texts of `trap` are too long"),
        ("bad-host", "it needs the host `https://example.com/`"),
        ("many-needs", "its needs"),
        ("schema-text", "the input schema of `trap` is none: not JSON"),
        ("schema-type", "the input schema of `trap` is none"),
        ("schema-away", "the input schema of `trap` is none"),
        ("schema-long", "the input schema of `trap` is none: longer than"),
        ("schema-itself", "the input schema of `trap` is none"),
        ("schema-round", "the input schema of `trap` is none"),
        ("schema-doubles", "the input schema of `trap` is none"),
    ] {
        let fault = fault_of(hostile_as(guise)).await;
        let LoadFault::BadDescription(text) = &fault else { panic!("{guise}: {fault}") };
        assert!(text.contains(why) && text.len() < 1_000, "{guise}: {text}");
    }
    assert_eq!(TOOLS_PER_PLUGIN_MAX, 100);
}

#[tokio::test]
async fn too_many_at_once_are_told_to_come_back() {
    let bench = bench().await;
    let loads = at_once((0..200).map(|_| bench.sandbox.inspect(b"not wasm".as_slice().into()))).await;
    let busy = loads.iter().filter(|loaded| matches!(loaded, Err(LoadFault::Busy))).count();
    assert!(busy > 0 && busy < 200, "{busy}");
    assert_eq!(fault_of(*b"not wasm").await, LoadFault::NotWebAssembly, "afterwards there is room");
}

/// A component of some bytes, quickly compiled; `n` makes it another.
fn small(n: u8) -> Arc<[u8]> {
    let mut bytes = wat(&evaluator(""));
    // An empty custom section called `x` and some digit.
    bytes.extend([0, 3, 2, b'x', n]);
    bytes.into()
}

fn cached(folder: &Path, key: u8) -> Sandbox {
    let code_cache = Some(folder.to_owned());
    Sandbox::new(SandboxConfig { code_cache, mac_key: [key; 32], calls_at_once: 2, ..config() }).unwrap()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect()
}

/// Whether a component's machine code was there; it works in any case.
async fn from_cache(folder: &Path, key: u8, bytes: Arc<[u8]>) -> bool {
    let plugin = cached(folder, key).inspect(bytes).await.unwrap();
    assert_eq!(plugin.description().name, "tiny1");
    plugin.is_from_cache()
}

#[tokio::test]
async fn machine_code_is_made_once_and_then_taken_from_the_cache() {
    let cache = tempfile::tempdir().unwrap();
    let first = cached(cache.path(), 1).inspect(hostile()).await.unwrap();
    assert!(!first.is_from_cache());
    let files = files(cache.path());
    assert_eq!(files.len(), 1);
    assert!(files[0].file_name().unwrap().to_string_lossy().starts_with(first.digest()));
    assert_eq!(fs::metadata(&files[0]).unwrap().permissions().mode() & 0o777, 0o600);

    let bench = Bench { sandbox: cached(cache.path(), 1), plugins: Default::default() };
    let second = bench.sandbox.inspect(hostile()).await.unwrap();
    assert!(second.is_from_cache());
    assert_eq!((second.digest(), second.description()), (first.digest(), first.description()));
    let bench = Bench { plugins: [("hostile".to_owned(), second)].into(), ..bench };
    assert_eq!(bench.without_grant().answer("echo", json!({})).await["text"], "{}");
}

#[tokio::test]
async fn machine_code_that_was_touched_or_marked_with_another_key_is_made_anew() {
    let cache = tempfile::tempdir().unwrap();
    let from_cache = |key| from_cache(cache.path(), key, small(1));
    assert!(!from_cache(1).await, "nothing is there yet");
    assert!(!from_cache(2).await, "another key");
    assert!(from_cache(2).await, "it was made anew");

    let file = files(cache.path()).remove(0);
    let code = fs::read(&file).unwrap();
    let flipped = |at: usize| {
        let mut touched = code.clone();
        touched[at] ^= 1;
        touched
    };
    let (last, middle) = (code.len() - 1, code.len() / 2);
    for wrong in [
        flipped(0),
        flipped(40),
        flipped(middle),
        flipped(last),
        code[..last].to_vec(),
        code[..20].to_vec(),
        Vec::new(),
    ] {
        fs::write(&file, wrong).unwrap();
        assert!(!from_cache(2).await, "it was touched");
        assert!(from_cache(2).await, "it was made anew");
    }
}

#[tokio::test]
async fn machine_code_of_one_component_cannot_stand_in_for_another() {
    let cache = tempfile::tempdir().unwrap();
    for n in [1, 2] {
        assert!(!from_cache(cache.path(), 1, small(n)).await);
    }
    let files = files(cache.path());
    let [one, other] = files.as_slice() else { panic!("two files, not {files:?}") };
    fs::copy(one, other).unwrap();
    let mut found = [from_cache(cache.path(), 1, small(1)).await, from_cache(cache.path(), 1, small(2)).await];
    found.sort_unstable();
    assert_eq!(found, [false, true], "the one that was copied over is made anew");
}

async fn loaded(
    sandbox: &Sandbox,
    digest: &str,
    known: &Arc<PluginDescription>,
    bytes: Option<Arc<[u8]>>,
) -> Result<Arc<Plugin>, LoadFault> {
    let bytes = async || bytes.ok_or_else(|| LoadFault::Absent("nobody has them".to_owned()));
    sandbox.load(digest, Arc::clone(known), bytes).await
}

#[tokio::test]
async fn what_was_inspected_once_is_loaded_without_its_bytes_while_its_machine_code_is_there() {
    let cache = tempfile::tempdir().unwrap();
    let first = cached(cache.path(), 1).inspect(hostile()).await.unwrap();
    let (digest, known) = (first.digest().to_owned(), Arc::clone(first.description()));

    let sandbox = cached(cache.path(), 1);
    let plugin = loaded(&sandbox, &digest, &known, None).await.unwrap();
    assert!(plugin.is_from_cache());
    let bench = Bench { sandbox, plugins: [("hostile".to_owned(), plugin)].into() };
    assert_eq!(bench.without_grant().answer("echo", json!({})).await["text"], "{}");

    // Touched: the bytes are asked for, and must be the ones of the digest.
    let file = files(cache.path()).remove(0);
    let code = fs::read(&file).unwrap();
    fs::write(&file, &code[..code.len() / 2]).unwrap();
    let sandbox = cached(cache.path(), 1);
    assert!(matches!(loaded(&sandbox, &digest, &known, None).await, Err(LoadFault::Absent(_))));
    let other = loaded(&sandbox, &digest, &known, Some(hostile_as("traps"))).await;
    assert_eq!(other.unwrap_err(), LoadFault::OtherDigest);
    let plugin = loaded(&sandbox, &digest, &known, Some(hostile())).await.unwrap();
    assert!(!plugin.is_from_cache());
    let again = loaded(&sandbox, &digest, &known, None).await.unwrap();
    assert!(Arc::ptr_eq(&plugin, &again), "what is loaded already is not loaded twice");
    let sandbox = cached(cache.path(), 1);
    assert!(loaded(&sandbox, &digest, &known, None).await.unwrap().is_from_cache(), "it was made anew");
}

#[tokio::test]
async fn the_same_component_loaded_by_many_at_once_is_one_file() {
    let cache = tempfile::tempdir().unwrap();
    let sandbox = cached(cache.path(), 1);
    let loads = at_once((0..8).map(|_| {
        let sandbox = sandbox.clone();
        async move { sandbox.inspect(small(1)).await.unwrap() }
    }));
    assert!(loads.await.iter().all(|plugin| plugin.digest() == digest_of(&small(1))));
    assert_eq!(files(cache.path()).len(), 1);
}

#[tokio::test]
async fn a_cache_that_cannot_be_written_is_no_obstacle() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a-file");
    fs::write(&file, "not a folder").unwrap();
    assert!(!from_cache(&file, 1, small(1)).await);
}
