//! Text from outside (logs, keys, server answers) made safe to print.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Whether a character could steer a terminal, forge a line or hide text.
fn steers(c: char) -> bool {
    c.is_control()                                  // C0, DEL, C1: escape sequences, line breaks
        || matches!(c,
            '\u{200e}' | '\u{200f}' | '\u{061c}'    // direction marks
            | '\u{202a}'..='\u{202e}'               // embeddings and overrides
            | '\u{2066}'..='\u{2069}'               // isolates
            | '\u{2028}' | '\u{2029}'               // line and paragraph separators
            | '\u{feff}')
}

/// The text with control characters, terminal escapes, bidirectional controls
/// and line breaks written as `\u{…}`; borrowed where there is nothing to escape.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(steers) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if steers(c) {
            // Writing to a String cannot fail.
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// At most `max` bytes of `text`, cut at a character, made [`printable`], with `…` where it was cut.
#[must_use]
pub fn excerpt(text: &str, max: usize) -> String {
    let mut end = max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut out = printable(&text[..end]).into_owned();
    if end < text.len() {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_is_escaped_and_the_rest_is_borrowed() {
        assert!(matches!(printable("aws-cli/2 ü 日本"), Cow::Borrowed(_)));
        assert_eq!(printable("a\x1b[31mb\r\n"), "a\\u{1b}[31mb\\u{d}\\u{a}");
        assert_eq!(printable("\u{202e}x\u{9b}"), "\\u{202e}x\\u{9b}");
    }

    #[test]
    fn an_excerpt_is_cut_at_a_character() {
        assert_eq!(excerpt("aü", 2), "a…");
        assert_eq!(excerpt("aü", 3), "aü");
    }
}
