//! Answers that come in pieces, as server-sent events: <https://html.spec.whatwg.org/multipage/server-sent-events.html>.

use crate::answer::AgentAnswer;
use crate::call::Deltas;

/// Bytes of one event: a piece of text is some words, and a tool call's arguments are bounded by the whole answer.
const EVENT_BYTES_MAX: usize = 256 * 1024;

/// Puts the events of one answer together.
pub(crate) trait Gathering: Send {
    /// Takes an event. Gives the text that it adds.
    ///
    /// # Errors
    /// What is wrong with it.
    fn event(&mut self, kind: &str, data: &str) -> Result<Option<String>, &'static str>;

    /// The whole, if it is whole.
    fn finish(self: Box<Self>) -> Option<AgentAnswer>;
}

/// Finds the events in bytes, however they are cut.
#[derive(Default)]
pub(crate) struct Events {
    line: Vec<u8>,
    kind: String,
    data: String,
    after_cr: bool,
}

impl Events {
    /// Takes bytes, and gives the events that they end: name and data.
    ///
    /// # Errors
    /// Where an event is too long.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<Vec<(String, String)>, &'static str> {
        let mut events = Vec::new();
        for byte in bytes {
            match byte {
                b'\n' if std::mem::take(&mut self.after_cr) => {}
                b'\n' | b'\r' => {
                    self.after_cr = *byte == b'\r';
                    events.extend(self.end_line());
                }
                _ => {
                    self.after_cr = false;
                    self.line.push(*byte);
                    if self.line.len() + self.data.len() > EVENT_BYTES_MAX {
                        return Err("a piece of its stream is too long");
                    }
                }
            }
        }
        Ok(events)
    }

    fn end_line(&mut self) -> Option<(String, String)> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            let (kind, data) = (std::mem::take(&mut self.kind), std::mem::take(&mut self.data));
            return (!data.is_empty()).then(|| (kind, data.strip_suffix('\n').unwrap_or(&data).to_owned()));
        }
        let line = String::from_utf8_lossy(&line);
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            "event" => value.clone_into(&mut self.kind),
            // A comment, or a field that means nothing here.
            _ => {}
        }
        None
    }
}

/// Hands text on as it comes, without the secret, however that is cut into pieces.
pub(crate) struct Told<'a> {
    deltas: &'a Deltas<'a>,
    secret: Option<&'a str>,
    concealed: &'a str,
    kept: String,
}

impl<'a> Told<'a> {
    pub(crate) fn new(deltas: &'a Deltas<'a>, secret: Option<&'a str>, concealed: &'a str) -> Self {
        Self { deltas, secret: secret.filter(|secret| !secret.is_empty()), concealed, kept: String::new() }
    }

    pub(crate) fn tell(&mut self, text: &str) {
        let Some(secret) = self.secret else { return (self.deltas)(text) };
        self.kept.push_str(text);
        self.kept = self.kept.replace(secret, self.concealed);
        // What may be the beginning of it waits for what comes next.
        let begins = (0..self.kept.len())
            .filter(|place| self.kept.is_char_boundary(*place) && self.kept.len() - place < secret.len())
            .find(|place| secret.starts_with(&self.kept[*place..]));
        let safe = begins.unwrap_or(self.kept.len());
        if safe > 0 {
            let rest = self.kept.split_off(safe);
            let told = std::mem::replace(&mut self.kept, rest);
            (self.deltas)(&told);
        }
    }

    pub(crate) fn end(self) {
        if !self.kept.is_empty() {
            (self.deltas)(&self.kept);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn events_are_found_however_the_bytes_are_cut() {
        let text = ": hello\r\nevent: a\r\ndata: one\r\ndata: two\r\n\r\ndata:three\n\n\nid: 7\ndata: fo\u{00fc}r\r\rdata: half";
        for size in 1..text.len() {
            let mut events = Events::default();
            let mut found = Vec::new();
            for piece in text.as_bytes().chunks(size) {
                found.extend(events.take(piece).unwrap());
            }
            let expected = [("a", "one\ntwo"), ("", "three"), ("", "fo\u{00fc}r")];
            assert_eq!(found, expected.map(|(kind, data)| (kind.to_owned(), data.to_owned())), "{size}");
        }
    }

    #[test]
    fn an_event_without_end_is_refused() {
        let mut events = Events::default();
        assert!(events.take(&vec![b'x'; EVENT_BYTES_MAX + 1]).is_err());
    }

    #[test]
    fn a_secret_is_concealed_however_it_is_cut() {
        let text = "key: s3cr3t, s3cr3s3cr3t. s3";
        for size in 1..text.len() {
            let told = Mutex::new(String::new());
            let deltas = |text: &str| told.lock().unwrap().push_str(text);
            let mut telling = Told::new(&deltas, Some("s3cr3t"), "[secret]");
            for piece in text.as_bytes().chunks(size) {
                telling.tell(str::from_utf8(piece).unwrap());
                assert!(!told.lock().unwrap().contains("s3cr3t"));
            }
            telling.end();
            assert_eq!(*told.lock().unwrap(), "key: [secret], s3cr3[secret]. s3", "{size}");
        }
    }
}
