//! The grammar around the records: the whole of JSON, followed byte by byte and
//! without recursion, so that a fault anywhere outside a record is seen.
//!
//! The machine walks the document. Where an element of a `Records` list (or of a
//! bare top-level list) begins, it says so: an object is then left to the
//! [`scan`](super::scan) module, anything else is walked here and is one bad record.

use super::ReadError;

/// Containers that may be open at once in a document, as serde_json counts them.
pub(super) const MAX_DEPTH: u32 = 127;

/// What the machine saw in a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// Nothing to act on.
    Nothing,
    /// An element that is an object begins here; the byte was not consumed
    /// further than noting that. [`Outer::record_done`] goes on behind it.
    Record,
    /// An element that is no object begins with this byte.
    OtherStart,
    /// The element that is no object ended with this byte.
    OtherEnd,
    /// The element that is no object ended before this byte, which is to be
    /// given again.
    OtherEndedBefore,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// A value is due; in a list just opened its end may come instead.
    Value {
        first: bool,
    },
    /// A key is due; in an object just opened its end may come instead.
    Key {
        first: bool,
    },
    Colon,
    /// Behind a value.
    After,
    Text {
        key: bool,
    },
    Escape {
        key: bool,
    },
    /// `left` hex digits are due.
    Hex {
        key: bool,
        left: u8,
    },
    /// Continuation bytes of a UTF-8 sequence; the next lies in `low..=high`.
    Utf8 {
        key: bool,
        left: u8,
        low: u8,
        high: u8,
    },
    Word {
        rest: &'static [u8],
    },
    Minus,
    Zero,
    Digits,
    Point,
    Fraction,
    Exponent,
    ExponentSign,
    ExponentDigits,
    /// Behind the document.
    Done,
}

/// The name that marks a list of records.
const RECORDS: &[u8] = b"Records";

pub(super) struct Outer {
    at: At,
    depth: u32,
    /// The open containers, innermost in the lowest bit: 1 for an object.
    objects: u128,
    first_byte: Option<u8>,
    /// How much of `Records` the key being read has spelled; `None` once it differs.
    spelled: Option<usize>,
    /// The number that `\u` spells.
    unit: u16,
    /// A `\u` high surrogate in a key that awaits its other half.
    high: bool,
    /// The last top-level key was `Records`.
    records_key: bool,
    /// The depth inside a list of records, and whether we are in one.
    list_depth: Option<u32>,
    /// Inside an element that is no object.
    in_other: bool,
    /// A list of records was seen.
    log: bool,
    /// `Records` was seen with something that is no list, or a top-level list
    /// began with something that is no object.
    foreign: Option<&'static str>,
}

impl Outer {
    pub(super) fn new() -> Self {
        Self {
            at: At::Value { first: false },
            depth: 0,
            objects: 0,
            first_byte: None,
            spelled: None,
            unit: 0,
            high: false,
            records_key: false,
            list_depth: None,
            in_other: false,
            log: false,
            foreign: None,
        }
    }

    /// Depth of the containers around an element: what a record may not add too much to.
    pub(super) fn depth(&self) -> u32 {
        self.depth
    }

    /// The record that began with [`Seen::Record`] was read to its closing brace.
    pub(super) fn record_done(&mut self) {
        self.at = At::After;
    }

    /// What is missing when the input ends here; `Ok` where nothing is.
    pub(super) fn finish(&mut self, offset: u64) -> Result<(), ReadError> {
        let Some(first) = self.first_byte else {
            return Err(ReadError::Empty);
        };
        // A number at top level ends with the file.
        if self.depth == 0
            && matches!(
                self.at,
                At::Zero | At::Digits | At::Fraction | At::ExponentDigits
            )
        {
            self.at = At::Done;
        }
        if self.at != At::Done {
            return Err(if matches!(first, b'{' | b'[') {
                ReadError::Cut {
                    within: "the JSON document",
                    offset,
                }
            } else {
                ReadError::NotJson { first, offset }
            });
        }
        match self.foreign {
            _ if self.log => Ok(()),
            Some(what) => Err(ReadError::NotCloudTrail { what }),
            None if first == b'{' => Err(ReadError::NotCloudTrail {
                what: "the top-level object has no Records",
            }),
            None => Err(ReadError::NotCloudTrail {
                what: "the document is neither an object nor a list",
            }),
        }
    }

    /// Gives one byte; `offset` is its place in the inflated file.
    pub(super) fn step(&mut self, byte: u8, offset: u64) -> Result<Seen, ReadError> {
        match self.at {
            At::Value { first } => self.value(byte, first, offset),
            At::Key { first } => match byte {
                b' ' | b'\t' | b'\n' | b'\r' => Ok(Seen::Nothing),
                b'"' => {
                    self.spelled = Some(0);
                    self.high = false;
                    self.at = At::Text { key: true };
                    Ok(Seen::Nothing)
                }
                b'}' if first => self.close(byte, offset),
                _ => Err(self.broken(offset, "a key was due")),
            },
            At::Colon => match byte {
                b' ' | b'\t' | b'\n' | b'\r' => Ok(Seen::Nothing),
                b':' => {
                    self.at = At::Value { first: false };
                    Ok(Seen::Nothing)
                }
                _ => Err(self.broken(offset, "a colon was due")),
            },
            At::After => match byte {
                b' ' | b'\t' | b'\n' | b'\r' => Ok(Seen::Nothing),
                b',' => {
                    self.at = if self.objects & 1 == 1 {
                        At::Key { first: false }
                    } else {
                        At::Value { first: false }
                    };
                    Ok(Seen::Nothing)
                }
                b'}' | b']' => self.close(byte, offset),
                _ => Err(self.broken(offset, "a comma or a closing bracket was due")),
            },
            At::Text { .. } | At::Escape { .. } | At::Hex { .. } | At::Utf8 { .. } => {
                self.text(byte, offset)
            }
            At::Word { rest } => match rest.split_first() {
                Some((due, rest)) if *due == byte => {
                    if rest.is_empty() {
                        Ok(self.value_ended())
                    } else {
                        self.at = At::Word { rest };
                        Ok(Seen::Nothing)
                    }
                }
                _ => Err(self.broken(offset, "a literal other than true, false and null")),
            },
            At::Done => match byte {
                b' ' | b'\t' | b'\n' | b'\r' => Ok(Seen::Nothing),
                _ => Err(self.broken(offset, "bytes behind the document")),
            },
            _ => self.number(byte, offset),
        }
    }

    fn value(&mut self, byte: u8, first: bool, offset: u64) -> Result<Seen, ReadError> {
        if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
            return Ok(Seen::Nothing);
        }
        if first && byte == b']' {
            // `[]` at top level is a list of records without any.
            return self.close(byte, offset);
        }
        if self.first_byte.is_none() {
            self.first_byte = Some(byte);
        }
        let top_value = self.depth == 1 && self.objects & 1 == 1;
        if top_value && self.records_key && byte != b'[' {
            self.foreign = Some("Records is no list");
        }
        let element = self.list_depth == Some(self.depth) && !self.in_other;
        if element && first && self.depth == 1 && byte != b'{' {
            // A top-level list of something else, not of records.
            self.list_depth = None;
            self.log = false;
            self.foreign = Some("the top-level list holds no objects");
        }
        let element = element && self.list_depth.is_some();
        if element && byte == b'{' {
            return Ok(Seen::Record);
        }
        self.in_other |= element;
        match byte {
            b'{' | b'[' => {
                self.open(byte, offset)?;
                if self.depth == 1 && byte == b'[' {
                    self.list_depth = Some(1);
                    self.log = true;
                }
                if top_value && self.records_key && byte == b'[' {
                    self.list_depth = Some(2);
                    self.log = true;
                }
            }
            b'"' => self.at = At::Text { key: false },
            b't' => self.at = At::Word { rest: b"rue" },
            b'f' => self.at = At::Word { rest: b"alse" },
            b'n' => self.at = At::Word { rest: b"ull" },
            b'-' => self.at = At::Minus,
            b'0' => self.at = At::Zero,
            b'1'..=b'9' => self.at = At::Digits,
            _ => return Err(self.broken(offset, "a value was due")),
        }
        Ok(if element {
            Seen::OtherStart
        } else {
            Seen::Nothing
        })
    }

    fn open(&mut self, byte: u8, offset: u64) -> Result<(), ReadError> {
        if self.depth == MAX_DEPTH {
            return Err(self.broken(offset, "nested too deep"));
        }
        self.depth += 1;
        self.objects = self.objects << 1 | u128::from(byte == b'{');
        self.at = if byte == b'{' {
            At::Key { first: true }
        } else {
            At::Value { first: true }
        };
        Ok(())
    }

    fn close(&mut self, byte: u8, offset: u64) -> Result<Seen, ReadError> {
        if (self.objects & 1 == 1) != (byte == b'}') || self.depth == 0 {
            return Err(self.broken(offset, "a bracket that closes none of its kind"));
        }
        if self.list_depth == Some(self.depth) {
            self.list_depth = None;
        }
        self.depth -= 1;
        self.objects >>= 1;
        Ok(self.value_ended())
    }

    /// The byte just given ended a value.
    fn value_ended(&mut self) -> Seen {
        self.at = if self.depth == 0 { At::Done } else { At::After };
        if self.in_other && self.list_depth == Some(self.depth) {
            self.in_other = false;
            return Seen::OtherEnd;
        }
        Seen::Nothing
    }

    fn text(&mut self, byte: u8, offset: u64) -> Result<Seen, ReadError> {
        match self.at {
            At::Text { key } => match byte {
                b'"' if key => {
                    if self.high {
                        return Err(self.broken(offset, "half a surrogate pair in a key"));
                    }
                    self.at = At::Colon;
                    if self.depth == 1 {
                        self.records_key = self.spelled == Some(RECORDS.len());
                    }
                }
                b'"' => return Ok(self.value_ended()),
                b'\\' => self.at = At::Escape { key },
                0..=0x1f => return Err(self.broken(offset, "a raw control character in a string")),
                0x20..=0x7f => self.spell(byte, key, offset)?,
                0xc2..=0xdf => self.at = continuation(key, 1, 0x80, 0xbf),
                0xe0 => self.at = continuation(key, 2, 0xa0, 0xbf),
                0xe1..=0xec | 0xee..=0xef => self.at = continuation(key, 2, 0x80, 0xbf),
                0xed => self.at = continuation(key, 2, 0x80, 0x9f),
                0xf0 => self.at = continuation(key, 3, 0x90, 0xbf),
                0xf1..=0xf3 => self.at = continuation(key, 3, 0x80, 0xbf),
                0xf4 => self.at = continuation(key, 3, 0x80, 0x8f),
                _ => return Err(self.broken(offset, "bytes that are no UTF-8")),
            },
            At::Escape { key } => {
                let plain = match byte {
                    b'"' | b'\\' | b'/' => byte,
                    b'b' => 8,
                    b'f' => 12,
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'u' => {
                        self.unit = 0;
                        self.at = At::Hex { key, left: 4 };
                        return Ok(Seen::Nothing);
                    }
                    _ => return Err(self.broken(offset, "an unknown escape")),
                };
                self.at = At::Text { key };
                self.spell(plain, key, offset)?;
            }
            At::Hex { key, left } => {
                let Some(digit) = char::from(byte).to_digit(16) else {
                    return Err(self.broken(offset, "a hex digit was due"));
                };
                #[allow(clippy::cast_possible_truncation, reason = "a hex digit")]
                let digit = digit as u16;
                self.unit = self.unit << 4 | digit;
                if left > 1 {
                    self.at = At::Hex {
                        key,
                        left: left - 1,
                    };
                } else {
                    self.at = At::Text { key };
                    self.unit_read(key, offset)?;
                }
            }
            At::Utf8 {
                key,
                left,
                low,
                high,
            } => {
                if !(low..=high).contains(&byte) {
                    return Err(self.broken(offset, "bytes that are no UTF-8"));
                }
                if left > 1 {
                    self.at = continuation(key, left - 1, 0x80, 0xbf);
                } else {
                    self.at = At::Text { key };
                    self.spell(0, key, offset)?;
                }
            }
            _ => {}
        }
        Ok(Seen::Nothing)
    }

    /// A `\u` escape was read. Half a surrogate pair is a fault in a top-level
    /// key; elsewhere it passes, as serde_json lets it pass in what it does not build.
    fn unit_read(&mut self, key: bool, offset: u64) -> Result<(), ReadError> {
        let unit = self.unit;
        let key = key && self.depth == 1;
        match unit {
            0xdc00..=0xdfff if key && self.high => {
                self.high = false;
                self.spelled = None;
                Ok(())
            }
            0xdc00..=0xdfff if key => Err(self.broken(offset, "half a surrogate pair in a key")),
            0xd800..=0xdbff if key && !self.high => {
                self.high = true;
                self.spelled = None;
                Ok(())
            }
            _ => self.spell(u8::try_from(unit).unwrap_or(0), key, offset),
        }
    }

    /// One more character of a string; 0 stands for any that `Records` has not.
    fn spell(&mut self, byte: u8, key: bool, offset: u64) -> Result<(), ReadError> {
        if key {
            if self.high {
                return Err(self.broken(offset, "half a surrogate pair in a key"));
            }
            self.spelled = self
                .spelled
                .filter(|&n| RECORDS.get(n) == Some(&byte))
                .map(|n| n + 1);
        }
        Ok(())
    }

    fn number(&mut self, byte: u8, offset: u64) -> Result<Seen, ReadError> {
        self.at = match (self.at, byte) {
            (At::Minus, b'0') => At::Zero,
            (At::Minus | At::Digits, b'0'..=b'9') => At::Digits,
            (At::Zero | At::Digits, b'.') => At::Point,
            (At::Zero | At::Digits | At::Fraction, b'e' | b'E') => At::Exponent,
            (At::Point | At::Fraction, b'0'..=b'9') => At::Fraction,
            (At::Exponent, b'+' | b'-') => At::ExponentSign,
            (At::Exponent | At::ExponentSign | At::ExponentDigits, b'0'..=b'9') => {
                At::ExponentDigits
            }
            (At::Zero | At::Digits | At::Fraction | At::ExponentDigits, _) => {
                // The number ended before this byte, which belongs to what follows.
                return match self.value_ended() {
                    Seen::OtherEnd => Ok(Seen::OtherEndedBefore),
                    _ => self.step(byte, offset),
                };
            }
            _ => return Err(self.broken(offset, "a digit was due")),
        };
        Ok(Seen::Nothing)
    }

    fn broken(&self, offset: u64, what: &'static str) -> ReadError {
        match self.first_byte {
            Some(b'{' | b'[') => ReadError::BrokenJson { offset, what },
            Some(first) => ReadError::NotJson { first, offset },
            None => ReadError::NotJson { first: 0, offset },
        }
    }
}

fn continuation(key: bool, left: u8, low: u8, high: u8) -> At {
    At::Utf8 {
        key,
        left,
        low,
        high,
    }
}
