//! `armilla plugin keygen` and `sign`.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use armilla_registry::signature::SecretKey;
use armilla_sandbox::digest_of;
use clap::Args;
use rand::TryRng;
use rand::rngs::SysRng;

use super::{PluginError, read, say};

/// Which key to make.
#[derive(Debug, Args)]
pub(crate) struct KeygenArgs {
    /// The key's name, which signatures and refusals say
    name: String,

    /// File for the secret key, which must not exist
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// What to sign, and with what.
#[derive(Debug, Args)]
pub(crate) struct SignArgs {
    /// The component's file
    file: PathBuf,

    /// The secret key's file
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
}

/// Makes a key for nobody else's eyes, and prints the line that servers trust it by.
pub(super) fn keygen(args: &KeygenArgs) -> Result<(), PluginError> {
    let mut chance = [0; 32];
    SysRng.try_fill_bytes(&mut chance).map_err(|error| PluginError::Failed(error.to_string()))?;
    let key = SecretKey::generate(&args.name, chance).map_err(|error| PluginError::Usage(error.to_string()))?;
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&args.out)
        .and_then(|mut file| writeln!(file, "{}", key.to_text()).and_then(|()| file.sync_all()));
    written.map_err(|source| PluginError::File { file: args.out.clone(), source })?;
    say(key.trusted_entry())
}

/// Writes the signature beside the component, where a plugins folder and `push` find it.
pub(super) fn sign(args: &SignArgs) -> Result<(), PluginError> {
    let text = String::from_utf8_lossy(&read(&args.key)?).into_owned();
    let key = SecretKey::parse(text.trim()).map_err(|error| PluginError::Usage(format!("--key: {error}")))?;
    let signature = key.sign(&digest_of(&read(&args.file)?));
    let mut name = args.file.clone().into_os_string();
    name.push(".sig");
    let file = PathBuf::from(name);
    std::fs::write(&file, format!("{signature}\n")).map_err(|source| PluginError::File { file, source })?;
    say(signature)
}
