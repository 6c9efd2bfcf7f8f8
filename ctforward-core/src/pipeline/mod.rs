//! The pipeline.
mod books;
pub use books::{FileBooks, RecordBooks};
