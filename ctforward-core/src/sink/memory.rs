use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{Delivery, Sink};
use crate::batch::{Batch, BatchLimits};
use crate::error::Result;

/// Keeps every record in memory, for tests and examples.
#[derive(Debug)]
pub struct MemorySink {
    limits: BatchLimits,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    lines: Vec<String>,
    batches: usize,
}

impl Default for MemorySink {
    fn default() -> Self {
        Self::new()
    }
}

impl MemorySink {
    /// An empty sink that takes batches of up to 1 MB.
    #[must_use]
    pub fn new() -> Self {
        Self::with_limits(BatchLimits::new(1_000_000))
    }

    /// An empty sink with these limits.
    #[must_use]
    pub fn with_limits(limits: BatchLimits) -> Self {
        Self {
            limits,
            kept: Mutex::default(),
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The records it was given, in the order of delivery.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.kept().lines.clone()
    }

    /// How many batches it was given.
    #[must_use]
    pub fn batches(&self) -> usize {
        self.kept().batches
    }
}

#[async_trait]
impl Sink for MemorySink {
    fn limits(&self) -> BatchLimits {
        self.limits
    }

    async fn deliver(&self, batch: &Batch) -> Result<Delivery> {
        // A record that reached a sink is UTF-8: the reader checked it.
        let lines = batch
            .records()
            .map(|r| String::from_utf8_lossy(r).into_owned());
        let mut kept = self.kept();
        kept.lines.extend(lines);
        kept.batches += 1;
        Ok(Delivery::accepted())
    }
}
