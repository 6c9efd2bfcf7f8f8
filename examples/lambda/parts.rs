//! What is made once and used by every call: clients, sink, rules, ledger, quarantine.

use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_s3::config::Region;
use ctforward_aws::S3Reader;
use ctforward_aws::lambda::Visibility;
use ctforward_aws::notification::Allow;
use ctforward_aws::s3::PlainHttp;
use ctforward_core::key::Kind;
use ctforward_core::ledger::{Ledger, SqliteLedger};
use ctforward_core::quarantine::DirectoryQuarantine;
use ctforward_core::stage::{Filter, Redaction, RedactionKey, Rule, Rules};
use ctforward_core::{Error, ErrorKind, Quarantine, Result, Sink};
use ctforward_visionone::{TokenProvider as _, VisionOneSink};

use crate::config::Settings;
use crate::rules_file;

/// How long the token is waited for at the start, of which Lambda gives ten seconds.
const TOKEN: Duration = Duration::from_secs(4);

/// Where the program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// As a Lambda function.
    Lambda,
    /// At somebody's desk, for one event.
    Elsewhere,
}

/// What every call uses.
pub struct Parts {
    pub sink: Arc<dyn Sink>,
    pub reader: S3Reader,
    pub allow: Allow,
    pub visibility: Visibility,
    /// What is known of files between calls. Without one each file is read.
    pub ledger: Option<Arc<dyn Ledger>>,
    /// Without one, what is refused is never acknowledged.
    pub quarantine: Option<Arc<dyn Quarantine>>,
    pub filters: Vec<Arc<Filter>>,
    pub redaction: Option<Arc<Redaction>>,
}

impl Parts {
    /// Makes them, and reads the token; of the endpoint, S3 and the queue nothing is
    /// asked yet.
    ///
    /// # Errors
    /// [`Config`](ErrorKind::Config) for what is wrong with a setting.
    pub async fn of(settings: &Settings) -> Result<Self> {
        // Any region does for a server of one's own; Lambda says its own.
        let region = aws_config::meta::region::RegionProviderChain::default_provider()
            .or_else(Region::new("us-east-1"));
        let config = aws_config::from_env().region(region).load().await;
        let (filters, redaction) = shape(settings)?;
        Ok(Self {
            sink: sink(settings, &config).await?,
            reader: reader(settings, &config)?,
            allow: allow(settings)?,
            visibility: visibility(settings, &config)?,
            ledger: ledger(settings).await?,
            quarantine: quarantine(settings).await?,
            filters,
            redaction,
        })
    }
}

async fn sink(settings: &Settings, config: &SdkConfig) -> Result<Arc<dyn Sink>> {
    let endpoint = &settings.endpoint;
    let token = endpoint.token.provider(config);
    // A start has time that the first call has not. What is missing may be there by then.
    match tokio::time::timeout(TOKEN, token.token(false)).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::warn!(%error, "there is no token yet"),
        Err(_) => tracing::warn!("the token could not be read in time"),
    }
    let mut sink = VisionOneSink::builder(&endpoint.url, token)
        .request_bytes(endpoint.request_bytes)
        .request_timeout(endpoint.request_timeout)
        .gzip(endpoint.gzip)
        .final_newline(endpoint.final_newline)
        .allow_plain_http(endpoint.allow_plain_http);
    for (name, value) in &endpoint.headers {
        sink = sink.header(name, value);
    }
    Ok(Arc::new(sink.build()?))
}

fn plain(settings: &Settings) -> PlainHttp {
    if settings.event.allow_plain_http {
        PlainHttp::Anywhere
    } else {
        PlainHttp::LoopbackOnly
    }
}

/// The endpoint of a service: as set, or as the SDK's own variables have it, held to
/// the same rules.
fn endpoint(set: Option<&String>, variable: &str, config: &SdkConfig) -> Option<String> {
    let of = |name: &str| std::env::var(name).ok().filter(|url| !url.is_empty());
    set.cloned()
        .or_else(|| of(variable))
        .or_else(|| of("AWS_ENDPOINT_URL"))
        .or_else(|| config.endpoint_url().map(str::to_owned))
}

fn reader(settings: &Settings, config: &SdkConfig) -> Result<S3Reader> {
    let event = &settings.event;
    let endpoint = endpoint(
        event.s3_endpoint_url.as_ref(),
        "AWS_ENDPOINT_URL_S3",
        config,
    );
    let client = ctforward_aws::s3::client(
        aws_sdk_s3::config::Builder::from(config),
        endpoint.as_deref(),
        None,
        plain(settings),
    )?;
    let mut reader = S3Reader::builder(client);
    if let Some(owner) = &event.bucket_owner {
        reader = reader.expected_bucket_owner(owner);
    }
    reader.build()
}

fn allow(settings: &Settings) -> Result<Allow> {
    let event = &settings.event;
    let mut kinds = Vec::new();
    for name in &event.kinds {
        kinds.push(Kind::parse(name).ok_or_else(|| {
            let name = ctforward_core::text::excerpt(name, 64);
            let why = format!("EVENT_KINDS: {name} is no kind of log file");
            Error::new(ErrorKind::Config, "settings", why)
        })?);
    }
    Allow::builder()
        .buckets(&event.buckets)
        .prefixes(&event.prefixes)
        .organisations(&event.organisations)
        .accounts(&event.accounts)
        .kinds(kinds)
        .build()
}

fn visibility(settings: &Settings, config: &SdkConfig) -> Result<Visibility> {
    let event = &settings.event;
    let endpoint = endpoint(
        event.sqs_endpoint_url.as_ref(),
        "AWS_ENDPOINT_URL_SQS",
        config,
    );
    let client = match endpoint {
        None => aws_sdk_sqs::Client::new(config),
        Some(endpoint) => ctforward_aws::sqs::client(
            aws_sdk_sqs::config::Builder::from(config),
            // Each request names its own queue; this one's host is looked at, as all are.
            &format!("{}/000000000000/any", endpoint.trim_end_matches('/')),
            Some(&endpoint),
            None,
            plain(settings),
        )?,
    };
    let (first, longest) = event.backoff;
    Ok(Visibility::new(client).with_backoff(first, longest))
}

/// The ledger, where one is set.
async fn ledger(settings: &Settings) -> Result<Option<Arc<dyn Ledger>>> {
    let Some(path) = settings.ledger.clone() else {
        return Ok(None);
    };
    let opened = tokio::task::spawn_blocking(move || SqliteLedger::open(&path)).await;
    let opened = opened.map_err(|error| Error::new(ErrorKind::Other, "ledger", error.to_string()));
    Ok(Some(Arc::new(opened??)))
}

/// The quarantine, where one is set.
async fn quarantine(settings: &Settings) -> Result<Option<Arc<dyn Quarantine>>> {
    match &settings.quarantine {
        None => Ok(None),
        Some(folder) => Ok(Some(Arc::new(DirectoryQuarantine::open(folder).await?))),
    }
}

type Shape = (Vec<Arc<Filter>>, Option<Arc<Redaction>>);

/// Rules and redaction, compiled.
fn shape(settings: &Settings) -> Result<Shape> {
    let records = &settings.records;
    let wrong = |why: String| Error::new(ErrorKind::Config, "settings", why);
    let compiled = |rules: &Rules| {
        let filter = rules.compile().map_err(|found| wrong(found.to_string()))?;
        Ok::<_, Error>(Arc::new(filter))
    };
    let mut filters = Vec::new();
    let mut redaction = None;
    if let Some(file) = &records.rules {
        let rules = rules_file::load(file).map_err(|lines| wrong(lines.join("; ")))?;
        filters.push(compiled(&rules)?);
        if let Some(redact) = rules.redact() {
            let named = redact.hmac_key_file().map(std::path::Path::new);
            let key = records.redact_key_file.as_deref().or(named);
            let key = key.map(RedactionKey::read).transpose()?;
            let built = redact
                .build(key)
                .map_err(|found| wrong(found.to_string()))?;
            redaction = Some(Arc::new(built));
        }
    }
    if records.redact_key_file.is_some() && redaction.is_none() {
        let why = "RECORDS_REDACT_KEY_FILE is for rules with a redact section; there is none";
        return Err(wrong(why.to_owned()));
    }
    if let Some(role) = &records.own_calls {
        let mut rules = Rules::new();
        for bucket in &settings.event.buckets {
            rules = rules.exclude(Rule::own_calls(role, bucket));
        }
        filters.push(compiled(&rules)?);
    }
    Ok((filters, redaction))
}
