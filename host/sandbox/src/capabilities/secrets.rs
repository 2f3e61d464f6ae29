//! Placeholders of secrets: a guest holds a word that means nothing, and the host knows what it stands for.
//!
//! A placeholder is drawn anew for each call and has 128 bits of chance in it. So nobody who merely writes a text that a plugin
//! sends on (an input, an answer of a model) can make the host put a secret into it.

use std::fmt::Write;

use armilla_domain::plugin::permit_secret;
use rand::TryRng;
use rand::rngs::SysRng;

use crate::access::SecretValue;
use crate::bindings::secrets::{Denial, Host};
use crate::state::{LimitHit, State};

/// What every placeholder begins with: people who meet one in a log shall know what it is.
const PREFIX: &str = "armilla-secret-";
/// Secrets that one call may ask for.
const SECRETS_PER_CALL_MAX: usize = 100;

/// The placeholders that a call was given.
#[derive(Default)]
pub(crate) struct Placeholders {
    given: Vec<Placeholder>,
}

/// A word and what it stands for.
pub(crate) struct Placeholder {
    pub(crate) name: String,
    pub(crate) word: String,
    pub(crate) value: SecretValue,
}

impl Placeholders {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Placeholder> {
        self.given.iter()
    }
}

impl Host for State {
    async fn get(&mut self, name: String) -> wasmtime::Result<Result<String, Denial>> {
        self.count()?;
        if let Err(denial) = permit_secret(&self.given.needs, &self.given.access.grant, &name) {
            return Ok(Err(self.denied(denial)));
        }
        if let Some(known) = self.placeholders.iter().find(|known| known.name == name) {
            return Ok(Ok(known.word.clone()));
        }
        let access = self.given.access.clone();
        let asked = name.clone();
        let reading = async move { access.services.secret(access.workspace, &asked).await };
        let found = self.on_host(reading).await?;
        let missing = |why: &str| Denial {
            capability: format!("secret:{name}"),
            message: format!("the secret `{name}` is granted, but {why}"),
        };
        let value = match found {
            Ok(Some(value)) => value,
            Ok(None) => return Ok(Err(missing("no secret of this name is kept"))),
            // Not a denial, and nothing the guest can do about: the attempt is made again.
            Err(_) => return Err(LimitHit::Store.into()),
        };
        if self.placeholders.given.len() >= SECRETS_PER_CALL_MAX {
            return Ok(Err(missing("the call holds too many secrets already")));
        }
        let word = draw()?;
        self.placeholders.given.push(Placeholder { name, word: word.clone(), value });
        Ok(Ok(word))
    }
}

fn draw() -> wasmtime::Result<String> {
    let mut chance = [0_u8; 16];
    SysRng.try_fill_bytes(&mut chance).map_err(|error| wasmtime::Error::msg(error.to_string()))?;
    let mut word = PREFIX.to_owned();
    for byte in chance {
        // Writing to a text never fails.
        let _ = write!(word, "{byte:02x}");
    }
    Ok(word)
}
