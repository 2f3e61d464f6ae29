//! What the demo prints: an account for people, on standard output.

use std::io::{IsTerminal, Write, stdout};
use std::time::Duration;

use serde_json::Value;

/// Characters of a result's line: what fits beside the rest on a terminal.
const RESULT_CHARS_MAX: usize = 76;

pub(super) fn line(text: &str) {
    // A reader that went away, such as `head`, must not stop the demo.
    let _ = writeln!(stdout(), "{text}");
    let _ = stdout().flush();
}

pub(super) fn heading(text: &str) {
    line(&format!("\n{}", bold(text)));
}

/// A line that says what takes its time; on a terminal it is written over by the next one.
pub(super) fn progress(text: &str, elapsed: Duration) {
    if stdout().is_terminal() {
        let _ = write!(stdout(), "\r\x1b[2K  {text} … {:.0} s", elapsed.as_secs_f64());
        let _ = stdout().flush();
    } else if elapsed.as_secs().is_multiple_of(5) {
        line(&format!("  {text} … {:.0} s", elapsed.as_secs_f64()));
    }
}

/// Ends a progress line.
pub(super) fn progress_over() {
    if stdout().is_terminal() {
        let _ = write!(stdout(), "\r\x1b[2K");
    }
}

/// One step that ended: mark, id, what it called, how long it took, and a line of its result.
pub(super) fn step(record: &Value) {
    let text = |field: &str| record[field].as_str().unwrap_or_default();
    let (mark, result) = match text("status") {
        "success" => ("✓", first_line(&record["output"])),
        "failed" => ("✗", first_line(&record["error"]["message"])),
        "skipped" => ("-", "skipped".to_owned()),
        other => ("·", other.to_owned()),
    };
    let called = match record["answerer"]["name"].as_str() {
        Some(name) => format!("{} {name}", text("type")),
        None => text("type").to_owned(),
    };
    let duration = record["durationMs"].as_u64().map(|ms| format!("{ms} ms")).unwrap_or_default();
    let indent = if text("scope").is_empty() { "" } else { "  " };
    line(&format!("  {mark} {:<10} {called:<22} {duration:>7}  {result}", format!("{indent}{}", text("stepId"))));
}

pub(super) fn json(value: &Value) {
    let pretty = serde_json::to_string_pretty(value).unwrap_or_default();
    for row in pretty.lines() {
        line(&format!("  {row}"));
    }
}

fn first_line(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let row = text.lines().find(|row| !row.trim().is_empty()).unwrap_or_default();
    let mut short: String = row.chars().take(RESULT_CHARS_MAX).collect();
    if row.chars().count() > RESULT_CHARS_MAX || text.lines().count() > 1 {
        short.push('…');
    }
    short
}

fn bold(text: &str) -> String {
    if stdout().is_terminal() { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_result_is_one_short_line() {
        assert_eq!(first_line(&json!("\n# Title\nmore")), "# Title…");
        assert_eq!(first_line(&json!({ "approved": true })), r#"{"approved":true}"#);
        assert_eq!(first_line(&json!("x".repeat(100))).chars().count(), RESULT_CHARS_MAX + 1);
    }
}
