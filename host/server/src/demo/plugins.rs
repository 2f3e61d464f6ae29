//! The demo's plugins: they come while the server is up, since its first workflow needs none of them.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::client::Client;
use super::{DemoError, terminal};

/// Compiling the three of them takes a program that was built without optimisation the better part of a minute on an old machine.
const LOAD_MAX: Duration = Duration::from_secs(300);
const POLL: Duration = Duration::from_millis(100);

/// The folder that the server takes plugins from: a link, which leads nowhere until the server is up.
pub(super) struct Plugins {
    link: PathBuf,
    folder: PathBuf,
    built_by: Option<String>,
    builder: Option<Builder>,
}

impl Plugins {
    /// Nothing is in the folder yet, so that the server is up at once. `built_by` is a shell's command that fills it.
    pub(super) fn prepare(data_dir: &Path, folder: &Path, built_by: Option<String>) -> Result<Self, DemoError> {
        if built_by.is_none() && !folder.is_dir() {
            return Err(DemoError::NoPlugins(folder.to_owned()));
        }
        fs::create_dir_all(data_dir)?;
        let link = data_dir.join("plugins");
        remove(&link)?;
        Ok(Self { link, folder: std::path::absolute(folder)?, built_by, builder: None })
    }

    /// Where the server looks for plugins.
    pub(super) fn watched(&self) -> &Path {
        &self.link
    }

    /// From now on the server finds them, as they come.
    pub(super) fn show(&mut self) -> Result<(), DemoError> {
        symlink(&self.folder, &self.link)?;
        self.builder = self.built_by.as_deref().map(Builder::start).transpose()?;
        Ok(())
    }

    /// Waits until a workflow finds all that it names.
    pub(super) async fn wait_for(&mut self, client: &Client, definition: &Value) -> Result<(), DemoError> {
        let began = Instant::now();
        let (mut told, mut built_at) = (0, None);
        loop {
            let checked = client.post("/workflows/validate", &json!({ "definition": definition })).await?;
            let missing = &checked["warnings"];
            if missing.as_array().is_some_and(Vec::is_empty) {
                terminal::progress_over();
                return Ok(());
            }
            let is_building = match &mut self.builder {
                Some(builder) => builder.works()?,
                None => false,
            };
            if !is_building && built_at.get_or_insert_with(Instant::now).elapsed() > LOAD_MAX {
                return Err(DemoError::PluginsMissing { folder: self.folder.clone(), missing: missing.to_string() });
            }
            if began.elapsed().as_secs() > told {
                told = began.elapsed().as_secs();
                let doing = if is_building { "built" } else { "compiled to machine code" };
                terminal::progress(
                    &format!("The next workflow calls plugins, which are being {doing}"),
                    began.elapsed(),
                );
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

impl Drop for Plugins {
    fn drop(&mut self) {
        // The server is gone; the next one would remove it first.
        let _ = remove(&self.link);
    }
}

fn remove(link: &Path) -> Result<(), DemoError> {
    match fs::remove_file(link) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// What builds the plugins: a process group, so that all of it can be ended.
struct Builder(Child);

impl Builder {
    fn start(command: &str) -> Result<Self, DemoError> {
        Ok(Self(Command::new("sh").args(["-c", command]).stdin(Stdio::null()).process_group(0).spawn()?))
    }

    /// Whether it is still at it.
    fn works(&mut self) -> Result<bool, DemoError> {
        match self.0.try_wait()? {
            None => Ok(true),
            Some(status) if status.success() => Ok(false),
            Some(status) => Err(DemoError::PluginsNotBuilt(status)),
        }
    }
}

impl Drop for Builder {
    fn drop(&mut self) {
        if self.works().unwrap_or(false) {
            // One that ends at this moment needs no word.
            let _ = kill_process_group(Pid::from_child(&self.0), Signal::TERM);
            let _ = self.0.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_not_there_is_refused_unless_somebody_builds_it() {
        let place = tempfile::tempdir().unwrap();
        let absent = place.path().join("absent");
        let refused = Plugins::prepare(place.path(), &absent, None).map(|_| ()).unwrap_err();
        assert!(refused.to_string().contains("make plugins"), "{refused}");
        assert!(Plugins::prepare(place.path(), &absent, Some("true".to_owned())).is_ok());
    }

    #[test]
    fn the_server_finds_the_folder_from_when_it_is_shown_until_the_demo_ends() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("built");
        fs::create_dir(&folder).unwrap();
        let data_dir = place.path().join("data");
        let mut plugins = Plugins::prepare(&data_dir, &folder, None).unwrap();
        let link = plugins.watched().to_owned();
        assert!(fs::read_dir(&link).is_err());
        plugins.show().unwrap();
        assert!(fs::read_dir(&link).is_ok());
        drop(plugins);
        assert!(fs::symlink_metadata(&link).is_err() && folder.is_dir());
    }

    #[test]
    fn what_builds_the_plugins_ends_with_the_demo_and_its_failure_is_told() {
        let mut builder = Builder::start("sleep 60 & wait").unwrap();
        assert!(builder.works().unwrap());
        let group = Pid::from_child(&builder.0);
        drop(builder);
        assert!(rustix::process::test_kill_process_group(group).is_err(), "nothing of it is left");

        let mut failing = Builder::start("exit 3").unwrap();
        failing.0.wait().unwrap();
        assert!(failing.works().unwrap_err().to_string().contains('3'));
    }
}
