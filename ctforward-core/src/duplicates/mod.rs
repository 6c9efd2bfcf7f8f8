//! Removing records that were accepted before: what a duplicate is, and the window of those remembered.
//!
//! CloudTrail delivers at least once, and so do queues and this pipeline. A
//! record is a duplicate of one that the sink has accepted if both have the same
//! name (eventID) and the same bytes. The same name with other bytes is no
//! duplicate: it is forwarded and counted as *conflicting*, since otherwise
//! anybody who can write to the bucket could plant a record that keeps the real
//! one away. What was removed is removed inside the window, and not beyond it.

mod identity;
mod table;
mod window;

use std::sync::Arc;
use std::time::Duration;

use crate::ledger::SeenStore;

pub(crate) use identity::{ById, Hasher, Identity};
pub(crate) use table::Table;
pub(crate) use window::{Standing, Window};

/// The removal of duplicates, as a pipeline is told to do it.
#[derive(Clone)]
pub struct Duplicates {
    pub(crate) most: usize,
    pub(crate) age: Duration,
    pub(crate) store: Option<Arc<dyn SeenStore>>,
}

impl Default for Duplicates {
    fn default() -> Self {
        Self {
            most: 100_000,
            age: Duration::from_secs(24 * 60 * 60),
            store: None,
        }
    }
}

impl Duplicates {
    /// Removes duplicates of the last 100,000 accepted records, of a day at most.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many accepted records are remembered. Each takes about 50 bytes of memory.
    #[must_use]
    pub fn with_most(mut self, most: usize) -> Self {
        self.most = most;
        self
    }

    /// For how long an accepted record is remembered.
    #[must_use]
    pub fn with_age(mut self, age: Duration) -> Self {
        self.age = age;
        self
    }

    /// Remembers accepted records from one run to the next.
    #[must_use]
    pub fn with_store(mut self, store: impl SeenStore + 'static) -> Self {
        self.store = Some(Arc::new(store));
        self
    }
}

impl std::fmt::Debug for Duplicates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Duplicates")
            .field("most", &self.most)
            .field("age", &self.age)
            .field("stored", &self.store.is_some())
            .finish()
    }
}
