//! The queue source against a queue in this process, which fails where it is told to.

mod conformance;
mod fake;
mod held;
mod messages;
mod trouble;

use std::time::Duration;

use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::config::{Builder, Credentials, Region};
use ctforward_aws::notification::Allow;
use ctforward_aws::s3::PlainHttp;
use ctforward_aws::sqs::{SqsSourceBuilder, client};
use ctforward_aws::{S3Reader, SqsSource};
use ctforward_core::{Intake, LogFile, Result, Source};

use self::fake::Queue;
use crate::{BUCKET, client_for, within};

/// A source of the queue, whose files nobody can open unless `s3` is a server's address.
fn source_of(queue: &Queue, s3: &str) -> SqsSourceBuilder {
    let config = Builder::new()
        .behavior_version_latest()
        .region(Region::new("eu-west-1"))
        .credentials_provider(Credentials::new("AKIDTEST", "secret", None, None, "tests"))
        .retry_config(RetryConfig::disabled());
    let sqs = client(config, &queue.url, None, None, PlainHttp::LoopbackOnly).unwrap();
    let reader = S3Reader::builder(client_for(s3)).build().unwrap();
    SqsSource::builder(sqs, reader, &queue.url)
        .allow(Allow::builder().buckets([BUCKET]).build().unwrap())
        .wait(Duration::from_secs(1))
}

fn source(queue: &Queue) -> SqsSourceBuilder {
    source_of(queue, "http://127.0.0.1:9")
}

/// S3's own message about objects that were created.
fn created(bucket: &str, keys: &[&str]) -> String {
    let records: Vec<String> = keys
        .iter()
        .map(|key| {
            format!(
                r#"{{"eventVersion":"2.1","eventSource":"aws:s3","eventName":"ObjectCreated:Put","s3":{{"bucket":{{"name":"{bucket}"}},"object":{{"key":"{key}","size":10}}}}}}"#
            )
        })
        .collect();
    format!(r#"{{"Records":[{}]}}"#, records.join(","))
}

fn notify(queue: &Queue, keys: &[&str]) {
    queue.send(created(BUCKET, keys));
}

async fn next(source: &mut SqsSource) -> Intake {
    within(source.next()).await.unwrap().unwrap()
}

async fn file(source: &mut SqsSource) -> LogFile {
    match next(source).await {
        Intake::File(file) => file,
        other => panic!("{other:?}"),
    }
}

async fn files(source: &mut SqsSource, count: usize) -> Vec<LogFile> {
    let mut files = Vec::new();
    for _ in 0..count {
        files.push(file(source).await);
    }
    files
}

async fn accepted(file: LogFile) -> Result<()> {
    within(file.receipt.accept()).await
}

/// Waits until it is so.
async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let waited = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(
        tokio::time::timeout(crate::PATIENCE, waited).await.is_ok(),
        "{what}: in vain"
    );
}
