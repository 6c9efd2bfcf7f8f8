use std::ops::AddAssign;

use serde::Serialize;

/// What became of records. Always `in = accepted + filtered + duplicate + quarantined + undecided`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RecordBooks {
    /// Records that were read, apart from `resumed`.
    #[serde(rename = "in")]
    pub read: u64,
    /// Records that the sink answered with success.
    pub accepted: u64,
    /// Records that a named rule dropped.
    pub filtered: u64,
    /// Records dropped as duplicates.
    pub duplicate: u64,
    /// Records in quarantine.
    pub quarantined: u64,
    /// Records of which none of the above is known.
    pub undecided: u64,
    /// Records that an earlier run had decided; not in `in`.
    pub resumed: u64,
}

impl RecordBooks {
    /// Whether the books balance.
    #[must_use]
    pub fn balanced(&self) -> bool {
        self.read
            == self.accepted + self.filtered + self.duplicate + self.quarantined + self.undecided
    }
}

impl AddAssign for RecordBooks {
    fn add_assign(&mut self, other: Self) {
        self.read += other.read;
        self.accepted += other.accepted;
        self.filtered += other.filtered;
        self.duplicate += other.duplicate;
        self.quarantined += other.quarantined;
        self.undecided += other.undecided;
        self.resumed += other.resumed;
    }
}

/// The books of one log file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FileBooks {
    /// Its records.
    pub records: RecordBooks,
    /// Bytes read as stored.
    pub compressed: u64,
    /// Bytes after inflation.
    pub inflated: u64,
    /// Bytes of accepted records as they were sent, with a line feed each.
    pub sent: u64,
}
