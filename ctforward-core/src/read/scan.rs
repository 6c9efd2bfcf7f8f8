//! Finding where a record ends, and where its top-level keys lie, in one pass.
//!
//! This is the hot loop of the whole project. It follows strings and brackets
//! and nothing else: a fault of grammar inside a record that leaves its extent
//! clear is not its business. It can stop at any byte and go on in the next chunk.

use memchr::memchr;

use crate::event::Field;

/// What a byte outside of a string is to the scanner.
const SKIP: u8 = 0;
const QUOTE: u8 = 1;
const OPEN: u8 = 2;
const CLOSE: u8 = 3;
/// A colon or a comma: of interest only among the record's own keys.
const SEPARATOR: u8 = 4;

const CLASS: [u8; 256] = {
    let mut class = [SKIP; 256];
    class[b'"' as usize] = QUOTE;
    class[b'{' as usize] = OPEN;
    class[b'[' as usize] = OPEN;
    class[b'}' as usize] = CLOSE;
    class[b']' as usize] = CLOSE;
    class[b':' as usize] = SEPARATOR;
    class[b',' as usize] = SEPARATOR;
    class
};

/// Containers of which the kind is remembered, one bit each.
const STACK: u32 = 128;

/// What a scan came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scan {
    /// The record's closing brace is the byte before this position.
    End(usize),
    /// The bytes ran out inside the record.
    More,
    /// The bracket at this position closes none of its kind.
    Mismatch(usize),
}

/// The state of a scan between two chunks.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    at: usize,
    depth: u32,
    deepest: u32,
    /// The open containers, innermost in the lowest bit: 1 for an object.
    objects: u128,
    in_string: bool,
    /// The next byte is behind a backslash.
    escaped: bool,
    /// The last string among the record's own tokens.
    string: (u32, u32),
    key: Option<(u32, u32)>,
    value_start: u32,
    fields: Vec<Field>,
    /// Set while the record's bytes are not kept and so have no positions.
    blind: bool,
}

impl Scanner {
    /// Begins a record: the first byte scanned will be its opening brace.
    pub(super) fn begin(&mut self) {
        let mut fields = std::mem::take(&mut self.fields);
        fields.clear();
        // A record of a hundred thousand keys must not be remembered for ever.
        fields.shrink_to(1024);
        *self = Self {
            fields,
            ..Self::default()
        };
    }

    /// From now on the record's bytes are scanned but not kept: each chunk
    /// begins at position 0, and no keys are noted.
    pub(super) fn go_blind(&mut self) {
        self.at = 0;
        self.blind = true;
        self.fields.clear();
    }

    /// The deepest nesting of the record so far, its own braces included.
    pub(super) fn deepest(&self) -> u32 {
        self.deepest
    }

    pub(super) fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// Scans on from where it stopped. `bytes` begins at the record's first
    /// byte, or, once blind, at the first byte not yet scanned.
    pub(super) fn scan(&mut self, bytes: &[u8]) -> Scan {
        let mut i = if self.blind { 0 } else { self.at };
        if self.in_string {
            // The byte behind a backslash that ended the last chunk.
            let from = i + usize::from(self.escaped);
            match string_end(bytes, from) {
                Some(end) => {
                    self.in_string = false;
                    self.escaped = false;
                    self.string.1 = position(end - 1);
                    i = end;
                }
                None => return self.pause_in_string(bytes, from),
            }
        }
        loop {
            // Between two strings lie mostly one or two bytes.
            let class = loop {
                let Some(&byte) = bytes.get(i) else {
                    return self.pause(bytes);
                };
                let class = CLASS[byte as usize];
                if class != SKIP {
                    break class;
                }
                i += 1;
            };
            match class {
                QUOTE => loop {
                    let start = i + 1;
                    self.string.0 = position(start);
                    let Some(end) = string_end(bytes, start) else {
                        return self.pause_in_string(bytes, start);
                    };
                    self.string.1 = position(end - 1);
                    i = end;
                    // A compact writer puts the next string right behind the
                    // separator: most strings are followed by another.
                    let Some(&[b':' | b',', b'"']) = bytes.get(i..i + 2) else {
                        break;
                    };
                    if self.depth == 1 {
                        self.separator(bytes, i);
                    }
                    i += 1;
                },
                SEPARATOR => {
                    if self.depth == 1 {
                        self.separator(bytes, i);
                    }
                    i += 1;
                }
                OPEN => {
                    self.depth += 1;
                    self.deepest = self.deepest.max(self.depth);
                    self.objects = self.objects << 1 | u128::from(bytes[i] == b'{');
                    i += 1;
                }
                _ => {
                    // Deeper than the stack the kinds are forgotten; such a
                    // record is refused for its depth.
                    let known = self.deepest <= STACK;
                    if known && (self.objects & 1 == 1) != (bytes[i] == b'}') {
                        self.at = i;
                        return Scan::Mismatch(i);
                    }
                    self.objects >>= 1;
                    self.depth -= 1;
                    i += 1;
                    if self.depth == 0 {
                        self.note_value(bytes, i - 1);
                        self.at = i;
                        return Scan::End(i);
                    }
                }
            }
        }
    }

    /// The bytes ran out in a string of which `from` is the first byte at hand
    /// that is not escaped from before.
    fn pause_in_string(&mut self, bytes: &[u8], from: usize) -> Scan {
        self.in_string = true;
        // Where not even the escaped byte is at hand, it still is to come.
        self.escaped =
            from > bytes.len() || !backslashes_before(bytes, from, bytes.len()).is_multiple_of(2);
        self.pause(bytes)
    }

    fn pause(&mut self, bytes: &[u8]) -> Scan {
        self.at = bytes.len();
        Scan::More
    }

    /// A colon or comma among the record's own tokens.
    #[inline]
    fn separator(&mut self, bytes: &[u8], i: usize) {
        if bytes[i] == b':' {
            self.key = Some(self.string);
            self.value_start = position(i + 1);
        } else {
            self.note_value(bytes, i);
        }
    }

    /// The value of the last key ends before `end`.
    #[inline]
    fn note_value(&mut self, bytes: &[u8], end: usize) {
        if self.blind {
            return;
        }
        if let Some(key) = self.key.take() {
            let (start, end) = trim(bytes, self.value_start as usize, end);
            self.fields.push(Field {
                key,
                value: (position(start), position(end)),
            });
        }
    }
}

/// The position behind the closing quote of a string of which `from` is the
/// first byte at hand that is not escaped from before.
#[inline]
fn string_end(bytes: &[u8], from: usize) -> Option<usize> {
    let mut i = from;
    loop {
        let quote = i + memchr(b'"', bytes.get(i..)?)?;
        // A quote is the end unless an odd number of backslashes stands before it.
        if quote == from
            || bytes[quote - 1] != b'\\'
            || backslashes_before(bytes, from, quote).is_multiple_of(2)
        {
            return Some(quote + 1);
        }
        i = quote + 1;
    }
}

/// How many backslashes stand directly before `end`, not looking before `from`.
#[cold]
fn backslashes_before(bytes: &[u8], from: usize, end: usize) -> usize {
    let string = bytes.get(from..end).unwrap_or_default();
    string.iter().rev().take_while(|b| **b == b'\\').count()
}

/// Positions in a record fit 32 bits: the reader's cap on one record does.
#[inline]
#[allow(
    clippy::cast_possible_truncation,
    reason = "the reader's cap is below 4 GiB"
)]
fn position(at: usize) -> u32 {
    at as u32
}

/// The range without JSON white space at its ends.
#[inline]
fn trim(bytes: &[u8], mut start: usize, mut end: usize) -> (usize, usize) {
    let white = |b: &u8| matches!(b, b' ' | b'\n' | b'\r' | b'\t');
    while start < end && bytes.get(start).is_some_and(white) {
        start += 1;
    }
    while end > start && bytes.get(end - 1).is_some_and(white) {
        end -= 1;
    }
    (start, end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys_and_values(record: &[u8]) -> Vec<(String, String)> {
        let mut scanner = Scanner::default();
        scanner.begin();
        assert_eq!(scanner.scan(record), Scan::End(record.len()));
        let text = |r: std::ops::Range<usize>| String::from_utf8_lossy(&record[r]).into_owned();
        scanner
            .fields()
            .iter()
            .map(|f| (text(f.key()), text(f.value())))
            .collect()
    }

    #[test]
    fn notes_top_level_keys_with_their_trimmed_values() {
        let record = br#"{ "a" : 1 ,"b":{"c":[1,{"d":"}"}],"e":"x,y"} , "f\"g":"\\", "h": null }"#;
        let pairs = keys_and_values(record);
        let expected = [
            ("a", "1"),
            ("b", r#"{"c":[1,{"d":"}"}],"e":"x,y"}"#),
            (r#"f\"g"#, r#""\\""#),
            ("h", "null"),
        ];
        assert_eq!(pairs.len(), expected.len());
        for (pair, (key, value)) in pairs.iter().zip(expected) {
            assert_eq!((pair.0.as_str(), pair.1.as_str()), (key, value));
        }
        assert!(keys_and_values(b"{}").is_empty());
    }

    #[test]
    fn stops_at_any_byte_and_goes_on() {
        let record = br#"{"k\\":"v\"}","n":[{"a":"]"},2],"z":"\u00e4"} tail"#;
        let end = record.len() - 5;
        for cut in 0..end {
            let mut scanner = Scanner::default();
            scanner.begin();
            assert_eq!(scanner.scan(&record[..cut]), Scan::More, "cut at {cut}");
            assert_eq!(scanner.scan(record), Scan::End(end), "cut at {cut}");
            assert_eq!(scanner.fields().len(), 3);
            let mut blind = Scanner::default();
            blind.begin();
            assert_eq!(blind.scan(&record[..cut]), Scan::More);
            blind.go_blind();
            assert_eq!(blind.scan(&record[cut..]), Scan::End(end - cut));
        }
    }

    #[test]
    fn a_bracket_of_the_wrong_kind_is_seen() {
        let mut scanner = Scanner::default();
        scanner.begin();
        assert_eq!(scanner.scan(b"{\"a\":[1}"), Scan::Mismatch(7));
    }
}
