//! A token that no message can show.

use std::fmt;

use async_trait::async_trait;
use ctforward_core::{Error, ErrorKind, Result};

use crate::token::TokenProvider;

/// The longest token that is taken: servers refuse header lines far below it.
const LONGEST: usize = 16 * 1024;

/// A bearer token. `Debug` and `Display` show `[secret]`; only [`expose`](Self::expose) shows it.
///
/// It is safe to put into a header: one line of visible ASCII without white space.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

impl Secret {
    /// The secret `value`.
    ///
    /// # Errors
    /// `Config` when the value is empty, longer than 16 KiB, or holds anything
    /// but visible ASCII. The error does not show the value.
    pub fn new(value: impl Into<String>) -> Result<Self> {
        let value = value.into();
        let wrong = |what: &'static str| Err(Error::new(ErrorKind::Config, "token", what));
        if value.is_empty() {
            return wrong("the token is empty; copy it from the collector's page");
        }
        if value.len() > LONGEST {
            return wrong("the token is longer than 16 KiB; this is not a token");
        }
        if !value.bytes().all(|b| b.is_ascii_graphic()) {
            return wrong(
                "the token holds white space or a character that no header may hold; \
                 give the bare token on one line, without the word Bearer",
            );
        }
        Ok(Self(value.into_boxed_str()))
    }

    /// The value itself, for the one place that sends it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// A token that never changes.
#[async_trait]
impl TokenProvider for Secret {
    async fn token(&self, _refresh: bool) -> Result<Self> {
        Ok(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_nothing_of_itself() {
        let secret = Secret::new("eyJhbGciOi.J9").unwrap();
        assert_eq!(
            format!("{secret} {secret:?} {secret:#?}"),
            "[secret] [secret] [secret]"
        );
        assert_eq!(secret.expose(), "eyJhbGciOi.J9");
    }

    #[test]
    fn what_no_header_may_hold_is_refused_without_being_shown() {
        for value in [
            "",
            "a b",
            "abc\n",
            "abc\r\nX: y",
            "\u{0}abc",
            "abcü",
            "Bearer abc",
            "abc\u{7f}",
        ] {
            let error = Secret::new(value).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{value:?}");
            assert!(!format!("{error} {error:?}").contains("abc"), "{error}");
        }
        assert!(Secret::new("x".repeat(LONGEST + 1)).is_err());
    }
}
