//! Reading one field of a record, and saying when it cannot be read with certainty.

use std::borrow::Cow;

use super::tops::{Top, Tops};
use crate::event::scan::{Elements, Item, Members, Step, key_match, plain_text, text};

/// Arrays within arrays are entered so deep; below that a field is in doubt.
const DEPTH: usize = 16;

/// A field with more values than these is in doubt: what a record can make a
/// filter hold is bounded.
const MOST: usize = 1000;

/// The path of a field, taken apart.
#[derive(Clone, Debug)]
pub(super) struct FieldPath {
    /// The position of its first key.
    top: usize,
    rest: Box<[Box<str>]>,
}

/// A text as its bytes, which are what rules compare.
pub(super) type Text<'a> = Cow<'a, [u8]>;

/// What a record holds at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen<'a> {
    /// It cannot be told: the JSON is broken there, a key on the way comes twice,
    /// or a text cannot be decoded.
    Doubt,
    /// Nothing, or `null`.
    Absent,
    /// Objects only: it is there, and is no text.
    Object,
    /// One text, number or boolean.
    One(Text<'a>),
    /// Several, reached through an array.
    Many(Vec<Text<'a>>),
}

/// What is at a field whose first key holds nothing that must be taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plain<'a> {
    Absent,
    Doubt,
    Text(&'a [u8]),
    /// It must be.
    Not,
}

impl FieldPath {
    /// The path in `field`, keys with points between; its first is entered in `tops`.
    pub(super) fn new(field: &str, tops: &mut Tops) -> Self {
        let mut keys = field.split('.');
        Self {
            top: tops.of(keys.next().unwrap_or_default()),
            rest: keys.map(Into::into).collect(),
        }
    }

    /// How much reading it costs, for comparison only.
    pub(super) fn cost(&self) -> usize {
        self.rest.len()
    }

    /// Where its first key is among those that were looked up.
    pub(super) fn top(&self) -> usize {
        self.top
    }

    /// What a record holds there that has this at its first key, if that needs nothing
    /// to be taken apart.
    #[inline]
    pub(super) fn read_plain<'a>(&self, top: Top<'a>) -> Plain<'a> {
        match top {
            Top::Absent => Plain::Absent,
            Top::Doubt => Plain::Doubt,
            Top::Value(raw, true) if self.rest.is_empty() => {
                plain_text(raw).map_or(Plain::Not, Plain::Text)
            }
            Top::Value(..) => Plain::Not,
        }
    }

    /// What a record holds there that has this at its first key.
    pub(super) fn read<'a>(&self, top: Top<'a>) -> Seen<'a> {
        let mut found = Found::default();
        match top {
            Top::Doubt => Seen::Doubt,
            Top::Absent => Seen::Absent,
            Top::Value(raw, _) => match found.take(raw, &self.rest, 0) {
                None => Seen::Doubt,
                Some(()) => found.seen(),
            },
        }
    }
}

#[derive(Debug, Default)]
struct Found<'a> {
    first: Option<Text<'a>>,
    more: Vec<Text<'a>>,
    object: bool,
}

impl<'a> Found<'a> {
    fn seen(self) -> Seen<'a> {
        match (self.first, self.more) {
            (Some(first), more) if more.is_empty() => Seen::One(first),
            (Some(first), mut more) => {
                more.push(first);
                Seen::Many(more)
            }
            _ if self.object => Seen::Object,
            _ => Seen::Absent,
        }
    }

    /// Takes what `raw` holds at `path`; `None` is doubt. It calls itself at most
    /// so often as the path has keys, and `DEPTH` times for arrays.
    fn take(&mut self, raw: &'a [u8], path: &[Box<str>], arrays: usize) -> Option<()> {
        match raw.first()? {
            b'{' => match path.split_first() {
                None => self.object(raw),
                Some((key, path)) => match member(raw, key)? {
                    Some(value) => self.take(value, path, arrays),
                    None => Some(()),
                },
            },
            b'[' if arrays == DEPTH => None,
            b'[' => {
                let mut elements = Elements::of(raw)?;
                loop {
                    match elements.step() {
                        Item::Element(at) => self.take(raw.get(at)?, path, arrays + 1)?,
                        Item::End => return Some(()),
                        Item::Fault => return None,
                    }
                }
            }
            b'"' => self.put(string(raw)?, path),
            _ => match word(raw)? {
                b"null" => Some(()),
                word => self.put(Cow::Borrowed(word), path),
            },
        }
    }

    /// A value at the end of a path; one that is met before has nothing below it.
    fn put(&mut self, value: Text<'a>, path: &[Box<str>]) -> Option<()> {
        if !path.is_empty() {
            return Some(());
        }
        if self.first.is_none() {
            self.first = Some(value);
        } else if self.more.len() < MOST {
            self.more.push(value);
        } else {
            return None;
        }
        Some(())
    }

    fn object(&mut self, raw: &[u8]) -> Option<()> {
        let mut members = Members::of(raw)?;
        loop {
            match members.step() {
                Step::Member(_) => {}
                Step::End => break,
                Step::Fault => return None,
            }
        }
        self.object = true;
        Some(())
    }
}

/// The one value of `key` in the object `raw`; the outer `None` is doubt.
fn member<'a>(raw: &'a [u8], key: &str) -> Option<Option<&'a [u8]>> {
    let mut members = Members::of(raw)?;
    let mut found = None;
    loop {
        match members.step() {
            Step::Member(member) => {
                if key_match(raw.get(member.key)?, key)? {
                    if found.is_some() {
                        return None;
                    }
                    found = Some(raw.get(member.value)?);
                }
            }
            Step::End => return Some(found),
            Step::Fault => return None,
        }
    }
}

/// A number, boolean or `null`, as it is written.
fn word(raw: &[u8]) -> Option<&[u8]> {
    (matches!(raw, b"true" | b"false" | b"null") || is_number(raw)).then_some(raw)
}

fn string(raw: &[u8]) -> Option<Text<'_>> {
    Some(match text(raw)? {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    })
}

fn is_number(raw: &[u8]) -> bool {
    let digits = |raw: &[u8]| raw.iter().take_while(|b| b.is_ascii_digit()).count();
    let mut rest = raw.strip_prefix(b"-").unwrap_or(raw);
    let whole = digits(rest);
    if whole == 0 || (whole > 1 && rest.starts_with(b"0")) {
        return false;
    }
    rest = &rest[whole..];
    if let Some(fraction) = rest.strip_prefix(b".") {
        let places = digits(fraction);
        if places == 0 {
            return false;
        }
        rest = &fraction[places..];
    }
    if let Some(exponent) = rest.strip_prefix(b"e").or_else(|| rest.strip_prefix(b"E")) {
        let exponent = exponent
            .strip_prefix(b"+")
            .or_else(|| exponent.strip_prefix(b"-"))
            .unwrap_or(exponent);
        let places = digits(exponent);
        return places > 0 && places == exponent.len();
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::RecordBuf;

    fn seen(record: &str, field: &str) -> Seen<'static> {
        let buf = RecordBuf::parse(record.to_owned()).unwrap();
        let own = |text: Text<'_>| Cow::Owned(text.into_owned());
        let mut tops = Tops::default();
        let path = FieldPath::new(field, &mut tops);
        tops.settle();
        let record = buf.as_record();
        let top = tops.find(&record).get(path.top());
        let read = path.read(top);
        // What is quicker answers the same.
        match path.read_plain(top) {
            Plain::Absent => assert_eq!(read, Seen::Absent),
            Plain::Doubt => assert_eq!(read, Seen::Doubt),
            Plain::Text(text) => assert_eq!(read, Seen::One(Cow::Borrowed(text))),
            Plain::Not => {}
        }
        match read {
            Seen::One(text) => Seen::One(own(text)),
            Seen::Many(texts) => Seen::Many(texts.into_iter().map(own).collect()),
            Seen::Doubt => Seen::Doubt,
            Seen::Absent => Seen::Absent,
            Seen::Object => Seen::Object,
        }
    }

    #[test]
    fn what_is_there_is_seen_and_what_is_not_certain_is_doubt() {
        let one = |text: &str| Seen::One(Cow::Owned(text.as_bytes().to_owned()));
        for (record, field, expected) in [
            (r#"{"a":"x"}"#, "a", one("x")),
            (r#"{"a":"\u0078"}"#, "a", one("x")),
            (r#"{"\u0061":true}"#, "a", one("true")),
            (r#"{"a":1624.0}"#, "a", one("1624.0")),
            (r#"{"a":null}"#, "a", Seen::Absent),
            (r#"{}"#, "a", Seen::Absent),
            (r#"{"a":{}}"#, "a", Seen::Object),
            (r#"{"a":[]}"#, "a", Seen::Absent),
            (r#"{"a":[null]}"#, "a", Seen::Absent),
            (r#"{"a":[{"b":1},{"c":2}]}"#, "a.b", one("1")),
            (r#"{"a":[[{"b":"y"}]]}"#, "a.b", one("y")),
            (r#"{"a":"x"}"#, "a.b", Seen::Absent),
            (r#"{"a":{"b":{}}}"#, "a.b.c", Seen::Absent),
            // What the path does not touch decides nothing.
            (r#"{"a":"x","b":1,"b":2}"#, "a", one("x")),
            (r#"{"a":{"b":"x","c":1,"c":2}}"#, "a.b", one("x")),
            // Doubt.
            (r#"{"a":"x","a":"x"}"#, "a", Seen::Doubt),
            (r#"{"a":"x","\u0061":"y"}"#, "a", Seen::Doubt),
            (r#"{"a":{"b":1,"b":1}}"#, "a.b", Seen::Doubt),
            (r#"{"a":[{"b":1},{"b":1,"b":2}]}"#, "a.b", Seen::Doubt),
            (r#"{"a":"\ud800"}"#, "a", Seen::Doubt),
            (r#"{"ab\ud800":1}"#, "abc", Seen::Doubt),
            (r#"{"ab\ud800":1}"#, "b", Seen::Absent),
        ] {
            assert_eq!(seen(record, field), expected, "{record} {field}");
        }
    }

    #[test]
    fn depth_and_number_of_values_are_bounded_and_end_in_doubt() {
        let deep = |n: usize| format!("{{\"a\":{}1{}}}", "[".repeat(n), "]".repeat(n));
        assert_eq!(seen(&deep(DEPTH), "a"), Seen::One(b"1".into()));
        assert_eq!(seen(&deep(DEPTH + 1), "a"), Seen::Doubt);
        assert_eq!(seen(&deep(300_000), "a"), Seen::Doubt);
        let wide = |n: usize| format!("{{\"a\":[{}1]}}", "1,".repeat(n - 1));
        assert!(matches!(seen(&wide(MOST + 1), "a"), Seen::Many(all) if all.len() == MOST + 1));
        assert_eq!(seen(&wide(MOST + 2), "a"), Seen::Doubt);
    }

    #[test]
    fn broken_values_are_doubt() {
        for raw in [
            "tru",
            "01",
            "1.",
            "-",
            "1e",
            "+1",
            "[1",
            "[1 2]",
            "{\"b\" 1}",
            "{\"b\":1,}",
            "\"x\" \"y\"",
            "[\"\\x\"]",
            "nul",
            "",
        ] {
            assert_eq!(Found::default().take(raw.as_bytes(), &[], 0), None, "{raw}");
        }
    }

    proptest! {
        #[test]
        fn a_number_is_what_serde_json_takes_for_one(raw in "-?[0-9]{0,3}(\\.[0-9]{0,2})?([eE][+-]?[0-9]{0,2})?") {
            let theirs = serde_json::from_str::<&serde_json::value::RawValue>(&raw).is_ok();
            prop_assert_eq!(is_number(raw.as_bytes()), theirs);
        }
    }
}
