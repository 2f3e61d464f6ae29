//! What each agent answers: functions of the message and of nothing else.

use serde_json::{Value, json};

/// An article that contains this word is not approved, so that a topic decides which way a workflow goes.
pub const MARKER: &str = "unverified";

/// What the first line of an instruction begins with.
const INSTRUCTIONS: [&str; 5] = ["Write", "Revise", "Review", "Publish", "Summarize"];

/// Sentences of a summary.
const SUMMARY_SENTENCES: usize = 3;

/// Titles are cut here, to stay on a line.
const TITLE_CHARS_MAX: usize = 80;

/// `Research <topic>` gives notes on the topic.
pub(crate) fn research(message: &str) -> String {
    let topic = message.trim();
    let topic = topic.strip_prefix("Research").unwrap_or(topic).trim_start_matches(':').trim();
    let topic = if topic.is_empty() { "nothing in particular" } else { topic };
    let sources = 3 + topic.chars().count() % 7;
    format!(
        "Notes on {topic}.\n\
         Background: {sources} sources describe {topic}; they agree on how it began and differ on where it leads.\n\
         Finding: those who know {topic} from practice judge it by what it saves them, not by what it promises.\n\
         Open question: what it costs to do without."
    )
}

/// `Write article using: <material>` gives a Markdown article, `Revise using: <review>` one that heeds the review.
pub(crate) fn write(message: &str) -> String {
    let material = after_instruction(message);
    match serde_json::from_str::<Value>(material) {
        Ok(review) if review["comments"].is_array() => revised(&review),
        _ => article(material),
    }
}

/// `Review: <article>` gives a judgement in JSON.
pub(crate) fn review(message: &str) -> String {
    let article = after_instruction(message);
    let approved = !article.to_lowercase().contains(MARKER);
    let comments: &[&str] = match approved {
        true => &["The article keeps to its material.", "It says what remains open."],
        false => &["Claims stand here without a source.", "Name the source of each claim or leave it out."],
    };
    let score = if approved { 0.92 } else { 0.41 };
    json!({ "approved": approved, "score": score, "title": title_of(article), "comments": comments }).to_string()
}

/// `Publish: <article>` gives a receipt.
pub(crate) fn publish(message: &str) -> String {
    let article = after_instruction(message);
    let words = article.split_whitespace().count();
    format!("Published as \"{}\" ({words} words), id {}", title_of(article), fingerprint(article))
}

/// `Summarize: <text>` gives its title and the first sentence of each of its first paragraphs.
pub(crate) fn summarize(message: &str) -> String {
    let text = after_instruction(message);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let sentences = lines.map(|line| line.split_inclusive(". ").next().unwrap_or(line).trim().trim_end_matches('.'));
    let chosen: Vec<String> = sentences.take(SUMMARY_SENTENCES).map(|sentence| format!("- {sentence}.")).collect();
    match chosen.is_empty() {
        true => format!("{}: there is nothing to sum up.", title_of(text)),
        false => format!("{} in short:\n{}", title_of(text), chosen.join("\n")),
    }
}

/// FNV-1a: tells texts apart, which is all that an example needs.
pub(crate) fn fingerprint(text: &str) -> String {
    let hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    format!("{hash:016x}")
}

fn article(material: &str) -> String {
    let (title, notes) = (title_of(material), material.lines().skip(1).collect::<Vec<_>>().join(" "));
    let words = material.split_whitespace().count();
    let body = if notes.is_empty() { material } else { &notes };
    format!(
        "# {title}\n\n\
         This article rests on {words} words of material and adds nothing to them.\n\n\
         {body}\n\n\
         Whoever wants to go further begins with the open question."
    )
}

fn revised(review: &Value) -> String {
    let title = review["title"].as_str().unwrap_or("Untitled");
    // Without the marker a second review approves: a workflow that loops until then comes to an end.
    let kept: Vec<&str> = title.split_whitespace().filter(|word| !word.to_lowercase().contains(MARKER)).collect();
    let comments = review["comments"].as_array().map(Vec::as_slice).unwrap_or_default();
    let heeded: Vec<String> = comments.iter().filter_map(Value::as_str).map(|comment| format!("- {comment}")).collect();
    format!(
        "# {}\n\n\
         This is the second version. It leaves out what had no source.\n\n\
         The review asked for this:\n\n{}\n\n\
         What remains is what the material supports.",
        capitalized(&kept.join(" ")),
        heeded.join("\n"),
    )
}

/// What follows the instruction, `Write article using: <this>`, where a message begins with one; else all of it, as an agent is
/// told by the one before it.
fn after_instruction(message: &str) -> &str {
    let begins = |instruction: &str| INSTRUCTIONS.iter().any(|verb| instruction.trim_start().starts_with(verb));
    match message.split_once(':') {
        Some((instruction, rest)) if begins(instruction) && !instruction.contains('\n') => rest.trim(),
        _ => message.trim(),
    }
}

/// The first line without what makes it a heading or the start of notes.
fn title_of(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default().trim_start_matches('#').trim();
    let line = line.strip_prefix("Notes on ").unwrap_or(line).trim_end_matches('.');
    let title: String = line.chars().take(TITLE_CHARS_MAX).collect();
    if title.is_empty() { "Untitled".to_owned() } else { capitalized(&title) }
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(topic: &str) -> String {
        let notes = research(&format!("Research {topic}"));
        write(&format!("Write article using: {notes}"))
    }

    #[test]
    fn an_article_has_the_topic_as_its_title_and_contains_the_notes() {
        let draft = draft("tidal power: an overview of version 1.5");
        assert!(draft.starts_with("# Tidal power: an overview of version 1.5\n\n"), "{draft}");
        assert!(draft.contains("Open question: what it costs to do without."), "{draft}");
    }

    #[test]
    fn an_article_is_approved_unless_it_contains_the_marker() {
        for (topic, approved) in [("tidal power", true), ("unverified claims", false), ("Unverified claims", false)] {
            let review: Value = serde_json::from_str(&review(&format!("Review: {}", draft(topic)))).unwrap();
            assert_eq!(review["approved"], approved, "{topic}");
            assert_eq!(review["comments"].as_array().unwrap().len(), 2);
        }
    }

    #[test]
    fn a_revised_article_passes_the_next_review() {
        let feedback = review(&format!("Review: {}", draft("unverified claims about tides")));
        let second = write(&format!("Revise using: {feedback}"));
        assert!(second.starts_with("# Claims about tides\n"), "{second}");
        assert!(review(&format!("Review: {second}")).contains("\"approved\":true"));
    }

    #[test]
    fn a_receipt_names_the_title_and_tells_articles_apart() {
        let receipt = publish(&format!("Publish: {}", draft("tidal power")));
        assert!(receipt.starts_with("Published as \"Tidal power\" ("), "{receipt}");
        assert_ne!(receipt, publish(&format!("Publish: {}", draft("tidal powers"))));
    }

    #[test]
    fn a_message_without_an_instruction_is_taken_whole_as_pipelines_pass_it_on() {
        let notes = research("tidal power: an overview");
        assert_eq!(write(&notes), write(&format!("Write article using: {notes}")));
        assert!(write(&notes).starts_with("# Tidal power: an overview\n"), "{}", write(&notes));
        let review = review(&write(&notes));
        assert!(review.contains("\"title\":\"Tidal power: an overview\""), "{review}");
        assert!(write(&review).starts_with("# Tidal power: an overview\n"), "a review is heeded");
    }

    #[test]
    fn a_summary_has_the_first_sentence_of_each_paragraph() {
        let text = "# Tides\n\nThey rise. They fall.\n\nNobody minds.\n\nThird. x\n\nFourth.";
        assert_eq!(summarize(text), "Tides in short:\n- They rise.\n- Nobody minds.\n- Third.");
        assert_eq!(summarize(text), summarize(&format!("Summarize: {text}")));
        assert_eq!(summarize(""), "Untitled: there is nothing to sum up.");
    }

    #[test]
    fn messages_that_nobody_foresaw_get_an_answer_too() {
        for message in ["", ":", "Research", "   ", "{}", "Revise using: {\"comments\": []}", "é".repeat(500).as_str()]
        {
            for answer in [research, write, review, publish, summarize] {
                assert!(!answer(message).is_empty(), "{message}");
            }
        }
    }
}
