use crate::event::Record;
use crate::quarantine::Reason;

/// What [`LogReader::next`](super::LogReader::next) came to.
#[derive(Debug)]
#[non_exhaustive]
pub enum Step<'a> {
    /// A record, borrowed until the next call.
    Record(Record<'a>),
    /// An element of the list that is no record to forward, byte for byte.
    Bad(BadRecord<'a>),
    /// An element over the cap, of which only this is known.
    Oversized(Oversized),
    /// The chunk is used up: push another, or call [`LogReader::finish`](super::LogReader::finish).
    NeedInput,
    /// Work was done but no element ended: call again. A place to let others run.
    Working,
    /// The file was read to its end, and its end was checked.
    End,
}

/// An element of a list of records that cannot be forwarded as it is.
#[derive(Debug)]
#[non_exhaustive]
pub struct BadRecord<'a> {
    /// Its bytes.
    pub bytes: &'a [u8],
    /// Its first byte in the inflated file.
    pub offset: u64,
    /// What is wrong with it.
    pub reason: Reason,
}

/// An element of a list of records that is larger than the reader holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Oversized {
    /// Its first byte in the inflated file.
    pub offset: u64,
    /// Its length there.
    pub length: u64,
    /// SHA-256 of its bytes.
    pub sha256: [u8; 32],
}
