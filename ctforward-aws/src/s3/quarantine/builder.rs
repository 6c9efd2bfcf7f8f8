//! Settings of a quarantine in a bucket.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::Client;
use ctforward_core::{Error, ErrorKind, Result};

use super::store::Store;
use super::{ORIGIN, S3Quarantine};
use crate::s3::builder::account_id;
use crate::s3::reader::Patience;

/// Settings of an [`S3Quarantine`].
#[derive(Clone)]
#[must_use]
pub struct S3QuarantineBuilder {
    client: Client,
    bucket: String,
    prefix: String,
    kms_key: Option<String>,
    owner: Option<String>,
    patience: Patience,
}

impl S3QuarantineBuilder {
    pub(super) fn new(client: Client, bucket: String) -> Self {
        Self {
            client,
            bucket,
            prefix: "quarantine/".to_owned(),
            kms_key: None,
            owner: None,
            patience: Patience::default(),
        }
    }

    /// What the names of its objects begin with (default: `quarantine/`). Nothing else
    /// should lie there.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Have S3 encrypt with this key of KMS, by its ARN or id (default: as the bucket
    /// is set up).
    pub fn kms_key(mut self, key: impl Into<String>) -> Self {
        self.kms_key = Some(key.into());
        self
    }

    /// Refuse a bucket that is not this account's (default: not checked).
    pub fn expected_bucket_owner(mut self, account: impl Into<String>) -> Self {
        self.owner = Some(account.into());
        self
    }

    /// How long each try of a request may take (default: 60 s). A client that has limits
    /// of its own keeps them.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.patience.idle = timeout;
        self
    }

    /// The quarantine. Nothing is asked of the bucket yet.
    ///
    /// # Errors
    /// [`Config`](ErrorKind::Config) where the bucket has no name, the prefix is longer
    /// than a key may be or begins with a slash, the key is empty, the owner is no account
    /// number, or the timeout is zero.
    pub fn build(self) -> Result<S3Quarantine> {
        if let Some(owner) = &self.owner {
            account_id("expected_bucket_owner", owner)?;
        }
        let refuse = |why| Err(Error::new(ErrorKind::Config, ORIGIN, why));
        if self.bucket.is_empty() {
            return refuse("the bucket has no name");
        }
        // A key has 1024 bytes at most, and 69 of them are the entry's.
        if self.prefix.len() > 900 || self.prefix.starts_with('/') {
            return refuse("the prefix begins with a slash, or is longer than 900 bytes");
        }
        if self.kms_key.as_ref().is_some_and(String::is_empty) {
            return refuse("the KMS key is empty");
        }
        if self.patience.idle.is_zero() {
            return refuse("the timeout is zero");
        }
        let store = Store {
            client: self.client,
            bucket: self.bucket,
            prefix: self.prefix,
            kms_key: self.kms_key,
            owner: self.owner,
            patience: self.patience,
        };
        Ok(S3Quarantine {
            store: Arc::new(store),
        })
    }
}

/// Without the client, whose settings are not ours to show.
impl fmt::Debug for S3QuarantineBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3QuarantineBuilder")
            .field("bucket", &self.bucket)
            .field("prefix", &self.prefix)
            .field("kms_key", &self.kms_key)
            .field("expected_bucket_owner", &self.owner)
            .finish_non_exhaustive()
    }
}
