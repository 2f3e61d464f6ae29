//! Plugins, their versions, what was granted them. Every change counts up one number, so that hosts notice.

mod catalog;
mod grants;
mod loads;
mod versions;

pub use catalog::{PluginRow, PluginVersionRow};
pub use grants::GrantRow;
pub use loads::LoadRow;
pub use versions::{AddedVersion, NewPluginVersion};
