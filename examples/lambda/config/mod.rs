//! Settings, by environment variables.

mod settings;
mod values;

pub use settings::{Form, LogSettings, Settings};
pub use values::described;
