//! The requests that a quarantine makes.

use std::fmt;

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{EncodingType, ServerSideEncryption};
use bytes::Bytes;
use ctforward_core::quarantine::written::hex;
use ctforward_core::{Error, ErrorKind, ObjectId, Result, Retry};

use super::END;
use crate::error::{Asked, ORIGIN, classify};
use crate::facts::{Facts, Stage, facts, from_sdk};
use crate::s3::page::{Page, decode};
use crate::s3::reader::Patience;

pub(super) struct Store {
    pub(super) client: Client,
    pub(super) bucket: String,
    pub(super) prefix: String,
    pub(super) kms_key: Option<String>,
    pub(super) owner: Option<String>,
    pub(super) patience: Patience,
}

/// What came of a conditional write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Put {
    Done,
    /// What lies there is not what was expected to.
    Refused,
}

impl Store {
    pub(super) fn bucket(&self) -> &str {
        &self.bucket
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    pub(super) fn name(&self, id: &[u8; 32]) -> String {
        format!("{}{}{END}", self.prefix, hex(id))
    }

    /// Writes where the object still has this ETag, or, without one, where there is none.
    pub(super) async fn put(&self, name: &str, line: Vec<u8>, etag: Option<&str>) -> Result<Put> {
        let line = Bytes::from(line);
        match self.write(name, line.clone(), etag, true).await {
            Ok(()) => return Ok(Put::Done),
            Err(facts) if refused(&facts) => return Ok(Put::Refused),
            Err(facts) if !unconditional(&facts) => return Err(self.failed(name, &facts)),
            Err(_) => {}
        }
        // The server knows no conditions: looked at just before, it is nearly one.
        let there = self.get(name).await?.map(|(_, etag)| etag);
        if there.as_deref() != etag {
            return Ok(Put::Refused);
        }
        match self.write(name, line, None, false).await {
            Ok(()) => Ok(Put::Done),
            Err(facts) => Err(self.failed(name, &facts)),
        }
    }

    async fn write(
        &self,
        name: &str,
        line: Bytes,
        etag: Option<&str>,
        conditional: bool,
    ) -> std::result::Result<(), Box<Facts>> {
        let absent = (conditional && etag.is_none()).then(|| "*".to_owned());
        let encrypted = self.kms_key.as_ref().map(|_| ServerSideEncryption::AwsKms);
        let sent = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(name)
            .content_type("application/json")
            .set_if_none_match(absent)
            .set_if_match(etag.filter(|_| conditional).map(str::to_owned))
            .set_server_side_encryption(encrypted)
            .set_ssekms_key_id(self.kms_key.clone())
            .set_expected_bucket_owner(self.owner.clone())
            .body(ByteStream::from(line))
            .customize()
            .config_override(self.patience.overrides(&self.client))
            .send()
            .await;
        sent.map(|_| ()).map_err(|error| Box::new(facts(&error)))
    }

    /// An object's bytes and ETag; `None` where there is none.
    pub(super) async fn get(&self, name: &str) -> Result<Option<(Bytes, String)>> {
        let object = ObjectId::new(&self.bucket, name);
        let sent = self
            .client
            .get_object()
            .bucket(&self.bucket)
            .key(name)
            .set_expected_bucket_owner(self.owner.clone())
            .customize()
            .config_override(self.patience.overrides(&self.client))
            .send()
            .await;
        let output = match sent {
            Ok(output) => output,
            Err(error) => {
                let error = from_sdk(&error, Asked::Read { object: &object });
                return match error.kind() {
                    ErrorKind::NotFound => Ok(None),
                    _ => Err(error),
                };
            }
        };
        let broken = |why: &str| {
            let message = format!("reading {object}: {why}");
            Error::new(ErrorKind::Unavailable, ORIGIN, message).with_retry(Retry::Backoff)
        };
        let Some(etag) = output.e_tag else {
            return Err(broken("the answer has no ETag"));
        };
        let length = output.content_length.and_then(|n| u64::try_from(n).ok());
        let body = tokio::time::timeout(self.patience.idle, output.body.collect());
        let bytes = match body.await {
            Ok(Ok(bytes)) => bytes.into_bytes(),
            Ok(Err(_)) => return Err(broken("the answer broke off")),
            Err(_) => {
                let message = format!("reading {object}: no answer in time");
                let late = Error::new(ErrorKind::Timeout, ORIGIN, message);
                return Err(late.with_retry(Retry::Backoff));
            }
        };
        if length != Some(bytes.len() as u64) {
            return Err(broken("the answer is not as long as it said"));
        }
        Ok(Some((bytes, etag)))
    }

    /// The names below the prefix that come after one.
    pub(super) async fn page(&self, after: Option<&str>) -> Result<Page> {
        let sent = self
            .client
            .list_objects_v2()
            .bucket(&self.bucket)
            .prefix(&self.prefix)
            .set_start_after(after.map(str::to_owned))
            .encoding_type(EncodingType::Url)
            .set_expected_bucket_owner(self.owner.clone())
            .customize()
            .config_override(self.patience.overrides(&self.client))
            .send()
            .await;
        let bucket = &self.bucket;
        decode(sent.map_err(|error| from_sdk(&error, Asked::List { bucket }))?)
    }

    fn failed(&self, name: &str, facts: &Facts) -> Error {
        let object = ObjectId::new(&self.bucket, name);
        classify(facts, Asked::Write { object: &object })
    }
}

/// Whether the condition did not hold, or another write was under way.
fn refused(facts: &Facts) -> bool {
    let code = facts.code.as_deref().unwrap_or_default();
    facts.stage == Stage::Answer
        && (matches!(code, "PreconditionFailed" | "ConditionalRequestConflict")
            || facts.status == Some(412)
            // Where there was something to match, and it is gone.
            || code == "NoSuchKey")
}

fn unconditional(facts: &Facts) -> bool {
    facts.stage == Stage::Answer
        && (facts.code.as_deref() == Some("NotImplemented") || facts.status == Some(501))
}

/// Without the client, whose settings are not ours to show.
impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("bucket", &self.bucket)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}
