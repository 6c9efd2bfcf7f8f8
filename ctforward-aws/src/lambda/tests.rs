use aws_sdk_s3::config::{Builder as ConfigBuilder, Region};
use bytes::Bytes;
use ctforward_core::{Error, ErrorKind, Intake, Receipt, Retry, Source};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::notification::Allow;
use crate::s3::S3Reader;

fn reader() -> S3Reader {
    let config = ConfigBuilder::new()
        .behavior_version_latest()
        .region(Region::new("us-east-1"));
    let client = aws_sdk_s3::Client::from_conf(config.build());
    S3Reader::builder(client).build().unwrap()
}

fn allow() -> Allow {
    Allow::builder().buckets(["trail"]).build().unwrap()
}

fn source(event: &Value) -> EventSource {
    let event = Event::parse(Bytes::from(event.to_string()));
    EventSource::new(event, &reader(), &allow(), None)
}

fn names(bucket: &str, keys: &[&str]) -> String {
    json!({"s3Bucket": bucket, "s3ObjectKey": keys}).to_string()
}

fn record(id: &str, body: &str) -> Value {
    json!({
        "messageId": id,
        "receiptHandle": format!("handle-{id}"),
        "body": body,
        "attributes": {"ApproximateReceiveCount": "3", "SentTimestamp": "1"},
        "messageAttributes": {},
        "md5OfBody": "x",
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-1:111122223333:trail",
        "awsRegion": "us-east-1",
    })
}

fn batch(records: &[Value]) -> Value {
    json!({ "Records": records })
}

async fn all(source: &mut EventSource) -> Vec<Intake> {
    let mut all = Vec::new();
    while let Some(intake) = source.next().await.unwrap() {
        all.push(intake);
    }
    all
}

fn receipt(intake: Intake) -> Box<dyn Receipt> {
    match intake {
        Intake::File(file) => file.receipt,
        Intake::Skip { receipt, .. } | Intake::Foreign { receipt, .. } => receipt,
        _ => panic!("another kind of intake"),
    }
}

fn failures(outcome: &Outcome) -> Vec<String> {
    let answer: Value = serde_json::from_str(&outcome.answer().unwrap()).unwrap();
    let items = answer["batchItemFailures"].as_array().unwrap().iter();
    items
        .map(|item| item["itemIdentifier"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn only_a_batch_of_sqs_is_one() {
    let event = Event::parse(Bytes::from(batch(&[record("a", "x")]).to_string()));
    assert!(event.is_batch());
    let message = &event.messages()[0];
    assert_eq!((message.id.as_str(), message.receives), ("a", 3));
    assert_eq!(&message.body[..], b"x");
    assert!(!format!("{message:?}").contains("handle-a"));
    let without = |name: &str| {
        let mut record = record("a", "x");
        record.as_object_mut().unwrap().remove(name);
        batch(&[record])
    };
    for whole in [
        json!({"Records": []}),
        json!({"Records": [{"eventSource": "aws:s3"}]}),
        batch(&[record("a", "x"), json!({"eventSource": "aws:s3"})]),
        batch(&[record("", "x")]),
        without("messageId"),
        without("body"),
        without("eventSource"),
        json!({"Records": 5}),
        json!("CloudTrail validation message."),
    ] {
        let event = Event::parse(Bytes::from(whole.to_string()));
        assert!(!event.is_batch(), "{whole}");
        assert_eq!(event.messages().len(), 1);
    }
    let odd = without("attributes");
    let event = Event::parse(Bytes::from(odd.to_string()));
    assert!(event.is_batch() && event.messages()[0].receives == 1);
    assert!(!Event::parse(Bytes::from_static(b"\xff{")).is_batch());
}

#[tokio::test]
async fn nothing_is_finished_before_its_receipt_was_accepted() {
    let event = batch(&[
        record("a", &names("trail", &["1", "2"])),
        record("b", &names("trail", &["3"])),
    ]);
    let mut source = source(&event);
    let outcome = source.outcome();
    assert_eq!(failures(&outcome), ["a", "b"]);
    let mut all = all(&mut source).await.into_iter();
    receipt(all.next().unwrap()).accept().await.unwrap();
    assert_eq!(failures(&outcome), ["a", "b"]);
    receipt(all.next().unwrap()).accept().await.unwrap();
    assert_eq!(failures(&outcome), ["b"]);
    // Dropping one is no accept.
    drop(all.next().unwrap());
    assert_eq!(failures(&outcome), ["b"]);
    let [one] = &outcome.unfinished()[..] else {
        panic!()
    };
    assert!(one.may_pass);
}

#[tokio::test]
async fn a_poisoned_message_fails_alone() {
    let event = batch(&[
        record("good", &names("trail", &["1"])),
        record("broken", "{"),
        record("foreign", &names("other", &["1", "2"])),
        record("test", &json!({"Event": "s3:TestEvent"}).to_string()),
    ]);
    let mut source = source(&event);
    let outcome = source.outcome();
    let why = Error::new(ErrorKind::Config, "test", "no quarantine");
    for intake in all(&mut source).await {
        if let Intake::Foreign { reason, .. } = &intake {
            assert!(!reason.is_retryable());
            receipt(intake).release(&why, None).await.unwrap();
        } else {
            receipt(intake).accept().await.unwrap();
        }
    }
    assert_eq!(failures(&outcome), ["broken", "foreign"]);
    assert!(outcome.unfinished().iter().all(|one| !one.may_pass));
}

#[tokio::test]
async fn an_object_that_two_messages_name_is_handed_over_once_and_decides_both() {
    let event = batch(&[
        record("a", &names("trail", &["1", "1"])),
        record("b", &names("trail", &["1", "2"])),
    ]);
    for accept in [true, false] {
        let mut source = source(&event);
        let outcome = source.outcome();
        let all = all(&mut source).await;
        assert_eq!(all.len(), 2);
        for (at, intake) in all.into_iter().enumerate() {
            let receipt = receipt(intake);
            if at == 1 || accept {
                receipt.accept().await.unwrap();
            } else {
                let why = Error::new(ErrorKind::Unavailable, "test", "away");
                let why = why.with_retry(Retry::Backoff);
                receipt.release(&why, None).await.unwrap();
            }
        }
        let expected: &[&str] = if accept { &[] } else { &["a", "b"] };
        assert_eq!(failures(&outcome), expected);
    }
}

#[tokio::test]
async fn an_event_that_is_no_batch_fails_as_a_whole() {
    let event = json!({"s3Bucket": "trail", "s3ObjectKey": ["1", "2"]});
    let mut source = source(&event);
    let outcome = source.outcome();
    let mut all = all(&mut source).await.into_iter();
    receipt(all.next().unwrap()).accept().await.unwrap();
    assert!(outcome.answer().is_err());
    receipt(all.next().unwrap()).accept().await.unwrap();
    assert_eq!(outcome.answer().unwrap(), "null");
}

#[tokio::test]
async fn what_is_refused_is_not_begun_and_not_finished() {
    let event = batch(&[
        record("a", &names("trail", &["1"])),
        record("t", "CloudTrail validation message."),
    ]);
    let source = source(&event);
    let outcome = source.outcome();
    let after = std::time::Duration::from_secs(40);
    let why = Error::new(ErrorKind::Throttled, "test", "closed").with_retry(Retry::After(after));
    source.refuse(&why);
    assert_eq!(failures(&outcome), ["a", "t"]);
    for one in outcome.unfinished() {
        assert_eq!((one.after, one.may_pass), (Some(after), true));
        assert_eq!(one.why.message(), "closed");
    }
}

proptest! {
    /// Whatever is accepted, released or dropped, in whatever order: a message is
    /// answered as failed exactly if not all of its parts were accepted.
    #[test]
    fn the_answer_is_exact(
        keys in prop::collection::vec(prop::collection::vec(0usize..6, 1..4), 1..6),
        fates in prop::collection::vec(0u8..4, 6),
        backwards: bool,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let records = keys.iter().enumerate().map(|(at, keys)| {
                let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
                let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
                record(&format!("m{at}"), &names("trail", &keys))
            });
            let mut source = source(&batch(&records.collect::<Vec<_>>()));
            let outcome = source.outcome();
            let mut all = all(&mut source).await;
            drop(source);
            if backwards {
                all.reverse();
            }
            let mut kept = Vec::new();
            for intake in all {
                let Intake::File(file) = intake else { panic!() };
                let why = Error::new(ErrorKind::Other, "test", "no");
                match fates[file.object.id.key.parse::<usize>().unwrap()] {
                    0 => drop(file),
                    1 => file.receipt.release(&why, None).await.unwrap(),
                    2 => kept.push(file),
                    _ => file.receipt.accept().await.unwrap(),
                }
            }
            let expected: Vec<String> = keys
                .iter()
                .enumerate()
                .filter(|(_, keys)| keys.iter().any(|key| fates[*key] != 3))
                .map(|(at, _)| format!("m{at}"))
                .collect();
            assert_eq!(failures(&outcome), expected);
        });
    }
}
