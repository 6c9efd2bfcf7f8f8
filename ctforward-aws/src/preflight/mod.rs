//! Looks at a source before it is run: what is missing, what it means, what mends it.
//!
//! [`Preflight`] asks AWS and hands back [`Check`]s. Each check is decided by a pure
//! function of what was seen; asking decides nothing. Nothing is changed, no message
//! is received, and of objects only the first bytes of one log file are read.
//!
//! A check that a missing permission keeps from being made is
//! [`Unknown`](ctforward_core::Outcome::Unknown) and names the permission. Each
//! request's answer is waited for a bounded time; at most one request to each service
//! is under way.

mod ask_bucket;
#[cfg(feature = "sqs")]
mod ask_queue;
#[cfg(feature = "cloudtrail")]
mod ask_trails;
#[cfg(any(feature = "sts", feature = "cloudtrail"))]
mod clients;
pub(crate) mod fault;
mod fix;
mod layout;
#[cfg(feature = "sqs")]
mod notification;
mod object;
mod place;
#[cfg(feature = "sqs")]
mod policy;
#[cfg(feature = "sqs")]
mod queue;
mod report;
#[cfg(feature = "cloudtrail")]
mod trails;
mod walk;

use std::fmt;
use std::future::Future;
use std::time::Duration;

use aws_sdk_s3::Client;
use ctforward_core::Check;

#[cfg(feature = "cloudtrail")]
pub use clients::cloudtrail_client;
#[cfg(feature = "sts")]
pub use clients::sts_client;

use ask_bucket::Bucket;
use fault::Fault;
use place::Head;

/// Looks at a bucket, a queue, or both.
///
/// ```no_run
/// # async fn run(s3: aws_sdk_s3::Client) {
/// use ctforward_aws::preflight::Preflight;
///
/// let checks = Preflight::new().bucket(s3, "my-trail-bucket", "AWSLogs/").run().await;
/// for check in checks {
///     println!("{} {}: {}", check.outcome.as_str(), check.id, check.seen);
/// }
/// # }
/// ```
#[must_use]
pub struct Preflight {
    bucket: Option<Bucket>,
    #[cfg(feature = "sqs")]
    queue: Option<(aws_sdk_sqs::Client, String)>,
    #[cfg(feature = "sts")]
    sts: Option<aws_sdk_sts::Client>,
    #[cfg(feature = "cloudtrail")]
    cloudtrail: Option<aws_sdk_cloudtrail::Client>,
    limit: Duration,
    #[cfg_attr(not(feature = "sqs"), allow(dead_code))]
    expected: Duration,
    #[cfg_attr(not(feature = "sqs"), allow(dead_code))]
    outage: Duration,
}

impl Default for Preflight {
    fn default() -> Self {
        Self::new()
    }
}

impl Preflight {
    /// Looks at nothing yet.
    pub fn new() -> Self {
        Self {
            bucket: None,
            #[cfg(feature = "sqs")]
            queue: None,
            #[cfg(feature = "sts")]
            sts: None,
            #[cfg(feature = "cloudtrail")]
            cloudtrail: None,
            limit: Duration::from_secs(20),
            expected: Duration::from_secs(60),
            outage: Duration::from_secs(4 * 3600),
        }
    }

    /// The bucket that log files are read from, and the prefix below which they lie.
    ///
    /// Where the bucket turns out to lie in another region than the client is set to,
    /// the other checks ask there.
    pub fn bucket(
        mut self,
        client: Client,
        name: impl Into<String>,
        prefix: impl Into<String>,
    ) -> Self {
        self.bucket = Some(Bucket {
            client,
            name: name.into(),
            prefix: prefix.into(),
            owner: None,
        });
        self
    }

    /// The account that must own the bucket; after [`bucket`](Self::bucket).
    pub fn expected_bucket_owner(mut self, account: impl Into<String>) -> Self {
        if let Some(bucket) = &mut self.bucket {
            bucket.owner = Some(account.into());
        }
        self
    }

    /// The queue that notifications come from.
    #[cfg(feature = "sqs")]
    pub fn queue(mut self, client: aws_sdk_sqs::Client, url: impl Into<String>) -> Self {
        self.queue = Some((client, url.into()));
        self
    }

    /// Asks who the credentials belong to.
    #[cfg(feature = "sts")]
    pub fn sts(mut self, client: aws_sdk_sts::Client) -> Self {
        self.sts = Some(client);
        self
    }

    /// Asks what trails record.
    #[cfg(feature = "cloudtrail")]
    pub fn cloudtrail(mut self, client: aws_sdk_cloudtrail::Client) -> Self {
        self.cloudtrail = Some(client);
        self
    }

    /// How long one look may take; 20 s unless set.
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// How long a message's files are expected to take; 60 s unless set.
    pub fn expected(mut self, expected: Duration) -> Self {
        self.expected = expected;
        self
    }

    /// The outage of the sink through which no message may be lost; 4 h unless set.
    pub fn outage(mut self, outage: Duration) -> Self {
        self.outage = outage;
        self
    }

    /// Asks, and says what was seen. Never fails as a whole.
    pub async fn run(&self) -> Vec<Check> {
        let within = Within(self.limit);
        #[cfg(feature = "sqs")]
        let with_queue = self.queue.is_some();
        #[cfg(not(feature = "sqs"))]
        let with_queue = false;
        let bucket = async {
            match &self.bucket {
                Some(bucket) => Some(ask_bucket::ask(bucket.clone(), within, with_queue).await),
                None => None,
            }
        };
        #[cfg(feature = "sqs")]
        let queue = async {
            match &self.queue {
                Some((client, url)) => Some(ask_queue::ask(client, url, within).await),
                None => None,
            }
        };
        #[cfg(not(feature = "sqs"))]
        let queue = async {};
        #[cfg(feature = "sts")]
        let caller = async {
            match &self.sts {
                Some(client) => Some(within.wait(caller(client)).await),
                None => None,
            }
        };
        #[cfg(not(feature = "sts"))]
        let caller = async {};
        #[cfg(feature = "cloudtrail")]
        let trails = async {
            match &self.cloudtrail {
                Some(client) => Some(within.wait(ask_trails::ask(client)).await),
                None => None,
            }
        };
        #[cfg(not(feature = "cloudtrail"))]
        let trails = async {};
        #[cfg_attr(
            not(all(feature = "sqs", feature = "sts")),
            allow(
                unused_mut,
                reason = "whose the bucket is matters to a queue's policy alone"
            )
        )]
        let (mut bucket, queue, caller, trails) = tokio::join!(bucket, queue, caller, trails);
        #[cfg(all(feature = "sqs", feature = "sts"))]
        if let (Some(asked), Some(found), Some(Ok(caller)), true) =
            (&self.bucket, &mut bucket, &caller, with_queue)
            && found.owner.is_none()
            && found.head.answer.is_ok()
            && ask_bucket::is_owned_by(asked, &caller.account, within).await
        {
            found.owner = Some(caller.account.clone());
        }
        report::checks(
            self,
            &report::Seen {
                bucket,
                queue,
                caller,
                trails,
            },
        )
    }
}

#[cfg(feature = "sts")]
async fn caller(client: &aws_sdk_sts::Client) -> Result<place::Caller, Fault> {
    let output = client
        .get_caller_identity()
        .send()
        .await
        .map_err(|e| Fault::of(&crate::facts::facts(&e)))?;
    Ok(place::Caller {
        account: output.account.unwrap_or_default(),
        arn: output.arn.unwrap_or_default(),
    })
}

/// How long one look may take.
#[derive(Clone, Copy)]
pub(crate) struct Within(Duration);

impl Within {
    async fn wait<T>(self, look: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        match tokio::time::timeout(self.0, look).await {
            Ok(seen) => seen,
            Err(_) => Err(Fault::late(self.0)),
        }
    }

    async fn head(self, look: impl Future<Output = Head>) -> Head {
        tokio::time::timeout(self.0, look)
            .await
            .unwrap_or_else(|_| Head {
                answer: Err(Fault::late(self.0)),
                region: None,
                date: None,
            })
    }
}

/// Without the clients, whose settings are not ours to show.
impl fmt::Debug for Preflight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Preflight")
            .field(
                "bucket",
                &self.bucket.as_ref().map(|b| (&b.name, &b.prefix)),
            )
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}
