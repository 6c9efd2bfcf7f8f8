//! The event model: a record as its raw bytes with a lazily read header, and the typed view of it.

mod record;

pub use record::{Field, Record};
