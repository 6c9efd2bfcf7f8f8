//! The sources, side by side, and how each is.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_s3::config::Region;
use ctforward_aws::notification::Allow;
use ctforward_aws::s3::rounds::RoundsHandle;
use ctforward_aws::s3::{PlainHttp, Rounds};
use ctforward_aws::sqs::{DeadLetters, QueueDepth, QueueDepthHandle, QueueUrl, SqsStatsHandle};
use ctforward_aws::{S3Reader, S3Source, SqsSource};
use ctforward_core::deliver::Denied;
use ctforward_core::ledger::Known;
use ctforward_core::source::{DirectorySource, Merge, Repeat, SourceWatch};
use ctforward_core::{Error, ErrorKind, Result, Source};

use crate::config::{
    AwsSettings, PaceSettings, S3Settings, SourceKind, SourceSettings, SqsSettings,
};

/// What can be looked at of one source.
pub struct Watched {
    pub kind: &'static str,
    pub watch: SourceWatch,
    pub detail: Detail,
}

/// What a source tells of itself.
pub enum Detail {
    Folder,
    Bucket(RoundsHandle),
    Queue(SqsStatsHandle, Arc<Depth>),
}

/// How many messages a queue holds, as it said last.
pub struct Depth {
    handle: QueueDepthHandle,
    last: Mutex<Option<QueueDepth>>,
}

impl Depth {
    fn new(handle: QueueDepthHandle) -> Self {
        Self {
            handle,
            last: Mutex::new(None),
        }
    }

    /// What it said last; `None` where it did not.
    pub fn last(&self) -> Option<QueueDepth> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks it. Where it does not say, that is not known, and all else goes on.
    pub async fn ask(&self) {
        let said = self.handle.ask().await;
        if let Err(error) = &said {
            tracing::debug!(%error, "how many messages a queue holds is not known");
        }
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = said.ok();
    }
}

/// All sources in one, what can be looked at of each, and what opens objects again.
pub struct Sources {
    pub merge: Merge,
    pub watched: Vec<Watched>,
    pub readers: Readers,
}

/// What opens objects of the buckets that the sources name.
#[derive(Default)]
pub struct Readers {
    pub by_bucket: std::collections::BTreeMap<String, S3Reader>,
}

/// Checks what can be checked of a source without asking anybody.
pub fn check(source: &SourceSettings) -> Result<()> {
    match &source.kind {
        SourceKind::Directory { .. } | SourceKind::S3(_) => Ok(()),
        SourceKind::Sqs(sqs) => {
            allow(sqs)?;
            QueueUrl::parse(&sqs.queue_url).map(drop)
        }
    }
}

/// Makes every source; of a bucket that is listed it says what that takes.
///
/// # Errors
/// What is wrong with one, or keeps one from being made at all.
pub async fn open(
    settings: &[SourceSettings],
    pace: &PaceSettings,
    known: &Arc<dyn Known>,
) -> Result<Sources> {
    let mut members: Vec<(SourceWatch, Box<dyn Source>)> = Vec::new();
    let mut watched = Vec::new();
    let mut readers = Readers::default();
    let until = tokio::time::Instant::now() + ESTIMATES;
    for source in settings {
        let watch = SourceWatch::new(&source.name);
        let (made, detail): (Box<dyn Source>, _) = match &source.kind {
            SourceKind::Directory { path, every } => {
                let path = path.clone();
                let repeat = Repeat::new(*every, move || folder(path.clone()));
                let repeat = repeat.known(Arc::clone(known)).watch(watch.clone());
                (Box::new(repeat), Detail::Folder)
            }
            SourceKind::S3(s3) => {
                let (rounds, reader) = bucket(&source.name, s3, known, until).await?;
                readers.by_bucket.insert(s3.bucket.clone(), reader);
                let stats = rounds.stats();
                (Box::new(rounds), Detail::Bucket(stats))
            }
            SourceKind::Sqs(sqs) => {
                let (queue, reader) = queue(sqs, pace).await?;
                for bucket in &sqs.buckets {
                    readers.by_bucket.insert(bucket.clone(), reader.clone());
                }
                let depth = Arc::new(Depth::new(queue.depth()));
                let detail = Detail::Queue(queue.stats(), depth);
                (Box::new(queue), detail)
            }
        };
        members.push((watch.clone(), made));
        watched.push(Watched {
            kind: source.kind.as_str(),
            watch,
            detail,
        });
    }
    Ok(Sources {
        merge: Merge::new(members),
        watched,
        readers,
    })
}

async fn folder(path: std::path::PathBuf) -> Result<Box<dyn Source>> {
    let opened = tokio::task::spawn_blocking(move || DirectorySource::new(path)).await;
    match opened {
        Ok(opened) => Ok(Box::new(opened?)),
        Err(error) => Err(Error::new(ErrorKind::Other, "folder", error.to_string())),
    }
}

async fn bucket(
    name: &str,
    settings: &S3Settings,
    known: &Arc<dyn Known>,
    until: tokio::time::Instant,
) -> Result<(Rounds, S3Reader)> {
    let client = s3_client(&settings.aws).await?;
    let reader = reader(&settings.aws, client.clone())?;
    let mut source = S3Source::builder(client, &settings.bucket)
        .prefix(&settings.prefix)
        .parallel_listings(settings.parallel_listings);
    if let Some(owner) = &settings.aws.bucket_owner {
        source = source.expected_bucket_owner(owner);
    }
    let mut rounds = Rounds::builder(source)
        .interval(settings.every)
        .recent_days(settings.recent_days)
        .deep_days(settings.deep_days)
        .list_budget(settings.list_budget)
        .known(Arc::clone(known))
        .build()?;
    let patience = until.saturating_duration_since(tokio::time::Instant::now());
    let estimated = tokio::time::timeout(patience.min(ESTIMATE), rounds.estimate()).await;
    let estimated = estimated.unwrap_or_else(|_| {
        let message = "the bucket does not answer in time";
        Err(Error::new(ErrorKind::Timeout, "s3", message))
    });
    match estimated {
        Ok(estimate) => tracing::info!(source = name, "{estimate}"),
        // Over the budget, or a setting that cannot be meant.
        Err(error) if error.kind() == ErrorKind::Config => return Err(error),
        // It is asked again with the others, and refuses over its budget then too.
        Err(error) => {
            tracing::warn!(source = name, %error, "what listing takes cannot be said yet");
        }
    }
    Ok((rounds, reader))
}

async fn queue(settings: &SqsSettings, pace: &PaceSettings) -> Result<(SqsSource, S3Reader)> {
    let config = aws_config::from_env().load().await;
    let client = ctforward_aws::sqs::client(
        aws_sdk_sqs::config::Builder::from(&config),
        &settings.queue_url,
        settings.sqs_endpoint_url.as_deref(),
        settings.aws.region.as_deref(),
        plain(&settings.aws),
    )?;
    let reader = reader(&settings.aws, s3_client(&settings.aws).await?)?;
    let dead_letters = if settings.dead_letter_queue {
        DeadLetters::Queue
    } else {
        DeadLetters::Quarantine
    };
    let mut source = SqsSource::builder(client, reader.clone(), &settings.queue_url)
        .allow(allow(settings)?)
        .dead_letters(dead_letters)
        .max_files(settings.max_files)
        .max_bytes(settings.max_bytes)
        .denied(Denied::Probe(pace.probe));
    if let Some(visibility) = settings.visibility {
        source = source.visibility(visibility);
    }
    Ok((source.build()?, reader))
}

fn allow(settings: &SqsSettings) -> Result<Allow> {
    Allow::builder()
        .buckets(&settings.buckets)
        .prefixes(&settings.prefixes)
        .build()
}

fn reader(settings: &AwsSettings, client: aws_sdk_s3::Client) -> Result<S3Reader> {
    let mut reader = S3Reader::builder(client);
    if let Some(owner) = &settings.bucket_owner {
        reader = reader.expected_bucket_owner(owner);
    }
    reader.build()
}

async fn s3_client(settings: &AwsSettings) -> Result<aws_sdk_s3::Client> {
    // Any region does for a server of one's own, and for AWS the error names the right one.
    let region = aws_config::meta::region::RegionProviderChain::default_provider()
        .or_else(Region::new("us-east-1"));
    let config = aws_config::from_env().region(region).load().await;
    let variable = |name| std::env::var(name).ok().filter(|url| !url.is_empty());
    // What the environment says is held to the same rules.
    let endpoint = settings
        .s3_endpoint_url
        .clone()
        .or_else(|| variable("AWS_ENDPOINT_URL_S3"))
        .or_else(|| variable("AWS_ENDPOINT_URL"))
        .or_else(|| config.endpoint_url().map(str::to_owned));
    ctforward_aws::s3::client(
        aws_sdk_s3::config::Builder::from(&config),
        endpoint.as_deref(),
        settings.region.as_deref(),
        plain(settings),
    )
}

fn plain(settings: &AwsSettings) -> PlainHttp {
    if settings.allow_plain_http {
        PlainHttp::Anywhere
    } else {
        PlainHttp::LoopbackOnly
    }
}

/// How long a bucket may take to say how many accounts and regions it holds, before the
/// sources beside it begin without that.
const ESTIMATE: Duration = Duration::from_secs(10);

/// How long all of them together may.
const ESTIMATES: Duration = Duration::from_secs(60);

/// How long the first answer of a source is waited for before the daemon calls
/// itself ready all the same.
pub const FIRST_ANSWER: Duration = Duration::from_secs(30);
