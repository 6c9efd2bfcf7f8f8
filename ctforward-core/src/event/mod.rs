//! The event model: a record as its raw bytes with a lazily read header, and the typed view of it.

mod buf;
mod header;
mod index;
mod record;
pub(crate) mod scan;
mod version;

pub use buf::RecordBuf;
pub use header::{Header, Identity};
pub use record::{Field, Record};
pub use version::EventVersion;
