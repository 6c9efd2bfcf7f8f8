use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::gzip::{self, Gunzip};
use super::outer::{MAX_DEPTH, Outer, Seen};
use super::scan::{Scan, Scanner};
use super::{BadRecord, Oversized, ReadError, ReadLimits, Step, text};
use crate::event::Record;
use crate::event::known::Known;
use crate::event::record::Escapes;
use crate::quarantine::Reason;

/// What one call inflates at most.
const CHUNK: usize = 64 * 1024;

/// How many inflated bytes pass before the expansion ratio is looked at.
const RATIO_FROM: u64 = 16 * 1024 * 1024;

enum Decoder {
    /// Too few bytes were seen to tell.
    Unknown,
    Plain,
    Gzip(Box<Gunzip>),
}

/// What the bytes at hand belong to.
enum Inside {
    /// Between elements: the grammar of the document.
    Document,
    /// A record, from this place in the buffer on.
    Record { start: usize },
    /// An element that is no object, from this place in the buffer on.
    Other { start: usize },
}

/// An element that outgrew the cap: its bytes are hashed and let go.
struct Outgrown {
    offset: u64,
    length: u64,
    hash: Sha256,
}

/// An element that was found whole, as a range of the buffer.
enum Found {
    Record { start: usize, end: usize },
    Other { start: usize, end: usize },
    Outgrown(Outgrown),
}

/// Reads one log file from chunks; see the [module](super).
pub struct LogReader {
    limits: ReadLimits,
    decoder: Decoder,
    input: Bytes,
    /// Stored bytes taken from the input so far.
    stored: u64,
    finished: bool,
    /// Inflated bytes: what is retained of the element being read, what is not
    /// yet parsed, and room for the next chunk.
    buffer: Vec<u8>,
    filled: usize,
    /// Parsed up to here.
    parsed: usize,
    /// Place of `buffer[0]` in the inflated file.
    base: u64,
    bom: Bom,
    outer: Outer,
    inside: Inside,
    outgrown: Option<Outgrown>,
    scanner: Scanner,
    /// Of the record that was yielded last.
    known: Known,
    /// Over all inflated bytes, where it is asked for.
    hash: Option<Sha256>,
    failed: Option<ReadError>,
}

/// A byte order mark may stand before the document.
enum Bom {
    /// So many of its bytes were seen.
    Maybe(usize),
    Past,
}

const BOM: [u8; 3] = [0xef, 0xbb, 0xbf];

impl Default for LogReader {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for LogReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogReader")
            .field("stored", &self.stored)
            .field("inflated", &self.inflated_bytes())
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

impl LogReader {
    /// A reader with the default limits.
    #[must_use]
    pub fn new() -> Self {
        Self::with_limits(ReadLimits::default())
    }

    /// A reader with these limits.
    #[must_use]
    pub fn with_limits(limits: ReadLimits) -> Self {
        Self {
            limits: limits.with_record_bytes(limits.record_bytes),
            decoder: Decoder::Unknown,
            input: Bytes::new(),
            stored: 0,
            finished: false,
            buffer: Vec::new(),
            filled: 0,
            parsed: 0,
            base: 0,
            bom: Bom::Maybe(0),
            outer: Outer::new(),
            inside: Inside::Document,
            outgrown: None,
            scanner: Scanner::default(),
            known: Known::default(),
            hash: None,
            failed: None,
        }
    }

    /// The same reader, which hashes what it inflates.
    #[must_use]
    pub fn with_sha256(mut self) -> Self {
        self.hash = Some(Sha256::new());
        self
    }

    /// SHA-256 of the inflated bytes so far, where it was asked for; of the whole
    /// file behind [`Step::End`].
    #[must_use]
    pub fn sha256(&self) -> Option<[u8; 32]> {
        self.hash
            .as_ref()
            .map(|hash| hash.clone().finalize().into())
    }

    /// Gives the next chunk of the stored file. Best called after
    /// [`Step::NeedInput`]; a chunk that comes earlier is appended by copying.
    pub fn push(&mut self, chunk: Bytes) {
        if self.input.is_empty() {
            self.input = chunk;
        } else if !chunk.is_empty() {
            let mut joined = Vec::with_capacity(self.input.len() + chunk.len());
            joined.extend_from_slice(&self.input);
            joined.extend_from_slice(&chunk);
            self.input = joined.into();
        }
    }

    /// Says that no further chunk comes.
    pub fn finish(&mut self) {
        self.finished = true;
    }

    /// Inflated bytes so far.
    #[must_use]
    pub fn inflated_bytes(&self) -> u64 {
        self.base + self.filled as u64
    }

    /// Stored bytes taken so far.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        self.stored
    }

    /// Bytes of memory that the reader holds for the file's content.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.buffer.capacity() + self.input.len()
    }

    /// Goes on reading: inflates at most 64 KiB and yields at most one element.
    ///
    /// # Errors
    /// What makes the file unreadable. Every later call answers the same.
    #[allow(
        clippy::should_implement_trait,
        reason = "what it yields borrows from the reader"
    )]
    pub fn next(&mut self) -> Result<Step<'_>, ReadError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        match self.advance() {
            Ok(Advance::Found(found)) => Ok(self.show(found)),
            Ok(Advance::NeedInput) => Ok(Step::NeedInput),
            Ok(Advance::Working) => Ok(Step::Working),
            Ok(Advance::End) => Ok(Step::End),
            Err(error) => {
                self.failed = Some(error.clone());
                Err(error)
            }
        }
    }

    fn show(&mut self, found: Found) -> Step<'_> {
        let base = self.base;
        let at = |start: usize| base + start as u64;
        match found {
            Found::Record { start, end } => {
                let bytes = &self.buffer[start..end];
                let checked = if self.scanner.deepest() + self.outer.depth() > MAX_DEPTH {
                    Err(Reason::TooDeep)
                } else {
                    text::check(bytes).ok_or(Reason::BadText)
                };
                match checked {
                    Ok(escapes) => {
                        let escapes = match escapes {
                            true => Escapes::of(bytes),
                            false => Escapes::NONE,
                        };
                        let fields = self.scanner.fields();
                        self.known = Known::of(bytes, fields, escapes);
                        Step::Record(Record::new(bytes, fields, at(start), escapes, &self.known))
                    }
                    Err(reason) => Step::Bad(BadRecord {
                        bytes,
                        offset: at(start),
                        reason,
                    }),
                }
            }
            Found::Other { start, end } => Step::Bad(BadRecord {
                bytes: &self.buffer[start..end],
                offset: at(start),
                reason: Reason::NotAnObject,
            }),
            Found::Outgrown(outgrown) => Step::Oversized(Oversized {
                offset: outgrown.offset,
                length: outgrown.length,
                sha256: outgrown.hash.finalize().into(),
            }),
        }
    }

    fn advance(&mut self) -> Result<Advance, ReadError> {
        if let Some(found) = self.parse()? {
            return Ok(Advance::Found(found));
        }
        if self.inflate()? > 0 {
            return Ok(match self.parse()? {
                Some(found) => Advance::Found(found),
                None => Advance::Working,
            });
        }
        if !self.finished {
            return Ok(Advance::NeedInput);
        }
        self.check_end()?;
        Ok(Advance::End)
    }

    /// The input is used up and no more comes: is this a place to end?
    fn check_end(&mut self) -> Result<(), ReadError> {
        let offset = self.inflated_bytes();
        if let Decoder::Gzip(gunzip) = &self.decoder
            && !gunzip.between_members()
        {
            return Err(ReadError::Cut {
                within: "a gzip member",
                offset,
            });
        }
        if let Bom::Maybe(1..) = self.bom {
            return Err(ReadError::NotJson {
                first: BOM[0],
                offset: 0,
            });
        }
        self.outer.finish(offset)
    }

    /// Inflates up to 64 KiB of what is at hand; 0 if the input is used up.
    fn inflate(&mut self) -> Result<usize, ReadError> {
        if let Decoder::Unknown = self.decoder {
            match *self.input {
                [] => return Ok(0),
                // One byte may still become either, unless nothing follows it.
                [first] if first == gzip::MAGIC[0] && !self.finished => return Ok(0),
                [a, b, ..] if [a, b] == gzip::MAGIC => {
                    self.decoder = Decoder::Gzip(Box::new(Gunzip::new()));
                }
                _ => self.decoder = Decoder::Plain,
            }
        }
        self.make_room();
        let cap_left = self
            .limits
            .inflated_bytes
            .saturating_sub(self.inflated_bytes());
        // One byte over the cap is let in, to tell a file of just that size from a larger one.
        let room = CHUNK.min(usize::try_from(cap_left).unwrap_or(CHUNK).saturating_add(1));
        let output = &mut self.buffer[self.filled..self.filled + room];
        let (used, made) = match &mut self.decoder {
            Decoder::Gzip(gunzip) => {
                let moved = gunzip.inflate(&self.input, output)?;
                (moved.input, moved.output)
            }
            _ => {
                let n = self.input.len().min(output.len());
                output[..n].copy_from_slice(&self.input[..n]);
                (n, n)
            }
        };
        if used == self.input.len() {
            // Not a slice of length 0, which would keep the chunk alive.
            self.input = Bytes::new();
        } else {
            let _taken = self.input.split_to(used);
        }
        self.stored += used as u64;
        if let Some(hash) = &mut self.hash {
            hash.update(&self.buffer[self.filled..self.filled + made]);
        }
        self.filled += made;
        let inflated = self.inflated_bytes();
        if inflated > self.limits.inflated_bytes {
            return Err(ReadError::TooLarge {
                cap: self.limits.inflated_bytes,
            });
        }
        if inflated > RATIO_FROM && inflated / self.limits.ratio.max(1) > self.stored {
            return Err(ReadError::TooDense {
                cap: self.limits.ratio,
            });
        }
        Ok(made)
    }

    /// Moves what is still needed to the buffer's front and makes room for a chunk.
    fn make_room(&mut self) {
        let keep = match self.inside {
            Inside::Document => self.parsed,
            Inside::Record { start } | Inside::Other { start } => start,
        };
        if keep > 0 {
            self.buffer.copy_within(keep..self.filled, 0);
            self.filled -= keep;
            self.parsed -= keep;
            self.base += keep as u64;
            if let Inside::Record { start } | Inside::Other { start } = &mut self.inside {
                *start = 0;
            }
        }
        let needed = (self.filled + CHUNK).next_multiple_of(CHUNK);
        if self.buffer.len() < needed {
            self.buffer.reserve_exact(needed - self.buffer.len());
            self.buffer.resize(needed, 0);
        }
    }

    /// Parses what is inflated, until an element is found or the bytes run out.
    fn parse(&mut self) -> Result<Option<Found>, ReadError> {
        while self.parsed < self.filled {
            match self.inside {
                Inside::Record { start } => match self.parse_record(start)? {
                    Some(found) => return Ok(Some(found)),
                    None => break,
                },
                Inside::Document | Inside::Other { .. } => {
                    if let Some(found) = self.parse_document()? {
                        return Ok(Some(found));
                    }
                }
            }
        }
        if let Inside::Record { start } | Inside::Other { start } = self.inside {
            self.check_growth(start);
        }
        Ok(None)
    }

    fn parse_record(&mut self, start: usize) -> Result<Option<Found>, ReadError> {
        let from = if self.outgrown.is_some() {
            self.parsed
        } else {
            start
        };
        match self.scanner.scan(&self.buffer[from..self.filled]) {
            Scan::End(length) => {
                let end = from + length;
                self.parsed = end;
                self.inside = Inside::Document;
                self.outer.record_done();
                Ok(Some(self.element(start, end, false)))
            }
            Scan::More => {
                self.parsed = self.filled;
                Ok(None)
            }
            Scan::Mismatch(at) => Err(ReadError::BrokenJson {
                offset: self.base + (from + at) as u64,
                what: "a bracket in a record that closes none of its kind",
            }),
        }
    }

    fn parse_document(&mut self) -> Result<Option<Found>, ReadError> {
        while self.parsed < self.filled {
            let byte = self.buffer[self.parsed];
            if let Bom::Maybe(seen) = self.bom {
                if BOM.get(seen) == Some(&byte) {
                    self.parsed += 1;
                    self.bom = if seen + 1 == BOM.len() {
                        Bom::Past
                    } else {
                        Bom::Maybe(seen + 1)
                    };
                    continue;
                }
                if seen > 0 {
                    return Err(ReadError::NotJson {
                        first: BOM[0],
                        offset: 0,
                    });
                }
                self.bom = Bom::Past;
            }
            let at = self.parsed;
            match self.outer.step(byte, self.base + at as u64)? {
                Seen::Nothing => self.parsed += 1,
                Seen::Record => {
                    self.scanner.begin();
                    self.inside = Inside::Record { start: at };
                    // The scanner takes it from the brace on.
                    return self.parse_record(at);
                }
                Seen::OtherStart => {
                    self.inside = Inside::Other { start: at };
                    self.parsed += 1;
                }
                Seen::OtherEnd => {
                    self.parsed += 1;
                    return Ok(self.other(self.parsed));
                }
                Seen::OtherEndedBefore => return Ok(self.other(at)),
            }
        }
        Ok(None)
    }

    fn other(&mut self, end: usize) -> Option<Found> {
        let Inside::Other { start } = self.inside else {
            return None;
        };
        self.inside = Inside::Document;
        Some(self.element(start, end, true))
    }

    /// The element that lies in `start..end` of the buffer, unless it outgrew the cap.
    fn element(&mut self, start: usize, end: usize, other: bool) -> Found {
        if self.outgrown.is_none() && end - start > self.limits.record_bytes {
            self.outgrown = Some(Outgrown {
                offset: self.base + start as u64,
                length: 0,
                hash: Sha256::new(),
            });
        }
        match self.outgrown.take() {
            Some(mut outgrown) => {
                outgrown.take(&self.buffer[start..end]);
                Found::Outgrown(outgrown)
            }
            None if other => Found::Other { start, end },
            None => Found::Record { start, end },
        }
    }

    /// Lets go of the bytes of an element that is over the cap though not at its end.
    fn check_growth(&mut self, start: usize) {
        if self.outgrown.is_none() {
            if self.filled - start <= self.limits.record_bytes {
                return;
            }
            self.scanner.go_blind();
            self.outgrown = Some(Outgrown {
                offset: self.base + start as u64,
                length: 0,
                hash: Sha256::new(),
            });
        }
        if let Some(outgrown) = &mut self.outgrown {
            outgrown.take(&self.buffer[start..self.filled]);
        }
        match &mut self.inside {
            Inside::Record { start } | Inside::Other { start } => *start = self.filled,
            Inside::Document => {}
        }
    }
}

impl Outgrown {
    fn take(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        self.hash.update(bytes);
    }
}

enum Advance {
    Found(Found),
    NeedInput,
    Working,
    End,
}
