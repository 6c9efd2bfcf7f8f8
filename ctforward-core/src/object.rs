//! Which object a log file is, and what is known of it.

use std::fmt;

use crate::text::printable;

/// The address of an object: what a ledger keys its rows by is `bucket` and `key`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub struct ObjectId {
    /// The bucket's name; for a folder, `file://` and its absolute path.
    pub bucket: String,
    /// The key; for a folder, the path below it with `/` between its parts.
    pub key: String,
    /// The version to fetch, where one was named. Never part of a ledger's row key.
    pub version: Option<String>,
}

impl ObjectId {
    /// The object `key` in `bucket`, in its current version.
    pub fn new(bucket: impl Into<String>, key: impl Into<String>) -> Self {
        Self {
            bucket: bucket.into(),
            key: key.into(),
            version: None,
        }
    }

    /// The same object in a named version.
    #[must_use]
    pub fn with_version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }
}

/// `s3://bucket/key`, or `file:///folder/key`, safe to print.
impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bucket = printable(&self.bucket);
        let key = printable(&self.key);
        if self.bucket.contains("://") {
            write!(f, "{}/{key}", bucket.trim_end_matches('/'))?;
        } else {
            write!(f, "s3://{bucket}/{key}")?;
        }
        if let Some(version) = &self.version {
            write!(f, "?versionId={}", printable(version))?;
        }
        Ok(())
    }
}

/// An object with what is known of it before its body was read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Object {
    /// Its address.
    pub id: ObjectId,
    /// Its ETag; for a file in a folder, its modification time and length.
    pub etag: Option<String>,
    /// Its length in bytes as stored (compressed).
    pub size: Option<u64>,
    /// Its storage class where a listing named it: text from outside, which neither
    /// ledger nor quarantine keeps.
    pub storage_class: Option<String>,
}

impl Object {
    /// An object of which only the address is known.
    #[must_use]
    pub fn new(id: ObjectId) -> Self {
        Self {
            id,
            etag: None,
            size: None,
            storage_class: None,
        }
    }

    /// The same object with its ETag.
    #[must_use]
    pub fn with_etag(mut self, etag: impl Into<String>) -> Self {
        self.etag = Some(etag.into());
        self
    }

    /// The same object with its size.
    #[must_use]
    pub fn with_size(mut self, size: u64) -> Self {
        self.size = Some(size);
        self
    }

    /// The same object with its storage class.
    #[must_use]
    pub fn with_storage_class(mut self, class: impl Into<String>) -> Self {
        self.storage_class = Some(class.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_as_people_write_them_and_cannot_steer() {
        assert_eq!(ObjectId::new("b", "k/x").to_string(), "s3://b/k/x");
        assert_eq!(
            ObjectId::new("file:///var/log", "a.json").to_string(),
            "file:///var/log/a.json"
        );
        assert_eq!(
            ObjectId::new("b", "k\x1b[2J")
                .with_version("v\n")
                .to_string(),
            "s3://b/k\\u{1b}[2J?versionId=v\\u{a}"
        );
    }
}
