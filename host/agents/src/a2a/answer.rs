//! What the parts of messages and artifacts are as an agent's answer.

use armilla_domain::agent::answer_value;
use armilla_domain::call::CallError;
use armilla_domain::json::is_too_deep;
use serde::Deserialize;
use serde_json::{Map, Number, Value, json};

use crate::answer::AgentAnswer;
use crate::failure;

/// A part, as either version writes it: text, data, or a file, which 0.3 puts into an object of its own.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Part {
    text: Option<String>,
    data: Option<Value>,
    file: Option<File>,
    #[serde(flatten)]
    own: File,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    #[serde(alias = "uri", alias = "fileWithUri")]
    url: Option<String>,
    #[serde(alias = "bytes", alias = "fileWithBytes")]
    raw: Option<String>,
    #[serde(alias = "name")]
    filename: Option<String>,
    #[serde(alias = "mimeType")]
    media_type: Option<String>,
}

enum Piece {
    Text(String),
    Value(Value),
}

/// The answer that several lists of parts make: those of each artifact, or of one message.
///
/// Texts are one text: those of one list as they follow each other, for an agent that streams sends its text in pieces, and the lists with a
/// blank line between them. What is one piece of data is that value. Where there are both, or several, the value is an array of them in
/// their order, and a number without a fraction is a whole one, since the protocol buffers behind 1.0 know no others and write `12.0` for 12.
/// A file is data, described as version 1.0 does: its `url`, or its bytes in base64 as `raw`. What is none of these is left out.
///
/// # Errors
/// `agent.bad_answer` where it nests too deep.
pub(crate) fn of(
    agent: &str,
    lists: impl IntoIterator<Item = Vec<Part>>,
    wraps_data: bool,
) -> Result<AgentAnswer, CallError> {
    let mut pieces = Vec::new();
    for list in lists {
        let begins_at = pieces.len();
        for part in list {
            match (part.piece(wraps_data), pieces.get_mut(begins_at..).and_then(<[Piece]>::last_mut)) {
                (Some(Piece::Text(text)), Some(Piece::Text(before))) => before.push_str(&text),
                (Some(piece), _) => pieces.push(piece),
                (None, _) => {}
            }
        }
    }
    let text = pieces.iter().map(Piece::text).collect::<Vec<_>>().join("\n\n");
    let value = match <[Piece; 1]>::try_from(pieces) {
        Ok([Piece::Value(value)]) => value,
        Ok([Piece::Text(_)]) => answer_value(&text),
        Err(pieces) if pieces.is_empty() => Value::Null,
        Err(pieces) if pieces.iter().all(|piece| matches!(piece, Piece::Text(_))) => answer_value(&text),
        Err(pieces) => pieces.into_iter().map(Piece::into_value).collect(),
    };
    if is_too_deep(&value) {
        return Err(failure::of_answer(agent, "its answer nests too deep"));
    }
    Ok(AgentAnswer { value, ..AgentAnswer::of_text(text) })
}

impl Part {
    fn piece(self, wraps_data: bool) -> Option<Piece> {
        if let Some(text) = self.text {
            return Some(Piece::Text(text));
        }
        let data = match self.data {
            Some(Value::Object(mut wrapper)) if wraps_data => wrapper.remove("data"),
            data => data,
        };
        let data = data.map(|mut data| {
            make_whole(&mut data);
            data
        });
        data.or_else(|| self.file.unwrap_or(self.own).described()).map(Piece::Value)
    }
}

/// Writes each number that has no fraction as a whole one, where a double holds it exactly. The reader of JSON has bounded the depth.
fn make_whole(value: &mut Value) {
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    match value {
        Value::Number(number) => {
            let whole = number.as_f64().filter(|_| number.is_f64()).filter(|float| float.fract() == 0.0);
            if let Some(whole) = whole.filter(|float| float.abs() < EXACT_MAX) {
                *number = Number::from(whole as i64);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(make_whole),
        Value::Object(fields) => fields.values_mut().for_each(make_whole),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

impl File {
    fn described(self) -> Option<Value> {
        if self.url.is_none() && self.raw.is_none() {
            return None;
        }
        let fields =
            [("filename", self.filename), ("mediaType", self.media_type), ("url", self.url), ("raw", self.raw)];
        let told = fields
            .into_iter()
            .filter_map(|(name, text)| Some((name.to_owned(), json!(text.filter(|text| !text.is_empty())?))));
        Some(Value::Object(told.collect::<Map<_, _>>()))
    }
}

impl Piece {
    fn text(&self) -> String {
        match self {
            Self::Text(text) | Self::Value(Value::String(text)) => text.clone(),
            Self::Value(value) => value.to_string(),
        }
    }

    fn into_value(self) -> Value {
        match self {
            Self::Text(text) => Value::String(text),
            Self::Value(value) => value,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(lists: &Value, wraps_data: bool) -> AgentAnswer {
        let lists: Vec<Vec<Part>> = serde_json::from_value(lists.clone()).unwrap();
        of("tester", lists, wraps_data).unwrap()
    }

    #[test]
    fn texts_are_one_text_in_the_order_of_the_artifacts() {
        let answered = answer(&json!([[{ "text": "Once " }, { "text": "more." }], [{ "text": "The end." }]]), false);
        assert_eq!(answered.text, "Once more.\n\nThe end.");
        assert_eq!(answered.value, json!("Once more.\n\nThe end."));
        let in_pieces = answer(&json!([[{ "text": "{\"approved\":" }, { "text": " true}" }]]), false);
        assert_eq!(in_pieces.value, json!({ "approved": true }));
    }

    #[test]
    fn a_piece_of_data_alone_is_the_value_and_several_pieces_are_an_array() {
        for (data, value) in [
            (json!({ "n": 1 }), json!({ "n": 1 })),
            (json!([1]), json!([1])),
            (json!("s"), json!("s")),
            (json!(7), json!(7)),
        ] {
            assert_eq!(answer(&json!([[{ "data": data }]]), false).value, value);
        }
        let both = answer(
            &json!([[{ "text": "Two " }, { "text": "rows:" }, { "data": { "n": 2 } }], [{ "data": [1] }]]),
            false,
        );
        assert_eq!(both.value, json!(["Two rows:", { "n": 2 }, [1]]));
        assert_eq!(both.text, "Two rows:\n\n{\"n\":2}\n\n[1]");
    }

    #[test]
    fn numbers_without_a_fraction_are_whole() {
        let data = json!({ "pages": 12.0, "price": 1.5, "rows": [-3.0, { "huge": 1e300 }], "exact": 9_007_199_254_740_993_u64 });
        let whole =
            json!({ "pages": 12, "price": 1.5, "rows": [-3, { "huge": 1e300 }], "exact": 9_007_199_254_740_993_u64 });
        assert_eq!(answer(&json!([[{ "data": data }]]), false).value, whole);
    }

    #[test]
    fn a_file_is_described_alike_however_it_came() {
        let linked = json!({ "filename": "a.png", "mediaType": "image/png", "url": "https://h/a.png" });
        let inline = json!({ "mediaType": "text/plain", "raw": "aGk=" });
        for (part, described) in [
            (linked.clone(), &linked),
            (
                json!({ "kind": "file", "file": { "uri": "https://h/a.png", "name": "a.png", "mimeType": "image/png" } }),
                &linked,
            ),
            (
                json!({ "file": { "fileWithUri": "https://h/a.png", "name": "a.png", "mimeType": "image/png" } }),
                &linked,
            ),
            (inline.clone(), &inline),
            (json!({ "kind": "file", "file": { "bytes": "aGk=", "mimeType": "text/plain" } }), &inline),
        ] {
            assert_eq!(&answer(&json!([[part]]), false).value, described, "{part}");
        }
    }

    #[test]
    fn data_of_the_old_protocol_buffers_is_taken_out_of_its_wrapper() {
        assert_eq!(answer(&json!([[{ "data": { "data": { "n": 1 } } }]]), true).value, json!({ "n": 1 }));
        assert_eq!(answer(&json!([[{ "data": { "data": { "n": 1 } } }]]), false).value, json!({ "data": { "n": 1 } }));
    }

    #[test]
    fn what_is_none_of_these_is_left_out_and_nothing_is_null() {
        assert_eq!(answer(&json!([[{ "hologram": 1 }, { "text": "Hi" }]]), false).value, json!("Hi"));
        let nothing = answer(&json!([]), false);
        assert_eq!((nothing.text.as_str(), nothing.value), ("", json!(null)));
    }

    #[test]
    fn an_answer_that_nests_too_deep_is_refused() {
        let deep = (0..65).fold(json!(1), |inner, _| json!([inner]));
        let parts: Vec<Part> = serde_json::from_value(json!([{ "data": deep }])).unwrap();
        assert_eq!(of("tester", [parts], false).unwrap_err().code, "agent.bad_answer");
    }
}
