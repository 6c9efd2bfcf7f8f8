//! Reading log files: chunks of a stored file in, borrowed record slices out.
//!
//! [`LogReader`] is pulled: [`push`](LogReader::push) gives it a chunk, and
//! [`next`](LogReader::next) is called until it wants more. It takes gzip (found
//! by its magic bytes, all members of it) and plain JSON, and holds the inflated
//! chunk and the largest record, however large the file is.
//!
//! ```
//! use ctforward_core::read::{LogReader, Step};
//!
//! let mut reader = LogReader::new();
//! reader.push(r#"{"Records":[{"eventName":"GetObject"}, {}]}"#.into());
//! reader.finish();
//! let mut records = Vec::new();
//! loop {
//!     match reader.next()? {
//!         Step::Record(record) => records.push((record.offset(), record.bytes().len())),
//!         Step::End => break,
//!         _ => {}
//!     }
//! }
//! assert_eq!(records, [(12, 25), (39, 2)]);
//! # Ok::<(), ctforward_core::read::ReadError>(())
//! ```

mod error;
mod gzip;
mod limits;
mod outer;
mod reader;
mod scan;
mod step;
mod text;

pub use error::ReadError;
pub use limits::ReadLimits;
pub use reader::LogReader;
pub use step::{BadRecord, Oversized, Step};
pub(crate) use text::breaks_lines;
pub use text::one_line;
