use std::fmt;

/// Something that no operator granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// What is missing, as a grant would name it: `http:GET https://api.example.com:443`, `secret:api-key`, `kv:notes`.
    pub capability: String,
    /// One sentence for people.
    pub message: String,
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { capability, message } = self;
        if message.contains(capability.as_str()) { f.write_str(message) } else { write!(f, "{message} ({capability})") }
    }
}

impl std::error::Error for Denial {}
