//! Write Armilla tools as Rust functions.
//!
//! A tool is a function from a typed input to a typed output. Its JSON Schemas come from the types, its limits from the host:
//! every call runs in a fresh instance that has its input, and what an operator granted by name.
//!
//! ```
//! use armilla_plugin::{Error, Plugin, Tool};
//! use schemars::JsonSchema;
//! use serde::{Deserialize, Serialize};
//!
//! /// What the tool takes.
//! #[derive(Deserialize, JsonSchema)]
//! #[serde(deny_unknown_fields)]
//! struct Shout {
//!     /// The text to say louder.
//!     #[schemars(length(max = 10_000))]
//!     text: String,
//! }
//!
//! /// What the tool gives.
//! #[derive(Serialize, JsonSchema)]
//! struct Loud {
//!     /// The text in capitals.
//!     text: String,
//! }
//!
//! fn shout(input: Shout) -> Result<Loud, Error> {
//!     if input.text.trim().is_empty() {
//!         return Err(Error::invalid_input("there is nothing to shout"));
//!     }
//!     Ok(Loud { text: input.text.to_uppercase() })
//! }
//!
//! armilla_plugin::plugin! {
//!     Plugin::new("shout", "Says it louder.")
//!         .tool(Tool::new("shout", "Shout", "Turns text into capitals.", shout).read_only().idempotent().closed_world())
//! }
//!
//! // In the crate's tests, without a host:
//! let answer = plugin().call("shout", r#"{"text":"hello"}"#, &armilla_plugin::Context::example()).unwrap();
//! assert_eq!(answer, r#"{"text":"HELLO"}"#);
//! ```
//!
//! The crate is a library with `crate-type = ["cdylib"]`, and is built with
//! `cargo build --release --target wasm32-wasip2`.
//!
//! A tool that reaches out says what it needs, and gets it by an operator's grant:
//!
//! ```
//! use armilla_plugin::{Context, Error, Plugin, Tool, http, kv, log, secrets};
//! use schemars::JsonSchema;
//! use serde::{Deserialize, Serialize};
//! use std::time::Duration;
//!
//! /// Which city to look up.
//! #[derive(Deserialize, JsonSchema)]
//! #[serde(deny_unknown_fields)]
//! struct City {
//!     /// The city's name.
//!     name: String,
//! }
//!
//! #[derive(Deserialize, Serialize, JsonSchema)]
//! struct Weather {
//!     /// Degrees Celsius.
//!     temperature: f64,
//! }
//!
//! fn weather(city: City, context: &Context) -> Result<Weather, Error> {
//!     let seen = kv::Namespace::open("weather");
//!     if let Some((known, _)) = seen.get_json::<Weather>(&city.name)? {
//!         return Ok(known);
//!     }
//!     log::debug(format_args!("attempt {} asks for {}", context.attempt, city.name));
//!     let weather: Weather = http::get("https://api.example.com/weather")
//!         .query("city", &city.name)
//!         .bearer(&secrets::get("weather-key")?)
//!         .timeout(Duration::from_secs(5))
//!         .send()?
//!         .error_for_status()?
//!         .json()?;
//!     seen.put_json(&city.name, &weather)?;
//!     Ok(weather)
//! }
//!
//! armilla_plugin::plugin! {
//!     Plugin::new("weather", "Looks up the weather.")
//!         .needs_http("api.example.com")
//!         .needs_secret("weather-key")
//!         .needs_kv("weather")
//!         .tool(Tool::new("weather", "Weather", "Gives the temperature of a city.", weather).read_only())
//! }
//!
//! // Without a host there is nothing to reach, and the error says so.
//! let error = plugin().call("weather", r#"{"name":"Ulm"}"#, &Context::example()).unwrap_err();
//! assert!(error.message().contains("only inside a host"));
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod config;
mod context;
mod denial;
mod error;
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod guest;
mod host;
pub mod http;
pub mod kv;
pub mod log;
mod needs;
mod plugin;
mod schema;
pub mod secrets;
mod tool;

pub use context::Context;
pub use denial::Denial;
pub use error::{Code, Error};
pub use needs::Needs;
pub use plugin::{Plugin, TOOLS_MAX};
pub use schema::SCHEMA_BYTES_MAX;
pub use tool::{Function, Tool};

/// Makes the crate a plugin: takes one expression of type [`Plugin`].
///
/// Gives the crate a function `plugin()` that evaluates it, for tests; a test that the plugin keeps the contract's
/// rules; and, when the crate is built for WebAssembly, the component's exports. To be used once, at the crate's root.
/// A plugin without a version of its own has the crate's.
#[macro_export]
macro_rules! plugin {
    ($plugin:expr $(,)?) => {
        /// The plugin that this crate is.
        pub fn plugin() -> $crate::Plugin {
            ($plugin).version_or(env!("CARGO_PKG_VERSION"))
        }

        #[cfg(test)]
        #[test]
        fn the_plugin_keeps_the_rules_of_its_contract() {
            assert_eq!(plugin().faults(), Vec::<String>::new());
        }

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Exported;

            impl $crate::guest::Guest for Exported {
                fn describe() -> $crate::guest::Description {
                    $crate::guest::describe(&plugin())
                }

                fn call(
                    tool: ::std::string::String,
                    input: ::std::string::String,
                    context: $crate::guest::CallContext,
                ) -> ::std::result::Result<::std::string::String, $crate::guest::ToolError> {
                    $crate::guest::call(&plugin(), &tool, &input, context)
                }
            }

    $crate::guest::export_tools!(Exported with_types_in $crate::guest);
        };
    };
}
