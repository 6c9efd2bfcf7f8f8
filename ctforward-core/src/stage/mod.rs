//! What happens to a record between reading and batching: the traits [`Stage`] and
//! [`Redactor`], [rules](Rules) that drop records and a [redaction](Redaction) of values.

mod event_time;
mod redact;
mod redactor;
mod rules;

use std::sync::Arc;

use crate::event::Record;

pub use event_time::EventTimeRange;
pub use redact::{Hit, RedactSettings, Redaction, RedactionKey, With};
pub use redactor::{Redacted, Redactor};
pub use rules::{FieldSelector, Filter, Operator, Problem, Problems, Rule, Rules};

/// Looks at each record and says whether it goes on.
///
/// # Contract
/// - Pure: the same record gets the same verdict.
/// - In doubt a record is kept: one whose fields cannot be read is never dropped.
/// - Reads top-level fields by [`Record::field`], which costs no scan.
pub trait Stage: Send + Sync {
    /// The verdict on one record.
    fn apply(&self, record: &Record<'_>) -> Verdict;
}

/// What a [`Stage`] says of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// It goes on.
    Keep,
    /// The named rule drops it; the report counts by that name.
    Drop(Arc<str>),
}

macro_rules! forward_stage {
    ($($pointer:ty),*) => {$(
        #[deny(clippy::missing_trait_methods)]
        impl<S: Stage + ?Sized> Stage for $pointer {
            fn apply(&self, record: &Record<'_>) -> Verdict {
                (**self).apply(record)
            }
        }
    )*};
}
forward_stage!(Box<S>, Arc<S>);
