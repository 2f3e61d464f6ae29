//! `text.slugify`: a name for URLs and files out of any text.

use deunicode::deunicode;
use serde::{Deserialize, Serialize};

const SLUG_CHARS_DEFAULT: usize = 80;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Input {
    text: String,
    #[serde(default = "separator_default")]
    separator: char,
    #[serde(default = "slug_chars_default")]
    max_length: usize,
}

fn separator_default() -> char {
    '-'
}

fn slug_chars_default() -> usize {
    SLUG_CHARS_DEFAULT
}

#[derive(Debug, Serialize)]
pub(crate) struct Output {
    slug: String,
}

pub(crate) fn slugify(input: &Input) -> Output {
    let ascii = deunicode(&input.text).to_ascii_lowercase();
    // An apostrophe joins what it stands between: "don't" is one word.
    let ascii = ascii.replace('\'', "");
    let mut slug = String::new();
    for word in ascii.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()) {
        let length = slug.len() + usize::from(!slug.is_empty()) + word.len();
        if length > input.max_length {
            // A slug ends with a whole word, unless its first one is too long already.
            if slug.is_empty() {
                slug.push_str(&word[..input.max_length]);
            }
            break;
        }
        if !slug.is_empty() {
            slug.push(input.separator);
        }
        slug.push_str(word);
    }
    Output { slug }
}

#[cfg(test)]
mod tests {
    use crate::call;
    use serde_json::{Value, json};

    fn slugify(input: Value) -> String {
        let output: Value = serde_json::from_str(&call("text.slugify", &input.to_string()).unwrap()).unwrap();
        output["slug"].as_str().unwrap().to_owned()
    }

    #[test]
    fn any_script_becomes_lower_case_letters_and_digits() {
        assert_eq!(slugify(json!({ "text": "  Ångström & don't -- 2nd Edition! " })), "angstrom-dont-2nd-edition");
        assert_eq!(slugify(json!({ "text": "北京" })), "bei-jing");
        assert_eq!(slugify(json!({ "text": "…" })), "");
    }

    #[test]
    fn a_long_slug_ends_with_a_whole_word() {
        assert_eq!(slugify(json!({ "text": "alpha beta gamma", "maxLength": 12 })), "alpha-beta");
        assert_eq!(slugify(json!({ "text": "incomprehensibilities", "maxLength": 6 })), "incomp");
    }

    #[test]
    fn another_separator_is_used_where_asked_for() {
        assert_eq!(slugify(json!({ "text": "a b", "separator": "_" })), "a_b");
    }
}
