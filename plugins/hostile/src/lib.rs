//! Test only: a plugin whose tools do what no plugin should. It is never shipped; the sandbox's tests call each tool and
//! see that the call alone ends, with its own code, and that nothing comes out which was not granted.

mod deeds;
#[cfg(target_arch = "wasm32")]
mod errands;
#[cfg(target_arch = "wasm32")]
#[expect(unsafe_code, reason = "the generated half of the component's interface speaks raw pointers")]
mod guest;
mod guise;

pub use deeds::{TOOLS, call};
pub use guise::{GUISE_BYTES, GUISE_PREFIX};
