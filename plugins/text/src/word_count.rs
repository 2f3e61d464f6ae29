//! `text.word_count`: how long a text is.

use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Input {
    text: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct Output {
    words: usize,
    characters: usize,
    lines: usize,
    paragraphs: usize,
}

pub(crate) fn word_count(Input { text }: &Input) -> Output {
    // A dash or a bullet that stands alone is no word.
    let is_word = |token: &&str| token.chars().any(char::is_alphanumeric);
    let mut paragraphs = 0;
    let mut inside = false;
    for line in text.lines() {
        let blank = line.trim().is_empty();
        paragraphs += usize::from(!blank && !inside);
        inside = !blank;
    }
    Output {
        words: text.split_whitespace().filter(is_word).count(),
        characters: text.chars().count(),
        lines: text.lines().count(),
        paragraphs,
    }
}

#[cfg(test)]
mod tests {
    use crate::call;
    use serde_json::{Value, json};

    #[test]
    fn words_characters_lines_and_paragraphs_are_counted() {
        let input = json!({ "text": "# Größe\n\nEins – zwei\ndrei\n\n\nvier\n" });
        let output: Value = serde_json::from_str(&call("text.word_count", &input.to_string()).unwrap()).unwrap();
        assert_eq!(output, json!({ "words": 5, "characters": 33, "lines": 7, "paragraphs": 3 }));
    }

    #[test]
    fn an_empty_text_has_nothing() {
        let output = call("text.word_count", r#"{"text":""}"#).unwrap();
        assert_eq!(output, r#"{"words":0,"characters":0,"lines":0,"paragraphs":0}"#);
    }
}
