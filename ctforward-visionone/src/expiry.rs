//! When a token expires, as far as the token says so itself.

use std::fmt;

use jiff::{SignedDuration, Timestamp};

use crate::secret::Secret;

/// When a token expires.
///
/// A token that is a JSON Web Token says so in its `exp` (RFC 7519, 4.1.4). It is read
/// and not checked: the signature is the endpoint's matter, and the endpoint may end a
/// token earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Expiry {
    /// At this time, by the token's own words.
    At(Timestamp),
    /// The token does not say.
    Unknown,
}

/// How pressing it is to renew a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ExpiryWarning {
    /// More than 30 days are left.
    None,
    /// The token does not say when it expires.
    Unknown,
    /// 30 days are left, or less.
    Month,
    /// Seven days, or less.
    Week,
    /// One day, or less.
    Day,
    /// It has expired.
    Expired,
}

impl Expiry {
    /// What `token` says.
    #[must_use]
    pub fn of(token: &Secret) -> Self {
        match expires(token.expose()) {
            Some(at) => Self::At(at),
            None => Self::Unknown,
        }
    }

    /// The time left at `now`, negative once it is past; `None` if it is not known.
    #[must_use]
    pub fn left(&self, now: Timestamp) -> Option<SignedDuration> {
        match self {
            Self::At(at) => Some(at.duration_since(now)),
            Self::Unknown => None,
        }
    }

    /// How pressing it is at `now`.
    #[must_use]
    pub fn warning(&self, now: Timestamp) -> ExpiryWarning {
        let days = |days: i64| SignedDuration::from_hours(24 * days);
        match self.left(now) {
            None => ExpiryWarning::Unknown,
            Some(left) if left <= days(0) => ExpiryWarning::Expired,
            Some(left) if left <= days(1) => ExpiryWarning::Day,
            Some(left) if left <= days(7) => ExpiryWarning::Week,
            Some(left) if left <= days(30) => ExpiryWarning::Month,
            Some(_) => ExpiryWarning::None,
        }
    }
}

/// `expires 2026-03-01T00:00:00Z`, or `expiry unknown`.
impl fmt::Display for Expiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(at) => write!(f, "expires {at}"),
            Self::Unknown => f.write_str("expiry unknown"),
        }
    }
}

/// The `exp` of a signed token in compact form: header, payload and signature.
fn expires(token: &str) -> Option<Timestamp> {
    let mut parts = token.split('.');
    let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        // Five parts are an encrypted token, which only its receiver can read.
        return None;
    }
    let payload: serde_json::Value = serde_json::from_slice(&base64url(payload)?).ok()?;
    let exp = payload.as_object()?.get("exp")?;
    let seconds = match exp.as_i64() {
        Some(seconds) => seconds,
        // A NumericDate may have a fraction. What is beyond an i64 is beyond a Timestamp.
        #[expect(clippy::cast_possible_truncation, reason = "saturates")]
        None => exp.as_f64()?.floor() as i64,
    };
    Timestamp::from_second(seconds).ok()
}

/// RFC 4648's alphabet for addresses, with or without padding.
fn base64url(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    let mut out = Vec::with_capacity(text.len() * 3 / 4 + 2);
    let (mut bits, mut held) = (0_u32, 0);
    for byte in text.bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push(u8::try_from((bits >> held) & 0xff).ok()?);
        }
    }
    // One character alone is no byte.
    (held < 6).then_some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encode(bytes: &[u8]) -> String {
        const ALPHABET: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let mut out = String::new();
        for chunk in bytes.chunks(3) {
            let mut word = [0; 3];
            word[..chunk.len()].copy_from_slice(chunk);
            let word = u32::from_be_bytes([0, word[0], word[1], word[2]]);
            for at in 0..=chunk.len() {
                let index = (word >> (18 - 6 * at)) & 63;
                out.push(char::from(ALPHABET[index as usize]));
            }
        }
        out
    }

    fn of(payload: &str) -> Expiry {
        let token = format!(
            "{}.{}.c2ln",
            encode(br#"{"alg":"HS256"}"#),
            encode(payload.as_bytes())
        );
        Expiry::of(&Secret::new(token).unwrap())
    }

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_web_token_says_when_it_expires() {
        let at = Expiry::At(time("2026-03-01T00:00:00Z"));
        assert_eq!(of(r#"{"sub":"x","exp":1772323200}"#), at);
        assert_eq!(of(r#"{"exp":1772323200.9,"iat":1}"#), at);
        assert_eq!(of(r#"{"exp":1.7723232e9}"#), at);
        assert_eq!(at.to_string(), "expires 2026-03-01T00:00:00Z");
        // A real one, made by another library: HS256 over {"exp":1516239022}.
        let padded = Secret::new("eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjE1MTYyMzkwMjJ9==.x").unwrap();
        assert_eq!(
            Expiry::of(&padded),
            Expiry::At(time("2018-01-18T01:30:22Z"))
        );
    }

    #[test]
    fn whatever_else_a_token_is_its_expiry_is_unknown() {
        for payload in [
            "{}",
            "[]",
            "7",
            "",
            "{\"exp\":1772323200",
            r#"{"exp":"1772323200"}"#,
            r#"{"exp":null}"#,
            r#"{"exp":1e300}"#,
            r#"{"exp":-1e300}"#,
            r#"{"exp":9223372036854775807}"#,
            r#"{"exp":[1772323200]}"#,
            r#"{"a":{"exp":1772323200}}"#,
        ] {
            assert_eq!(of(payload), Expiry::Unknown, "{payload}");
        }
        let exp = encode(br#"{"exp":1772323200}"#);
        for token in [
            "opaque".to_owned(),
            "a.b.c".to_owned(),
            "...".to_owned(),
            exp.clone(),
            format!("a.{exp}"),
            format!("a.{exp}.b.c.d"),
            format!("a.{exp}A.b"),
            format!("a.{exp}+.b"),
        ] {
            let token = Secret::new(token).unwrap();
            assert_eq!(Expiry::of(&token), Expiry::Unknown);
        }
        assert_eq!(Expiry::Unknown.to_string(), "expiry unknown");
    }

    #[test]
    fn warnings_come_at_thirty_seven_and_one_days() {
        let now = time("2026-03-01T00:00:00Z");
        let day = 86_400;
        for (left, warning) in [
            (31 * day, ExpiryWarning::None),
            (30 * day + 1, ExpiryWarning::None),
            (30 * day, ExpiryWarning::Month),
            (7 * day + 1, ExpiryWarning::Month),
            (7 * day, ExpiryWarning::Week),
            (day + 1, ExpiryWarning::Week),
            (day, ExpiryWarning::Day),
            (1, ExpiryWarning::Day),
            (0, ExpiryWarning::Expired),
            (-day, ExpiryWarning::Expired),
        ] {
            let at = Timestamp::from_second(now.as_second() + left).unwrap();
            assert_eq!(Expiry::At(at).warning(now), warning, "{left}");
            assert_eq!(
                Expiry::At(at).left(now),
                Some(SignedDuration::from_secs(left))
            );
        }
        assert_eq!(Expiry::Unknown.warning(now), ExpiryWarning::Unknown);
        for at in [Timestamp::MIN, Timestamp::MAX] {
            let _ = Expiry::At(at).warning(Timestamp::MAX);
            let _ = Expiry::At(at).warning(Timestamp::MIN);
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(bytes: Vec<u8>) {
            prop_assert_eq!(base64url(&encode(&bytes)), Some(bytes));
        }

        #[test]
        fn no_token_is_too_odd(token in "[!-~]{1,200}") {
            let _ = Expiry::of(&Secret::new(token).unwrap());
        }
    }
}
