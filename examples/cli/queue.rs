//! A queue as a source: its options, and how it is opened.

use std::time::Duration;

use aws_sdk_sqs::config::Builder as SqsConfig;
use clap::ValueEnum;
use ctforward_aws::notification::Allow;
use ctforward_aws::s3::PlainHttp;
use ctforward_aws::sqs::{DeadLetters, QueueUrl, SqsStatsHandle, client};
use ctforward_aws::{S3Reader, SqsSource};

use crate::args::{KindArg, Tune};
use crate::console::Console;
use crate::failure::Failure;
use crate::sources::{Place, s3_client, variable};
use crate::times;

/// Empty answers in a row after which a queue counts as empty.
const EMPTY_POLLS: u32 = 2;

/// How the messages of a queue are taken.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Messages of a queue")]
pub struct QueueArgs {
    /// Take the log files that the messages of this SQS queue name, as sqs:URL does.
    ///
    /// A message is deleted once each of its files is decided: sent, put aside, or left
    /// out by an option that says which files to take.
    #[arg(long, value_name = "URL")]
    pub queue_url: Option<String>,

    /// End when the queue is empty and nothing of it is under way here. Otherwise the
    /// run goes on until it is interrupted.
    #[arg(long)]
    pub drain: bool,

    /// Read only what lies in these buckets. Who can write to the queue can name any
    /// object; a message that names another one is put aside.
    #[arg(long = "allow-bucket", value_name = "BUCKET", value_delimiter = ',')]
    pub allow_buckets: Vec<String>,

    /// Read whatever bucket a message names, if the credentials allow it.
    #[arg(long, conflicts_with = "allow_buckets")]
    pub allow_any_bucket: bool,

    /// Read only keys that start with one of these.
    #[arg(long = "allow-prefix", value_name = "PREFIX", value_delimiter = ',')]
    pub allow_prefixes: Vec<String>,

    /// Read only files of these organisations, by their keys.
    #[arg(
        long = "allow-organisation",
        alias = "allow-organization",
        value_name = "ID",
        value_delimiter = ','
    )]
    pub allow_organisations: Vec<String>,

    /// Read only files of these accounts, by their keys.
    #[arg(long = "allow-account", value_name = "ACCOUNT", value_delimiter = ',')]
    pub allow_accounts: Vec<String>,

    /// Read only files of these kinds, by their keys.
    #[arg(long = "allow-kind", value_enum, value_delimiter = ',')]
    pub allow_kinds: Vec<KindArg>,

    /// Where a message goes that can never work: into --quarantine with its body, or
    /// to the queue's own dead-letter queue, by being given back until the queue moves it.
    #[arg(long, value_enum, default_value_t = DeadLetterArg::Quarantine)]
    pub dead_letter: DeadLetterArg,

    /// How long a message stays invisible to others when this program dies; it is
    /// prolonged while it works. By default what the queue says, and at least 30s.
    #[arg(long, value_name = "TIME")]
    pub visibility: Option<String>,

    /// How long the queue waits for messages before it says that there is none, 1s to
    /// 20s. By default 20s, with --drain 5s.
    #[arg(long, value_name = "TIME")]
    pub queue_wait: Option<String>,

    /// Files of messages that may be under way at the same time.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub files_in_flight: u64,

    /// The address of a queue's server, where it is not the one in the queue's own.
    #[arg(long, value_name = "URL")]
    pub sqs_endpoint_url: Option<String>,

    /// The queue's region, where it is neither the one of the AWS settings nor, without
    /// those, the one in its address.
    #[arg(long, value_name = "REGION")]
    pub sqs_region: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DeadLetterArg {
    Quarantine,
    Queue,
}

impl QueueArgs {
    /// What a run from these places must also be told, where a queue is among them.
    pub fn check(&self, places: &[Place], dry_run: bool, keeps: bool) -> Result<(), Failure> {
        let queues = places
            .iter()
            .filter(|place| matches!(place, Place::Queue { .. }))
            .count();
        if queues == 0 {
            return Ok(());
        }
        if dry_run {
            return Err(Failure::usage(
                "a queue counts how often each message was received: --dry-run and --plan are \
                 for folders and buckets",
            ));
        }
        if !self.drain && places.len() > 1 {
            return Err(Failure::usage(
                "a queue never ends: name it alone, or add --drain",
            ));
        }
        if !keeps {
            return Err(Failure::usage(
                "a queue's message is deleted when it was dealt with: say where to keep what \
                 cannot be sent, with --quarantine FOLDER or --ledger FILE",
            ));
        }
        self.allow().map(drop)
    }

    /// Whether a run from these places goes on until it is interrupted.
    pub fn is_endless(&self, places: &[Place]) -> bool {
        !self.drain
            && places
                .iter()
                .any(|place| matches!(place, Place::Queue { .. }))
    }

    fn allow(&self) -> Result<Allow, Failure> {
        if self.allow_buckets.is_empty() && !self.allow_any_bucket {
            return Err(Failure::usage(
                "who can write to a queue can name any object: say with --allow-bucket which \
                 buckets to read",
            ));
        }
        let mut allow = Allow::builder().buckets(&self.allow_buckets);
        if self.allow_any_bucket {
            allow = allow.any_bucket();
        }
        let allow = allow
            .prefixes(&self.allow_prefixes)
            .organisations(&self.allow_organisations)
            .accounts(&self.allow_accounts)
            .kinds(self.allow_kinds.iter().map(|kind| kind.kind()));
        Ok(allow.build()?)
    }

    /// The source of the queue at `url`.
    pub async fn open(&self, url: &str, tune: &Tune) -> Result<SqsSource, Failure> {
        let mut reader = S3Reader::builder(s3_client(tune).await?);
        if let Some(owner) = &tune.bucket_owner {
            reader = reader.expected_bucket_owner(owner);
        }
        let dead_letters = match self.dead_letter {
            DeadLetterArg::Quarantine => DeadLetters::Quarantine,
            DeadLetterArg::Queue => DeadLetters::Queue,
        };
        let sqs = self.client(url, tune).await?;
        let wait = match (&self.queue_wait, self.drain) {
            (Some(wait), _) => wait,
            (None, true) => "5s",
            (None, false) => "20s",
        };
        let mut source = SqsSource::builder(sqs, reader.build()?, url)
            .allow(self.allow()?)
            .dead_letters(dead_letters)
            .wait(times::duration("--queue-wait", wait)?)
            .max_files(self.files_in_flight);
        if let Some(visibility) = &self.visibility {
            source = source.visibility(times::duration("--visibility", visibility)?);
        }
        if self.drain {
            source = source.until_empty(EMPTY_POLLS);
        }
        Ok(source.build()?)
    }

    async fn client(&self, url: &str, tune: &Tune) -> Result<aws_sdk_sqs::Client, Failure> {
        let config = aws_config::from_env().load().await;
        let plain = if tune.allow_plain_http {
            PlainHttp::Anywhere
        } else {
            PlainHttp::LoopbackOnly
        };
        let endpoint = self
            .sqs_endpoint_url
            .clone()
            .or_else(|| variable("AWS_ENDPOINT_URL_SQS"))
            .or_else(|| variable("AWS_ENDPOINT_URL"))
            .or_else(|| config.endpoint_url().map(str::to_owned));
        let named = QueueUrl::parse(url)?.region.is_some();
        let region = match &self.sqs_region {
            Some(region) => Some(region.as_str()),
            // Any region does for a server of one's own.
            None if config.region().is_none() && !named => Some("us-east-1"),
            None => None,
        };
        let config = SqsConfig::from(&config);
        Ok(client(config, url, endpoint.as_deref(), region, plain)?)
    }
}

/// How long a queue may take to hear the last of a run. What it does not hear by then
/// comes again by itself.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Waits until the messages that were not handed over are given back: whoever else takes
/// from the queue should not wait for them.
pub async fn told(queues: &[SqsStatsHandle], console: &Console) {
    let all = async {
        for queue in queues {
            queue.told().await;
        }
    };
    if tokio::time::timeout(LAST_WORDS, all).await.is_err() {
        console.line(
            "note: a queue was not told the last of this run; some of its messages may come \
             again only after their visibility timeout",
        );
    }
}

/// Says what the pipeline's report does not know of.
pub fn notes(queues: &[SqsStatsHandle], console: &Console) {
    for queue in queues {
        let stats = queue.get();
        for (count, what) in [
            (
                stats.left_to_dead_letters,
                "times a message that can never work was left to the dead-letter queue",
            ),
            (
                stats.lost,
                "messages could not be kept invisible; they come again",
            ),
            (
                stats.expired,
                "messages were given back after 11 h 30 min; they come again",
            ),
            (
                stats.delete_errors,
                "messages could not be deleted; they come again",
            ),
        ] {
            if count > 0 {
                console.line(&format!("note: {count} {what}"));
            }
        }
    }
}
