//! The source of a Lambda call by the suites that every source and receipt is held to.

use bytes::Bytes;
use ctforward_aws::S3Reader;
use ctforward_aws::lambda::{Event, EventSource, Outcome};
use ctforward_aws::notification::Allow;
use ctforward_core::testing::source::Told;
use ctforward_core::{ObjectId, testing};

use crate::BUCKET;
use crate::real::{S3, key};

/// A batch of SQS of messages that name these keys.
fn event(messages: &[&[&str]]) -> Bytes {
    let records: Vec<String> = messages
        .iter()
        .enumerate()
        .map(|(at, keys)| {
            let keys: Vec<String> = keys.iter().map(|key| format!("{key:?}")).collect();
            let body = format!(
                r#"{{"s3Bucket":"{BUCKET}","s3ObjectKey":[{}]}}"#,
                keys.join(",")
            );
            format!(
                r#"{{"messageId":"{at}","body":{body:?},"eventSource":"aws:sqs","receiptHandle":"h"}}"#
            )
        })
        .collect();
    format!(r#"{{"Records":[{}]}}"#, records.join(",")).into()
}

fn source(client: aws_sdk_s3::Client, messages: &[&[&str]]) -> EventSource {
    let reader = S3Reader::builder(client).build().unwrap();
    let allow = Allow::builder().buckets([BUCKET]).build().unwrap();
    let event = Event::parse(event(messages));
    assert!(event.is_batch());
    EventSource::new(event, &reader, &allow, None)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_source_conforms() {
    let s3 = S3::start().await;
    let mut expected = Vec::new();
    for number in 0..6 {
        let body: Vec<u8> = (0..number * 9_000)
            .map(|at: usize| (at * (number + 3) % 251) as u8)
            .collect();
        let (account, kind) = ("111111111111", "CloudTrail");
        let key = key("AWSLogs/", account, kind, "us-east-1", "2024/01/01", number);
        s3.put(&key, &body);
        expected.push((ObjectId::new(BUCKET, key), Bytes::from(body)));
    }
    let make = async || {
        let keys: Vec<&str> = expected.iter().map(|(id, _)| id.key.as_str()).collect();
        // Two of a message, and one that is named twice.
        let messages: [&[&str]; 4] = [&keys[..2], &keys[2..3], &keys[3..], &keys[2..3]];
        source(s3.client(), &messages)
    };
    testing::source::check(make, &expected).await.assert();
}

#[tokio::test]
async fn its_receipts_conform() {
    let s3 = S3::start().await;
    let make = async || {
        let source = source(s3.client(), &[&["a"], &["b"], &["c"]]);
        let outcome = source.outcome();
        (source, outcome)
    };
    let told = async |outcome: &Outcome| {
        let unfinished = outcome.unfinished();
        let released = |at: &usize| {
            unfinished
                .iter()
                .any(|one| one.message.id == at.to_string())
        };
        let id = |at: usize| ObjectId::new(BUCKET, ["a", "b", "c"][at]);
        let (released, accepted): (Vec<usize>, _) = (0..3).partition(released);
        Told {
            accepted: accepted.into_iter().map(id).collect(),
            released: released.into_iter().map(id).collect(),
        }
    };
    testing::source::check_receipts(make, told).await.assert();
}
