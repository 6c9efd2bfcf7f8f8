//! The S3 source against servers in this process: one of `s3s-fs`, and one that misbehaves.

#![cfg(feature = "s3")]
// Helpers of tests fail by panicking, like the tests themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod body;
mod clients;
mod conformance;
#[cfg(feature = "dynamodb")]
mod dynamodb;
mod emulator;
mod errors;
mod lambda;
mod listing;
mod notify;
mod quarantine;
#[cfg(feature = "sqs")]
mod queue;
mod real;
#[cfg(feature = "roles")]
mod roles;
mod rounds;
#[cfg(feature = "secretsmanager")]
mod secrets;
mod server;

use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{Builder, Credentials};
use ctforward_aws::s3::{PlainHttp, client};
use ctforward_core::{Intake, Result, Source};

/// No test waits longer than this for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const BUCKET: &str = "trail";

/// Settings with credentials that are none and quick retries.
pub(crate) fn settings() -> Builder {
    Builder::new()
        .behavior_version_latest()
        .credentials_provider(Credentials::new("AKIDTEST", "secret", None, None, "tests"))
        .retry_config(
            RetryConfig::standard()
                .with_max_attempts(2)
                .with_initial_backoff(Duration::from_millis(2)),
        )
}

pub(crate) fn client_for(url: &str) -> Client {
    client(
        settings(),
        Some(url),
        Some("eu-west-1"),
        PlainHttp::LoopbackOnly,
    )
    .expect("a client")
}

/// All keys of a source, until it says that it is exhausted.
pub(crate) async fn drain(source: &mut dyn Source) -> Result<Vec<String>> {
    let mut keys = Vec::new();
    while let Some(intake) = within(source.next()).await? {
        match intake {
            Intake::File(file) => keys.push(file.object.id.key),
            Intake::Skip { object, .. } => keys.push(object.key),
            other => panic!("{other:?}"),
        }
    }
    assert!(
        within(source.next()).await?.is_none(),
        "exhausted is for good"
    );
    Ok(keys)
}

pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("in time")
}

/// The same keys, each once, in whatever order; says which are missing or too many.
pub(crate) fn assert_same(mut found: Vec<String>, expected: &[String]) {
    found.sort();
    let missing: Vec<_> = expected
        .iter()
        .filter(|key| !found.contains(key))
        .take(3)
        .collect();
    let extra: Vec<_> = found
        .iter()
        .filter(|key| !expected.contains(key))
        .take(3)
        .collect();
    assert!(
        missing.is_empty() && extra.is_empty(),
        "missing {missing:?}, extra {extra:?}"
    );
    assert_eq!(found.len(), expected.len(), "no key comes twice");
}
