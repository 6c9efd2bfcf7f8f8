//! The reader against serde_json, with its input stored and cut in every way.
//!
//! The first eight bytes of an input say how the rest, the document, is given:
//!
//! | byte | what it says |
//! | --- | --- |
//! | 0 | low three bits: how it is stored ([`Way`]); next bit: all chunks pushed at once |
//! | 1 | low four bits: the cap on one record ([`CAPS`]) |
//! | 2 | low three bits: how far `@` and `^` are blown up ([`BLOW`]) |
//! | 3..8 | where to cut; for a damaged file also where and how |
//!
//! So a corpus file can be written by hand: `00000000{"Records":[{}]}`.
#![no_main]

#[path = "../../ctforward-core/tests/it/oracle.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod oracle;

mod record;

use std::io::{Read, Write};
use std::ops::Range;

use ctforward_core::quarantine::Reason;
use ctforward_core::read::{LogReader, ReadError, ReadLimits, Step};
use flate2::bufread::MultiGzDecoder;
use flate2::{Compression, GzBuilder};
use libfuzzer_sys::{Corpus, fuzz_target};
use oracle::{Element, Outcome};
use sha2::{Digest, Sha256};

/// Caps on one record, 0 for the default one.
const CAPS: [usize; 16] = [
    0, 0, 0, 0, 0, 1, 2, 3, 8, 16, 64, 250, 1000, 10_000, 65_536, 100_000,
];

/// What each `@` (to `x`) and `^` (to spaces) is repeated to: documents larger
/// than the reader's buffers from inputs that a fuzzer can handle.
const BLOW: [usize; 8] = [1, 1, 1, 1, 3_000, 32_768, 65_529, 65_536];

/// A document is blown up to this at most, give or take one repetition.
const LARGEST: usize = 200_000;

/// What the reader inflates at one time.
const CHUNK: usize = 64 * 1024;

/// How the document is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Plain,
    Gzip,
    /// Members split where the cuts say.
    Members,
    /// The bytes are the stored gzip stream.
    Raw,
    /// Gzip with one byte changed.
    Damaged,
    /// Gzip that ends early.
    Cut,
}

/// One thing that the reader yielded.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Record {
        offset: u64,
        bytes: Vec<u8>,
        fields: Vec<(Range<usize>, Range<usize>)>,
    },
    Bad {
        offset: u64,
        bytes: Vec<u8>,
        reason: Reason,
    },
    Oversized {
        offset: u64,
        length: u64,
        sha256: [u8; 32],
    },
}

/// What it yielded, and how it ended.
type Answer = (Vec<Seen>, Result<(), ReadError>);

fuzz_target!(|data: &[u8]| -> Corpus {
    let Some((control, document)) = data.split_first_chunk::<8>() else {
        return Corpus::Reject;
    };
    check(control, document);
    Corpus::Keep
});

fn check(control: &[u8; 8], document: &[u8]) {
    let document = &blow_up(document, BLOW[usize::from(control[2] & 7)]);
    let cuts = &control[3..];
    let mut way = match control[0] & 7 {
        0 | 6 => Way::Plain,
        1 => Way::Gzip,
        2 | 7 => Way::Members,
        3 => Way::Raw,
        4 => Way::Damaged,
        _ => Way::Cut,
    };
    if way == Way::Plain && document.starts_with(&[0x1f, 0x8b]) {
        way = Way::Raw;
    }
    let stored = &store(way, document, cuts);
    let at_once = control[0] & 8 != 0;
    let limits = ReadLimits::default().with_inflated_bytes(4 * 1024 * 1024);

    let whole = drive(stored, &[], limits, false, true);
    let sound = matches!(way, Way::Plain | Way::Gzip | Way::Members);
    if sound {
        against_serde(document, &whole);
    } else if whole.1.is_ok() {
        // What it takes for a whole gzip file is one to another reader too.
        let mut inflated = Vec::new();
        let gzip = stored.starts_with(&[0x1f, 0x8b]);
        let other = if gzip {
            MultiGzDecoder::new(&stored[..]).read_to_end(&mut inflated)
        } else {
            inflated.clone_from(stored);
            Ok(0)
        };
        other.expect("flate2 reads it too");
        against_serde(&inflated, &whole);
    }

    let cap = CAPS[usize::from(control[1] & 15)];
    let capped = limits.with_record_bytes(if cap == 0 { limits.record_bytes } else { cap });
    let expected = (over(&whole.0, capped.record_bytes), whole.1.clone());
    let split = |cuts: &[usize], at_once| {
        let split = drive(stored, cuts, capped, at_once, false);
        if sound {
            assert_eq!(split, expected, "cut at {cuts:?}");
        } else {
            assert_eq!(split.1.is_ok(), expected.1.is_ok(), "cut at {cuts:?}");
            if split.1.is_ok() {
                assert_eq!(split.0, expected.0, "cut at {cuts:?}");
            }
        }
    };
    split(&places(cuts, stored.len()), at_once);
    if stored.len() <= 512 {
        split(&(0..stored.len()).collect::<Vec<_>>(), false);
    }
    if stored.len() <= 32 {
        for at in 0..=stored.len() {
            split(&[at], at_once);
        }
    }
}

fn blow_up(document: &[u8], by: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(document.len());
    for &byte in document {
        match byte {
            b'@' | b'^' if by > 1 && out.len() < LARGEST => {
                let filler = if byte == b'@' { b'x' } else { b' ' };
                out.resize(out.len() + by, filler);
            }
            _ => out.push(byte),
        }
    }
    out
}

/// The cut bytes as ascending places in something of this length.
fn places(cuts: &[u8], length: usize) -> Vec<usize> {
    let mut places: Vec<_> = cuts
        .iter()
        .map(|cut| usize::from(*cut) * (length + 1) / 256)
        .collect();
    places.sort_unstable();
    places
}

fn store(way: Way, document: &[u8], cuts: &[u8]) -> Vec<u8> {
    match way {
        Way::Plain | Way::Raw => document.to_vec(),
        Way::Gzip => gzip(document, cuts[4]),
        Way::Members => {
            let mut out = Vec::new();
            let mut at = 0;
            for end in places(&cuts[..3], document.len()) {
                out.extend(gzip(&document[at..end], cuts[3]));
                at = end;
            }
            out.extend(gzip(&document[at..], cuts[4]));
            out
        }
        Way::Damaged => {
            let mut out = gzip(document, cuts[4]);
            let at = usize::from(u16::from_le_bytes([cuts[0], cuts[1]])) % out.len();
            out[at] ^= cuts[2].max(1);
            out
        }
        Way::Cut => {
            let mut out = gzip(document, cuts[4]);
            out.truncate(usize::from(u16::from_le_bytes([cuts[0], cuts[1]])) % out.len());
            out
        }
    }
}

/// One member, with the optional header fields and the level that `how` says.
fn gzip(bytes: &[u8], how: u8) -> Vec<u8> {
    let mut header = GzBuilder::new();
    if how & 1 != 0 {
        header = header.filename("name");
    }
    if how & 2 != 0 {
        header = header.extra(vec![how; usize::from(how >> 4)]);
    }
    if how & 4 != 0 {
        header = header.comment("comment");
    }
    let level = Compression::new(if how & 8 != 0 { 0 } else { 1 });
    let mut encoder = header.write(Vec::new(), level);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Reads what is stored, in pieces that end at `cuts`.
fn drive(stored: &[u8], cuts: &[usize], limits: ReadLimits, at_once: bool, look: bool) -> Answer {
    let mut reader = LogReader::with_limits(limits);
    let mut seen = Vec::new();
    let mut pieces = Vec::with_capacity(cuts.len() + 1);
    let mut at = 0;
    for end in cuts.iter().copied().chain([stored.len()]) {
        pieces.push(&stored[at..end]);
        at = end;
    }
    // What is pushed at a time is held as it is; else one record that fits the
    // cap, room for what is inflated next, and rounding up.
    let mut most = limits.record_bytes + 2 * CHUNK;
    let mut pieces = pieces.into_iter();
    if at_once {
        for piece in pieces.by_ref() {
            reader.push(piece.to_vec().into());
        }
        reader.finish();
        most += stored.len();
    } else {
        most += pieces.as_slice().iter().map(|p| p.len()).max().unwrap_or(0);
    }
    let mut bytes_seen = 0;
    let end = loop {
        match reader.next() {
            Ok(Step::Record(record)) => {
                if look {
                    record::check(record);
                }
                let fields = record.fields().iter();
                seen.push(Seen::Record {
                    offset: record.offset(),
                    bytes: record.bytes().to_vec(),
                    fields: fields.map(|f| (f.key(), f.value())).collect(),
                });
            }
            Ok(Step::Bad(bad)) => {
                if look {
                    record::check_bad(bad.bytes, bad.reason);
                }
                seen.push(Seen::Bad {
                    offset: bad.offset,
                    bytes: bad.bytes.to_vec(),
                    reason: bad.reason,
                });
            }
            Ok(Step::Oversized(big)) => seen.push(Seen::Oversized {
                offset: big.offset,
                length: big.length,
                sha256: big.sha256,
            }),
            Ok(Step::NeedInput) => match pieces.next() {
                Some(piece) => reader.push(piece.to_vec().into()),
                None => reader.finish(),
            },
            Ok(Step::End) => {
                assert!(matches!(reader.next(), Ok(Step::End)));
                assert_eq!(reader.stored_bytes(), stored.len() as u64);
                break Ok(());
            }
            Ok(_) => {}
            Err(error) => {
                assert_eq!(reader.next().unwrap_err(), error);
                break Err(error);
            }
        }
        assert!(reader.held_bytes() <= most, "{} held", reader.held_bytes());
        let inflated = reader.inflated_bytes();
        assert!(
            inflated - bytes_seen <= CHUNK as u64,
            "too much in one call"
        );
        bytes_seen = inflated;
    };
    (seen, end)
}

/// What a reader with this cap is to yield, where one without yielded `seen`.
fn over(seen: &[Seen], cap: usize) -> Vec<Seen> {
    let over = |one: &Seen| match one {
        Seen::Record { offset, bytes, .. } | Seen::Bad { offset, bytes, .. }
            if bytes.len() > cap =>
        {
            Seen::Oversized {
                offset: *offset,
                length: bytes.len() as u64,
                sha256: Sha256::digest(bytes).into(),
            }
        }
        _ => one.clone(),
    };
    seen.iter().map(over).collect()
}

fn against_serde(document: &[u8], (seen, end): &Answer) {
    let mut elements = Vec::new();
    let mut emptied = document.to_vec();
    let mut behind = 0;
    for one in seen {
        let (offset, bytes) = match one {
            Seen::Record { offset, bytes, .. } => {
                elements.push(Element::Record(*offset, bytes.clone()));
                (*offset, bytes)
            }
            Seen::Bad { offset, bytes, .. } => {
                elements.push(Element::Bad(*offset, bytes.clone()));
                (*offset, bytes)
            }
            Seen::Oversized { .. } => unreachable!("no document is over the default cap"),
        };
        // The bytes are the document's, in its order, also before an error.
        let at = usize::try_from(offset).unwrap();
        assert!(at >= behind);
        behind = at + bytes.len();
        assert_eq!(&document[at..behind], bytes);
        if bytes.starts_with(b"{") {
            emptied[at + 1..behind - 1].fill(b' ');
        }
    }
    match end {
        Ok(()) => {
            oracle::compare(document, &Ok(elements));
            // Whatever the objects in the list hold, the rest is sound.
            assert!(
                matches!(oracle::serde(&emptied), Outcome::Log(_)),
                "a fault outside of the records passed: {:?}",
                String::from_utf8_lossy(document)
            );
        }
        Err(error) => oracle::compare(document, &Err(error.clone())),
    }
}
