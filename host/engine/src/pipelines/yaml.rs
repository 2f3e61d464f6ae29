//! YAML as JSON that remembers on which line each of its values stands.

use std::collections::HashMap;
use std::fmt;

use armilla_domain::fault::pointer;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use serde_saphyr::Spanned;

/// Values of one document, those that aliases repeat counted: far more than the largest document of use has.
const NODES_MAX: usize = 20_000;
/// How deep a document may nest.
const DEPTH_MAX: usize = 16;

/// A document.
#[derive(Debug)]
pub(super) struct Document {
    /// What it says.
    pub(super) value: Value,
    /// By JSON pointer: the line, from 1, of each value, or of its key where it has one.
    lines: HashMap<String, u64>,
}

/// Why a text is no document.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotYaml {
    /// Where it was found out, from 1.
    pub(super) line: Option<u64>,
    /// For people.
    pub(super) why: String,
}

impl Document {
    /// Reads one document, within bounds that hold for what aliases repeat as well.
    pub(super) fn read(text: &str) -> Result<Self, NotYaml> {
        let mut options = serde_saphyr::options! { with_snippet: false };
        if let Some(budget) = &mut options.budget {
            budget.max_nodes = NODES_MAX;
            budget.max_depth = DEPTH_MAX;
            budget.flow_nesting_limit = DEPTH_MAX;
        }
        options.alias_limits.max_total_replayed_events = NODES_MAX;
        let root: Spanned<Node> = serde_saphyr::from_str_with_options(text, options).map_err(|error| NotYaml {
            line: error.location().map(|location| location.line()).filter(|line| *line > 0),
            why: explained(&error.to_string()),
        })?;
        let mut lines = HashMap::from([(String::new(), root.referenced.line().max(1))]);
        let value = unfold(root.value, "", &mut lines);
        Ok(Self { value, lines })
    }

    /// The line of the value at a pointer, or of the innermost one around where it would be.
    pub(super) fn line_of(&self, mut place: &str) -> u64 {
        loop {
            if let Some(line) = self.lines.get(place) {
                return *line;
            }
            place = place.rsplit_once('/').map_or("", |(outer, _)| outer);
        }
    }
}

/// A message without its position, which is told apart, and without advice for programmers.
fn explained(message: &str) -> String {
    let what = message.split(" at line ").next().unwrap_or_default();
    if what.starts_with("multiple YAML documents") {
        return "there is more than one document".to_owned();
    }
    if what.starts_with("budget breached") || what.contains("limit exceeded") {
        return format!("it is larger than {NODES_MAX} values, or nests deeper than {DEPTH_MAX} levels");
    }
    what.split(", set DuplicateKeyPolicy").next().unwrap_or_default().to_owned()
}

fn unfold(node: Node, place: &str, lines: &mut HashMap<String, u64>) -> Value {
    match node {
        Node::Scalar(value) => value,
        Node::List(items) => {
            let items = items.into_iter().enumerate().map(|(index, item)| {
                let place = pointer(place, index);
                lines.insert(place.clone(), item.referenced.line());
                unfold(item.value, &place, lines)
            });
            Value::Array(items.collect())
        }
        Node::Mapping(fields) => {
            let fields = fields.into_iter().map(|(key, field)| {
                let place = pointer(place, &key.value);
                lines.insert(place.clone(), key.referenced.line());
                (key.value, unfold(field.value, &place, lines))
            });
            Value::Object(fields.collect::<Map<_, _>>())
        }
    }
}

enum Node {
    Scalar(Value),
    List(Vec<Spanned<Node>>),
    Mapping(Vec<(Spanned<String>, Spanned<Node>)>),
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Null))
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Node, A::Error> {
        let mut mapping = Vec::new();
        while let Some(field) = fields.next_entry()? {
            mapping.push(field);
        }
        Ok(Node::Mapping(mapping))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_read_with_the_lines_on_which_they_stand() {
        let text = "# words\nlist:\n  - a: 1\n    b: [true, null, 1.5]\n  - |\n    two\n    lines\nlast: 'x'\n";
        let document = Document::read(text).unwrap();
        let value = json!({ "list": [{ "a": 1, "b": [true, null, 1.5] }, "two\nlines\n"], "last": "x" });
        assert_eq!(document.value, value);
        for (place, line) in [("", 2), ("/list", 2), ("/list/0/b/1", 4), ("/list/0/missing/deep", 3), ("/last", 8)] {
            assert_eq!(document.line_of(place), line, "{place}");
        }
    }

    #[test]
    fn what_is_no_document_is_refused_with_its_line_and_without_advice_for_programmers() {
        for (text, line, why) in [
            ("a: 1\na: 2\n", 2, "duplicate mapping key: a"),
            ("a: [1\nb: 2\n", 2, "illegal placement"),
            ("a: 1\n---\nb: 2\n", 3, "there is more than one document"),
            ("? [a]\n: 3\n", 1, "string scalar"),
        ] {
            let refused = Document::read(text).unwrap_err();
            assert_eq!(refused.line, Some(line), "{refused:?}");
            assert!(refused.why.contains(why) && !refused.why.contains("Policy"), "{refused:?}");
        }
    }

    #[test]
    fn aliases_cannot_make_a_small_text_a_huge_document() {
        let mut text = "a0: &a0 [x]\n".to_owned();
        for level in 1..9 {
            let again = vec![format!("*a{}", level - 1); 9].join(", ");
            text.push_str(&format!("a{level}: &a{level} [{again}]\n"));
        }
        let refused = Document::read(&text).unwrap_err();
        assert!(refused.why.contains("larger than"), "{refused:?}");
        let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
        assert!(Document::read(&deep).is_err());
        let shared = Document::read("a: &a { x: 1 }\nb: *a\n").unwrap();
        assert_eq!(shared.value["b"], json!({ "x": 1 }));
    }
}
