//! `doctor`: looks before a run, and prints what was seen.

mod args;
mod show;

use std::process::ExitCode;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_s3::config::Region;
use ctforward_aws::preflight::{Preflight, cloudtrail_client, sts_client};
use ctforward_aws::s3::PlainHttp;
use ctforward_core::text::printable;
use ctforward_core::{Check, Outcome};
use ctforward_visionone::{TokenEnv, TokenFile, TokenProvider, VisionOneSink};

use crate::failure::Failure;
use crate::forward::TOKEN;
use crate::sources::Place;
use crate::times;

pub use args::Doctor;

pub async fn run(args: Doctor) -> Result<ExitCode, Failure> {
    let source = Source::parse(&args)?;
    // Settings that are wrong end the command before anything is asked.
    let sink = args
        .endpoint
        .as_deref()
        .map(|endpoint| sink(&args, endpoint))
        .transpose()?;
    let preflight = preflight(&args, &source).await?;
    let endpoint = async {
        match &sink {
            Some(sink) => sink.preflight(args.send_test_record).await,
            None => vec![Check::new(
                "endpoint",
                "endpoint",
                Outcome::Skipped,
                "no --endpoint was named",
            )],
        }
    };
    let (mut checks, of_endpoint) = tokio::join!(preflight.run(), endpoint);
    checks.extend(of_endpoint);
    show::print(&checks, args.json)?;
    let failed = checks.iter().any(|check| check.outcome == Outcome::Fail);
    Ok(ExitCode::from(u8::from(failed)))
}

/// What is looked at.
struct Source {
    bucket: Option<(String, String)>,
    queue: Option<String>,
}

impl Source {
    fn parse(args: &Doctor) -> Result<Self, Failure> {
        if let Some(url) = args.source.strip_prefix("sqs:") {
            if args.queue_url.is_some() {
                return Err(Failure::usage(
                    "the queue is named twice: as the source, and by --queue-url",
                ));
            }
            return Ok(Self {
                bucket: None,
                queue: Some(url.to_owned()),
            });
        }
        match Place::parse(&args.source)? {
            Place::Bucket { bucket, prefix } => Ok(Self {
                bucket: Some((bucket, prefix)),
                queue: args.queue_url.clone(),
            }),
            #[allow(unreachable_patterns, reason = "a place may come to be of other kinds")]
            _ => Err(Failure::usage(
                "doctor looks at s3://bucket/prefix or sqs:https://…; a folder needs none of this",
            )),
        }
    }
}

async fn preflight(args: &Doctor, source: &Source) -> Result<Preflight, Failure> {
    // Any region does for a server of one's own; at AWS the checks say which is right.
    let fallback = aws_config::meta::region::RegionProviderChain::default_provider()
        .or_else(Region::new("us-east-1"));
    let mut loader = aws_config::from_env().region(fallback);
    if let Some(region) = &args.s3_region {
        loader = loader.region(Region::new(region.clone()));
    }
    let config = loader.load().await;
    let plain = if args.allow_plain_http {
        PlainHttp::Anywhere
    } else {
        PlainHttp::LoopbackOnly
    };
    let url = |own: Option<&str>, variable| endpoint_url(args, &config, own, variable);
    let mut preflight = Preflight::new()
        .limit(seconds("--limit", &args.limit)?)
        .expected(seconds("--expected-time", &args.expected_time)?)
        .outage(seconds("--outage", &args.outage)?);
    if let Some((bucket, prefix)) = &source.bucket {
        let endpoint = url(args.s3_endpoint_url.as_deref(), "AWS_ENDPOINT_URL_S3");
        let client = ctforward_aws::s3::client((&config).into(), endpoint.as_deref(), None, plain)?;
        preflight = preflight.bucket(client, bucket, prefix);
        if let Some(owner) = &args.bucket_owner {
            preflight = preflight.expected_bucket_owner(owner);
        }
    }
    if let Some(queue) = &source.queue {
        let endpoint = url(None, "AWS_ENDPOINT_URL_SQS");
        let config = aws_sdk_sqs::config::Builder::from(&config);
        // The queue's own region, where its address names one.
        let named = ctforward_aws::sqs::QueueUrl::parse(queue)?.region;
        let client = ctforward_aws::sqs::client(
            config,
            queue,
            endpoint.as_deref(),
            named.as_deref(),
            plain,
        )?;
        preflight = preflight.queue(client, queue);
    }
    // With an address for S3 alone, nobody is there to ask the rest.
    let s3_alone = args.s3_endpoint_url.is_some() && args.endpoint_url.is_none();
    let sts = url(None, "AWS_ENDPOINT_URL_STS");
    if sts.is_some() || !s3_alone {
        preflight = preflight.sts(sts_client((&config).into(), sts.as_deref(), plain)?);
    }
    let cloudtrail = url(None, "AWS_ENDPOINT_URL_CLOUDTRAIL");
    if source.bucket.is_some() && (cloudtrail.is_some() || !s3_alone) {
        let client = cloudtrail_client((&config).into(), cloudtrail.as_deref(), plain)?;
        preflight = preflight.cloudtrail(client);
    }
    Ok(preflight)
}

/// The address of a service: of its own option, of the one for all, or as the
/// environment and the profile say. All are held to the same rules.
fn endpoint_url(
    args: &Doctor,
    config: &SdkConfig,
    own: Option<&str>,
    variable: &str,
) -> Option<String> {
    let set = |name| {
        std::env::var(name)
            .ok()
            .filter(|url: &String| !url.is_empty())
    };
    own.map(str::to_owned)
        .or_else(|| args.endpoint_url.clone())
        .or_else(|| set(variable))
        .or_else(|| set("AWS_ENDPOINT_URL"))
        .or_else(|| config.endpoint_url().map(str::to_owned))
}

fn seconds(option: &str, text: &str) -> Result<Duration, Failure> {
    times::duration(option, text)
}

fn sink(args: &Doctor, endpoint: &str) -> Result<VisionOneSink, Failure> {
    let token: Box<dyn TokenProvider> = match &args.token_file {
        Some(file) => Box::new(TokenFile::new(file)),
        None => Box::new(TokenEnv::new(TOKEN)),
    };
    let limit = seconds("--limit", &args.limit)?.max(Duration::from_secs(1));
    let mut builder = VisionOneSink::builder(endpoint, token)
        .allow_plain_http(args.allow_plain_http)
        .connect_timeout(limit)
        .request_timeout(limit);
    for header in &args.headers {
        let Some((name, value)) = header.split_once(':') else {
            return Err(Failure::usage("--header is NAME:VALUE"));
        };
        builder = builder.header(name.trim(), value.trim());
    }
    if let Some(file) = &args.ca_file {
        let pem = std::fs::read(file).map_err(|error| {
            Failure::usage(format!(
                "--ca-file {}: {error}",
                printable(&file.to_string_lossy())
            ))
        })?;
        builder = builder.ca_pem(pem);
    }
    Ok(builder.build()?)
}
