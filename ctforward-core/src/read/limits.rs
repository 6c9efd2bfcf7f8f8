/// Caps of a [`LogReader`](super::LogReader).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReadLimits {
    /// Bytes of one record; a larger one is skipped in streaming and named by
    /// its place. Default 1 MiB; at most 1 GiB counts.
    pub record_bytes: usize,
    /// Inflated bytes of the file. Default 4 GiB.
    pub inflated_bytes: u64,
    /// Inflated bytes for each stored byte, looked at after the first 16 MiB. Default 500.
    pub ratio: u64,
}

impl Default for ReadLimits {
    fn default() -> Self {
        Self {
            record_bytes: 1024 * 1024,
            inflated_bytes: 4 * 1024 * 1024 * 1024,
            ratio: 500,
        }
    }
}

impl ReadLimits {
    /// The same limits with another cap on one record.
    #[must_use]
    pub fn with_record_bytes(mut self, bytes: usize) -> Self {
        self.record_bytes = bytes.min(1 << 30);
        self
    }

    /// The same limits with another cap on inflated bytes.
    #[must_use]
    pub fn with_inflated_bytes(mut self, bytes: u64) -> Self {
        self.inflated_bytes = bytes;
        self
    }

    /// The same limits with another cap on the expansion ratio.
    #[must_use]
    pub fn with_ratio(mut self, ratio: u64) -> Self {
        self.ratio = ratio;
        self
    }
}
