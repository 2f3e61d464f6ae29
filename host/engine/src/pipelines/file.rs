//! The file of pipeline templates: read within a bound, and checked whole.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use armilla_domain::pipeline::PipelineTemplate;
use armilla_domain::template::Templates;

use super::yaml::Document;

/// Bytes of a file of pipeline templates: several times what a hundred long ones have.
pub const PIPELINE_TEMPLATES_FILE_BYTES_MAX: u64 = 512 * 1024;

/// One thing that is wrong with a file of pipeline templates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFault {
    /// On which line, from 1, where one can be told.
    pub line: Option<u64>,
    /// What kind: stable, dotted, for programs.
    pub code: String,
    /// What and why, for people; nothing of the machine.
    pub detail: String,
}

impl FileFault {
    fn new(line: Option<u64>, what: &str, detail: impl Into<String>) -> Self {
        Self { line, code: format!("pipeline_template.{what}"), detail: detail.into() }
    }
}

impl fmt::Display for FileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.detail),
            None => f.write_str(&self.detail),
        }
    }
}

/// A file of pipeline templates that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the pipeline templates {}:{}", .file.display(), .faults.iter().map(|fault| format!("\n  {fault}")).collect::<String>())]
pub struct TemplatesFileError {
    /// Which file.
    pub file: PathBuf,
    /// Everything that is wrong with it.
    pub faults: Vec<FileFault>,
}

/// What a file looked like: another look tells whether it was changed. `None` where it is not there.
pub(super) type Stamp = Option<(u64, SystemTime)>;

pub(super) fn stamp_of(file: &Path) -> Stamp {
    let metadata = std::fs::metadata(file).ok()?;
    Some((metadata.len(), metadata.modified().ok()?))
}

/// The templates of a file, or everything that is wrong with it.
pub(super) fn read(file: &Path, templates: &Templates) -> Result<Vec<PipelineTemplate>, Vec<FileFault>> {
    let unreadable = |error: std::io::Error| {
        vec![FileFault::new(None, "unreadable", format!("the file cannot be read: {}", error.kind()))]
    };
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(file).map_err(unreadable)?;
    opened.take(PIPELINE_TEMPLATES_FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > PIPELINE_TEMPLATES_FILE_BYTES_MAX {
        let detail = format!("the file has more than {PIPELINE_TEMPLATES_FILE_BYTES_MAX} bytes");
        return Err(vec![FileFault::new(None, "too_large", detail)]);
    }
    let text = String::from_utf8(bytes)
        .map_err(|_| vec![FileFault::new(None, "not_utf8", "the file is not text in UTF-8")])?;
    parse(&text, templates)
}

/// As [`read`], of a text.
pub(super) fn parse(text: &str, templates: &Templates) -> Result<Vec<PipelineTemplate>, Vec<FileFault>> {
    let document = Document::read(text)
        .map_err(|not| vec![FileFault::new(not.line, "not_yaml", format!("this is no YAML: {}", not.why))])?;
    PipelineTemplate::read_all(&document.value, templates).map_err(|faults| {
        let mut faults: Vec<FileFault> = faults
            .into_iter()
            .map(|fault| FileFault {
                line: Some(document.line_of(&fault.pointer)),
                code: fault.code,
                detail: if fault.pointer.is_empty() {
                    fault.detail
                } else {
                    format!("{}: {}", fault.pointer, fault.detail)
                },
            })
            .collect();
        faults.sort_by_key(|fault| fault.line);
        faults
    })
}
