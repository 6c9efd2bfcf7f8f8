//! Looking into JSON without parsing it: the members of one object, found by a
//! scan that neither recurses nor allocates.
//!
//! The bytes come from outside. A scan that meets something it cannot read says
//! so and never guesses: what cannot be read must not decide anything.

use std::borrow::Cow;
use std::ops::Range;

use memchr::{memchr, memchr2};

/// Where one member of an object lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    /// The key between its quotes, still escaped.
    pub(crate) key: Range<usize>,
    /// The value, without white space around it.
    pub(crate) value: Range<usize>,
}

/// One step of [`Members`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Member(Member),
    /// The object was closed and only white space came behind it.
    End,
    /// The bytes are no JSON object from here on.
    Fault,
}

/// The members of one object, in their order, doubled keys included.
#[derive(Clone, Debug)]
pub(crate) struct Members<'a> {
    bytes: &'a [u8],
    at: usize,
    first: bool,
}

impl<'a> Members<'a> {
    /// The members of the object that `bytes` holds; `None` if they hold no object.
    pub(crate) fn of(bytes: &'a [u8]) -> Option<Self> {
        let open = skip_space(bytes, 0);
        (bytes.get(open) == Some(&b'{')).then_some(Self {
            bytes,
            at: open + 1,
            first: true,
        })
    }

    /// The next member. After `End` or `Fault` the scan is over.
    pub(crate) fn step(&mut self) -> Step {
        self.try_step().unwrap_or(Step::Fault)
    }

    fn try_step(&mut self) -> Option<Step> {
        let bytes = self.bytes;
        let mut at = skip_space(bytes, self.at);
        match bytes.get(at)? {
            b'}' => {
                let end = skip_space(bytes, at + 1);
                return (end == bytes.len()).then_some(Step::End);
            }
            b',' if !self.first => at = skip_space(bytes, at + 1),
            _ if self.first => {}
            _ => return None,
        }
        self.first = false;
        let key_end = skip_string(bytes, at)?;
        let key = at + 1..key_end - 1;
        at = skip_space(bytes, key_end);
        if bytes.get(at) != Some(&b':') {
            return None;
        }
        let start = skip_space(bytes, at + 1);
        let end = skip_value(bytes, start)?;
        self.at = end;
        Some(Step::Member(Member {
            key,
            value: start..end,
        }))
    }
}

/// One step of [`Elements`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// Where the element lies, without white space around it.
    Element(Range<usize>),
    /// The array was closed and only white space came behind it.
    End,
    /// The bytes are no JSON array from here on.
    Fault,
}

/// The elements of one array, in their order.
#[derive(Clone, Debug)]
pub(crate) struct Elements<'a> {
    bytes: &'a [u8],
    at: usize,
    first: bool,
}

impl<'a> Elements<'a> {
    /// The elements of the array that `bytes` holds; `None` if they hold no array.
    pub(crate) fn of(bytes: &'a [u8]) -> Option<Self> {
        let open = skip_space(bytes, 0);
        (bytes.get(open) == Some(&b'[')).then_some(Self {
            bytes,
            at: open + 1,
            first: true,
        })
    }

    /// The next element. After `End` or `Fault` the scan is over.
    pub(crate) fn step(&mut self) -> Item {
        self.try_step().unwrap_or(Item::Fault)
    }

    fn try_step(&mut self) -> Option<Item> {
        let bytes = self.bytes;
        let mut at = skip_space(bytes, self.at);
        match bytes.get(at)? {
            b']' => {
                let end = skip_space(bytes, at + 1);
                return (end == bytes.len()).then_some(Item::End);
            }
            b',' if !self.first => at = skip_space(bytes, at + 1),
            _ if self.first => {}
            _ => return None,
        }
        self.first = false;
        let end = skip_value(bytes, at)?;
        self.at = end;
        Some(Item::Element(at..end))
    }
}

fn skip_space(bytes: &[u8], mut at: usize) -> usize {
    while matches!(bytes.get(at), Some(b' ' | b'\t' | b'\r' | b'\n')) {
        at += 1;
    }
    at
}

/// Behind the closing quote of the string that opens at `open`.
fn skip_string(bytes: &[u8], open: usize) -> Option<usize> {
    if bytes.get(open) != Some(&b'"') {
        return None;
    }
    let mut at = open + 1;
    loop {
        let rest = bytes.get(at..)?;
        let hit = quote_or_backslash(rest)?;
        if rest.get(hit) == Some(&b'"') {
            return Some(at + hit + 1);
        }
        at += hit + 2; // the backslash and what it escapes
    }
}

/// The first quote or backslash.
fn quote_or_backslash(bytes: &[u8]) -> Option<usize> {
    // Most strings are short: a few words at once are quicker than a call.
    let (words, _) = bytes.as_chunks::<8>();
    for (n, word) in words.iter().take(4).enumerate() {
        let word = u64::from_le_bytes(*word);
        let found = zero_bytes(word ^ (LOW * 0x22)) | zero_bytes(word ^ (LOW * 0x5c));
        if found != 0 {
            return Some(n * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let past = words.len().min(4) * 8;
    memchr2(b'"', b'\\', bytes.get(past..)?).map(|hit| past + hit)
}

/// Whether a key between its quotes holds a backslash.
pub(crate) fn has_escape(key: &[u8]) -> bool {
    let (words, rest) = key.as_chunks::<8>();
    let escape = |word: &[u8; 8]| zero_bytes(u64::from_le_bytes(*word) ^ (LOW * 0x5c)) != 0;
    words.iter().any(escape) || rest.contains(&b'\\')
}

/// The lowest bit of each byte.
const LOW: u64 = u64::MAX / 255;

/// Sets the highest bit of each byte that is zero; above the first such byte others may
/// be set too.
const fn zero_bytes(word: u64) -> u64 {
    word.wrapping_sub(LOW) & !word & (LOW << 7)
}

/// Behind the value that starts at `start`.
fn skip_value(bytes: &[u8], start: usize) -> Option<usize> {
    match bytes.get(start)? {
        b'"' => skip_string(bytes, start),
        b'{' | b'[' => {
            // Depth is a count, not a stack: a closing bracket of the wrong kind
            // leaves the extent clear, and that is all that is asked here.
            let mut depth = 0usize;
            let mut at = start;
            loop {
                match bytes.get(at)? {
                    b'"' => {
                        at = skip_string(bytes, at)?;
                        continue;
                    }
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => {
                        depth -= 1;
                        if depth == 0 {
                            return Some(at + 1);
                        }
                    }
                    _ => {}
                }
                at += 1;
            }
        }
        _ => {
            let mut at = start;
            while let Some(b'0'..=b'9' | b'a'..=b'z' | b'E' | b'+' | b'-' | b'.') = bytes.get(at) {
                at += 1;
            }
            (at > start).then_some(at)
        }
    }
}

/// The raw value of `name` in the object `raw`; of a doubled key the last one.
///
/// `None` if it is not there, or if `raw` is no object that can be read to its end.
pub(crate) fn find<'a>(raw: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut members = Members::of(raw)?;
    let mut found = None;
    loop {
        match members.step() {
            Step::Member(member) => {
                if key_is(raw.get(member.key)?, name) {
                    found = Some(member.value);
                }
            }
            Step::End => return raw.get(found?),
            Step::Fault => return None,
        }
    }
}

/// The raw value reached from the object `raw` by `segments`, one key for each level.
///
/// Without segments it is `raw` itself. Arrays are not entered.
pub(crate) fn path<S: AsRef<str>>(
    raw: &[u8],
    segments: impl IntoIterator<Item = S>,
) -> Option<&[u8]> {
    segments
        .into_iter()
        .try_fold(raw, |raw, segment| find(raw, segment.as_ref()))
}

/// Whether the key with these escaped bytes (between its quotes) is `name` once decoded.
#[inline]
pub(crate) fn key_is(escaped: &[u8], name: &str) -> bool {
    // Nearly every key that is asked about is another, which its first byte says.
    match (escaped.first(), name.as_bytes().first()) {
        (Some(key), Some(name)) if key != name && *key != b'\\' => false,
        _ => key_is_whole(escaped, name),
    }
}

fn key_is_whole(escaped: &[u8], name: &str) -> bool {
    let mut name = name.as_bytes();
    if let (Some(key), Some(name)) = (escaped.first_chunk::<8>(), name.first_chunk::<8>())
        && key != name
        && !has_escape(key)
    {
        return false;
    }
    // Without an escape before it, the first byte that differs decides.
    let differ = escaped
        .iter()
        .zip(name)
        .position(|(key, name)| key != name || *key == b'\\');
    match escaped.get(differ.unwrap_or_else(|| name.len().min(escaped.len()))) {
        Some(b'\\') => {}
        Some(_) => return false,
        None => return escaped.len() == name.len(),
    }
    let mut pieces = Pieces(escaped);
    let mut buffer = [0; 4];
    loop {
        let piece = match pieces.next() {
            Some(Piece::Run(run)) => run,
            Some(Piece::Char(c)) => c.encode_utf8(&mut buffer).as_bytes(),
            Some(Piece::Fault) => return false,
            None => return name.is_empty(),
        };
        match name.strip_prefix(piece) {
            Some(rest) => name = rest,
            None => return false,
        }
    }
}

/// As [`key_is`], in few steps for the many keys that are another one; `None` for
/// a key that begins as `name` does and then cannot be decoded.
pub(crate) fn key_match(escaped: &[u8], name: &str) -> Option<bool> {
    if let (Some(key), Some(name)) = (escaped.first(), name.as_bytes().first())
        && key != name
        && *key != b'\\'
    {
        return Some(false);
    }
    let differ = escaped
        .iter()
        .zip(name.as_bytes())
        .position(|(key, name)| key != name || *key == b'\\');
    let at = differ.unwrap_or_else(|| name.len().min(escaped.len()));
    match escaped.get(at) {
        Some(b'\\') => {}
        Some(_) => return Some(false),
        None => return Some(at == name.len()),
    }
    let mut rest = name.as_bytes().get(at..)?;
    let mut pieces = Pieces(escaped.get(at..)?);
    let mut buffer = [0; 4];
    loop {
        let piece = match pieces.next() {
            Some(Piece::Run(run)) => run,
            Some(Piece::Char(c)) => c.encode_utf8(&mut buffer).as_bytes(),
            Some(Piece::Fault) => return None,
            None => return Some(rest.is_empty()),
        };
        match rest.strip_prefix(piece) {
            Some(behind) => rest = behind,
            None => return Some(false),
        }
    }
}

/// The text of a raw JSON string, quotes included; borrowed where it has no escape.
///
/// `None` if `raw` is not exactly one string, or holds bad UTF-8, a bad escape or
/// half a surrogate pair.
pub(crate) fn text(raw: &[u8]) -> Option<Cow<'_, str>> {
    let inside = raw.strip_prefix(b"\"")?;
    let hit = quote_or_backslash(inside)?;
    if hit + 1 == inside.len() && inside.get(hit) == Some(&b'"') {
        let inner = inside.get(..hit)?;
        return std::str::from_utf8(inner).ok().map(Cow::Borrowed);
    }
    // A record with a fault inside may have a value such as `"a" "b"`.
    if skip_string(raw, 0)? != raw.len() {
        return None;
    }
    let inner = inside.strip_suffix(b"\"")?;
    let mut out = String::with_capacity(inner.len());
    let mut pieces = Pieces(inner);
    while let Some(piece) = pieces.next() {
        match piece {
            Piece::Run(run) => out.push_str(std::str::from_utf8(run).ok()?),
            Piece::Char(c) => out.push(c),
            Piece::Fault => return None,
        }
    }
    Some(Cow::Owned(out))
}

/// As [`text`], of a raw value in which no backslash is and which is UTF-8, as all of
/// a record is: neither is looked at again.
pub(crate) fn plain_text(raw: &[u8]) -> Option<&[u8]> {
    let inside = raw.strip_prefix(b"\"")?;
    let end = quote_or_backslash(inside)?;
    (end + 1 == inside.len()).then(|| inside.get(..end))?
}

enum Piece<'a> {
    Run(&'a [u8]),
    Char(char),
    Fault,
}

/// An escaped string as runs without a backslash and the characters of its escapes.
struct Pieces<'a>(&'a [u8]);

impl<'a> Pieces<'a> {
    fn next(&mut self) -> Option<Piece<'a>> {
        let rest = self.0;
        if rest.is_empty() {
            return None;
        }
        let run = memchr(b'\\', rest).unwrap_or(rest.len());
        if run > 0 {
            let (run, behind) = rest.split_at(run);
            self.0 = behind;
            return Some(Piece::Run(run));
        }
        match unescape(rest) {
            Some((c, behind)) => {
                self.0 = behind;
                Some(Piece::Char(c))
            }
            None => {
                self.0 = &[];
                Some(Piece::Fault)
            }
        }
    }
}

/// The character of the escape that `bytes` starts with, and what comes behind it.
fn unescape(bytes: &[u8]) -> Option<(char, &[u8])> {
    let (&letter, behind) = bytes.strip_prefix(b"\\")?.split_first()?;
    let c = match letter {
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => {
            let (unit, behind) = hex(behind)?;
            if !(0xd800..0xdc00).contains(&unit) {
                return Some((char::from_u32(unit)?, behind));
            }
            let (low, behind) = hex(behind.strip_prefix(b"\\u")?)?;
            if !(0xdc00..0xe000).contains(&low) {
                return None;
            }
            let c = 0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
            return Some((char::from_u32(c)?, behind));
        }
        _ => return None,
    };
    Some((c, behind))
}

fn hex(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, behind) = bytes.split_at_checked(4)?;
    let mut unit = 0;
    for digit in digits {
        unit = unit * 16 + char::from(*digit).to_digit(16)?;
    }
    Some((unit, behind))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_nested_value_is_found_past_braces_in_strings_and_escapes() {
        let raw = br#" { "x" : "}\"{" , "a" : { "b" : [ {"c":1} ], "c" : "\\" , "d":{} } } "#;
        assert_eq!(path(raw, ["a", "c"]), Some(&br#""\\""#[..]));
        assert_eq!(path(raw, ["a", "d"]), Some(&b"{}"[..]));
        assert_eq!(path(raw, ["a", "b"]), Some(&br#"[ {"c":1} ]"#[..]));
        assert_eq!(path(raw, ["a", "b", "c"]), None, "arrays are not entered");
        assert_eq!(path(raw, ["c"]), None, "only depth 1");
        assert_eq!(path(raw, [""; 0]), Some(&raw[..]));
    }

    #[test]
    fn the_last_of_a_doubled_key_wins_and_escaped_keys_match() {
        assert_eq!(find(br#"{"a":1,"\u0061":2}"#, "a"), Some(&b"2"[..]));
        assert_eq!(find(br#"{"\ud83d\ude00":1}"#, "\u{1f600}"), Some(&b"1"[..]));
        assert_eq!(find(br#"{"\ud83d":1}"#, "\u{fffd}"), None);
    }

    #[test]
    fn an_object_that_cannot_be_read_to_its_end_gives_nothing() {
        for raw in [
            r#"{"a":1"#,
            r#"{"a":1,}"#,
            r#"{,"a":1}"#,
            r#"{"a" 1}"#,
            r#"{"a":}"#,
            r#"{"a":1}x"#,
            r#"{"a":1 "b":2}"#,
            r#"[1]"#,
            "",
            "{",
            r#"{"a":"\"#,
        ] {
            assert_eq!(find(raw.as_bytes(), "a"), None, "{raw}");
        }
    }

    #[test]
    fn the_elements_of_an_array_are_found_and_a_fault_is_said() {
        let raw = br#" [ 1 ,"],[", [2,3] , {"a":[]} ] "#;
        let mut elements = Elements::of(raw).unwrap();
        let mut found = Vec::new();
        loop {
            match elements.step() {
                Item::Element(at) => found.push(std::str::from_utf8(&raw[at]).unwrap()),
                Item::End => break,
                Item::Fault => panic!("a fault after {found:?}"),
            }
        }
        assert_eq!(found, ["1", r#""],[""#, "[2,3]", r#"{"a":[]}"#]);
        assert!(Elements::of(b"{}").is_none());
        for raw in ["[1", "[1 2]", "[1,]", "[,1]", "[1]]", "[1]x", "["] {
            let mut elements = Elements::of(raw.as_bytes()).unwrap();
            let end = loop {
                match elements.step() {
                    Item::Element(_) => {}
                    end => break end,
                }
            };
            assert_eq!(end, Item::Fault, "{raw}");
        }
    }

    #[test]
    fn a_key_that_may_be_the_one_is_not_said_to_be_another() {
        for (key, matched) in [
            ("eventName", Some(true)),
            (r"event\u004eame", Some(true)),
            (r"eventNam\u0065", Some(true)),
            (r"\u0065ventName", Some(true)),
            (r"eventName\u0000", Some(false)),
            (r"eventNam\u0064", Some(false)),
            ("eventNames", Some(false)),
            ("eventNam", Some(false)),
            ("", Some(false)),
            (r"event\x4eame", None),
            (r"event\ud800", None),
            (r"other\x", Some(false)),
        ] {
            assert_eq!(key_match(key.as_bytes(), "eventName"), matched, "{key}");
        }
        assert_eq!(key_match(br"a\\b", r"a\b"), Some(true));
        assert_eq!(key_match(br"a\b", r"a\b"), Some(false));
    }

    #[test]
    fn text_is_borrowed_unless_escaped() {
        assert!(matches!(text(b"\"a\xc3\xbc\""), Some(Cow::Borrowed("aü"))));
        assert!(matches!(text(br#""a\u00fc\n""#), Some(Cow::Owned(s)) if s == "aü\n"));
        assert_eq!(text(br#""\ud800""#), None);
        assert_eq!(text(br#""\x""#), None);
        assert_eq!(text(b"1"), None);
        assert_eq!(text(b"\""), None);
    }

    #[test]
    fn several_strings_in_one_value_are_no_text() {
        for raw in [r#""a":"b""#, r#""a" "b""#, r#""a\n":{"b":"c""#, r#""a\""#] {
            assert_eq!(text(raw.as_bytes()), None, "{raw}");
            assert_eq!(plain_text(raw.as_bytes()), None, "{raw}");
        }
    }

    proptest! {
        #[test]
        fn text_reads_what_serde_json_reads(s in ".*", escapes in "(\\\\u[0-9a-fA-F]{4}|\\\\[bfnrt/\\\\\"]|[a-z])*") {
            let raw = serde_json::to_vec(&s).unwrap();
            let read = text(&raw);
            prop_assert_eq!(read.as_deref(), Some(s.as_str()));
            if !raw.contains(&b'\\') {
                prop_assert_eq!(plain_text(&raw), Some(s.as_bytes()));
            }
            let raw = format!("\"{escapes}\"");
            let theirs = serde_json::from_str::<String>(&raw).ok();
            let read = text(raw.as_bytes());
            prop_assert_eq!(read.as_deref(), theirs.as_deref());
            if let Some(theirs) = theirs {
                prop_assert!(key_is(escapes.as_bytes(), &theirs));
                prop_assert_eq!(key_match(escapes.as_bytes(), &theirs), Some(true));
                let longer = format!("{theirs}x");
                prop_assert!(!key_is(escapes.as_bytes(), &longer));
                prop_assert_eq!(key_match(escapes.as_bytes(), &longer), Some(false));
            }
        }

        #[test]
        fn no_bytes_make_it_panic(raw in prop::collection::vec(
            prop_oneof![prop::sample::select(b"{}[]\",:\\ua1 \n".to_vec()), any::<u8>()], 0..64)) {
            let _ = find(&raw, "a");
            let _ = text(&raw);
            let _ = key_is(&raw, "a");
            let _ = key_match(&raw, "a");
            if let Some(mut elements) = Elements::of(&raw) {
                while let Item::Element(_) = elements.step() {}
            }
        }
    }
}
