//! One line of a segment: a put or a tombstone, with a checksum of its own.

use std::fmt::Write as _;

use bytes::Bytes;
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::IgnoredAny;
use sha2::{Digest, Sha256};

use super::base64;
use crate::object::{Object, ObjectId};
use crate::quarantine::{Kept, QuarantineEntry, Reason, Resolution};

/// The version of the lines that this code writes.
const VERSION: u32 = 1;

/// Says that records were redacted where an entry was put aside.
const REDACTED: &str = "redacted";

/// What stands before and behind the checksum, the last member of each line.
const BEFORE: &[u8] = br#","crc32":""#;
const BEHIND: &[u8] = br#""}"#;
const DIGITS: usize = 8;

/// Names one put among all, so that a tombstone says which ones it ends.
pub(in crate::quarantine) type Nonce = u128;

/// The identity of an entry.
pub(in crate::quarantine) type Id = [u8; 32];

/// What a line says, as far as the index needs it.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::quarantine) enum Line {
    Put {
        id: Id,
        put: Put,
    },
    Tombstone {
        id: Id,
        puts: Vec<Nonce>,
    },
    /// Whole by its checksum, and not understood: a later version's.
    Unknown,
    /// Not what was written.
    Damaged,
}

/// One put of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::quarantine) struct Put {
    /// Whether the bytes themselves are kept. First, so that a reference never
    /// stands for an entry of which there is a copy.
    pub(in crate::quarantine) bytes: bool,
    pub(in crate::quarantine) attempt: u32,
    /// In nanoseconds since 1970, saturated.
    pub(in crate::quarantine) at: i64,
    pub(in crate::quarantine) nonce: Nonce,
}

#[derive(Deserialize)]
struct Head {
    v: u32,
    id: Option<String>,
    put: Option<String>,
    #[serde(default)]
    attempt: u32,
    at: Option<String>,
    reason: Option<String>,
    tombstone: Option<String>,
    puts: Option<Vec<String>>,
    text: Option<IgnoredAny>,
    base64: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Body {
    bucket: String,
    key: String,
    version: Option<String>,
    etag: Option<String>,
    size: Option<u64>,
    offset: Option<u64>,
    length: u64,
    reason: String,
    detail: String,
    at: String,
    attempt: u32,
    sent_as: Option<String>,
    sha256: Option<String>,
    text: Option<String>,
    base64: Option<String>,
}

/// What a line says; `line` has no line feed at its end.
pub(in crate::quarantine) fn read(line: &[u8]) -> Line {
    if !is_whole(line) {
        return Line::Damaged;
    }
    let Ok(head) = serde_json::from_slice::<Head>(line) else {
        return Line::Unknown;
    };
    let known = head.v == VERSION;
    let hexes = |texts: &[String]| texts.iter().map(|text| nonce(text)).collect();
    let read = match head {
        Head {
            id: Some(id),
            put: Some(put),
            attempt,
            at: Some(at),
            reason: Some(reason),
            tombstone: None,
            text,
            base64,
            ..
        } if Reason::named(&reason).is_some() => {
            id_of(&id).zip(nonce(&put)).and_then(|(id, nonce)| {
                let at = time(&at)?;
                let at = i64::try_from(at.as_nanosecond()).unwrap_or(i64::MAX);
                let bytes = text.is_some() || base64.is_some();
                let put = Put {
                    bytes,
                    attempt,
                    at,
                    nonce,
                };
                Some(Line::Put { id, put })
            })
        }
        Head {
            tombstone: Some(id),
            puts: Some(puts),
            ..
        } => id_of(&id)
            .zip(hexes(&puts))
            .map(|(id, puts)| Line::Tombstone { id, puts }),
        _ => None,
    };
    read.filter(|_| known).unwrap_or(Line::Unknown)
}

/// The entry of a put's line; `None` where its bytes are not those it was made of.
pub(in crate::quarantine) fn entry(line: &[u8]) -> Option<QuarantineEntry> {
    let body: Body = serde_json::from_slice(line).ok()?;
    let sha256 = match &body.sha256 {
        Some(text) => Some(id_of(text)?),
        None => None,
    };
    let bytes = match (body.text, body.base64) {
        (Some(text), None) => Some(text.into_bytes()),
        (None, Some(text)) => Some(base64::decode(&text)?),
        (None, None) => None,
        (Some(_), Some(_)) => return None,
    };
    let kept = match bytes {
        None => Kept::Reference {
            length: body.length,
            sha256,
        },
        Some(bytes) => {
            let same = bytes.len() as u64 == body.length && sha256 == Some(digest(&bytes));
            if !same {
                return None;
            }
            Kept::Bytes(Bytes::from(bytes))
        }
    };
    Some(QuarantineEntry {
        object: Object {
            id: ObjectId {
                bucket: body.bucket,
                key: body.key,
                version: body.version,
            },
            etag: body.etag,
            size: body.size,
            storage_class: None,
        },
        offset: body.offset,
        reason: Reason::named(&body.reason)?,
        detail: body.detail,
        kept,
        at: time(&body.at)?,
        attempt: body.attempt,
        redacted: body.sent_as.as_deref() == Some(REDACTED),
    })
}

/// Appends the line of a put.
pub(in crate::quarantine) fn write_put(
    entry: &QuarantineEntry,
    id: &Id,
    put: Put,
    out: &mut Vec<u8>,
) {
    let mut line = Writer::new(out);
    line.text("id", &hex(id));
    line.text("put", &format!("{:032x}", put.nonce));
    line.text("at", &entry.at.to_string());
    line.text("reason", entry.reason.as_str());
    line.number("attempt", Some(put.attempt.into()));
    line.optional("sent_as", entry.redacted.then_some(REDACTED));
    line.text("detail", &entry.detail);
    line.text("bucket", &entry.object.id.bucket);
    line.text("key", &entry.object.id.key);
    line.optional("version", entry.object.id.version.as_deref());
    line.optional("etag", entry.object.etag.as_deref());
    line.number("size", entry.object.size);
    line.number("offset", entry.offset);
    match &entry.kept {
        Kept::Reference { length, sha256 } => {
            line.number("length", Some(*length));
            line.optional("sha256", sha256.as_ref().map(|hash| hex(hash)).as_deref());
        }
        Kept::Bytes(bytes) => {
            line.number("length", Some(bytes.len() as u64));
            line.text("sha256", &hex(&digest(bytes)));
            match std::str::from_utf8(bytes) {
                // Not every reader of JSON keeps a NUL.
                Ok(text) if !bytes.contains(&0) => line.text("text", text),
                _ => line.base64("base64", bytes),
            }
        }
    }
    line.end();
}

/// Appends the line of a tombstone.
pub(in crate::quarantine) fn write_tombstone(
    id: &Id,
    puts: &[Nonce],
    outcome: Resolution,
    at: Timestamp,
    out: &mut Vec<u8>,
) {
    let mut line = Writer::new(out);
    line.text("tombstone", &hex(id));
    let puts: Vec<String> = puts.iter().map(|put| format!("{put:032x}")).collect();
    line.texts("puts", &puts);
    line.text("outcome", outcome.as_str());
    line.text("at", &at.to_string());
    line.end();
}

pub(in crate::quarantine) fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

pub(in crate::quarantine) fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(out, "{byte:02x}");
    }
    out
}

fn id_of(text: &str) -> Option<Id> {
    if text.len() != 64 {
        return None;
    }
    let mut id = [0; 32];
    for (byte, pair) in id.iter_mut().zip(text.as_bytes().chunks(2)) {
        let pair = std::str::from_utf8(pair).ok()?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(id)
}

fn nonce(text: &str) -> Option<Nonce> {
    Nonce::from_str_radix(text, 16).ok()
}

fn time(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

/// Whether the line's checksum is that of what stands before it.
fn is_whole(line: &[u8]) -> bool {
    let Some(rest) = line.strip_suffix(BEHIND) else {
        return false;
    };
    let Some((rest, digits)) = rest.split_last_chunk::<DIGITS>() else {
        return false;
    };
    let Some(content) = rest.strip_suffix(BEFORE) else {
        return false;
    };
    format!("{:08x}", crc32fast::hash(content)).as_bytes() == digits
}

struct Writer<'a> {
    out: &'a mut Vec<u8>,
    begin: usize,
}

impl<'a> Writer<'a> {
    fn new(out: &'a mut Vec<u8>) -> Self {
        let begin = out.len();
        out.extend_from_slice(format!(r#"{{"v":{VERSION}"#).as_bytes());
        Self { out, begin }
    }

    fn name(&mut self, name: &str) {
        self.out.extend_from_slice(b",\"");
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn text(&mut self, name: &str, text: &str) {
        self.name(name);
        quote(text, self.out);
    }

    fn optional(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(name, text);
        }
    }

    fn number(&mut self, name: &str, number: Option<u64>) {
        if let Some(number) = number {
            self.name(name);
            self.out.extend_from_slice(number.to_string().as_bytes());
        }
    }

    fn texts(&mut self, name: &str, texts: &[String]) {
        self.name(name);
        self.out.push(b'[');
        for (index, text) in texts.iter().enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            quote(text, self.out);
        }
        self.out.push(b']');
    }

    fn base64(&mut self, name: &str, bytes: &[u8]) {
        self.name(name);
        self.out.push(b'"');
        base64::encode(bytes, self.out);
        self.out.push(b'"');
    }

    fn end(self) {
        let sum = crc32fast::hash(&self.out[self.begin..]);
        self.out.extend_from_slice(BEFORE);
        self.out.extend_from_slice(format!("{sum:08x}").as_bytes());
        self.out.extend_from_slice(BEHIND);
        self.out.push(b'\n');
    }
}

/// A JSON string in which whatever could steer a terminal is escaped, so that a
/// segment can be looked at with any tool.
fn quote(text: &str, out: &mut Vec<u8>) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    let mut plain = 0;
    for (at, c) in text.char_indices() {
        let escaped = match c {
            '"' => "\\\"".to_owned(),
            '\\' => "\\\\".to_owned(),
            // All of them lie in the basic plane: four digits say which.
            c if crate::text::printable(c.encode_utf8(&mut [0; 4])).len() != c.len_utf8() => {
                format!("\\u{:04x}", u32::from(c))
            }
            _ => continue,
        };
        out.extend_from_slice(&text.as_bytes()[plain..at]);
        out.extend_from_slice(escaped.as_bytes());
        plain = at + c.len_utf8();
    }
    out.extend_from_slice(&text.as_bytes()[plain..]);
    out.push(b'"');
}
