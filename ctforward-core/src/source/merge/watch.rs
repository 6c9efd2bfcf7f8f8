use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use serde::Serialize;

use crate::error::Error;
use crate::text::printable;

/// How a source is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SourceStatus {
    /// Its name.
    pub name: String,
    /// Files and other things that it handed over.
    pub handed_over: u64,
    /// When it last handed something over.
    pub last: Option<Timestamp>,
    /// When it last looked for files without a failure, as far as that is known.
    pub looked: Option<Timestamp>,
    /// Failures since it last was well.
    pub failures: u32,
    /// Since when it fails.
    pub failing_since: Option<Timestamp>,
    /// The latest of these failures; printable.
    pub error: Option<String>,
    /// Whether nothing more comes from it.
    pub ended: bool,
    /// Whether it ended by a fault in the program: what it still had is not known, and
    /// whoever counts on it must not take it for well.
    pub broke: bool,
}

/// Looks at one source of a [`Merge`](super::Merge). Clones look at the same.
#[derive(Clone, Debug)]
pub struct SourceWatch {
    status: Arc<Mutex<SourceStatus>>,
}

impl SourceWatch {
    /// For a source that goes by this name.
    pub fn new(name: impl Into<String>) -> Self {
        let status = SourceStatus {
            name: name.into(),
            handed_over: 0,
            last: None,
            looked: None,
            failures: 0,
            failing_since: None,
            error: None,
            ended: false,
            broke: false,
        };
        Self {
            status: Arc::new(Mutex::new(status)),
        }
    }

    /// How the source is.
    #[must_use]
    pub fn status(&self) -> SourceStatus {
        self.change(|status| status.clone())
    }

    /// The source looked for files, and nothing failed: whether or not there were
    /// any, it is well. A source that has nothing to hand over tells by this that
    /// it recovered.
    pub fn looked(&self) {
        self.change(|status| {
            status.looked = Some(Timestamp::now());
            status.failures = 0;
            status.failing_since = None;
            status.error = None;
        });
    }

    /// The source failed, and is asked again. [`Merge`](super::Merge) tells this of
    /// every error that a source answers; a source that tries again by itself may
    /// tell it too.
    pub fn failed(&self, error: &Error) {
        self.change(|status| {
            status.failures = status.failures.saturating_add(1);
            status.failing_since.get_or_insert_with(Timestamp::now);
            status.error = Some(printable(&error.to_string()).into_owned());
        });
    }

    pub(super) fn handed_over(&self) {
        self.looked();
        self.change(|status| {
            status.handed_over += 1;
            status.last = status.looked;
        });
    }

    pub(super) fn ended(&self) {
        self.change(|status| status.ended = true);
    }

    pub(super) fn broke(&self, fault: &Error) {
        self.failed(fault);
        self.change(|status| {
            status.ended = true;
            status.broke = true;
        });
    }

    fn change<T>(&self, change: impl FnOnce(&mut SourceStatus) -> T) -> T {
        change(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
