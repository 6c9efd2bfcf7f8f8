//! A record as its raw bytes, and where its top-level fields lie.

use std::ops::Range;

use memchr::{memchr, memrchr};

use super::known::{Known, Name, Place};
use super::scan::key_is;

/// Where one top-level key of a record and its value lie, as the reader noted it.
///
/// Positions are relative to the record's first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    pub(crate) key: (u32, u32),
    pub(crate) value: (u32, u32),
}

impl Field {
    /// The key between its quotes, still escaped.
    #[must_use]
    pub fn key(&self) -> Range<usize> {
        self.key.0 as usize..self.key.1 as usize
    }

    /// The value, without white space around it.
    #[must_use]
    pub fn value(&self) -> Range<usize> {
        self.value.0 as usize..self.value.1 as usize
    }
}

/// One record of a log file: its bytes as they lie there, and where its
/// top-level keys are. Borrowed from the reader; nothing is parsed or copied.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    bytes: &'a [u8],
    fields: &'a [Field],
    offset: u64,
    escapes: Escapes,
    known: &'a Known,
}

/// Where the first and the last backslash of a record are, so that what lies before
/// or behind them need not be looked at for one. Few records have one at all, and
/// those that have it often have it in one value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Escapes {
    first: usize,
    last: usize,
}

impl Escapes {
    /// There is none.
    pub(crate) const NONE: Self = Self {
        first: usize::MAX,
        last: 0,
    };

    /// Those of these bytes.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        match (memchr(b'\\', bytes), memrchr(b'\\', bytes)) {
            (Some(first), Some(last)) => Self { first, last },
            _ => Self::NONE,
        }
    }

    /// Whether none is in this part.
    #[inline]
    pub(crate) fn spare(self, part: &Range<usize>) -> bool {
        part.end <= self.first || part.start > self.last
    }
}

impl<'a> Record<'a> {
    /// A record of these bytes, which are UTF-8.
    pub(crate) fn new(
        bytes: &'a [u8],
        fields: &'a [Field],
        offset: u64,
        escapes: Escapes,
        known: &'a Known,
    ) -> Self {
        Self {
            bytes,
            fields,
            offset,
            escapes,
            known,
        }
    }

    /// Whether there is no backslash in this part of it: keys and texts in it are as
    /// they are written.
    #[inline]
    pub(crate) fn is_plain(&self, part: &Range<usize>) -> bool {
        self.escapes.spare(part)
    }

    /// The record's bytes, as they lie in the inflated file.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The record's first byte in the inflated file.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Where its top-level keys lie, in their order; a key that comes twice is here twice.
    #[must_use]
    pub fn fields(&self) -> &'a [Field] {
        self.fields
    }

    /// How often the top-level key `name` comes.
    #[must_use]
    pub fn fields_named(&self, name: &str) -> usize {
        let named = |field: &&Field| {
            let key = self.bytes.get(field.key());
            key.is_some_and(|key| key_is(key, name))
        };
        self.fields.iter().filter(named).count()
    }

    /// Where one of the keys lies that are asked for in every record.
    #[inline]
    pub(crate) fn place(&self, name: Name) -> Place {
        self.known.place(name)
    }

    /// Whether each of its keys is as it is written, so that where the known ones lie
    /// was noted.
    #[inline]
    pub(crate) fn is_clear(&self) -> bool {
        self.known.is_clear()
    }

    /// As [`field`](Self::field), for one of the keys that are asked for in every record.
    #[inline]
    pub(crate) fn known(&self, name: Name) -> Option<&'a [u8]> {
        match self.place(name) {
            Place::Absent => None,
            Place::At(index) => self.bytes.get(self.fields.get(index)?.value()),
            Place::Twice | Place::Unclear => self.field(name.text()),
        }
    }

    /// The raw JSON of the value of the top-level key `name`, as it lies in the record.
    ///
    /// Only the noted [`fields`](Self::fields) are looked through; the record is
    /// not scanned. A key written with escapes matches by what it decodes to; of
    /// a key that comes twice the last one counts, as serde_json has it.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&'a [u8]> {
        self.fields
            .iter()
            .rev()
            .find(|field| {
                self.bytes
                    .get(field.key())
                    .is_some_and(|key| key_is(key, name))
            })
            .and_then(|field| self.bytes.get(field.value()))
    }
}
