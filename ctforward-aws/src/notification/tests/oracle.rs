//! Which texts a body holds, found without a look at its form.
//!
//! The fuzz target reads this file too.

use std::collections::BTreeSet;

/// Every text in a string literal of `body`, as it is and form-decoded, and those of
/// the bodies that such texts are.
pub(crate) fn texts(body: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    gather(body, 0, &mut found);
    found
}

fn gather(body: &str, depth: usize, found: &mut BTreeSet<String>) {
    let bytes = body.as_bytes();
    let mut at = 0;
    while let Some(start) = bytes[at..].iter().position(|b| *b == b'"') {
        let start = at + start;
        let mut end = start + 1;
        while end < bytes.len() && bytes[end] != b'"' {
            end += if bytes[end] == b'\\' { 2 } else { 1 };
        }
        if end >= bytes.len() {
            return;
        }
        at = end + 1;
        let Ok(text) = serde_json::from_str::<String>(&body[start..at]) else {
            continue;
        };
        if text.contains('"') && depth < 8 {
            gather(&text, depth + 1, found);
        }
        if let Some(decoded) = form(&text) {
            found.insert(decoded);
        }
        found.insert(text);
    }
}

/// Another way to decode than the one that is tested.
fn form(text: &str) -> Option<String> {
    let text = text.replace('+', " ");
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let digits = part.get(..2)?;
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(part.as_bytes().get(2..)?);
    }
    String::from_utf8(bytes).ok()
}
