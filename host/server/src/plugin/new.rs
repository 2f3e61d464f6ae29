//! `armilla plugin new`: a project from a template, with everything in it that its language's own tools do not bring.

use std::fs;
use std::path::{Path, PathBuf};

use armilla_domain::plugin::is_plugin_name;
use clap::{Args, ValueEnum};
use include_dir::{Dir, DirEntry, include_dir};

use super::{PluginError, say};

static TEMPLATES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/src/plugin/templates");
static SDK: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../plugins/sdk/src");
const SDK_MANIFEST: &str = include_str!("../../../../plugins/sdk/Cargo.toml");
const SDK_README: &str = include_str!("../../../../plugins/sdk/README.md");
const CONTRACT: &str = include_str!("../../../../wit/armilla-plugin.wit");

/// Names that a Rust project cannot have, since a crate that it builds on has them.
const TAKEN_IN_RUST: [&str; 9] =
    ["alloc", "armilla-plugin", "core", "proc-macro", "schemars", "serde", "std", "test", "wit-bindgen"];

/// What the plugin is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Language {
    /// Rust, with cargo
    Rust,
    /// JavaScript, with npm
    Js,
    /// Python, with pip
    Python,
    /// C, with clang
    C,
}

impl Language {
    fn folder(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Js => "js",
            Self::Python => "python",
            Self::C => "c",
        }
    }

    fn first_commands(self, ident: &str, name: &str) -> (&'static str, String) {
        match self {
            Self::Rust => (
                "rustup target add wasm32-wasip2 && cargo build --release --target wasm32-wasip2",
                format!("target/wasm32-wasip2/release/{ident}.wasm"),
            ),
            Self::Js => ("npm install && npm run build", format!("out/{name}.wasm")),
            Self::Python => ("see README.md", format!("out/{name}.wasm")),
            Self::C => ("sh build.sh", format!("out/{name}.wasm")),
        }
    }
}

/// What to write, and where.
#[derive(Debug, Args)]
pub(crate) struct NewArgs {
    /// The plugin's name, and the folder's: a-z, 0-9 and -, starting with a letter
    name: String,

    /// What it is written in
    #[arg(long, value_enum, default_value = "rust")]
    lang: Language,

    /// Folder to write the project's folder into
    #[arg(long, value_name = "DIR", default_value = ".")]
    into: PathBuf,
}

/// Writes the project. A folder that is there already is left alone.
pub(super) fn new(args: &NewArgs) -> Result<(), PluginError> {
    let name = args.name.as_str();
    if !is_plugin_name(name) || name.ends_with('-') {
        let why = "a plugin's name has 1 to 64 of a-z, 0-9 and -, starts with a letter and ends with none of -";
        return Err(PluginError::Usage(format!("`{name}` is no name for a plugin: {why}")));
    }
    if args.lang == Language::Rust && TAKEN_IN_RUST.contains(&name) {
        return Err(PluginError::Usage(format!(
            "a Rust project cannot be called `{name}`: a crate that it builds on is"
        )));
    }
    let folder = args.into.join(name);
    if folder.exists() {
        return Err(PluginError::Usage(format!("{} is there already; nothing was written", folder.display())));
    }
    let ident = name.replace('-', "_");
    let filled = |text: &str| text.replace("__NAME__", name).replace("__IDENT__", &ident);
    let template = TEMPLATES.get_dir(args.lang.folder()).ok_or_else(|| PluginError::Usage("no template".to_owned()))?;
    write_all(template, template.path(), &folder, &filled)?;
    write(&folder.join("wit/armilla-plugin.wit"), CONTRACT)?;
    if args.lang == Language::Rust {
        let sdk = folder.join("armilla-plugin");
        write_all(&SDK, Path::new(""), &sdk.join("src"), &str::to_owned)?;
        write(&sdk.join("Cargo.toml"), SDK_MANIFEST)?;
        write(&sdk.join("README.md"), SDK_README)?;
        write(&sdk.join("wit/armilla-plugin.wit"), CONTRACT)?;
    }
    let (commands, component) = args.lang.first_commands(&ident, name);
    let component = Path::new(name).join(component);
    say(format!("Wrote {}. Next:\n", folder.display()))?;
    say(format!("  cd {name} && {commands} && cd .."))?;
    say(format!("  armilla plugin check {}", component.display()))?;
    say(format!("  armilla plugin run {} {name}.shout --input '{{\"text\": \"hello\"}}'", component.display()))?;
    say(format!("  armilla plugin push {}", component.display()))
}

fn write_all(from: &Dir<'_>, root: &Path, into: &Path, filled: &dyn Fn(&str) -> String) -> Result<(), PluginError> {
    for entry in from.entries() {
        match entry {
            DirEntry::Dir(folder) => write_all(folder, root, into, filled)?,
            DirEntry::File(file) => {
                let path = file.path().strip_prefix(root).unwrap_or(file.path());
                let text = file.contents_utf8().ok_or_else(|| PluginError::Usage("no text".to_owned()))?;
                write(&into.join(place(path)), &filled(text))?;
            }
        }
    }
    Ok(())
}

/// A template's file by its own name: cargo and git must not take a template for what it will be.
fn place(path: &Path) -> PathBuf {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    match name.as_str() {
        "gitignore" => path.with_file_name(".gitignore"),
        other => path.with_file_name(other.strip_suffix(".template").unwrap_or(other)),
    }
}

fn write(file: &Path, text: &str) -> Result<(), PluginError> {
    let failed = |source| PluginError::File { file: file.to_owned(), source };
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    fs::write(file, text).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(name: &str, lang: Language, into: &Path) -> NewArgs {
        NewArgs { name: name.to_owned(), lang, into: into.to_owned() }
    }

    #[test]
    fn every_language_gives_a_project_without_a_placeholder_left_in_it() {
        fn look(folder: &Path, seen: &mut Vec<PathBuf>) {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    look(&path, seen);
                } else {
                    let text = fs::read_to_string(&path).unwrap();
                    assert!(!text.contains("__NAME__") && !text.contains("__IDENT__"), "{}", path.display());
                    seen.push(path);
                }
            }
        }
        let place = tempfile::tempdir().unwrap();
        for lang in [Language::Rust, Language::Js, Language::Python, Language::C] {
            let name = format!("word-tools-{}", lang.folder());
            new(&args(&name, lang, place.path())).unwrap();
            let mut seen = Vec::new();
            look(&place.path().join(&name), &mut seen);
            for file in ["README.md", ".gitignore", "wit/armilla-plugin.wit"] {
                assert!(seen.contains(&place.path().join(&name).join(file)), "{file} in {seen:?}");
            }
        }
    }

    #[test]
    fn a_folder_that_is_there_is_left_alone_and_a_name_that_cannot_be_is_refused() {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir(place.path().join("mine")).unwrap();
        let error = new(&args("mine", Language::Js, place.path())).unwrap_err().to_string();
        assert!(error.contains("there already"), "{error}");
        for bad in ["", "Up", "1st", "a b", "../x", "serde", "a-"] {
            assert!(new(&args(bad, Language::Rust, place.path())).is_err(), "{bad}");
        }
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
    }
}
