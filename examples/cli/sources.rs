//! From what the command line names to a source of log files.

use aws_sdk_s3::config::{Builder as S3Config, Region};
use ctforward_aws::S3Source;
use ctforward_aws::s3::{PlainHttp, StatsHandle, client};
use ctforward_aws::sqs::{QueueUrl, SqsStatsHandle};
use ctforward_core::Source;
use ctforward_core::key::Kind;
use ctforward_core::source::{Chain, DirectorySource};
use ctforward_core::text::printable;
use jiff::Timestamp;

use crate::args::{KindArg, Tune};
use crate::failure::Failure;
use crate::queue::QueueArgs;

/// Where files come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Path(String),
    Bucket { bucket: String, prefix: String },
    Queue { url: String },
}

impl Place {
    /// A folder, a file, `s3://bucket/prefix`, or `sqs:` and a queue's address.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        if let Some(url) = text.strip_prefix("sqs:") {
            QueueUrl::parse(url)?;
            return Ok(Self::Queue {
                url: url.to_owned(),
            });
        }
        if let Some(rest) = text.strip_prefix("s3://") {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            if bucket.is_empty() {
                return Err(Failure::usage(
                    "an S3 source is s3://bucket or s3://bucket/prefix",
                ));
            }
            return Ok(Self::Bucket {
                bucket: bucket.to_owned(),
                prefix: prefix.to_owned(),
            });
        }
        if let Some((scheme, _)) = text.split_once("://") {
            return Err(Failure::usage(format!(
                "{}:// is no source; name a folder, a file, s3://bucket/prefix or sqs:QUEUE-URL",
                printable(scheme)
            )));
        }
        Ok(Self::Path(text.to_owned()))
    }
}

/// What narrows a listing.
#[derive(Debug, Default)]
pub struct Narrow {
    pub accounts: Vec<String>,
    pub regions: Vec<String>,
    pub kinds: Vec<KindArg>,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
}

impl KindArg {
    pub fn kind(self) -> Kind<'static> {
        match self {
            Self::CloudTrail => Kind::CloudTrail,
            Self::Insight => Kind::Insight,
            Self::NetworkActivity => Kind::NetworkActivity,
            Self::Aggregated => Kind::Aggregated,
        }
    }
}

/// A source, and what can be asked of it when it was given away.
pub struct Sources {
    pub source: Box<dyn Source>,
    pub listings: Vec<StatsHandle>,
    pub queues: Vec<SqsStatsHandle>,
}

/// The source of all places, one after the other. A queue is none without its options.
pub async fn open(
    places: &[Place],
    narrow: &Narrow,
    tune: &Tune,
    queue: Option<&QueueArgs>,
) -> Result<Sources, Failure> {
    let mut sources: Vec<Box<dyn Source>> = Vec::new();
    let (mut listings, mut queues) = (Vec::new(), Vec::new());
    let mut s3 = None;
    for place in places {
        match place {
            Place::Path(path) => sources.push(Box::new(DirectorySource::new(path)?)),
            Place::Bucket { bucket, prefix } => {
                let client = match &s3 {
                    Some(client) => client,
                    None => s3.insert(s3_client(tune).await?),
                };
                let mut source = S3Source::builder(aws_sdk_s3::Client::clone(client), bucket)
                    .prefix(prefix)
                    .accounts(&narrow.accounts)
                    .regions(&narrow.regions)
                    .kinds(narrow.kinds.iter().map(|kind| kind.kind()));
                if let Some(since) = narrow.since {
                    source = source.since(since);
                }
                if let Some(until) = narrow.until {
                    source = source.until(until);
                }
                if let Some(owner) = &tune.bucket_owner {
                    source = source.expected_bucket_owner(owner);
                }
                let source = source.build()?;
                listings.push(source.stats());
                sources.push(Box::new(source));
            }
            Place::Queue { url } => {
                let Some(queue) = queue else {
                    return Err(Failure::usage("a queue is no source of this command"));
                };
                let source = queue.open(url, tune).await?;
                queues.push(source.stats());
                sources.push(Box::new(source));
            }
        }
    }
    Ok(Sources {
        source: Box::new(Chain::new(sources)),
        listings,
        queues,
    })
}

/// A variable of the environment that says something.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

pub async fn s3_client(tune: &Tune) -> Result<aws_sdk_s3::Client, Failure> {
    let mut loader = aws_config::from_env();
    // Any region does for a server of one's own, and for AWS the error names the right one.
    let fallback = aws_config::meta::region::RegionProviderChain::default_provider()
        .or_else(Region::new("us-east-1"));
    loader = loader.region(fallback);
    let config = loader.load().await;
    let plain = if tune.allow_plain_http {
        PlainHttp::Anywhere
    } else {
        PlainHttp::LoopbackOnly
    };
    // An endpoint that the environment or the profile sets is held to the same
    // rules as one of the command line.
    let endpoint = tune
        .s3_endpoint_url
        .clone()
        .or_else(|| variable("AWS_ENDPOINT_URL_S3"))
        .or_else(|| variable("AWS_ENDPOINT_URL"))
        .or_else(|| config.endpoint_url().map(str::to_owned));
    let endpoint = endpoint.as_deref();
    let client = client(
        S3Config::from(&config),
        endpoint,
        tune.s3_region.as_deref(),
        plain,
    )?;
    Ok(client)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_paths_or_buckets() {
        let bucket = |bucket: &str, prefix: &str| Place::Bucket {
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
        };
        assert_eq!(Place::parse("s3://b").unwrap(), bucket("b", ""));
        assert_eq!(
            Place::parse("s3://b/AWSLogs/").unwrap(),
            bucket("b", "AWSLogs/")
        );
        assert_eq!(
            Place::parse("./logs").unwrap(),
            Place::Path("./logs".into())
        );
        let queue = "https://sqs.eu-west-1.amazonaws.com/111122223333/trail";
        assert_eq!(
            Place::parse(&format!("sqs:{queue}")).unwrap(),
            Place::Queue {
                url: queue.to_owned()
            }
        );
        assert!(Place::parse("sqs:https://host").is_err());
        assert!(Place::parse("s3://").is_err());
        assert!(Place::parse("https://b/k").is_err());
    }
}
