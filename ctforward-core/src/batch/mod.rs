//! Batches: the records that go to a sink in one request, with where each came from.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use tokio::time::Instant;

use crate::object::Object;

/// What one batch of a sink may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BatchLimits {
    /// Bytes of the framed body: the records and the line feeds between them.
    pub bytes: usize,
    /// Records.
    pub records: usize,
    /// Bytes of one record. A larger one is quarantined before it is sent.
    pub record_bytes: usize,
}

impl BatchLimits {
    /// At most `bytes` in a body, 10,000 records, and one record as large as the body.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        Self {
            bytes,
            records: 10_000,
            record_bytes: bytes,
        }
    }

    /// The same limits with another number of records.
    #[must_use]
    pub fn with_records(mut self, records: usize) -> Self {
        self.records = records;
        self
    }

    /// The same limits with another size of one record.
    #[must_use]
    pub fn with_record_bytes(mut self, record_bytes: usize) -> Self {
        self.record_bytes = record_bytes;
        self
    }
}

/// Where one record of a batch lies in the log file it came from.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Origin<'a> {
    /// The log file.
    pub object: &'a Object,
    /// The record's first byte in the inflated file.
    pub offset: u64,
    /// The record's length in the inflated file; more than in the batch where
    /// white space between its tokens went to make it one line.
    pub length: u32,
}

#[derive(Clone, Copy)]
pub(crate) struct Entry {
    /// Start of the record in the whole body.
    start: u32,
    end: u32,
    /// Index into `files`.
    file: u32,
    length: u32,
    offset: u64,
}

/// Records that go to a sink in one request.
///
/// The body is contiguous and framed: one record a line, a line feed between two
/// records, none after the last. Cloning and cutting a batch copy no record.
#[derive(Clone)]
pub struct Batch {
    body: Bytes,
    entries: Arc<[Entry]>,
    files: Arc<[Arc<Object>]>,
    range: Range<usize>,
    hold_until: Option<Instant>,
}

impl Batch {
    /// How many records it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// Whether it holds no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// The framed body: one record a line, no line feed after the last.
    #[must_use]
    pub fn body(&self) -> Bytes {
        match (self.slice().first(), self.slice().last()) {
            (Some(first), Some(last)) => self.body.slice(first.start as usize..last.end as usize),
            _ => Bytes::new(),
        }
    }

    /// The bytes of the framed body.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match (self.slice().first(), self.slice().last()) {
            (Some(first), Some(last)) => (last.end - first.start) as usize,
            _ => 0,
        }
    }

    /// The record at `index`, without its line feed, sharing the batch's memory.
    #[must_use]
    pub fn record(&self, index: usize) -> Option<Bytes> {
        let entry = self.slice().get(index)?;
        Some(self.body.slice(entry.start as usize..entry.end as usize))
    }

    /// Where the record at `index` came from.
    #[must_use]
    pub fn origin(&self, index: usize) -> Option<Origin<'_>> {
        let entry = self.slice().get(index)?;
        Some(Origin {
            object: self.files.get(entry.file as usize)?,
            offset: entry.offset,
            length: entry.length,
        })
    }

    /// Every record, in order.
    pub fn records(&self) -> impl ExactSizeIterator<Item = &[u8]> + '_ {
        self.slice()
            .iter()
            .map(|e| &self.body[e.start as usize..e.end as usize])
    }

    /// Until when the receipts of its files can be held: the earliest of them.
    #[must_use]
    pub fn hold_until(&self) -> Option<Instant> {
        self.hold_until
    }

    /// The records of `range` as a batch of their own; what lies outside is left out.
    #[must_use]
    pub fn sub(&self, range: Range<usize>) -> Self {
        let start = (self.range.start + range.start).min(self.range.end);
        let end = (self.range.start + range.end).clamp(start, self.range.end);
        Self {
            range: start..end,
            ..self.clone()
        }
    }

    /// The records at `indices` (ascending) as a batch of their own; their bytes are copied.
    #[must_use]
    pub fn select(&self, indices: &[usize]) -> Self {
        let mut builder = BatchBuilder::default();
        for &index in indices {
            if let (Some(entry), Some(record)) = (self.slice().get(index), self.record(index)) {
                builder.push(&record, entry.file, entry.offset, entry.length);
            }
        }
        Self {
            files: Arc::clone(&self.files),
            ..builder.finish(Vec::new(), self.hold_until)
        }
    }

    /// Index into the batch's files of the record at `index`.
    pub(crate) fn file_index(&self, index: usize) -> Option<u32> {
        self.slice().get(index).map(|e| e.file)
    }

    /// The file of this index.
    pub(crate) fn file(&self, index: u32) -> Option<&Object> {
        self.files.get(index as usize).map(|file| &**file)
    }

    fn slice(&self) -> &[Entry] {
        self.entries.get(self.range.clone()).unwrap_or_default()
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("records", &self.len())
            .field("bytes", &self.bytes())
            .field("files", &self.files.len())
            .finish_non_exhaustive()
    }
}

/// Builds a [`Batch`] outside a pipeline: for tests of sinks, and for sinks that
/// wrap others.
#[derive(Default)]
pub struct BatchBuilder {
    body: BytesMut,
    entries: Vec<Entry>,
}

impl fmt::Debug for BatchBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchBuilder")
            .field("records", &self.entries.len())
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

impl BatchBuilder {
    /// A batch of these records, all of one object, one after the other.
    pub fn of_records<'a>(object: Object, records: impl IntoIterator<Item = &'a [u8]>) -> Batch {
        let mut builder = Self::default();
        let mut offset = 0;
        for record in records {
            #[allow(
                clippy::cast_possible_truncation,
                reason = "a batch is far below 4 GiB"
            )]
            builder.push(record, 0, offset, record.len() as u32);
            offset += record.len() as u64 + 1;
        }
        builder.finish(vec![Arc::new(object)], None)
    }

    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self {
            body: BytesMut::with_capacity(bytes),
            entries: Vec::new(),
        }
    }

    #[allow(
        clippy::cast_possible_truncation,
        reason = "limits keep a batch far below 4 GiB"
    )]
    pub(crate) fn push(&mut self, record: &[u8], file: u32, offset: u64, length: u32) {
        if !self.entries.is_empty() {
            self.body.put_u8(b'\n');
        }
        let start = self.body.len() as u32;
        self.body.extend_from_slice(record);
        self.entries.push(Entry {
            start,
            end: self.body.len() as u32,
            file,
            length,
            offset,
        });
    }

    pub(crate) fn bytes(&self) -> usize {
        self.body.len()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn finish(self, files: Vec<Arc<Object>>, hold_until: Option<Instant>) -> Batch {
        let range = 0..self.entries.len();
        Batch {
            body: self.body.freeze(),
            entries: self.entries.into(),
            files: files.into(),
            range,
            hold_until,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::ObjectId;

    fn batch(records: &[&[u8]]) -> Batch {
        BatchBuilder::of_records(
            Object::new(ObjectId::new("b", "k")),
            records.iter().copied(),
        )
    }

    #[test]
    fn a_body_is_one_record_a_line_and_cuts_share_it() {
        let whole = batch(&[b"{}", b"{\"a\":1}", b"{\"b\":2}"]);
        assert_eq!(whole.body(), "{}\n{\"a\":1}\n{\"b\":2}");
        assert_eq!(whole.bytes(), whole.body().len());
        let tail = whole.sub(1..3);
        assert_eq!(tail.body(), "{\"a\":1}\n{\"b\":2}");
        assert_eq!(tail.record(0).unwrap(), "{\"a\":1}");
        assert_eq!(tail.origin(0).unwrap().offset, 3);
        assert_eq!(tail.sub(1..2).body(), "{\"b\":2}");
        assert_eq!(tail.sub(2..9).len(), 0);
        let picked = whole.select(&[0, 2]);
        assert_eq!(picked.body(), "{}\n{\"b\":2}");
        assert_eq!(picked.origin(1).unwrap().offset, 11);
        assert_eq!(picked.origin(1).unwrap().object.id.key, "k");
    }
}
