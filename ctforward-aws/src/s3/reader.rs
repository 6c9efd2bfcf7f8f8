//! Opening objects: one GET each, its head first, its body as it comes.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{Builder as ConfigBuilder, StalledStreamProtectionConfig};
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::types::RequestPayer;
use ctforward_core::key::{KeyClass, classify};
use ctforward_core::{Error, ErrorKind, ObjectId, Open, Opened, Result, Retry};

use super::body::Body;
use super::builder::account_id;
use super::clients::BucketClients;
use crate::error::{Asked, ORIGIN};
use crate::facts::from_sdk;

/// How long the other side may keep silent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// For the head of an answer, and for each next piece of a body.
    pub(crate) idle: Duration,
    /// How often in a row a body may break off without a byte of progress.
    pub(crate) resumes: u32,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(60),
            resumes: 5,
        }
    }
}

impl Patience {
    /// What every request changes in the client's own settings.
    pub(crate) fn overrides(&self, client: &Client) -> ConfigBuilder {
        // The SDK's guard also measures while nobody reads; a full pipeline
        // rightly leaves a body alone for minutes. The body has its own clock.
        let builder = ConfigBuilder::default()
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        let set = client.config().timeout_config();
        let limited = set.is_some_and(|t| {
            t.operation_attempt_timeout().is_some()
                || t.operation_timeout().is_some()
                || t.read_timeout().is_some()
        });
        if limited {
            return builder;
        }
        // By itself the SDK waits without end for a server that accepts and never answers.
        let attempt = TimeoutConfig::builder().operation_attempt_timeout(self.idle);
        builder.timeout_config(attempt.build())
    }
}

pub(crate) struct Shared {
    client: Client,
    /// Where each bucket has a client of its own.
    clients: Option<BucketClients>,
    owner: Option<String>,
    request_payer: bool,
    pub(crate) patience: Patience,
}

/// Opens objects of S3; cheap to clone.
///
/// A source that learns of objects by other means than listing (a notification,
/// a command line) makes its [`LogFile`](ctforward_core::LogFile)s with this.
///
/// # Guarantees
/// - The body is streamed; no more than the SDK's own pieces is in memory.
/// - A body that breaks off is gone on with from the next byte, with `If-Match`
///   on the ETag it began with: the bytes are those of one object, in order,
///   without gap or repetition, or there is an error. An object without an ETag
///   is not resumed.
/// - Its end is accepted only when as many bytes came as the head had announced.
#[derive(Clone)]
pub struct S3Reader(Arc<Shared>);

impl S3Reader {
    /// A reader that uses `client` and its settings.
    pub fn builder(client: Client) -> S3ReaderBuilder {
        S3ReaderBuilder {
            client,
            clients: None,
            owner: None,
            request_payer: false,
            patience: Patience::default(),
        }
    }

    /// The means to open `object`, now or later, as often as needed.
    #[must_use]
    pub fn open_later(&self, object: ObjectId) -> Arc<dyn Open> {
        Arc::new(S3Object {
            shared: Arc::clone(&self.0),
            id: Arc::new(object),
        })
    }
}

impl fmt::Debug for S3Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Reader")
            .field("expected_bucket_owner", &self.0.owner)
            .field("patience", &self.0.patience)
            .finish_non_exhaustive()
    }
}

/// Settings of an [`S3Reader`].
#[derive(Clone)]
#[must_use]
pub struct S3ReaderBuilder {
    client: Client,
    clients: Option<BucketClients>,
    owner: Option<String>,
    request_payer: bool,
    patience: Patience,
}

impl S3ReaderBuilder {
    /// Refuse buckets that are not this account's (default: not checked).
    pub fn expected_bucket_owner(mut self, account: impl Into<String>) -> Self {
        self.owner = Some(account.into());
        self
    }

    /// Use for each bucket the client that these have for it, in its own region and with
    /// the credentials meant for it, instead of the one client for all.
    pub fn clients(mut self, clients: BucketClients) -> Self {
        self.clients = Some(clients);
        self
    }

    /// Agree to pay for requests to a requester-pays bucket (default: no).
    pub fn request_payer(mut self, agree: bool) -> Self {
        self.request_payer = agree;
        self
    }

    /// How long to wait for an answer's head, and for each next piece of a body
    /// (default: 60 s). Time in which nobody asks for the next piece does not count.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.patience.idle = timeout;
        self
    }

    /// How often in a row a broken body is gone on with while no byte arrives (default: 5).
    pub fn resume_attempts(mut self, attempts: u32) -> Self {
        self.patience.resumes = attempts;
        self
    }

    /// The reader.
    ///
    /// # Errors
    /// [`Config`](ErrorKind::Config) where the owner is no account number or the timeout is zero.
    pub fn build(self) -> Result<S3Reader> {
        if let Some(owner) = &self.owner {
            account_id("expected_bucket_owner", owner)?;
        }
        if self.patience.idle.is_zero() {
            return Err(Error::new(
                ErrorKind::Config,
                ORIGIN,
                "idle_timeout is zero",
            ));
        }
        Ok(S3Reader(Arc::new(Shared {
            client: self.client,
            clients: self.clients,
            owner: self.owner,
            request_payer: self.request_payer,
            patience: self.patience,
        })))
    }
}

/// Without the client, whose settings are not ours to show.
impl fmt::Debug for S3ReaderBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3ReaderBuilder")
            .field("expected_bucket_owner", &self.owner)
            .field("request_payer", &self.request_payer)
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}

/// One object that can be opened.
#[derive(Clone)]
pub(crate) struct S3Object {
    pub(crate) shared: Arc<Shared>,
    pub(crate) id: Arc<ObjectId>,
}

impl S3Object {
    /// GET, from byte `from` of the object with the ETag given.
    pub(crate) async fn get(&self, from: Option<(u64, &str)>) -> Result<GetObjectOutput> {
        let shared = &self.shared;
        let range = from.map(|(at, _)| format!("bytes={at}-"));
        let etag = from.map(|(_, etag)| etag.to_owned());
        let client = match &shared.clients {
            Some(clients) => clients.client(&self.id.bucket, account(&self.id)).await?,
            None => shared.client.clone(),
        };
        client
            .get_object()
            .bucket(&self.id.bucket)
            .key(&self.id.key)
            .set_version_id(self.id.version.clone())
            .set_range(range)
            .set_if_match(etag)
            .set_expected_bucket_owner(shared.owner.clone())
            .set_request_payer(shared.request_payer.then_some(RequestPayer::Requester))
            .customize()
            .config_override(shared.patience.overrides(&client))
            .send()
            .await
            .map_err(|e| from_sdk(&e, Asked::Read { object: &self.id }))
    }

    /// An error about this object, worth a retry from its first byte.
    pub(crate) fn broken(&self, kind: ErrorKind, why: &str) -> Error {
        Error::new(kind, ORIGIN, format!("reading {}: {why}", self.id)).with_retry(Retry::Backoff)
    }

    /// An error that says the object is not the one that was opened.
    pub(crate) fn changed(&self, why: &str) -> Error {
        self.broken(ErrorKind::Changed, why)
            .with_retry(Retry::Never)
    }
}

/// The account whose log file it is, as its key says.
fn account(id: &ObjectId) -> Option<&str> {
    match classify(&id.key) {
        KeyClass::Log(key) | KeyClass::Digest(key) => Some(key.account),
        KeyClass::FileOnly(name) => Some(name.account),
        KeyClass::Misnamed(folder) => folder.account,
        _ => None,
    }
}

#[async_trait]
impl Open for S3Object {
    async fn open(&self) -> Result<Opened> {
        let output = self.get(None).await?;
        let length = output.content_length.and_then(|n| u64::try_from(n).ok());
        let Some(size) = length else {
            // Without a length a body that was cut at a piece's end looks whole.
            let why = "the answer does not say how long the object is";
            return Err(self.broken(ErrorKind::Unavailable, why));
        };
        let etag = output.e_tag;
        let bare = etag.as_deref().map(|e| super::bare_etag(e).to_owned());
        let body = Body::new(self.clone(), output.body, etag, size);
        Ok(Opened::new(Box::new(body))
            .with_etag(bare)
            .with_size(Some(size)))
    }
}
