//! Names of buckets, keys and versions as messages write them.

use ctforward_core::Result;

use super::json::quoted;
use super::malformed;

/// The longest key and version of S3, in bytes.
const LONGEST: usize = 1024;

/// A bucket's name that is safe to ask for.
///
/// An ARN or a name with a slash would make the SDK choose another host, with a
/// region that the message chose.
pub(super) fn bucket(name: String) -> Result<String> {
    // Names of today have 3 to 63 lower-case characters; old ones of us-east-1 up to 255.
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let sound = (1..=255).contains(&name.len())
        && name.bytes().all(plain)
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && !name.contains("..");
    if sound {
        return Ok(name);
    }
    Err(malformed(format!("{} is no bucket's name", quoted(&name))))
}

/// A key as S3 has it.
pub(super) fn key(key: String) -> Result<String> {
    if key.is_empty() {
        return Err(malformed("a key is empty"));
    }
    if key.len() > LONGEST {
        return Err(malformed(format!(
            "a key has {} bytes, and S3's have at most {LONGEST}: {}",
            key.len(),
            quoted(&key)
        )));
    }
    Ok(key)
}

/// A version; what does not name one is none.
pub(super) fn version(version: Option<String>) -> Result<Option<String>> {
    match version {
        Some(version) if version.is_empty() => Ok(None),
        Some(version) if version.len() > LONGEST => Err(malformed(format!(
            "a version has {} bytes, and S3's have at most {LONGEST}",
            version.len()
        ))),
        other => Ok(other),
    }
}

/// A key from a form that encodes keys: decoded once, strictly.
pub(super) fn form_decoded(encoded: &str) -> Result<String> {
    let wrong = |what: &str| Err(malformed(format!("{what} in the key {}", quoted(encoded))));
    let mut decoded = Vec::with_capacity(encoded.len());
    let mut bytes = encoded.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let Some(byte) = hex(bytes.next()).zip(hex(bytes.next())) else {
                    return wrong("a % without two hexadecimal digits");
                };
                byte.0 << 4 | byte.1
            }
            other => other,
        });
    }
    match String::from_utf8(decoded) {
        Ok(key) => Ok(key),
        Err(_) => wrong("what is no UTF-8 when decoded"),
    }
}

fn hex(digit: Option<u8>) -> Option<u8> {
    let value = char::from(digit?).to_digit(16)?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_decoded_once() {
        for (encoded, key) in [
            ("a+b", "a b"),
            ("a%20b", "a b"),
            ("a%2Bb", "a+b"),
            ("a%2bb", "a+b"),
            ("a%252Bb", "a%2Bb"),
            ("AWSLogs/1%2F2", "AWSLogs/1/2"),
            ("%C3%BC", "ü"),
            ("ü", "ü"),
            ("", ""),
            ("%00", "\0"),
        ] {
            assert_eq!(form_decoded(encoded).unwrap(), key, "{encoded}");
        }
    }

    #[test]
    fn a_bad_escape_is_an_error() {
        for encoded in [
            "%",
            "a%",
            "%2",
            "%zz",
            "%2g",
            "%+2",
            "%-1",
            "% 2",
            "%%20",
            "%ü",
            "%C3",
            "%FF",
            "%C0%AF",
            "%ED%A0%80",
        ] {
            let error = form_decoded(encoded).unwrap_err();
            assert_eq!(error.kind(), ctforward_core::ErrorKind::Malformed);
            assert!(error.message().contains(encoded), "{error}");
        }
    }

    #[test]
    fn what_could_choose_a_host_is_no_bucket() {
        for name in [
            "b",
            "my-trail",
            "a.b.c",
            "Old_Bucket",
            "1",
            &"a".repeat(255),
        ] {
            assert_eq!(bucket(name.to_owned()).unwrap(), name);
        }
        for name in [
            "",
            ".",
            "..",
            "a..b",
            "-a",
            "arn:aws:s3:us-east-1:111122223333:accesspoint/x",
            "evil.example/x",
            "a/../b",
            "user@host",
            "a:80",
            "a?b",
            "a#b",
            "a%2fb",
            "a b",
            "ü",
            "a\n",
            "[::1]",
            &"a".repeat(256),
        ] {
            let error = bucket(name.to_owned()).unwrap_err();
            assert!(!error.message().contains('\n'), "{error}");
        }
    }

    #[test]
    fn lengths_are_those_of_s3() {
        assert!(key("k".repeat(1024)).is_ok());
        assert!(key("k".repeat(1025)).is_err());
        assert!(key(String::new()).is_err());
        assert_eq!(version(None).unwrap(), None);
        assert_eq!(version(Some(String::new())).unwrap(), None);
        assert_eq!(version(Some("v".into())).unwrap().as_deref(), Some("v"));
        assert!(version(Some("v".repeat(1025))).is_err());
    }
}
