#![doc = include_str!("../README.md")]

pub mod batch;
pub mod check;
pub mod deliver;
pub mod duplicates;
mod error;
pub mod event;
pub mod key;
pub mod ledger;
mod object;
pub mod pipeline;
pub mod quarantine;
pub mod read;
pub mod sink;
pub mod source;
pub mod stage;
#[cfg(feature = "testing")]
pub mod testing;
pub mod text;

pub use batch::{Batch, BatchBuilder, BatchLimits, Origin};
pub use check::{Check, Outcome};
pub use error::{Error, ErrorKind, Result, Retry};
pub use event::Record;
pub use ledger::Ledger;
pub use object::{Object, ObjectId};
pub use pipeline::{Pipeline, Report};
pub use quarantine::{Quarantine, QuarantineEntry};
pub use sink::{Delivery, Rejection, Sink};
pub use source::{Chunks, Intake, LogFile, Open, Opened, Receipt, Source};
