//! What a file is, before anything of it is compiled or run: is it a component, of a world of ours, and what does it want.

use wasmparser::{Encoding, Parser, Payload};

use crate::bindings::{CONDITION, CONTRACT, IMPORTS, PACKAGE, TOOLS};
use crate::error::LoadFault;

/// Names at a component's surface: a plugin has some dozens.
const NAMES_MAX: usize = 1_000;
/// Names that a message lists, and how much of each.
const NAMES_LISTED_MAX: usize = 10;
const NAME_CHARS_SHOWN_MAX: usize = 100;
/// Interfaces of WASI 0.2 that stand behind every guest's standard library. What is not granted leads nowhere.
const WASI: [&str; 6] = ["wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:io/", "wasi:random/", "wasi:sockets/"];

/// The surface of a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outline {
    /// What it imports, without the contract's types.
    pub(crate) imports: Vec<String>,
}

/// Reads the surface of a component.
pub(crate) fn outline(bytes: &[u8]) -> Result<Outline, LoadFault> {
    // The header's second word: a core module has version 1 there, a component a version and a layer.
    match bytes.get(..8) {
        Some([0, b'a', b's', b'm', _, _, 1, 0]) => {}
        Some([0, b'a', b's', b'm', ..]) => return Err(LoadFault::CoreModule),
        _ => return Err(LoadFault::NotWebAssembly),
    }
    let (imports, exports) = surface(bytes)?;
    let ours = |name: &&String| name.starts_with(PACKAGE);
    if !exports.iter().any(|name| name == TOOLS || name == CONDITION) {
        return Err(match exports.iter().find(ours) {
            Some(found) => LoadFault::OtherContract { found: printable(found) },
            None => LoadFault::UnknownWorld,
        });
    }
    let unknown: Vec<String> = imports.iter().filter(|name| !is_known(name)).cloned().collect();
    if let Some(found) = unknown.iter().find(ours) {
        return Err(LoadFault::OtherContract { found: printable(found) });
    }
    if !unknown.is_empty() {
        let listed = unknown.iter().take(NAMES_LISTED_MAX).map(|name| printable(name)).collect();
        return Err(LoadFault::UnknownImports(listed));
    }
    let types = format!("{PACKAGE}types@{CONTRACT}");
    Ok(Outline { imports: imports.into_iter().filter(|name| *name != types).collect() })
}

fn surface(bytes: &[u8]) -> Result<(Vec<String>, Vec<String>), LoadFault> {
    let invalid = |error: wasmparser::BinaryReaderError| LoadFault::Invalid(error.message().to_owned());
    let (mut imports, mut exports, mut depth) = (Vec::new(), Vec::new(), 0_u32);
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(invalid)? {
            Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => return Err(LoadFault::CoreModule),
            Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section {
                    imports.push(import.map_err(invalid)?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
                for export in section {
                    exports.push(export.map_err(invalid)?.name.name.to_owned());
                }
            }
            _ => {}
        }
        if imports.len() + exports.len() > NAMES_MAX {
            return Err(LoadFault::Invalid(format!("more than {NAMES_MAX} imports and exports")));
        }
    }
    Ok((imports, exports))
}

/// A name that a stranger wrote, fit for a message: short, and without what moves a terminal's cursor.
fn printable(name: &str) -> String {
    name.chars().take(NAME_CHARS_SHOWN_MAX).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn is_known(import: &str) -> bool {
    let ours = || {
        let rest = import.strip_prefix(PACKAGE)?;
        let (interface, version) = rest.split_once('@')?;
        Some(version == CONTRACT && IMPORTS.contains(&interface))
    };
    let wasi = || import.contains("@0.2.") && WASI.iter().any(|package| import.starts_with(package));
    ours().unwrap_or(false) || wasi()
}
