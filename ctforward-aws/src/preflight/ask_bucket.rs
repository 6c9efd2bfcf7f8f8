//! What the checks of a bucket ask S3; decides nothing.

use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_s3::config::{ConfigBag, Intercept, Region, RuntimeComponents};
use aws_sdk_s3::types::{EncodingType, NotificationConfiguration, Payer};
use ctforward_core::ObjectId;
use ctforward_core::key::{Kind, LogKey};
use jiff::Timestamp;

use super::Within;
use super::fault::{Fault, FaultKind};
use super::layout::Around;
use super::object::{Digests, Got};
use super::place::{Head, region};
use super::walk::walk;
use crate::facts::facts;
use crate::notify_setup;
use crate::s3::page::{Page, decode};

/// A bucket, and whom to ask about it.
#[derive(Clone)]
pub(crate) struct Bucket {
    pub(crate) client: Client,
    pub(crate) name: String,
    pub(crate) prefix: String,
    pub(crate) owner: Option<String>,
}

/// A log file that is there.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) id: ObjectId,
    pub(crate) account: String,
    pub(crate) delivered: Timestamp,
}

/// Everything that was seen of a bucket.
#[cfg_attr(
    not(feature = "sqs"),
    allow(dead_code, reason = "notifications matter where there is a queue")
)]
pub(crate) struct Seen {
    pub(crate) head: Head,
    /// The account that owns it, where that is known.
    pub(crate) owner: Option<String>,
    /// The region requests were set to go to.
    pub(crate) set: Option<String>,
    pub(crate) around: Result<(Around, Option<Sample>), Fault>,
    pub(crate) got: Option<Result<Got, Fault>>,
    pub(crate) digests: Option<Result<Digests, Fault>>,
    pub(crate) requester_pays: Result<bool, Fault>,
    pub(crate) notifications: Option<Result<NotificationConfiguration, Fault>>,
}

impl Seen {
    pub(crate) fn sample(&self) -> Option<&Sample> {
        self.around.as_ref().ok()?.1.as_ref()
    }
}

/// Asks for all of it, one after the other; `notifications` only where a queue waits for them.
pub(crate) async fn ask(mut bucket: Bucket, within: Within, notifications: bool) -> Seen {
    let set = bucket
        .client
        .config()
        .region()
        .map(|r| r.as_ref().to_owned());
    let head = within.head(bucket.head()).await;
    // From here on requests go where the bucket lies, whatever region was set.
    if let Some(lies) = head.region.as_deref().and_then(region)
        && set.as_deref() != Some(lies)
    {
        let config = bucket.client.config().to_builder();
        bucket.client = Client::from_conf(config.region(Region::new(lies.to_owned())).build());
    }
    let around = within.wait(walk(&bucket)).await;
    let sample = around.as_ref().ok().and_then(|(_, sample)| sample.clone());
    let (mut got, mut digests) = (None, None);
    if let Some(sample) = &sample {
        got = Some(within.wait(bucket.first_bytes(&sample.id)).await);
        digests = Some(within.wait(bucket.digests(sample)).await);
    }
    let requester_pays = within.wait(bucket.requester_pays()).await;
    let owner = bucket.owner.as_deref();
    let notifications = match notifications {
        true => Some(
            within
                .wait(notify_setup::get(&bucket.client, &bucket.name, owner))
                .await,
        ),
        false => None,
    };
    Seen {
        head,
        owner: bucket.owner,
        set,
        around,
        got,
        digests,
        requester_pays,
        notifications,
    }
}

/// Whether the bucket is this account's; `false` too where that is not told.
#[cfg(all(feature = "sqs", feature = "sts"))]
pub(crate) async fn is_owned_by(bucket: &Bucket, account: &str, within: Within) -> bool {
    let bucket = Bucket {
        owner: Some(account.to_owned()),
        ..bucket.clone()
    };
    within.head(bucket.head()).await.answer.is_ok()
}

impl Bucket {
    async fn head(&self) -> Head {
        let heard = Heard::default();
        let answer = self
            .client
            .head_bucket()
            .bucket(&self.name)
            .set_expected_bucket_owner(self.owner.clone())
            .customize()
            .interceptor(heard.clone())
            .send()
            .await
            .map(|_| ())
            .map_err(|e| Fault::of(&facts(&e)));
        let heard = heard
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        Head {
            answer,
            region: heard.region,
            date: heard.date,
        }
    }

    /// One page below `prefix`: its folders where `folders` is set, and at most `most` keys.
    pub(crate) async fn list(&self, prefix: &str, folders: bool, most: i32) -> Result<Page, Fault> {
        let output = self
            .client
            .list_objects_v2()
            .bucket(&self.name)
            .prefix(prefix)
            .set_delimiter(folders.then(|| "/".to_owned()))
            .max_keys(most)
            .encoding_type(EncodingType::Url)
            .set_expected_bucket_owner(self.owner.clone())
            .send()
            .await
            .map_err(|e| Fault::of(&facts(&e)))?;
        decode(output).map_err(|e| Fault {
            kind: FaultKind::Odd,
            said: e.message().to_owned(),
            region: None,
        })
    }

    /// The head of the object and its first bytes. The rest is not taken.
    async fn first_bytes(&self, id: &ObjectId) -> Result<Got, Fault> {
        let mut output = self
            .client
            .get_object()
            .bucket(&self.name)
            .key(&id.key)
            .range("bytes=0-1")
            .set_expected_bucket_owner(self.owner.clone())
            .send()
            .await
            .map_err(|e| Fault::of(&facts(&e)))?;
        // A server that knows no ranges sends all of it; the first piece is enough.
        let first = match output.body.next().await {
            Some(Ok(piece)) => piece.iter().take(2).copied().collect(),
            Some(Err(error)) => {
                return Err(Fault {
                    kind: FaultKind::Odd,
                    said: crate::facts::innermost(&error),
                    region: None,
                });
            }
            None => Vec::new(),
        };
        Ok(Got {
            first,
            encryption: output.server_side_encryption.map(|e| e.as_str().to_owned()),
            kms_key: output.ssekms_key_id,
        })
    }

    async fn digests(&self, sample: &Sample) -> Result<Digests, Fault> {
        let Some(key) = LogKey::parse(&sample.id.key) else {
            return Ok(Digests::None);
        };
        let mut base = String::new();
        for part in [key.prefix, Some("AWSLogs"), key.organisation]
            .into_iter()
            .flatten()
        {
            base.push_str(part);
            base.push('/');
        }
        let base = format!("{base}{}/{}/", key.account, Kind::Digest.as_str());
        let days = [Some(key.date), key.date.yesterday().ok()];
        for day in days.into_iter().flatten() {
            let (year, month, day) = (day.year(), day.month(), day.day());
            let folder = format!("{base}{}/{year:04}/{month:02}/{day:02}/", key.region);
            if !self.list(&folder, false, 1).await?.objects.is_empty() {
                return Ok(Digests::Recent);
            }
        }
        let any = !self.list(&base, false, 1).await?.objects.is_empty();
        Ok(if any { Digests::Older } else { Digests::None })
    }

    async fn requester_pays(&self) -> Result<bool, Fault> {
        self.client
            .get_bucket_request_payment()
            .bucket(&self.name)
            .set_expected_bucket_owner(self.owner.clone())
            .send()
            .await
            .map(|output| output.payer() == Some(&Payer::Requester))
            .map_err(|e| Fault::of(&facts(&e)))
    }
}

/// What an answer's head said.
#[derive(Clone, Debug, Default)]
struct Said {
    region: Option<String>,
    date: Option<(String, Timestamp)>,
}

/// Listens to answers: the SDK hands out no headers of a success.
#[derive(Clone, Debug, Default)]
struct Heard(Arc<Mutex<Said>>);

impl Intercept for Heard {
    fn name(&self) -> &'static str {
        "ctforward preflight"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), aws_sdk_s3::error::BoxError> {
        let headers = context.response().headers();
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let region = headers.get("x-amz-bucket-region").map(str::to_owned);
        said.region = region.or_else(|| said.region.take());
        said.date = headers
            .get("date")
            .map(|date| (date.to_owned(), Timestamp::now()));
        Ok(())
    }
}
