//! The key of keyed hashes.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::text::printable;
use crate::{Error, ErrorKind};

/// The shortest key, in bytes.
const SHORTEST: usize = 16;

/// The longest key, in bytes.
const LONGEST: usize = 4096;

/// A file is read up to here; a longer one holds no key.
const MOST_READ: u64 = 64 * 1024;

/// Hexadecimal digits of a hash: 128 bits.
const DIGITS: usize = 32;

/// The key by which redacted values are hashed. `Debug` shows `[secret]`, and
/// nothing shows the key itself.
///
/// Whoever has it can try values until a hash fits: it is as secret as what it hides.
#[derive(Clone)]
pub struct RedactionKey {
    // Keyed once; each value begins with a copy.
    mac: Hmac<Sha256>,
}

impl RedactionKey {
    /// A key of these bytes; random ones, not a word.
    ///
    /// # Errors
    /// [`Config`](ErrorKind::Config) if they are fewer than 16 or more than 4096. The
    /// error does not show them.
    pub fn new(bytes: impl AsRef<[u8]>) -> Result<Self, Error> {
        let bytes = bytes.as_ref();
        let wrong = |what: &'static str| Error::new(ErrorKind::Config, "redaction key", what);
        if bytes.len() < SHORTEST {
            return Err(wrong("shorter than 16 bytes"));
        }
        if bytes.len() > LONGEST {
            return Err(wrong("longer than 4096 bytes; this is not a key"));
        }
        let mac = Hmac::new_from_slice(bytes).map_err(|_| wrong("not usable"))?;
        Ok(Self { mac })
    }

    /// The key in a file: all of it, without white space at its end, which editors add.
    ///
    /// # Errors
    /// [`Config`](ErrorKind::Config) where the file cannot be read, others than its
    /// owner may read or write it, or it holds no usable key. The error names the file
    /// and shows nothing of the key.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let name = printable(&path.to_string_lossy()).into_owned();
        let wrong = |what: String| {
            Error::new(
                ErrorKind::Config,
                "redaction key",
                format!("{name}: {what}"),
            )
        };
        let file = File::open(path).map_err(|error| wrong(error.to_string()))?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let metadata = file.metadata().map_err(|error| wrong(error.to_string()))?;
            if metadata.permissions().mode() & 0o077 != 0 {
                let what = "others can read the key of the redaction; chmod 600 it";
                return Err(wrong(what.to_owned()));
            }
        }
        let mut bytes = Vec::new();
        file.take(MOST_READ)
            .read_to_end(&mut bytes)
            .map_err(|error| wrong(error.to_string()))?;
        Self::new(bytes.trim_ascii_end()).map_err(|error| wrong(error.message().to_owned()))
    }

    /// What stands for `value`: `hmac:` and 32 hexadecimal digits.
    pub(super) fn hash(&self, value: &[u8]) -> String {
        use fmt::Write as _;
        let mut mac = self.mac.clone();
        mac.update(value);
        let mut out = String::with_capacity(5 + DIGITS);
        out.push_str("hmac:");
        for byte in mac.finalize().into_bytes().iter().take(DIGITS / 2) {
            // Writing to a String cannot fail.
            let _ = write!(out, "{byte:02x}");
        }
        out
    }
}

impl fmt::Debug for RedactionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_hmac_sha_256_of_rfc_4231_cut_to_128_bits() {
        // Test case 3: a key of 20 bytes 0xaa, 50 bytes 0xdd.
        let key = RedactionKey::new([0xaa; 20]).unwrap();
        assert_eq!(
            key.hash(&[0xdd; 50]),
            "hmac:773ea91e36800e46854db8ebd09181a7"
        );
    }

    #[test]
    fn a_key_has_a_sane_length_and_never_shows() {
        assert!(RedactionKey::new([0; 15]).is_err());
        assert!(RedactionKey::new(vec![0; 4097]).is_err());
        let key = RedactionKey::new("sixteen letters!").unwrap();
        assert_eq!(format!("{key:?}"), "[secret]");
        let error = RedactionKey::new("short-secret").unwrap_err();
        assert!(!format!("{error:?} {error}").contains("short-secret"));
    }

    #[cfg(unix)]
    #[test]
    fn a_key_in_a_file_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "sixteen letters!\n").unwrap();
        let mode = |mode| {
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(&path, mode).unwrap();
        };
        mode(0o640);
        let error = RedactionKey::read(&path).unwrap_err();
        assert!(error.message().contains("chmod 600"), "{error}");
        mode(0o600);
        let read = RedactionKey::read(&path).unwrap();
        let same = RedactionKey::new("sixteen letters!").unwrap();
        assert_eq!(read.hash(b"x"), same.hash(b"x"));
        assert!(RedactionKey::read(folder.path().join("none")).is_err());
    }
}
