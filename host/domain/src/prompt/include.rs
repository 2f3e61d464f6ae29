//! Templates inside templates: `{% include "name" %}` and `{% include "name@3" %}` are replaced by the other template's text before
//! anything is rendered, so that the bounds of one template hold for all of it together.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;

use minijinja::machinery::{Token, tokenize};
use minijinja::syntax::SyntaxConfig;

use super::variables::Variable;
use crate::template::TEMPLATE_SOURCE_BYTES_MAX;

/// How deep includes may nest.
pub const INCLUDE_DEPTH_MAX: usize = 8;
/// Includes of one template, those inside of others counted.
pub const INCLUDES_MAX: usize = 100;

/// Between a text and what it includes: neither trims the other's blanks.
const BARRIER: &str = "{# #}";

/// What an include names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reference {
    /// The template's name.
    pub name: String,
    /// The version that it stays on; the newest where absent.
    pub version: Option<i32>,
}

impl Reference {
    fn parse(text: &str) -> Option<Self> {
        let (name, version) = match text.split_once('@') {
            None => (text, None),
            Some((name, version)) => {
                let plain = !version.starts_with('0') && version.bytes().all(|byte| byte.is_ascii_digit());
                (name, Some(version.parse().ok().filter(|_| plain)?))
            }
        };
        super::template::name_fault(name).is_none().then(|| Self { name: name.to_owned(), version })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.version {
            Some(version) => write!(f, "{}@{version}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// A version of a template, as others include it.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// The template's name.
    pub name: String,
    /// The version.
    pub version: i32,
    /// Its text, with its own includes in it.
    pub template: String,
    /// What it declares.
    pub variables: Vec<Variable>,
}

/// Templates by what includes call them.
#[derive(Debug, Default)]
pub struct Library {
    parts: HashMap<Reference, Part>,
    is_cut_short: bool,
}

impl Library {
    /// Keeps what a reference leads to.
    pub fn add(&mut self, reference: Reference, part: Part) {
        self.parts.insert(reference, part);
    }

    /// Notes that there is more to it than [`INCLUDES_MAX`] templates, and that the rest was not looked up.
    pub fn cut_short(&mut self) {
        self.is_cut_short = true;
    }

    /// What a reference leads to.
    pub fn get(&self, reference: &Reference) -> Option<&Part> {
        self.parts.get(reference)
    }
}

/// A text with everything that it includes.
#[derive(Debug)]
pub struct Expanded<'a> {
    /// The text, without a single include.
    pub source: String,
    /// What was included, each version once, in the order in which it was come upon.
    pub parts: Vec<&'a Part>,
}

/// Why a text cannot be put together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IncludeError {
    /// The text has an include that names nothing, or is none of this language at all.
    #[error("{0}")]
    Malformed(String),
    /// There is no such template, or no such version of it.
    #[error("there is no prompt template `{0}` to include")]
    Unknown(Reference),
    /// A template is inside itself.
    #[error("a template cannot be inside itself: {}", .0.join(" includes "))]
    Cycle(Vec<String>),
    /// More than is allowed of something.
    #[error("{0}")]
    Limit(String),
}

impl IncludeError {
    /// The code of a fault that says so.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "prompt.template",
            Self::Unknown(_) => "prompt.include_unknown",
            Self::Cycle(_) => "prompt.include_cycle",
            Self::Limit(_) => "prompt.limit",
        }
    }
}

/// What a text includes itself, each once, in the order of the text.
///
/// # Errors
/// [`IncludeError::Malformed`].
pub fn references(source: &str) -> Result<Vec<Reference>, IncludeError> {
    let mut found: Vec<Reference> = Vec::new();
    for tag in tags(source)? {
        if !found.contains(&tag.reference) {
            found.push(tag.reference);
        }
    }
    Ok(found)
}

/// Puts the included templates' texts in the place of the includes, as deep as they go. `name` is the text's own, where it is a
/// template.
///
/// # Errors
/// See [`IncludeError`].
pub fn expand<'a>(source: &str, name: Option<&str>, library: &'a Library) -> Result<Expanded<'a>, IncludeError> {
    let path = name.map(str::to_owned).into_iter().collect();
    let mut expansion = Expansion { library, path, parts: Vec::new(), includes: 0, source: String::new(), depth: 0 };
    expansion.write(source)?;
    Ok(Expanded { source: expansion.source, parts: expansion.parts })
}

/// A text with nothing in the place of its includes.
pub(super) fn without_includes(source: &str) -> Result<String, IncludeError> {
    let mut written = String::new();
    let mut from = 0;
    for Tag { place, .. } in tags(source)? {
        written.push_str(&source[from..place.start]);
        written.push_str(BARRIER);
        from = place.end;
    }
    written.push_str(&source[from..]);
    Ok(written)
}

struct Expansion<'a> {
    library: &'a Library,
    /// The names of the templates that are being written, from the outside in.
    path: Vec<String>,
    depth: usize,
    includes: usize,
    parts: Vec<&'a Part>,
    source: String,
}

impl Expansion<'_> {
    fn write(&mut self, source: &str) -> Result<(), IncludeError> {
        let mut from = 0;
        for Tag { reference, place } in tags(source)? {
            let tag = &source[place.clone()];
            let before = &source[from..place.start];
            self.push(if tag.starts_with("{%-") { before.trim_end() } else { before })?;
            self.include(reference)?;
            from = place.end;
            if tag.ends_with("-%}") {
                from = source.len() - source[from..].trim_start().len();
            }
        }
        self.push(&source[from..])
    }

    fn include(&mut self, reference: Reference) -> Result<(), IncludeError> {
        if self.path.contains(&reference.name) {
            let path = self.path.iter().skip_while(|name| **name != reference.name);
            return Err(IncludeError::Cycle(path.chain([&reference.name]).map(|name| format!("`{name}`")).collect()));
        }
        let part = self.library.get(&reference);
        self.includes += 1;
        if self.includes > INCLUDES_MAX || (part.is_none() && self.library.is_cut_short) {
            return Err(IncludeError::Limit(format!("there are more than {INCLUDES_MAX} includes in all")));
        }
        if self.depth == INCLUDE_DEPTH_MAX {
            return Err(IncludeError::Limit(format!("includes nest deeper than {INCLUDE_DEPTH_MAX} levels")));
        }
        let part = part.ok_or_else(|| IncludeError::Unknown(reference.clone()))?;
        if !self.parts.iter().any(|known| known.name == part.name && known.version == part.version) {
            self.parts.push(part);
        }
        // As a template's own last line end is dropped when it is rendered alone.
        let text = part.template.strip_suffix('\n').unwrap_or(&part.template);
        let text = text.strip_suffix('\r').filter(|_| part.template.ends_with('\n')).unwrap_or(text);
        self.depth += 1;
        self.path.push(reference.name);
        self.push(BARRIER)?;
        self.write(text)?;
        self.push(BARRIER)?;
        self.path.pop();
        self.depth -= 1;
        Ok(())
    }

    fn push(&mut self, text: &str) -> Result<(), IncludeError> {
        if self.source.len() + text.len() > TEMPLATE_SOURCE_BYTES_MAX {
            let why = format!("with what it includes it is longer than {TEMPLATE_SOURCE_BYTES_MAX} bytes");
            return Err(IncludeError::Limit(why));
        }
        self.source.push_str(text);
        Ok(())
    }
}

/// One include and where it stands, braces included.
struct Tag {
    reference: Reference,
    place: Range<usize>,
}

fn tags(source: &str) -> Result<Vec<Tag>, IncludeError> {
    let mut found = Vec::new();
    if !source.contains("include") {
        return Ok(found);
    }
    let mut tokens = tokenize(source, false, SyntaxConfig::default());
    let mut next = || -> Result<Option<_>, IncludeError> {
        tokens.next().transpose().map_err(|error| IncludeError::Malformed(format!("does not parse: {error}")))
    };
    while let Some((token, opening)) = next()? {
        if !matches!(token, Token::BlockStart) || !matches!(next()?, Some((Token::Ident("include"), _))) {
            continue;
        }
        let named = match next()? {
            Some((Token::Str(name), _)) => Reference::parse(name),
            Some((Token::String(name), _)) => Reference::parse(&name),
            _ => None,
        };
        match (named, next()?) {
            (Some(reference), Some((Token::BlockEnd, closing))) => {
                found.push(Tag { reference, place: opening.start_offset as usize..closing.end_offset as usize });
            }
            _ => {
                let why = r#"an include is `{% include "name" %}` or `{% include "name@3" %}`, and nothing else"#;
                return Err(IncludeError::Malformed(why.to_owned()));
            }
        }
    }
    Ok(found)
}
