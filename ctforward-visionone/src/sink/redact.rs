//! Takes secrets out of what a server says: it may echo the request.

use std::collections::HashSet;

/// How many characters in a row of a secret are too many to show.
const GRAM: usize = 12;

/// `text` with every stretch it shares with a secret replaced by `[secret]`.
///
/// A stretch is 12 characters or more, or the whole of a shorter secret: a server
/// that echoes a header may cut it or wrap it, and half a token is too much.
pub(crate) fn redact(text: &str, secrets: &[&str]) -> String {
    let bytes = text.as_bytes();
    let mut hidden = vec![false; bytes.len()];
    for secret in secrets
        .iter()
        .map(|s| s.as_bytes())
        .filter(|s| !s.is_empty())
    {
        let gram = GRAM.min(secret.len());
        let grams: HashSet<&[u8]> = secret.windows(gram).collect();
        for (at, window) in bytes.windows(gram).enumerate() {
            if grams.contains(window) {
                hidden[at..at + gram].fill(true);
            }
        }
    }
    let mut out = String::with_capacity(text.len());
    let mut was_hidden = false;
    for (at, c) in text.char_indices() {
        // Any byte of the character: a secret need not be ASCII where it is a query.
        let hides = hidden[at..at + c.len_utf8()].contains(&true);
        if !hides {
            out.push(c);
        } else if !was_hidden {
            out.push_str("[secret]");
        }
        was_hidden = hides;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn echoes_whole_cut_and_wrapped_are_hidden() {
        let token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl";
        let text = format!("bad: Bearer {token}, again {token}");
        assert_eq!(
            redact(&text, &[token]),
            "bad: Bearer [secret], again [secret]"
        );
        assert_eq!(
            redact(&format!("x {}", &token[..20]), &[token]),
            "x [secret]"
        );
        let wrapped = format!("{}\n{}", &token[..25], &token[25..]);
        assert_eq!(redact(&wrapped, &[token]), "[secret]\n[secret]");
        assert_eq!(redact("tok and token", &["tok"]), "[secret] and [secret]en");
        assert_eq!(redact("nothing ü here", &[token, ""]), "nothing ü here");
    }

    proptest! {
        #[test]
        fn no_secret_survives(before in ".{0,40}", secret in "[!-~]{1,60}", after in ".{0,40}") {
            let out = redact(&format!("{before}{secret}{after}"), &[&secret]);
            let rest = out.replace("[secret]", "\n");
            prop_assert!(!rest.contains(&secret));
        }
    }
}
