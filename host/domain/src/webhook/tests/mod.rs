mod endpoint;
mod rules;
mod signatures;

use super::*;
use crate::template::Templates;

/// A webhook of this text, with which nothing is wrong.
fn webhook(text: WebhookText) -> Webhook {
    check(&Templates::new(), text).unwrap()
}

fn all_events() -> WebhookText {
    WebhookText { url: "https://example.com/in".to_owned(), events: vec!["*".to_owned()], ..WebhookText::default() }
}
