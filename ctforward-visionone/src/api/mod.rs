//! What the clients of Cloud One and of Vision One's public API share: settings,
//! one request and its retries, what an answer means, and pages.

mod answer;
mod base;
mod call;
mod page;
mod settings;

pub use answer::ApiError;
pub use settings::HttpSettings;

pub(crate) use base::{Base, is_label};
pub(crate) use call::{Call, Http};
pub(crate) use page::PageLinks;
