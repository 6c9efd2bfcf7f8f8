//! What is held back of a file until its end was checked.

use std::sync::Arc;

use crate::duplicates::Identity;
use crate::quarantine::Reason;
use crate::read::Oversized;

/// Records and counts of a file whose end was not seen yet.
///
/// Such a file has no more inflated bytes than may be held back, so each number
/// fits 32 bits, and what is held is bounded: `body` by that size, `elements` by
/// twelve times it, were the file to hold nothing but one-byte elements.
#[derive(Default)]
pub(super) struct Held {
    body: Vec<u8>,
    elements: Vec<HeldElement>,
    /// Of those elements that have one, by their place in `elements`.
    identities: Vec<(u32, Identity)>,
    rules: Vec<Arc<str>>,
    pub(super) resumed: u64,
    /// Every element taken starts before this.
    pub(super) next: u64,
}

#[derive(Clone, Copy)]
struct HeldElement {
    /// Where its bytes end in `body`.
    end: u32,
    /// Its place and length in the file.
    offset: u32,
    length: u32,
    time: u32,
    kind: HeldKind,
}

#[derive(Clone, Copy)]
enum HeldKind {
    Line,
    Bad(Reason),
    /// Index into `rules`.
    Filtered(u16),
}

impl Held {
    #[allow(
        clippy::cast_possible_truncation,
        reason = "a file held back is far below 4 GiB"
    )]
    pub(super) fn take(&mut self, offset: u64, element: Element<'_>) {
        let mut push = |bytes: &[u8], length: u32, time, kind| {
            self.body.extend_from_slice(bytes);
            self.elements.push(HeldElement {
                end: self.body.len() as u32,
                offset: offset as u32,
                length,
                time,
                kind,
            });
        };
        match element {
            Element::Line(line) => {
                push(
                    line.bytes,
                    line.bytes.len() as u32,
                    line.time,
                    HeldKind::Line,
                );
                if let Some(identity) = line.identity {
                    let place = self.elements.len() as u32 - 1;
                    self.identities.push((place, identity));
                }
            }
            Element::Bad(bad) => {
                push(
                    bad.bytes,
                    bad.bytes.len() as u32,
                    0,
                    HeldKind::Bad(bad.reason),
                );
            }
            // Of these nothing was kept but their hash.
            Element::Oversized(big) => push(
                &big.sha256,
                big.length.min(u64::from(u32::MAX)) as u32,
                0,
                HeldKind::Bad(Reason::OverReaderCap),
            ),
            Element::Filtered(rule) => {
                let known = self.rules.iter().rposition(|known| *known == rule);
                let index = known.unwrap_or_else(|| {
                    self.rules.push(rule);
                    self.rules.len() - 1
                });
                push(&[], 0, 0, HeldKind::Filtered(index as u16));
            }
            Element::Resumed => self.resumed += 1,
        }
        self.next = offset + 1;
    }

    pub(super) fn records(&self) -> u64 {
        self.elements.len() as u64
    }

    /// What is held, in the order of the file; `None` stands for an element that
    /// cannot be found again.
    pub(super) fn elements(&self) -> impl ExactSizeIterator<Item = Option<(u64, Element<'_>)>> {
        let mut start = 0;
        let mut identities = self.identities.iter().peekable();
        self.elements.iter().enumerate().map(move |(place, held)| {
            let bytes = self.body.get(start..held.end as usize)?;
            start = held.end as usize;
            let offset = u64::from(held.offset);
            let element = match held.kind {
                HeldKind::Line => {
                    let named = identities.next_if(|(named, _)| *named as usize == place);
                    Element::Line(Line {
                        bytes,
                        time: held.time,
                        identity: named.map(|(_, identity)| *identity),
                    })
                }
                HeldKind::Bad(Reason::OverReaderCap) => Element::Oversized(Oversized {
                    offset,
                    length: held.length.into(),
                    sha256: bytes.try_into().ok()?,
                }),
                HeldKind::Bad(reason) => Element::Bad(Bad { bytes, reason }),
                HeldKind::Filtered(rule) => {
                    Element::Filtered(Arc::clone(self.rules.get(rule as usize)?))
                }
            };
            Some((offset, element))
        })
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

/// A record to be sent, as its bytes lie in the file.
#[derive(Clone, Copy)]
pub(super) struct Line<'a> {
    pub(super) bytes: &'a [u8],
    /// Its eventTime in seconds since 1970; 0 where it is not known.
    pub(super) time: u32,
    /// Where duplicates are removed and it has a name.
    pub(super) identity: Option<Identity>,
}

/// An element that is not to be sent.
#[derive(Clone, Copy)]
pub(super) struct Bad<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) reason: Reason,
}
