//! Values that are named and never sent.

mod key;
mod paths;
mod secrets;
mod settings;

use std::fmt;
use std::ops::Range;

use serde_json::value::RawValue;

pub use key::RedactionKey;
pub use settings::{RedactSettings, With};

use super::rules::Problems;
use super::{Redacted, Redactor};
use crate::event::scan;
use paths::Paths;

/// Replaces the values at named paths by a mark or by a keyed hash.
///
/// A path is keys with points between, such as
/// `responseElements.credentials.sessionToken`; the key `*` stands for any. A key
/// is known by what it decodes to; one that comes twice leads to both values; where
/// the path meets an array it goes on in each of its elements. The value at its end
/// is replaced as a whole, whatever it is; `null` stays, for it hides nothing. JSON
/// inside a text is text. All other bytes stay as they are.
///
/// A record that is no valid JSON, has a key on the way that cannot be decoded, or
/// is nested deeper than 64 there, is [`Redacted::Unsure`].
///
/// Redaction concerns what is sent. Quarantine keeps the bytes of the log file.
///
/// ```
/// use ctforward_core::stage::{Redacted, Redaction, Redactor};
///
/// let redaction = Redaction::new(["responseElements.credentials.sessionToken"])?;
/// let record = br#"{"responseElements": {"credentials": {"sessionToken": "AQoX"}}}"#;
/// let mut out = Vec::new();
/// assert_eq!(redaction.redact(record, &mut out), Redacted::Changed);
/// assert_eq!(
///     out,
///     br#"{"responseElements": {"credentials": {"sessionToken": "[redacted]"}}}"#
/// );
/// # Ok::<(), ctforward_core::stage::Problems>(())
/// ```
#[derive(Clone)]
pub struct Redaction {
    names: Vec<String>,
    paths: Paths,
    with: Replacement,
}

#[derive(Clone)]
enum Replacement {
    /// As JSON, quotes included.
    Mark(String),
    Hash(RedactionKey),
}

/// A value that would be replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    path: usize,
    value: Range<usize>,
}

impl Hit {
    /// The path, by its place in [`Redaction::paths`]; the first of those that lead there.
    #[must_use]
    pub fn path(&self) -> usize {
        self.path
    }

    /// Where the value lies in the record.
    #[must_use]
    pub fn value(&self) -> Range<usize> {
        self.value.clone()
    }
}

impl Redaction {
    /// A redaction of these paths, by the mark `[redacted]`.
    ///
    /// # Errors
    /// All paths that are none: empty, longer than 512 bytes, of more than 32 keys,
    /// or with an empty key; and more than 1,000 of them.
    pub fn new<S: Into<String>>(paths: impl IntoIterator<Item = S>) -> Result<Self, Problems> {
        let names: Vec<String> = paths.into_iter().map(Into::into).collect();
        Problems::of(settings::path_problems(&names, None))?;
        Ok(Self {
            paths: Paths::new(names.iter().map(String::as_str)),
            names,
            with: Replacement::Mark("\"[redacted]\"".to_owned()),
        })
    }

    /// The same with this text in place of each value.
    #[must_use]
    pub fn with_mark(mut self, mark: &str) -> Self {
        self.with = Replacement::Mark(serde_json::Value::from(mark).to_string());
        self
    }

    /// The same with a keyed hash in place of each value: `hmac:` and the first 128
    /// bits of HMAC-SHA-256, in hexadecimal. Of a text its decoded bytes are hashed,
    /// of anything else its JSON as it lies there. Equal texts stay equal, so they
    /// can be searched for and counted; whoever has the key can try values.
    #[must_use]
    pub fn with_key(mut self, key: RedactionKey) -> Self {
        self.with = Replacement::Hash(key);
        self
    }

    /// Paths at which CloudTrail records can carry secrets, as far as we know.
    ///
    /// AWS masks most secrets before it writes a record
    /// (`HIDDEN_DUE_TO_SECURITY_REASONS`, `****`), and services change: the list is
    /// careful and **not complete**. Session tokens in the answers of STS are the one
    /// secret that we saw in clear in real records. IDs of access keys are not in it.
    /// Among them is `requestParameters.value` (Parameter Store), which other
    /// services use for harmless things.
    #[must_use]
    pub fn secrets_paths() -> &'static [&'static str] {
        secrets::KNOWN
    }

    /// The paths, in the order they were given.
    #[must_use]
    pub fn paths(&self) -> &[String] {
        &self.names
    }

    /// What would be replaced in `record`, in its order; `None` where that is unsure.
    #[must_use]
    pub fn hits(&self, record: &[u8]) -> Option<Vec<Hit>> {
        // The whole record first: what follows relies on it.
        serde_json::from_slice::<&RawValue>(record).ok()?;
        let mut hits = Vec::new();
        self.paths
            .find(record, &mut |path, value| hits.push(Hit { path, value }))
            .ok()?;
        Some(hits)
    }

    fn replacement(&self, value: &[u8], out: &mut Vec<u8>) {
        match &self.with {
            Replacement::Mark(mark) => out.extend_from_slice(mark.as_bytes()),
            Replacement::Hash(key) => {
                let text = scan::text(value);
                let hash = key.hash(text.as_deref().map_or(value, str::as_bytes));
                out.push(b'"');
                out.extend_from_slice(hash.as_bytes());
                out.push(b'"');
            }
        }
    }
}

impl Redactor for Redaction {
    fn redact(&self, record: &[u8], out: &mut Vec<u8>) -> Redacted {
        let Some(hits) = self.hits(record) else {
            return Redacted::Unsure;
        };
        if hits.is_empty() {
            return Redacted::Unchanged;
        }
        let mut from = 0;
        for hit in hits {
            out.extend_from_slice(record.get(from..hit.value.start).unwrap_or_default());
            self.replacement(record.get(hit.value.clone()).unwrap_or_default(), out);
            from = hit.value.end;
        }
        out.extend_from_slice(record.get(from..).unwrap_or_default());
        Redacted::Changed
    }
}

impl fmt::Debug for Redaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let with = match &self.with {
            Replacement::Mark(mark) => mark,
            Replacement::Hash(_) => "hmac",
        };
        f.debug_struct("Redaction")
            .field("paths", &self.names)
            .field("with", &with)
            .finish()
    }
}
