//! `text.plain`: Markdown as plain text.

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Input {
    text: String,
    #[serde(default)]
    link_targets: bool,
}

#[derive(Debug, Serialize)]
pub(crate) struct Output {
    text: String,
}

pub(crate) fn plain(input: &Input) -> Output {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    let mut writer = Writer { link_targets: input.link_targets, ..Writer::default() };
    for event in Parser::new_ext(&input.text, options) {
        writer.take(event);
    }
    Output { text: writer.text.trim().to_owned() }
}

/// Writes events as text, one blank line between blocks.
#[derive(Default)]
struct Writer {
    text: String,
    link_targets: bool,
    /// The targets of the links that are open.
    links: Vec<String>,
    /// The numbers of the lists that are open, none for a list of bullets.
    lists: Vec<Option<u64>>,
    cells: usize,
}

impl Writer {
    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Text(text) | Event::Code(text) => self.text.push_str(&text),
            Event::SoftBreak => self.text.push(' '),
            Event::HardBreak => self.text.push('\n'),
            Event::TaskListMarker(done) => self.text.push_str(if done { "[x] " } else { "[ ] " }),
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            // Markup that is not text: HTML, rules, footnotes, mathematics.
            _ => {}
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Paragraph if self.at_item() => {}
            Tag::Paragraph | Tag::Heading { .. } | Tag::CodeBlock(_) | Tag::Table(_) => self.blank_line(),
            Tag::List(first) => {
                if self.lists.is_empty() {
                    self.blank_line();
                }
                self.lists.push(first);
            }
            Tag::Item => self.item(),
            Tag::TableRow | Tag::TableHead => {
                self.line();
                self.cells = 0;
            }
            Tag::TableCell => {
                if self.cells > 0 {
                    self.text.push('\t');
                }
                self.cells += 1;
            }
            Tag::Link { dest_url, .. } => self.links.push(dest_url.into_string()),
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::List(_) => {
                self.lists.pop();
            }
            TagEnd::Link => {
                let target = self.links.pop().unwrap_or_default();
                // An autolink is its own target already.
                if self.link_targets && !self.text.ends_with(&target) {
                    self.text.push_str(&format!(" ({target})"));
                }
            }
            _ => {}
        }
    }

    fn item(&mut self) {
        self.line();
        let depth = self.lists.len().saturating_sub(1);
        self.text.push_str(&"  ".repeat(depth));
        match self.lists.last_mut() {
            Some(Some(number)) => {
                self.text.push_str(&format!("{number}. "));
                *number += 1;
            }
            _ => self.text.push_str("- "),
        }
    }

    /// Whether the text ends with the mark of a list's item, whose first paragraph goes on in the same line.
    fn at_item(&self) -> bool {
        let line = self.text.rsplit('\n').next().unwrap_or_default().trim_start();
        !self.lists.is_empty() && (line == "- " || line.strip_suffix(". ").is_some_and(|n| n.parse::<u64>().is_ok()))
    }

    fn line(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with('\n') {
            self.text.push('\n');
        }
    }

    fn blank_line(&mut self) {
        self.line();
        if !self.text.is_empty() && !self.text.ends_with("\n\n") {
            self.text.push('\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(markdown: &str) -> String {
        plain(&Input { text: markdown.to_owned(), link_targets: false }).text
    }

    #[test]
    fn marks_go_and_words_stay() {
        assert_eq!(
            text("# Title\n\nSome *emphasis*, `code` and\na [link](https://example.org).\n\n---\n\n> said"),
            "Title\n\nSome emphasis, code and a link.\n\nsaid"
        );
    }

    #[test]
    fn lists_keep_their_marks_and_their_depth() {
        assert_eq!(text("- a\n- b\n  - c\n\n1. x\n2. y"), "- a\n- b\n  - c\n\n1. x\n2. y");
        assert_eq!(text("- a\n\n- b"), "- a\n- b");
        assert_eq!(text("- [x] done"), "- [x] done");
    }

    #[test]
    fn tables_become_lines_with_tabs() {
        assert_eq!(text("| a | b |\n|---|---|\n| 1 | 2 |"), "a\tb\n1\t2");
    }

    #[test]
    fn code_is_kept_as_it_is_and_html_is_dropped() {
        assert_eq!(text("a\n\n```rust\nlet x = 1;\n```\n\n<b>c</b>"), "a\n\nlet x = 1;\n\nc");
    }

    #[test]
    fn link_targets_are_kept_on_request() {
        let input = Input { text: "[a](https://example.org) <https://example.org>".to_owned(), link_targets: true };
        assert_eq!(plain(&input).text, "a (https://example.org) https://example.org");
    }
}
