//! The ledger in a DynamoDB table: against an emulator, and against a server that
//! answers as a test says.

mod answers;
mod lost;
mod pipelines;
mod real;

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::{Builder, Credentials};
use ctforward_aws::dynamodb::{DynamoLedger, client};
use ctforward_aws::s3::PlainHttp;
use ctforward_core::ledger::{Claim, Ledger as _, Resume, Ticket};
use ctforward_core::{Object, ObjectId};

/// A lease that does not run out while a test runs.
pub(crate) const LONG: Duration = Duration::from_secs(3600);

pub(crate) fn client_for(url: &str) -> Client {
    let settings = Builder::new()
        .behavior_version_latest()
        .credentials_provider(Credentials::new("test", "test", None, None, "tests"))
        .retry_config(
            RetryConfig::standard()
                .with_max_attempts(3)
                .with_initial_backoff(Duration::from_millis(2)),
        );
    client(
        settings,
        Some(url),
        Some("eu-west-1"),
        PlainHttp::LoopbackOnly,
    )
    .expect("a client")
}

pub(crate) fn ledger(url: &str, table: &str) -> DynamoLedger {
    DynamoLedger::builder(client_for(url), table)
        .build()
        .unwrap()
}

pub(crate) fn object(number: usize) -> Object {
    let key = format!("AWSLogs/111122223333/CloudTrail/eu-west-1/2026/01/02/{number}.json.gz");
    Object::new(ObjectId::new("trail", key))
        .with_etag(format!("e{number}"))
        .with_size(4711)
}

pub(crate) async fn granted(
    ledger: &DynamoLedger,
    object: &Object,
    owner: &str,
    lease: Duration,
) -> (Ticket, Resume) {
    match ledger.claim(object, owner, lease).await.unwrap() {
        Claim::Granted { ticket, resume } => (ticket, resume),
        other => panic!("{} was not granted to {owner}: {other:?}", object.id),
    }
}
