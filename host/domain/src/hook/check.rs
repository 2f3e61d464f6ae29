//! What is wrong with a hook, all of it at once.

use super::{Hook, Scheme, Verification};
use crate::agent::SECRET_NAME_BYTES_MAX;
use crate::fault::{Fault, pointer};
use crate::template::Templates;

/// A name fits on a line.
pub const HOOK_NAME_CHARS_MAX: usize = 100;
/// Fields of a run's input that a hook makes: more than forms have.
pub const HOOK_INPUT_FIELDS_MAX: usize = 100;
/// Characters of the name of one.
pub const HOOK_INPUT_NAME_CHARS_MAX: usize = 64;
/// Bytes of one expression: what picks fields out of a message, and then some.
pub const HOOK_EXPRESSION_BYTES_MAX: usize = 4 * 1024;
/// In seconds: a signature that is believed for longer is one that can be used by whoever has read along. What was accepted is
/// remembered for longer than twice this.
pub const TOLERANCE_SECONDS_MAX: u32 = 3_600;
/// In bytes of the name of a header.
pub const HOOK_HEADER_BYTES_MAX: usize = 64;

const VARIABLES: [&str; 4] = ["body", "headers", "query", "method"];

/// Everything that is wrong with `hook`; pointers are relative to it.
pub fn check(templates: &Templates, hook: &Hook) -> Vec<Fault> {
    let mut faults = Vec::new();
    if let Some(verify) = &hook.verify {
        check_verification(verify, &mut faults);
    }
    let mut expression = |place: String, source: &str| {
        if let Some(why) = fault_of(templates, source) {
            faults.push(Fault::new(place, "hook.expression", why));
        }
    };
    for (place, source) in [("/when", &hook.when), ("/deduplicateBy", &hook.deduplicate_by)] {
        if let Some(source) = source {
            expression(place.to_owned(), source);
        }
    }
    for (name, source) in hook.input.iter().flatten() {
        expression(pointer("/input", name), source);
    }
    let fields = hook.input.as_ref().map_or(0, |input| input.len());
    if fields > HOOK_INPUT_FIELDS_MAX {
        let detail = format!("the input has {fields} fields; it may have {HOOK_INPUT_FIELDS_MAX}");
        faults.push(Fault::new("/input", "hook.input", detail));
    }
    for name in hook.input.iter().flatten().map(|(name, _)| name) {
        if !(1..=HOOK_INPUT_NAME_CHARS_MAX).contains(&name.chars().count()) {
            let detail = format!("the name of a field has 1 to {HOOK_INPUT_NAME_CHARS_MAX} characters");
            faults.push(Fault::new(pointer("/input", name), "hook.input", detail));
        }
    }
    faults
}

fn check_verification(verify: &Verification, faults: &mut Vec<Fault>) {
    let in_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if !(1..=SECRET_NAME_BYTES_MAX).contains(&verify.secret.len()) || !verify.secret.bytes().all(in_name) {
        let detail = format!(
            "this is the name under which `PUT /secrets/:name` keeps the value: 1 to {SECRET_NAME_BYTES_MAX} of A-Z a-z 0-9 - _ ."
        );
        faults.push(Fault::new("/verify/secret", "hook.secret", detail));
    }
    if let Some(seconds) = verify.tolerance_seconds {
        let detail = if !verify.scheme.signs_an_instant() {
            Some("the scheme signs no instant, so nothing can be too old".to_owned())
        } else if !(1..=TOLERANCE_SECONDS_MAX).contains(&seconds) {
            Some(format!("the tolerance is 1 to {TOLERANCE_SECONDS_MAX} seconds"))
        } else {
            None
        };
        faults.extend(detail.map(|detail| Fault::new("/verify/toleranceSeconds", "hook.tolerance", detail)));
    }
    if let Some(header) = &verify.header {
        let in_header = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&b);
        let detail = if verify.scheme != Scheme::SharedSecret {
            Some("only a shared secret stands in a header of one's own choice".to_owned())
        } else if !(1..=HOOK_HEADER_BYTES_MAX).contains(&header.len()) || !header.bytes().all(in_header) {
            Some(format!("the name of a header has 1 to {HOOK_HEADER_BYTES_MAX} letters, digits and hyphens"))
        } else {
            None
        };
        faults.extend(detail.map(|detail| Fault::new("/verify/header", "hook.header", detail)));
    }
}

fn fault_of(templates: &Templates, source: &str) -> Option<String> {
    if source.len() > HOOK_EXPRESSION_BYTES_MAX {
        return Some(format!("an expression here has at most {HOOK_EXPRESSION_BYTES_MAX} bytes"));
    }
    let read = match templates.check_expression(source) {
        Ok(read) => read,
        Err(why) => return Some(format!("the expression does not parse: {why}")),
    };
    let mut unknown: Vec<_> = read.into_iter().filter(|name| !VARIABLES.contains(&name.as_str())).collect();
    unknown.sort();
    let unknown = unknown.into_iter().next()?;
    Some(format!("there is no variable `{unknown}` here; there are `body`, `headers`, `query` and `method`"))
}
