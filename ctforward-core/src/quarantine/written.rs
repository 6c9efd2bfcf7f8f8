//! Entries and tombstones as they are written down: the lines of a
//! [`DirectoryQuarantine`](super::DirectoryQuarantine), for quarantines that keep each
//! in a file or object of its own.

use jiff::Timestamp;

use super::directory::line::{self, Line, Put};
use super::{Kept, QuarantineEntry, Resolution};

/// What such a line says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(
    clippy::large_enum_variant,
    reason = "one is made for each line, and moved once"
)]
pub enum Written {
    /// An entry, which has the identity that the line names.
    Entry(QuarantineEntry),
    /// The entry of this identity was resolved.
    Tombstone([u8; 32]),
    /// Whole by its checksum, and not understood: a later version wrote it.
    Unknown,
    /// Not what was written.
    Damaged,
}

/// The line of an entry, with its line feed. Equal entries give equal bytes.
#[must_use]
pub fn entry(entry: &QuarantineEntry) -> Vec<u8> {
    let id = entry.id();
    // No two lines of one entry lie side by side here, so that nothing need tell puts apart.
    let nonce = id.first_chunk().map_or(0, |id| u128::from_be_bytes(*id));
    let put = Put {
        bytes: matches!(entry.kept, Kept::Bytes(_)),
        attempt: entry.attempt,
        at: 0,
        nonce,
    };
    let mut out = Vec::new();
    line::write_put(entry, &id, put, &mut out);
    out
}

/// The line that says that the entry of this identity was resolved, with its line feed.
#[must_use]
pub fn tombstone(id: &[u8; 32], outcome: Resolution, at: Timestamp) -> Vec<u8> {
    let mut out = Vec::new();
    line::write_tombstone(id, &[], outcome, at, &mut out);
    out
}

/// What a line says, with or without its line feed.
#[must_use]
pub fn read(line: &[u8]) -> Written {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    match line::read(line) {
        Line::Put { id, .. } => match line::entry(line) {
            Some(entry) if entry.id() == id => Written::Entry(entry),
            _ => Written::Damaged,
        },
        Line::Tombstone { id, .. } => Written::Tombstone(id),
        Line::Unknown => Written::Unknown,
        Line::Damaged => Written::Damaged,
    }
}

/// An identity in lower-case hexadecimal digits.
#[must_use]
pub fn hex(id: &[u8; 32]) -> String {
    line::hex(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{Object, ObjectId};
    use crate::quarantine::Reason;

    #[test]
    fn what_was_written_is_read_and_any_change_to_it_shows() {
        let object = Object::new(ObjectId::new("b", "k\n")).with_etag("e");
        let kept = Kept::Bytes(vec![0, 255, 10].into());
        let one = QuarantineEntry::new(object, Reason::Refused, "no", kept).at_offset(7);
        let bytes = entry(&one);
        assert_eq!(bytes, entry(&one.clone()));
        assert_eq!(read(&bytes), Written::Entry(one.clone()));
        for at in 0..bytes.len() - 1 {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert_eq!(read(&changed), Written::Damaged, "byte {at}");
            assert_eq!(read(&bytes[..at]), Written::Damaged, "cut at {at}");
        }
        let ended = tombstone(&one.id(), Resolution::Dropped, one.at);
        assert_eq!(read(&ended), Written::Tombstone(one.id()));
        assert_eq!(read(b""), Written::Damaged);
    }

    #[test]
    fn a_line_that_names_another_entry_is_damaged() {
        let object = Object::new(ObjectId::new("b", "k"));
        let kept = Kept::Reference {
            length: 0,
            sha256: None,
        };
        let mut one = QuarantineEntry::new(object, Reason::Missing, "gone", kept);
        let id = one.id();
        one.object.id.key.push('2');
        let put = Put {
            bytes: false,
            attempt: 0,
            at: 0,
            nonce: 1,
        };
        let mut line = Vec::new();
        line::write_put(&one, &id, put, &mut line);
        assert_eq!(read(&line), Written::Damaged);
    }
}
