//! What is held back of a file until its end was checked.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::batcher::Line;
use crate::quarantine::Reason;
use crate::read::Oversized;

/// Records and counts of a file whose end was not seen yet.
///
/// Such a file has no more inflated bytes than may be held back, so each number
/// fits 32 bits, and what is held is bounded: `body` by that size, `elements` by
/// eight times it, were the file to hold nothing but one-byte elements.
#[derive(Default)]
pub(super) struct Held {
    pub(super) body: Vec<u8>,
    pub(super) elements: Vec<HeldElement>,
    pub(super) filtered: BTreeMap<Arc<str>, u64>,
    pub(super) resumed: u64,
    /// Every element taken starts before this.
    pub(super) next: u64,
}

#[derive(Clone, Copy)]
pub(super) struct HeldElement {
    /// Where its bytes end in `body`.
    pub(super) end: u32,
    /// Its place and length in the file.
    pub(super) offset: u32,
    pub(super) length: u32,
    /// Why it is not to be sent, if so.
    pub(super) bad: Option<Reason>,
}

impl Held {
    #[allow(
        clippy::cast_possible_truncation,
        reason = "a file held back is far below 4 GiB"
    )]
    pub(super) fn take(&mut self, offset: u64, element: Element<'_>) {
        let mut push = |bytes: &[u8], length: u32, bad| {
            self.body.extend_from_slice(bytes);
            self.elements.push(HeldElement {
                end: self.body.len() as u32,
                offset: offset as u32,
                length,
                bad,
            });
        };
        match element {
            Element::Line(line) => push(line.bytes, line.length, None),
            Element::Bad(bad) => push(bad.bytes, bad.bytes.len() as u32, Some(bad.reason)),
            // Of these nothing was kept but their hash.
            Element::Oversized(big) => push(
                &big.sha256,
                big.length.min(u64::from(u32::MAX)) as u32,
                Some(Reason::OverReaderCap),
            ),
            Element::Filtered(rule) => *self.filtered.entry(rule).or_default() += 1,
            Element::Resumed => self.resumed += 1,
        }
        self.next = offset + 1;
    }

    pub(super) fn records(&self) -> u64 {
        self.elements.len() as u64 + self.filtered.values().sum::<u64>()
    }
}

/// One element of a file, as far as this module looks at it.
pub(super) enum Element<'a> {
    Line(Line<'a>),
    Bad(Bad<'a>),
    Oversized(Oversized),
    Filtered(Arc<str>),
    Resumed,
}

/// An element that is not to be sent.
#[derive(Clone, Copy)]
pub(super) struct Bad<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) reason: Reason,
}
