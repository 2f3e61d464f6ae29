//! Test only: a plugin whose tools do what no plugin should. It is never shipped; the sandbox's tests call each tool and
//! see that the call alone ends, with its own code.

mod deeds;
#[cfg(target_arch = "wasm32")]
#[expect(unsafe_code, reason = "the generated half of the component's interface speaks raw pointers")]
mod guest;

pub use deeds::{TOOLS, call};
