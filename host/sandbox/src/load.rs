//! From bytes to a plugin: outlined, hashed, compiled, linked, described.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use armilla_domain::id::WorkspaceId;
use armilla_domain::plugin::{Grant, Needs, check_host_pattern};
use chrono::DateTime;
use sha2::{Digest, Sha256};
use wasmtime::component::{Component, InstancePre};

use crate::access::{Access, MemoryServices};
use crate::bindings::{self, ConditionPluginPre, ToolPluginPre, condition, tools, types};
use crate::error::LoadFault;
use crate::instance::{Frame, Gate};
use crate::limits::{COMPILES_QUEUED_MAX, COMPONENT_BYTES_MAX, TOOLS_PER_PLUGIN_MAX};
use crate::outline::outline;
use crate::plugin::{Hints, Plugin, PluginDescription, Tool, ToolDescription};
use crate::sandbox::{Inner, Sandbox};
use crate::schema::Schema;
use crate::state::State;

/// In bytes of a plugin's or a tool's name.
const NAME_BYTES_MAX: usize = 64;
/// In bytes of a description that people and models read.
const DESCRIPTION_BYTES_MAX: usize = 4 << 10;
/// In bytes of all schemas of a plugin together: every host holds them.
const SCHEMAS_BYTES_MAX: usize = 256 << 10;
/// Names of one kind that a plugin may need.
const NEEDS_LISTED_MAX: usize = 100;
/// In bytes of one such name: a host's is the longest.
const HOST_BYTES_MAX: usize = 255;

impl Sandbox {
    /// Takes a component that is seen for the first time: checks it before anything runs, compiles it off the caller's thread,
    /// and lets it describe itself under the limits of a call, with nothing granted.
    ///
    /// # Errors
    /// What is wrong with it; nothing of it stays.
    pub async fn inspect(&self, bytes: Arc<[u8]>) -> Result<Arc<Plugin>, LoadFault> {
        let compiled = self.compile(move |inner| {
            let digest = digest_of(&bytes);
            if let Some(known) = inner.known(&digest) {
                return Ok(Err(known));
            }
            let outline = outline_of(&bytes)?;
            link(inner, &digest, || Ok(Arc::clone(&bytes))).map(|linked| Ok((linked, outline.imports)))
        });
        match compiled.await? {
            Ok((linked, imports)) => Ok(self.inner.note(self.describe(linked, imports).await?)),
            Err(known) => Ok(known),
        }
    }

    /// Takes a component that was inspected before, on this host or another: what it says of itself is known. `bytes` is asked
    /// for only where its machine code is not here.
    ///
    /// # Errors
    /// As [`Sandbox::inspect`], and [`LoadFault::OtherDigest`] where the bytes are not what was asked for.
    pub async fn load<F>(
        &self,
        digest: &str,
        description: Arc<PluginDescription>,
        bytes: F,
    ) -> Result<Arc<Plugin>, LoadFault>
    where
        F: AsyncFnOnce() -> Result<Arc<[u8]>, LoadFault>,
    {
        if let Some(known) = self.inner.known(digest) {
            return Ok(known);
        }
        let asked = Arc::<str>::from(digest);
        // Without a place among those that compile: whoever does that for minutes must not hold up what is ready.
        let (inner, digest) = (Arc::clone(&self.inner), Arc::clone(&asked));
        let ready = tokio::task::spawn_blocking(move || {
            let component = inner.cache.as_ref().and_then(|cache| cache.load(&inner.host.engine, &digest));
            component.map(|component| link_component(&inner, &digest, component, true)).transpose()
        });
        let ready = ready.await.map_err(|_| LoadFault::Invalid("the loader failed on it".to_owned()))?;
        let linked = match ready? {
            Some(linked) => linked,
            None => {
                let bytes = bytes().await?;
                self.compile(move |inner| {
                    if digest_of(&bytes) != *asked {
                        return Err(LoadFault::OtherDigest);
                    }
                    outline_of(&bytes)?;
                    link(inner, &asked, || Ok(bytes))
                })
                .await?
            }
        };
        let tools = description.tools.iter().map(|tool| {
            let schema =
                |value: &Arc<serde_json::Value>| Schema::parse(&value.to_string()).map_err(LoadFault::BadDescription);
            Ok(Tool {
                name: tool.name.clone(),
                input: schema(&tool.input_schema)?,
                output: tool.output_schema.as_ref().map(schema).transpose()?,
            })
        });
        let tools = tools.collect::<Result<Vec<_>, LoadFault>>()?;
        Ok(self.inner.note(linked.into_plugin(description, tools)))
    }

    /// Works on one of the few places for such work, off the caller's thread. Past the queue's bound it is refused.
    async fn compile<T, F>(&self, work: F) -> Result<T, LoadFault>
    where
        T: Send + 'static,
        F: FnOnce(&Inner) -> Result<T, LoadFault> + Send + 'static,
    {
        let inner = Arc::clone(&self.inner);
        if inner.compiles_queued.fetch_add(1, Relaxed) >= COMPILES_QUEUED_MAX {
            inner.compiles_queued.fetch_sub(1, Relaxed);
            return Err(LoadFault::Busy);
        }
        // In a task of its own: it goes to its end and gives its place back even where the caller has gone.
        let working = tokio::spawn(async move {
            let turn = Arc::clone(&inner.compiling).acquire_owned().await;
            let worker = Arc::clone(&inner);
            let result = tokio::task::spawn_blocking(move || work(&worker)).await;
            drop(turn);
            inner.compiles_queued.fetch_sub(1, Relaxed);
            result
        });
        let result = working.await.and_then(|result| result);
        result.map_err(|_| LoadFault::Invalid("the compiler failed on it".to_owned()))?
    }

    async fn describe(&self, linked: Linked, imports: Vec<String>) -> Result<Plugin, LoadFault> {
        let gate = Gate::once();
        let mut about: Option<types::PluginInfo> = None;
        let (mut described, mut needs) = (Vec::new(), None);
        if let Some(pre) = linked.tools_pre.clone() {
            let work = self.inner.host.run(&gate, self.frame_of_describe(), move |store| {
                Box::pin(async move {
                    let plugin = pre.instantiate_async(&mut *store).await?;
                    plugin.armilla_plugin_tools().call_describe(store).await
                })
            });
            let described_by_itself = work.await.result.map_err(|e| LoadFault::Undescribed(e.into()))?;
            let tools::Description { plugin, tools, needs: wanted } = described_by_itself;
            about = Some(plugin);
            described = tools;
            needs = Some(wanted);
        }
        if let Some(pre) = linked.condition_pre.clone() {
            let work = self.inner.host.run(&gate, self.frame_of_describe(), move |store| {
                Box::pin(async move {
                    let plugin = pre.instantiate_async(&mut *store).await?;
                    plugin.armilla_plugin_condition().call_describe(store).await
                })
            });
            let plugin: condition::PluginInfo = work.await.result.map_err(|e| LoadFault::Undescribed(e.into()))?;
            about = Some(plugin);
        }
        let about = about.ok_or(LoadFault::UnknownWorld)?;
        let needs = needs.map(check_needs).transpose().map_err(LoadFault::BadDescription)?.unwrap_or_default();
        let (tools, callable) =
            check_description(&about, described, linked.tools_pre.is_some()).map_err(LoadFault::BadDescription)?;
        let schemas = tools.iter().flat_map(|tool| [Some(&tool.input_schema), tool.output_schema.as_ref()]).flatten();
        if schemas.map(|schema| schema.to_string().len()).sum::<usize>() > SCHEMAS_BYTES_MAX {
            let why = format!("the schemas of all its tools have more than {SCHEMAS_BYTES_MAX} bytes");
            return Err(LoadFault::BadDescription(why));
        }
        let description = PluginDescription {
            name: about.name,
            version: about.version,
            description: about.description,
            tools,
            evaluator: linked.condition_pre.is_some(),
            needs,
            imports,
        };
        Ok(linked.into_plugin(Arc::new(description), callable))
    }

    fn frame_of_describe(&self) -> Frame {
        Frame {
            plugin: String::new(),
            subject: "The plugin".to_owned(),
            needs: Needs::default(),
            access: Access {
                workspace: WorkspaceId::DEFAULT,
                grant: Arc::new(Grant::default()),
                services: Arc::new(MemoryServices::default()),
            },
            limits: self.inner.host.limits,
            now: DateTime::UNIX_EPOCH,
            key: "describe".to_owned(),
            timeout: Duration::MAX,
        }
    }
}

/// SHA-256 of a component, in hexadecimal.
pub fn digest_of(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn outline_of(bytes: &[u8]) -> Result<crate::outline::Outline, LoadFault> {
    if bytes.len() as u64 > COMPONENT_BYTES_MAX {
        return Err(LoadFault::TooLarge);
    }
    outline(bytes)
}

/// A component that can be instantiated.
struct Linked {
    digest: Arc<str>,
    tools_pre: Option<ToolPluginPre<State>>,
    condition_pre: Option<ConditionPluginPre<State>>,
    code_bytes: usize,
    from_cache: bool,
}

impl Linked {
    fn into_plugin(self, description: Arc<PluginDescription>, tools: Vec<Tool>) -> Plugin {
        let Self { digest, tools_pre, condition_pre, code_bytes, from_cache } = self;
        Plugin { description, digest, code_bytes, from_cache, tools_pre, condition_pre, tools }
    }
}

fn link(
    inner: &Inner,
    digest: &str,
    bytes: impl FnOnce() -> Result<Arc<[u8]>, LoadFault>,
) -> Result<Linked, LoadFault> {
    let engine = &inner.host.engine;
    let cached = inner.cache.as_ref().and_then(|cache| cache.load(engine, digest));
    let from_cache = cached.is_some();
    let component = match cached {
        Some(component) => component,
        None => {
            let component = Component::from_binary(engine, &bytes()?).map_err(|e| LoadFault::Invalid(reasons(&e)))?;
            if let Some(cache) = &inner.cache {
                cache.keep(engine, digest, &component);
            }
            component
        }
    };
    link_component(inner, digest, component, from_cache)
}

fn link_component(inner: &Inner, digest: &str, component: Component, from_cache: bool) -> Result<Linked, LoadFault> {
    let has = |interface: &str| component.get_export_index(None, interface).is_some();
    let (has_tools, has_condition) = (has(bindings::TOOLS), has(bindings::CONDITION));
    if !has_tools && !has_condition {
        return Err(LoadFault::UnknownWorld);
    }
    let image = component.image_range();
    let unlinkable = |error: wasmtime::Error| LoadFault::Unlinkable(reasons(&error));
    let pre: InstancePre<State> = inner.linker.instantiate_pre(&component).map_err(unlinkable)?;
    Ok(Linked {
        digest: digest.into(),
        tools_pre: has_tools.then(|| ToolPluginPre::new(pre.clone())).transpose().map_err(unlinkable)?,
        condition_pre: has_condition.then(|| ConditionPluginPre::new(pre)).transpose().map_err(unlinkable)?,
        code_bytes: (image.end as usize).saturating_sub(image.start as usize),
        from_cache,
    })
}

/// The engine's reasons, outermost first, on one line.
fn reasons(error: &wasmtime::Error) -> String {
    error.chain().map(|cause| cause.to_string().replace('\n', " ")).collect::<Vec<_>>().join(": ")
}

fn check_description(
    about: &types::PluginInfo,
    described: Vec<tools::Tool>,
    offers_tools: bool,
) -> Result<(Vec<ToolDescription>, Vec<Tool>), String> {
    check_name("plugin", &about.name, "-")?;
    if about.version.is_empty() || about.version.len() > NAME_BYTES_MAX || about.version.chars().any(char::is_control) {
        return Err(format!("its version has not 1 to {NAME_BYTES_MAX} bytes"));
    }
    check_text("plugin", &about.description)?;
    if described.len() > TOOLS_PER_PLUGIN_MAX || offers_tools && described.is_empty() {
        return Err(format!("{} tools, not 1 to {TOOLS_PER_PLUGIN_MAX}", described.len()));
    }
    let (mut descriptions, mut tools): (Vec<ToolDescription>, Vec<Tool>) = (Vec::new(), Vec::new());
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
        let input = schema("input", &tool.input_schema)?;
        let output = tool.output_schema.as_deref().map(|text| schema("output", text)).transpose()?;
        descriptions.push(ToolDescription {
            name: tool.name.clone(),
            title: tool.title,
            description: tool.description,
            input_schema: Arc::clone(&input.value),
            output_schema: output.as_ref().map(|schema| Arc::clone(&schema.value)),
            hints: Hints {
                read_only: tool.read_only.unwrap_or(false),
                destructive: tool.destructive.unwrap_or(true),
                idempotent: tool.idempotent.unwrap_or(false),
                open_world: tool.open_world.unwrap_or(true),
            },
        });
        tools.push(Tool { name: tool.name, input, output });
    }
    Ok((descriptions, tools))
}

fn check_needs(needs: types::Needs) -> Result<Needs, String> {
    let types::Needs { http_hosts, secrets, config_keys, kv, clock, random } = needs;
    for names in [&http_hosts, &secrets, &config_keys, &kv] {
        if names.len() > NEEDS_LISTED_MAX || names.iter().any(|name| name.is_empty() || name.len() > HOST_BYTES_MAX) {
            return Err(format!("its needs have more than {NEEDS_LISTED_MAX} names, or one that cannot be"));
        }
    }
    if let Some((host, why)) = http_hosts.iter().find_map(|host| Some((host, check_host_pattern(host).err()?))) {
        return Err(format!("it needs the host `{}`, which {why}", host.escape_debug()));
    }
    Ok(Needs { http_hosts, secrets, config_keys, kv, clock, random })
}

fn check_name(what: &str, name: &str, marks: &str) -> Result<(), String> {
    let good = name.len() <= NAME_BYTES_MAX
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || marks.contains(c));
    if good { Ok(()) } else { Err(format!("`{}` is no name for a {what}", name.escape_debug())) }
}

fn check_text(what: &str, text: &str) -> Result<(), String> {
    if text.len() > DESCRIPTION_BYTES_MAX {
        return Err(format!("the texts of `{what}` are too long"));
    }
    // They are shown on terminals and in logs.
    if text.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
        return Err(format!("the texts of `{what}` have control characters"));
    }
    Ok(())
}
