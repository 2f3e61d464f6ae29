//! From a file to a plugin: hashed, compiled, linked, described, registered.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use tracing::{info, warn};
use wasmtime::component::{Component, InstancePre};

use crate::bindings::{self, ConditionPluginPre, ToolPluginPre, condition, tools, types};
use crate::error::{LoadError, LoadFault};
use crate::info::{Hints, PluginInfo};
use crate::instance::{Frame, Turns};
use crate::limits::{COMPONENT_BYTES_MAX, TOOLS_PER_PLUGIN_MAX};
use crate::registry::{Plugin, Tool};
use crate::sandbox::{Inner, Sandbox};
use crate::schema::Schema;
use crate::state::State;

/// Files that are compiled at the same time: each uses all cores already, and holds its code in memory.
const COMPILED_AT_ONCE: usize = 2;
/// In bytes of a plugin's or a tool's name.
const NAME_BYTES_MAX: usize = 64;
/// In bytes of a description that people and models read.
const DESCRIPTION_BYTES_MAX: usize = 4 << 10;

impl Sandbox {
    /// Loads every `*.wasm` of a folder, in the order of their names, besides what is loaded already. A file that cannot
    /// be loaded is an error of its own; a name that two plugins want stays with the first.
    pub async fn load_folder(&self, folder: &Path) -> Vec<Result<PluginInfo, LoadError>> {
        let files = match wasm_files(folder) {
            Ok(files) => files,
            Err(error) => {
                let fault = LoadFault::Unreadable(error.kind());
                return vec![Err(LoadError { file: file_name(folder), fault })];
            }
        };
        let turns = Arc::new(Semaphore::new(COMPILED_AT_ONCE));
        let loading: Vec<_> = files
            .into_iter()
            .map(|file| {
                let (sandbox, turns) = (self.clone(), Arc::clone(&turns));
                let name = file_name(&file);
                let task = tokio::spawn(async move {
                    let _turn = turns.acquire_owned().await;
                    sandbox.load_file(file).await
                });
                (name, task)
            })
            .collect();
        let mut results = Vec::with_capacity(loading.len());
        for (file, task) in loading {
            let loaded = task.await.unwrap_or_else(|error| Err(LoadFault::Invalid(error.to_string())));
            let result = loaded.and_then(|plugin| {
                let plugin = Arc::new(plugin);
                self.inner.change_registry(|registry| registry.add(Arc::clone(&plugin)))?;
                Ok(plugin.info.clone())
            });
            match &result {
                Ok(plugin) => info!(
                    plugin.name = plugin.name,
                    plugin.version = plugin.version,
                    plugin.digest = plugin.digest,
                    plugin.from_cache = plugin.from_cache,
                    "Loaded the plugin `{}`",
                    plugin.name
                ),
                Err(fault) => warn!(plugin.file = file, "The plugin in `{file}` is not loaded: {fault}"),
            }
            results.push(result.map_err(|fault| LoadError { file, fault }));
        }
        results
    }

    async fn load_file(&self, file: PathBuf) -> Result<Plugin, LoadFault> {
        let inner = Arc::clone(&self.inner);
        let compiled = tokio::task::spawn_blocking(move || {
            let bytes = read(&file)?;
            compile(&inner, &bytes)
        });
        let compiled = compiled.await.map_err(|error| LoadFault::Invalid(error.to_string()))??;
        self.describe(compiled).await
    }

    async fn describe(&self, compiled: Compiled) -> Result<Plugin, LoadFault> {
        let Compiled { tools_pre, condition_pre, digest, from_cache } = compiled;
        let turns = Turns::new(&self.inner.host.limits);
        let frame = || Frame::of_host("", "The plugin".to_owned(), "describe");
        let mut about: Option<types::PluginInfo> = None;
        let mut described = Vec::new();
        if let Some(pre) = tools_pre.clone() {
            let work = self.inner.host.run(&turns, frame(), move |store| {
                Box::pin(async move {
                    let plugin = pre.instantiate_async(&mut *store).await?;
                    plugin.armilla_plugin_tools().call_describe(store).await
                })
            });
            let tools::Description { plugin, tools } = work.await.map_err(|e| LoadFault::Undescribed(e.into()))?;
            about = Some(plugin);
            described = tools;
        }
        if let Some(pre) = condition_pre.clone() {
            let work = self.inner.host.run(&turns, frame(), move |store| {
                Box::pin(async move {
                    let plugin = pre.instantiate_async(&mut *store).await?;
                    plugin.armilla_plugin_condition().call_describe(store).await
                })
            });
            let plugin: condition::PluginInfo = work.await.map_err(|e| LoadFault::Undescribed(e.into()))?;
            about = Some(plugin);
        }
        let about = about.ok_or(LoadFault::UnknownWorld)?;
        let tools = check_description(&about, described, tools_pre.is_some()).map_err(LoadFault::BadDescription)?;
        let info = PluginInfo {
            tools: tools.iter().map(|tool| tool.name.clone()).collect(),
            evaluator: condition_pre.is_some().then(|| about.name.clone()),
            name: about.name,
            version: about.version,
            description: about.description,
            digest,
            from_cache,
        };
        Ok(Plugin { info, tools_pre, condition_pre, tools, turns })
    }
}

struct Compiled {
    tools_pre: Option<ToolPluginPre<State>>,
    condition_pre: Option<ConditionPluginPre<State>>,
    digest: String,
    from_cache: bool,
}

fn compile(inner: &Inner, bytes: &[u8]) -> Result<Compiled, LoadFault> {
    // The header's second word: a core module has version 1 there, a component a version and a layer.
    match bytes.get(..8) {
        Some([0, b'a', b's', b'm', _, _, 1, 0]) => {}
        Some([0, b'a', b's', b'm', ..]) => return Err(LoadFault::CoreModule),
        _ => return Err(LoadFault::NotWebAssembly),
    }
    let digest: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let engine = &inner.host.engine;
    let cached = inner.cache.as_ref().and_then(|cache| cache.load(engine, &digest));
    let from_cache = cached.is_some();
    let component = match cached {
        Some(component) => component,
        None => {
            let component = Component::from_binary(engine, bytes).map_err(|e| LoadFault::Invalid(outline(&e)))?;
            if let Some(cache) = &inner.cache {
                cache.keep(engine, &digest, &component);
            }
            component
        }
    };
    let has = |interface: &str| component.get_export_index(None, interface).is_some();
    let (has_tools, has_condition) = (has(bindings::TOOLS), has(bindings::CONDITION));
    if !has_tools && !has_condition {
        return Err(LoadFault::UnknownWorld);
    }
    let unlinkable = |error: wasmtime::Error| LoadFault::Unlinkable(outline(&error));
    let pre: InstancePre<State> = inner.linker.instantiate_pre(&component).map_err(unlinkable)?;
    let tools_pre = has_tools.then(|| ToolPluginPre::new(pre.clone())).transpose().map_err(unlinkable)?;
    let condition_pre = has_condition.then(|| ConditionPluginPre::new(pre)).transpose().map_err(unlinkable)?;
    Ok(Compiled { tools_pre, condition_pre, digest, from_cache })
}

/// The engine's reasons, outermost first, on one line.
fn outline(error: &wasmtime::Error) -> String {
    error.chain().map(|cause| cause.to_string().replace('\n', " ")).collect::<Vec<_>>().join(": ")
}

fn check_description(
    about: &types::PluginInfo,
    described: Vec<tools::Tool>,
    offers_tools: bool,
) -> Result<Vec<Arc<Tool>>, String> {
    check_name("plugin", &about.name, "-")?;
    if about.version.is_empty() || about.version.len() > NAME_BYTES_MAX {
        return Err(format!("its version has not 1 to {NAME_BYTES_MAX} bytes"));
    }
    check_text("plugin", &about.description)?;
    if described.len() > TOOLS_PER_PLUGIN_MAX || offers_tools && described.is_empty() {
        return Err(format!("{} tools, not 1 to {TOOLS_PER_PLUGIN_MAX}", described.len()));
    }
    let mut tools: Vec<Arc<Tool>> = Vec::with_capacity(described.len());
    for tool in described {
        check_name("tool", &tool.name, "_.-")?;
        if tools.iter().any(|other| other.name == tool.name) {
            return Err(format!("two tools of the name `{}`", tool.name));
        }
        check_text(&tool.name, &tool.title)?;
        check_text(&tool.name, &tool.description)?;
        let schema = |which: &str, text: &str| {
            Schema::parse(text).map_err(|error| format!("the {which} schema of `{}` is none: {error}", tool.name))
        };
        tools.push(Arc::new(Tool {
            input: schema("input", &tool.input_schema)?,
            output: tool.output_schema.as_deref().map(|text| schema("output", text)).transpose()?,
            hints: Hints {
                read_only: tool.read_only.unwrap_or(false),
                destructive: tool.destructive.unwrap_or(true),
                idempotent: tool.idempotent.unwrap_or(false),
                open_world: tool.open_world.unwrap_or(true),
            },
            name: tool.name,
            title: tool.title,
            description: tool.description,
        }));
    }
    Ok(tools)
}

fn check_name(what: &str, name: &str, marks: &str) -> Result<(), String> {
    let good = name.len() <= NAME_BYTES_MAX
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || marks.contains(c));
    if good { Ok(()) } else { Err(format!("`{}` is no name for a {what}", name.escape_debug())) }
}

fn check_text(what: &str, text: &str) -> Result<(), String> {
    if text.len() <= DESCRIPTION_BYTES_MAX { Ok(()) } else { Err(format!("the texts of `{what}` are too long")) }
}

fn wasm_files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "wasm") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn read(file: &Path) -> Result<Vec<u8>, LoadFault> {
    let unreadable = |error: std::io::Error| LoadFault::Unreadable(error.kind());
    let mut bytes = Vec::new();
    File::open(file).and_then(|file| file.take(COMPONENT_BYTES_MAX + 1).read_to_end(&mut bytes)).map_err(unreadable)?;
    if bytes.len() as u64 > COMPONENT_BYTES_MAX { Err(LoadFault::TooLarge) } else { Ok(bytes) }
}

fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}
