use std::time::Duration;

use crate::batch::BatchLimits;
use crate::error::{Error, ErrorKind, Result};

/// What a pipeline may hold and do at once.
///
/// Two limits, not one: files being read are few and have buffers; files whose
/// records wait for the sink's word are many and have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PipelineLimits {
    /// Files read at the same time. Default 4.
    pub files_reading: usize,
    /// Files that were begun and are not decided. Default 4096.
    pub files_awaiting: usize,
    /// Requests under way to the sink at the same time, at most. Default 4.
    pub deliveries: usize,
    /// Bytes of records held: in batches (open, waiting and under way) and in
    /// files held back until their end was seen. Default 24 MiB.
    pub bytes_held: usize,
    /// A file of at most so many inflated bytes is held back until its end was
    /// checked, and reaches the sink whole or not at all. `None` is one batch. (A
    /// file of nothing but tiny records takes up to eight times as much.)
    pub hold_complete: Option<usize>,
    /// How long an open batch waits for more records. Default 1 s.
    pub linger: Duration,
    /// How long what is under way may take after the pipeline was told to stop. Default 25 s.
    pub drain: Duration,
    /// How long a lease of the ledger runs. Default 10 minutes.
    pub lease: Duration,
    /// Bytes of accepted records that a run may send; no batch goes that would
    /// exceed them, and the run stops in good order. What a batch sends in vain
    /// is not counted. `None`, the default, sets no limit.
    pub sent_bytes: Option<u64>,
    /// An account and region of which nothing was heard for so long is counted as
    /// silent in the metrics. Default 24 hours.
    pub silent_after: Duration,
    /// How often a file is opened again after a failure that may pass. Default 4.
    pub read_retries: u32,
}

impl Default for PipelineLimits {
    fn default() -> Self {
        Self {
            files_reading: 4,
            files_awaiting: 4096,
            deliveries: 4,
            bytes_held: 24 * 1024 * 1024,
            hold_complete: None,
            linger: Duration::from_secs(1),
            drain: Duration::from_secs(25),
            lease: Duration::from_secs(10 * 60),
            sent_bytes: None,
            silent_after: Duration::from_secs(24 * 60 * 60),
            read_retries: 4,
        }
    }
}

impl PipelineLimits {
    /// Bytes that a file may have to be held back until its end was checked.
    pub(super) fn hold_complete(&self, batch: BatchLimits) -> usize {
        self.hold_complete.unwrap_or(batch.bytes)
    }

    /// The share of `bytes_held` that is left for batches.
    pub(super) fn batch_budget(&self, batch: BatchLimits) -> Result<usize> {
        let config = |message: String| Err(Error::new(ErrorKind::Config, "pipeline", message));
        if self.files_reading == 0 || self.files_awaiting == 0 || self.deliveries == 0 {
            return config(
                "files_reading, files_awaiting and deliveries must be at least 1".into(),
            );
        }
        if batch.bytes == 0 || batch.records == 0 || batch.bytes > u32::MAX as usize / 2 {
            return config("the sink's limits allow no batch, or one of over 2 GiB".into());
        }
        if self.hold_complete(batch) > u32::MAX as usize / 2 {
            return config("hold_complete must be below 2 GiB".into());
        }
        let held_back = self.hold_complete(batch).saturating_mul(self.files_reading);
        let least = held_back.saturating_add(batch.bytes.saturating_mul(2));
        if self.bytes_held < least {
            return config(format!(
                "bytes_held is {}, but {} files held back and two batches need {least}: \
                 raise it, or lower files_reading or hold_complete",
                self.bytes_held, self.files_reading
            ));
        }
        Ok(self.bytes_held - held_back)
    }
}
