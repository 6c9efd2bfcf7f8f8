//! A quarantine in a bucket.

mod builder;
mod entries;
mod store;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use ctforward_core::quarantine::written::{self, Written, hex};
use ctforward_core::quarantine::{Filter, Kept, Quarantine, QuarantineEntry, Resolution};
use ctforward_core::{Error, ErrorKind, ObjectId, Result, Retry};
use jiff::Timestamp;

pub use builder::S3QuarantineBuilder;
pub use entries::{S3Entries, S3Stored};
use store::{Put, Store};

/// Where an error says that it came from.
const ORIGIN: &str = "quarantine";

/// So often an object is looked at again that others change at the same time.
const TRIES: usize = 8;

/// What the names of its objects end with.
const END: &str = ".json";

/// A quarantine in a bucket, for any number of workers on any number of machines.
///
/// # What lies in the bucket
/// One object for each entry, `<prefix><identity>.json`: the identity is 64 hexadecimal
/// digits, and nothing of a key or of a record is part of the name. It is one JSON
/// object in one line, as in a
/// [`DirectoryQuarantine`](ctforward_core::quarantine::DirectoryQuarantine): why, from
/// where, and the bytes kept, as they are in `text` where they are text (`jq -j .text`
/// writes them), else in `base64`, with their length and SHA-256. An entry that was
/// resolved is overwritten by a tombstone of a few hundred bytes, which stays.
///
/// # Durability
/// `put` answers once S3 has accepted the object, whose checksum the SDK sends along.
/// Any failure is an error, and nothing may be acknowledged.
///
/// # Workers
/// Objects are written only on condition that they are as they were seen (`If-None-Match`,
/// `If-Match`), so that the same entry put by many at once is one entry, bytes are never
/// replaced by a reference, and an entry that was put again is not resolved with what was
/// seen before. Where a server refuses conditions as not implemented, it is read first
/// and written without one.
///
/// # The bucket
/// - It must not notify the queue that is forwarded, and must not lie where a listing
///   looks: an entry would be taken for a log file.
/// - It holds records as they were, also where they are redacted before they are sent:
///   let few read it.
///
/// # Permissions
/// `s3:PutObject` and `s3:GetObject` below the prefix, `s3:ListBucket` on the bucket,
/// and with a key of KMS `kms:GenerateDataKey` and `kms:Decrypt` on it.
///
/// Clones are the same quarantine.
#[derive(Clone)]
pub struct S3Quarantine {
    store: Arc<Store>,
}

impl S3Quarantine {
    /// Settings for the quarantine in this bucket.
    pub fn builder(client: Client, bucket: impl Into<String>) -> S3QuarantineBuilder {
        S3QuarantineBuilder::new(client, bucket.into())
    }

    /// The live entries that `filter` takes, in the order of their identities.
    #[must_use]
    pub fn entries(&self, filter: Filter) -> S3Entries {
        S3Entries::new(Arc::clone(&self.store), filter)
    }

    /// Ends an entry: it is no longer live, whoever put it. Answers `false`, and does
    /// nothing, where it is not live. Put again afterwards, it is live again.
    ///
    /// # Errors
    /// What kept the tombstone from being written; the entry may be live or not.
    pub async fn resolve(&self, id: [u8; 32], outcome: Resolution) -> Result<bool> {
        for _ in 0..TRIES {
            let Some((line, etag)) = self.store.get(&self.store.name(&id)).await? else {
                return Ok(false);
            };
            match written::read(&line) {
                Written::Entry(entry) if entry.id() == id => {}
                Written::Tombstone(_) => return Ok(false),
                _ => return Err(self.strange(&id)),
            }
            if self.bury(id, &etag, outcome).await? {
                return Ok(true);
            }
        }
        Err(self.restless(&id))
    }

    /// As [`resolve`](Self::resolve), but only what is known of in `stored`: where the
    /// entry was put again since with another attempt, it stays live.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve).
    pub async fn resolve_stored(&self, stored: &S3Stored, outcome: Resolution) -> Result<bool> {
        self.bury(stored.id, &stored.etag, outcome).await
    }

    async fn bury(&self, id: [u8; 32], etag: &str, outcome: Resolution) -> Result<bool> {
        let line = written::tombstone(&id, outcome, Timestamp::now());
        let name = self.store.name(&id);
        match self.store.put(&name, line, Some(etag)).await? {
            Put::Done => Ok(true),
            Put::Refused => Ok(false),
        }
    }

    /// What is to lie under a name where this is to be put there; `None` where what
    /// lies there will do.
    fn better(&self, there: &[u8], entry: &QuarantineEntry) -> Result<Option<QuarantineEntry>> {
        let id = entry.id();
        let old = match written::read(there) {
            Written::Entry(old) if old.id() == id => old,
            Written::Tombstone(old) if old == id => return Ok(Some(entry.clone())),
            // Not what was written: the entry is lost if it is not written now. A reference
            // is no reason to write over what may still be read by eye.
            Written::Damaged if matches!(entry.kept, Kept::Bytes(_)) => {
                return Ok(Some(entry.clone()));
            }
            _ => return Err(self.strange(&id)),
        };
        let bytes = |entry: &QuarantineEntry| matches!(entry.kept, Kept::Bytes(_));
        // That it must be redacted when it is sent again is more, too.
        let more = bytes(entry) && !bytes(&old) || entry.redacted && !old.redacted;
        if !more && old.attempt >= entry.attempt {
            return Ok(None);
        }
        let attempt = old.attempt.max(entry.attempt);
        // A reference never takes the place of the bytes.
        let mut kept = if bytes(&old) && !bytes(entry) {
            old.clone()
        } else {
            entry.clone()
        };
        kept.redacted = old.redacted || entry.redacted;
        Ok(Some(kept.after_attempts(attempt)))
    }

    fn shown(&self, id: &[u8; 32]) -> ObjectId {
        ObjectId::new(self.store.bucket(), self.store.name(id))
    }

    fn strange(&self, id: &[u8; 32]) -> Error {
        let why = format!(
            "{} is not an entry that this version understands; move it away, or see whether a \
             newer ctforward wrote it",
            self.shown(id)
        );
        Error::new(ErrorKind::Config, ORIGIN, why)
    }

    fn restless(&self, id: &[u8; 32]) -> Error {
        let why = format!("{} changes too often to be written", self.shown(id));
        Error::new(ErrorKind::Unavailable, ORIGIN, why).with_retry(Retry::Backoff)
    }
}

#[async_trait]
impl Quarantine for S3Quarantine {
    async fn put(&self, entry: &QuarantineEntry) -> Result<()> {
        let id = entry.id();
        let name = self.store.name(&id);
        let line = written::entry(entry);
        for _ in 0..TRIES {
            if let Put::Done = self.store.put(&name, line.clone(), None).await? {
                return Ok(());
            }
            let Some((there, etag)) = self.store.get(&name).await? else {
                continue;
            };
            let Some(better) = self.better(&there, entry)? else {
                return Ok(());
            };
            let line = written::entry(&better);
            if let Put::Done = self.store.put(&name, line, Some(&etag)).await? {
                return Ok(());
            }
        }
        Err(self.restless(&id))
    }
}

impl fmt::Debug for S3Quarantine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("S3Quarantine").field(&self.store).finish()
    }
}

/// The identity in a name below the prefix, if it is one of an entry.
fn identity(rest: &str) -> Option<[u8; 32]> {
    let digits = rest.strip_suffix(END)?;
    let mut id = [0; 32];
    if digits.len() != 64 || !digits.is_ascii() {
        return None;
    }
    for (byte, pair) in id.iter_mut().zip(digits.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    // Lower case, and no sign: there is one name for each identity.
    (hex(&id) == digits).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_has_one_name() {
        let id = [0xab; 32];
        let digits = hex(&id);
        assert_eq!(identity(&format!("{digits}.json")), Some(id));
        for other in [
            digits.clone(),
            format!("{}.json", digits.to_uppercase()),
            format!("x/{digits}.json"),
            format!("{}.json", &digits[1..]),
            format!("+{}.json", &digits[1..]),
            format!("{}é.json", &digits[2..]),
            String::new(),
        ] {
            assert_eq!(identity(&other), None, "{other}");
        }
    }
}
