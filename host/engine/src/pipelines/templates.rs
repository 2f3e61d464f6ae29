//! The pipeline templates in force: the shipped ones, or those of an operator's file, which is read again when it changes.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use armilla_domain::pipeline::PipelineTemplate;
use armilla_domain::template::Templates;
use chrono::{DateTime, Utc};
use tokio::time::MissedTickBehavior;
use tracing::{error, info, warn};

use super::file::{self, FileFault, Stamp, TemplatesFileError, stamp_of};
use crate::host::Host;

/// How often the file is looked at. A change is in force when it has come to rest, which takes one look more.
pub const PIPELINE_TEMPLATES_INTERVAL: Duration = Duration::from_millis(500);

/// What everybody has who names no file.
const SHIPPED: &str = include_str!("../../../../pipeline-templates.yml");

/// The pipeline templates of one host. Cheap to clone.
#[derive(Debug, Clone)]
pub struct PipelineTemplates {
    file: Option<PathBuf>,
    in_force: Arc<Mutex<TemplatesView>>,
}

/// The pipeline templates in force, and where they come from.
#[derive(Debug, Clone)]
pub struct TemplatesView {
    /// The templates, in the order written.
    pub templates: Arc<[PipelineTemplate]>,
    /// The file's name, without its folder; `None` where they are the shipped ones.
    pub file: Option<String>,
    /// When the file was read that they are from.
    pub read_at: Option<DateTime<Utc>>,
    /// What is wrong with the file as it is now, where that is not what is in force.
    pub faults: Arc<[FileFault]>,
    /// What the file looked like when it was last read.
    stamp: Stamp,
}

impl PipelineTemplates {
    /// The shipped ones.
    pub fn built_in() -> Self {
        let templates = file::parse(SHIPPED, &Templates::new()).unwrap_or_else(|faults| {
            // A test reads them, so this is never heard.
            error!("The shipped pipeline templates cannot be read: {faults:?}");
            Vec::new()
        });
        Self::with(
            None,
            TemplatesView { templates: templates.into(), file: None, read_at: None, faults: [].into(), stamp: None },
        )
    }

    /// Those of a file, at `now`; they are read again when it changes.
    ///
    /// # Errors
    /// Everything that is wrong with the file, with lines where there are.
    pub fn open(file: &Path, now: DateTime<Utc>) -> Result<Self, TemplatesFileError> {
        let stamp = stamp_of(file);
        let templates = file::read(file, &Templates::new())
            .map_err(|faults| TemplatesFileError { file: file.to_owned(), faults })?;
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned());
        let view =
            TemplatesView { templates: templates.into(), file: name, read_at: Some(now), faults: [].into(), stamp };
        Ok(Self::with(Some(file.to_owned()), view))
    }

    fn with(file: Option<PathBuf>, view: TemplatesView) -> Self {
        Self { file, in_force: Arc::new(Mutex::new(view)) }
    }

    /// What is in force now.
    pub fn view(&self) -> TemplatesView {
        self.in_force.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes up what a file says at `now` that looked like `stamp`; what is wrong with it leaves the last good ones in force.
    fn read_again(&self, file: &Path, stamp: Stamp, now: DateTime<Utc>) {
        let read = file::read(file, &Templates::new());
        let mut in_force = self.in_force.lock().unwrap_or_else(PoisonError::into_inner);
        in_force.stamp = stamp;
        match read {
            Ok(templates) => {
                info!(templates = templates.len(), "The pipeline templates were read again");
                in_force.templates = templates.into();
                (in_force.read_at, in_force.faults) = (Some(now), [].into());
            }
            Err(faults) => {
                let told: Vec<_> = faults.iter().map(ToString::to_string).collect();
                warn!(
                    "The pipeline templates cannot be used as they are now; the last good ones stay: {}",
                    told.join("; ")
                );
                in_force.faults = faults.into();
            }
        }
    }
}

/// Looks after the file until the host stops.
pub(crate) async fn watch(host: Arc<Host>) {
    let templates = &host.pipeline_templates;
    let Some(file) = templates.file.clone() else { return };
    let mut looks = tokio::time::interval(PIPELINE_TEMPLATES_INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // As it looked at the last look: whoever writes it may not be through.
    let mut before = templates.view().stamp;
    loop {
        tokio::select! {
            _ = looks.tick() => {}
            () = host.stopping.cancelled() => return,
        }
        let stamp = stamp_of(&file);
        if stamp != templates.view().stamp && stamp == before {
            templates.read_again(&file, stamp, host.clock.now());
        }
        before = stamp;
    }
}

#[cfg(test)]
mod tests {
    use super::super::file::PIPELINE_TEMPLATES_FILE_BYTES_MAX;
    use super::*;

    const GOOD: &str = "templates:\n  - name: one\n    description: d\n    stages:\n      - agentId: a\n";

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    #[test]
    fn the_shipped_templates_are_five_without_a_fault_each_with_an_example() {
        let view = PipelineTemplates::built_in().view();
        assert_eq!(file::parse(SHIPPED, &Templates::new()).unwrap().len(), 5);
        assert_eq!((view.templates.len(), view.file, view.faults.len()), (5, None, 0));
        assert!(view.templates.iter().all(|template| template.example.is_some()));
    }

    #[test]
    fn the_documented_file_is_one_and_a_slip_in_it_is_told_as_documented() {
        let document = include_str!("../../../../docs/pipelines.md");
        let file = document.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        assert_eq!(file::parse(file, &Templates::new()).unwrap()[0].variables.len(), 3);
        let faults = file::parse(&file.replace("{{ tone }}", "{{ tnoe }}"), &Templates::new()).unwrap_err();
        assert!(document.contains(&faults[0].to_string()), "{}", faults[0]);
    }

    #[test]
    fn a_broken_file_is_refused_with_every_fault_and_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pipeline-templates.yml");
        std::fs::write(&file, format!("{GOOD}  - name: One\n    stages: []\n    more: 1\n")).unwrap();
        let error = PipelineTemplates::open(&file, at(1)).unwrap_err().to_string();
        for fault in ["line 6: /templates/1/name", "line 7: /templates/1/stages", "line 8: /templates/1/more"] {
            assert!(error.contains(fault), "{error}");
        }
        assert!(error.contains("line 6: /templates/1: `description` is missing"), "{error}");
        std::fs::write(&file, "templates: [\n").unwrap();
        let error = PipelineTemplates::open(&file, at(1)).unwrap_err().to_string();
        assert!(error.contains("line ") && error.contains("no YAML"), "{error}");
        std::fs::write(&file, b"\xff").unwrap();
        assert!(PipelineTemplates::open(&file, at(1)).unwrap_err().to_string().contains("UTF-8"));
        std::fs::write(&file, vec![b' '; PIPELINE_TEMPLATES_FILE_BYTES_MAX as usize + 1]).unwrap();
        assert!(PipelineTemplates::open(&file, at(1)).unwrap_err().to_string().contains("bytes"));
        std::fs::remove_file(&file).unwrap();
        assert!(PipelineTemplates::open(&file, at(1)).unwrap_err().to_string().contains("cannot be read"));
    }

    #[test]
    fn a_broken_edit_leaves_the_last_good_ones_in_force_until_it_is_mended() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pipeline-templates.yml");
        std::fs::write(&file, GOOD).unwrap();
        let templates = PipelineTemplates::open(&file, at(1)).unwrap();
        std::fs::write(&file, "templates: 7\n").unwrap();
        templates.read_again(&file, stamp_of(&file), at(2));
        let view = templates.view();
        assert_eq!((view.templates[0].name.as_str(), view.read_at, view.faults.len()), ("one", Some(at(1)), 1));
        assert_eq!(view.faults[0].line, Some(1));
        std::fs::remove_file(&file).unwrap();
        templates.read_again(&file, stamp_of(&file), at(3));
        assert_eq!(templates.view().faults[0].code, "pipeline_template.unreadable");
        std::fs::write(&file, GOOD.replace("one", "two")).unwrap();
        templates.read_again(&file, stamp_of(&file), at(4));
        let view = templates.view();
        assert_eq!((view.templates[0].name.as_str(), view.read_at, view.faults.len()), ("two", Some(at(4)), 0));
    }
}
