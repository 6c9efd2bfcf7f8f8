//! The function on the messages of a real queue, handed over as Lambda does: with the
//! queue's own receipt handles.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use aws_sdk_sqs::types::MessageSystemAttributeName;
use ctforward_visionone::standin::{Faults, StandIn};
use serde_json::{Value, json};

use crate::emulator::Emulator;
use crate::forward::{lines, names};
use crate::setup::{Counts, Feed, Via};
use crate::support::*;

/// As a function's queue has it: nobody here waits for so long.
const VISIBILITY: Duration = Duration::from_secs(1800);

const CREATE: &str = r#"
client('secretsmanager').create_secret(Name=args[0], SecretString=args[1])
"#;

/// A batch of the queue's messages, as Lambda makes an event of them.
async fn batch(emulator: &Emulator, feed: &Feed, messages: u64) -> Value {
    emulator.until_queued(&feed.queue_url, messages).await;
    let mut records = Vec::new();
    while (records.len() as u64) < messages {
        let answer = emulator
            .sqs()
            .receive_message()
            .queue_url(&feed.queue_url)
            .max_number_of_messages(10)
            .message_system_attribute_names(MessageSystemAttributeName::All)
            .send()
            .await
            .unwrap();
        for message in answer.messages.unwrap_or_default() {
            let attributes = message.attributes.unwrap_or_default();
            let count = &attributes[&MessageSystemAttributeName::ApproximateReceiveCount];
            records.push(json!({
                "messageId": message.message_id,
                "receiptHandle": message.receipt_handle,
                "body": message.body,
                "attributes": {"ApproximateReceiveCount": count},
                "messageAttributes": {},
                "eventSource": "aws:sqs",
                "eventSourceARN": feed.queue_arn,
                "awsRegion": "us-east-1",
            }));
        }
    }
    json!({ "Records": records })
}

/// Has the built program handle the event.
async fn call(emulator: &Emulator, feed: &Feed, standin: &StandIn, event: &Value) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("event.json");
    std::fs::write(&file, event.to_string()).unwrap();
    let mut command = Command::new(example("lambda"));
    command
        .env_clear()
        .env("NO_PROXY", "127.0.0.1")
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_CONFIG_FILE", Path::new("/nonexistent"))
        .env("AWS_SHARED_CREDENTIALS_FILE", Path::new("/nonexistent"))
        .env("AWS_ENDPOINT_URL", &emulator.url)
        .env("CTFORWARD_ENDPOINT_URL", standin.endpoint())
        .env("CTFORWARD_ENDPOINT_TOKEN_SECRET", "ingest")
        .env("CTFORWARD_EVENT_BUCKETS", &feed.bucket)
        .env("CTFORWARD_EVENT_BACKOFF_SECONDS", "1")
        .env("CTFORWARD_EVENT_BACKOFF_LONGEST_SECONDS", "1")
        .stdin(Stdio::null());
    let ran = run_with(command, ["--event".as_ref(), file.as_os_str()]).await;
    ran.assert_no_secret();
    ran
}

/// Deletes what is finished, as Lambda does after an answer; says how many are not.
async fn answered(emulator: &Emulator, feed: &Feed, event: &Value, ran: &Ran) -> usize {
    let answer = ran.json();
    let failures = answer["batchItemFailures"].as_array().unwrap();
    for message in event["Records"].as_array().unwrap() {
        let failed = |item: &Value| item["itemIdentifier"] == message["messageId"];
        if !failures.iter().any(failed) {
            let handle = message["receiptHandle"].as_str().unwrap();
            let delete = emulator.sqs().delete_message().queue_url(&feed.queue_url);
            delete.receipt_handle(handle).send().await.unwrap();
        }
    }
    failures.len()
}

async fn an_outage_is_outlived(via: Via) {
    let Some(emulator) = Emulator::ministack().await else {
        return;
    };
    emulator.python(CREATE, &["ingest", TOKEN]).await;
    let feed = emulator.bucket_with_queue(via, VISIBILITY).await;
    let mut all = Vec::new();
    for minute in 0..3 {
        let names = names(&format!("{via:?}-{minute}"), 5);
        emulator.put_log_file(&feed.bucket, minute, &names).await;
        all.extend(names);
    }
    // S3 sends a test event to what it is told of.
    let tested = u64::from(via != Via::EventBridge);
    let event = batch(&emulator, &feed, 3 + tested).await;
    let away = start(StandIn::builder().faults(Faults::of(["503:1.0"]).unwrap())).await;
    let ran = call(&emulator, &feed, &away, &event).await;
    assert_eq!(ran.status, 1, "{ran:?}");
    let unfinished = answered(&emulator, &feed, &event, &ran).await;
    assert_eq!(unfinished, 3, "{ran:?}");

    // They are there again long before the queue's own half hour is over.
    let event = batch(&emulator, &feed, 3).await;
    let well = standin().await;
    let ran = call(&emulator, &feed, &well, &event).await;
    assert_eq!(ran.status, 0, "{ran:?}");
    assert_eq!(answered(&emulator, &feed, &event, &ran).await, 0);
    assert_eq!(received(&well), lines(&all));
    assert_eq!(emulator.queue_counts(&feed.queue_url).await, Counts::EMPTY);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_outlived_by_messages_of_s3() {
    an_outage_is_outlived(Via::Direct).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_outlived_by_messages_of_a_topic() {
    an_outage_is_outlived(Via::Sns).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_outlived_by_messages_of_a_bus() {
    an_outage_is_outlived(Via::EventBridge).await;
}
