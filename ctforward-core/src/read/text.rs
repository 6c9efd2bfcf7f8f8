//! Whether a record's text may be forwarded, and how it becomes one line.

use memchr::memchr2;

/// Checks that a record holds no raw control character but white space between its
/// tokens, and is UTF-8; a raw line break inside a string would forge a line. Answers
/// whether a backslash is in it, or `None` where it may not be forwarded.
pub(super) fn check(record: &[u8]) -> Option<bool> {
    // One pass that the compiler turns into vector instructions; nearly every
    // record ends here.
    let (mut union, mut least, mut escape) = (0, u8::MAX, 0);
    for &byte in record {
        union |= byte;
        least = least.min(byte);
        escape |= u8::from(byte == b'\\');
    }
    let clean = (union < 0x80 || std::str::from_utf8(record).is_ok())
        && (least >= 0x20 || controls_are_white_space(record));
    clean.then_some(escape != 0)
}

/// Whether every control character lies between tokens and is white space there.
fn controls_are_white_space(record: &[u8]) -> bool {
    parts(record).all(|(part, string)| {
        part.iter()
            .all(|b| *b >= 0x20 || (!string && matches!(b, b'\t' | b'\n' | b'\r')))
    })
}

/// Whether the record has a line break, and so is not one line as it lies in the file.
#[must_use]
pub(crate) fn breaks_lines(record: &[u8]) -> bool {
    memchr2(b'\n', b'\r', record).is_some()
}

/// Appends a record to `line` without the white space between its tokens.
///
/// Nothing else of it changes, and no two tokens become one. Meant for records whose white space holds line
/// breaks; a record that is one line already is best left as it is.
pub fn one_line(record: &[u8], line: &mut Vec<u8>) {
    for (part, string) in parts(record) {
        if string {
            line.extend_from_slice(part);
            continue;
        }
        let (mut in_word, mut space) = (false, false);
        for &byte in part {
            if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                space = true;
                continue;
            }
            let word = !matches!(byte, b'{' | b'}' | b'[' | b']' | b':' | b',');
            // Only a record with a fault inside has two words side by side; they
            // must not become one, and the record a sound one with another meaning.
            if space && in_word && word {
                line.push(b' ');
            }
            line.push(byte);
            (in_word, space) = (word, false);
        }
    }
}

/// The record cut into strings (with their quotes) and what lies between them.
fn parts(record: &[u8]) -> impl Iterator<Item = (&[u8], bool)> {
    let mut rest = record;
    let mut string = false;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = if string {
            string_length(rest)
        } else {
            memchr::memchr(b'"', rest).unwrap_or(rest.len())
        };
        let (part, tail) = rest.split_at(end);
        let was_string = string;
        string = !string;
        rest = tail;
        Some((part, was_string))
    })
}

/// Length of the string at the start of `bytes`, both quotes included.
fn string_length(bytes: &[u8]) -> usize {
    let mut i = 1;
    while let Some(found) = bytes.get(i..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        i += found;
        if bytes.get(i) == Some(&b'"') {
            return i + 1;
        }
        i += 2;
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_between_tokens_is_clean_and_controls_in_strings_are_not() {
        assert!(check(b"{\r\n\t\"a b\": 1}").is_some());
        assert!(check("{\"a\":\"\u{fc}\u{2028}\"}".as_bytes()).is_some());
        assert!(check(b"{\"a\":\"\n\"}").is_none());
        assert!(check(b"{\"a\n\":1}").is_none());
        assert!(check(b"{\"a\":\"\\\"\x01\"}").is_none());
        assert!(check(b"{\"a\":\x0b1}").is_none());
        assert!(check(b"{\"a\":\"\xff\"}").is_none());
        assert!(check(b"{\"a\":\"\xed\xa0\x80\"}").is_none());
    }

    #[test]
    fn one_line_takes_white_space_between_tokens_only() {
        let mut line = Vec::new();
        one_line(
            b"{\n  \"a b\" : [ 1.0 ,\r\n\t\"c \\\" d\" ] , \"e\" : { }\n}",
            &mut line,
        );
        assert_eq!(line, b"{\"a b\":[1.0,\"c \\\" d\"],\"e\":{}}");
        line.clear();
        one_line(b"{\"a\":\n1 \n 2 , \"b\": tru\te \"c\"}", &mut line);
        assert_eq!(line, b"{\"a\":1 2,\"b\":tru e\"c\"}");
        assert!(breaks_lines(b"{\r}") && !breaks_lines(b"{ \\n }"));
    }
}
