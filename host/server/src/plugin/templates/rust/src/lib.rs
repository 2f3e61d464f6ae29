//! The plugin `__NAME__`. Every call runs in a fresh instance: what one call keeps in memory, no other sees.

use armilla_plugin::{Context, Error, Plugin, Tool, log};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

armilla_plugin::plugin! {
    Plugin::new("__NAME__", "Says it louder.").tool(
        Tool::new(
            "__NAME__.shout",
            "Shout",
            "Turns text into capitals. Use it where something must not be overlooked.",
            shout,
        )
        .read_only()
        .idempotent()
        .closed_world(),
    )
}

/// What to shout.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Shout {
    /// What to say louder.
    #[schemars(length(min = 1))]
    text: String,
}

/// What was shouted.
#[derive(Serialize, JsonSchema)]
struct Shouted {
    /// The text in capitals.
    text: String,
}

fn shout(input: Shout, context: &Context) -> Result<Shouted, Error> {
    let letters = input.text.trim();
    if letters.is_empty() {
        return Err(Error::invalid_input("`text` has nothing but white space"));
    }
    log::debug(format_args!("step {}, attempt {}", context.step, context.attempt));
    Ok(Shouted { text: letters.to_uppercase() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_comes_back_in_capitals() {
        let output = plugin().call("__NAME__.shout", r#"{"text":" straße "}"#, &Context::example());
        assert_eq!(output.as_deref(), Ok(r#"{"text":"STRASSE"}"#));
    }

    #[test]
    fn white_space_alone_is_refused() {
        let refusal = plugin().call("__NAME__.shout", r#"{"text":" "}"#, &Context::example());
        assert_eq!(refusal.map_err(|error| error.code()), Err(armilla_plugin::Code::InvalidInput));
    }
}
