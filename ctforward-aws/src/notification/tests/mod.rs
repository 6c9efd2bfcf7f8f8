//! Messages of every form, made here.

mod abuse;
mod corpus;
mod oracle;
mod properties;
mod shapes;

use serde_json::{Value, json};

use super::{Item, NamedObject, Notification, decode};

pub(super) const BUCKET: &str = "trail";
pub(super) const KEY: &str = "AWSLogs/111122223333/CloudTrail/us-east-1/2024/01/02/\
    111122223333_CloudTrail_us-east-1_20240102T0305Z_A1b2C3d4E5f6G7h8.json.gz";

/// A record of S3 with everything that AWS writes; the key as it stands there.
pub(super) fn record(event: &str, key: &str) -> Value {
    json!({
        "eventVersion": "2.6",
        "eventSource": "aws:s3",
        "awsRegion": "us-east-1",
        "eventTime": "2024-01-02T03:05:00.000Z",
        "eventName": event,
        "userIdentity": {"principalId": "AWS:AROAEXAMPLE"},
        "requestParameters": {"sourceIPAddress": "192.0.2.1"},
        "responseElements": {"x-amz-request-id": "C3D13FE58DE4C810", "x-amz-id-2": "abc"},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "forward",
            "bucket": {
                "name": BUCKET,
                "ownerIdentity": {"principalId": "A3NL1KOZZKExample"},
                "arn": "arn:aws:s3:::trail"
            },
            "object": {
                "key": key,
                "size": 1234,
                "eTag": "d41d8cd98f00b204e9800998ecf8427e",
                "sequencer": "0055AED6DCD90281E5"
            }
        }
    })
}

pub(super) fn records(records: &[Value]) -> String {
    json!({ "Records": records }).to_string()
}

/// An S3 event that says that this one object was created.
pub(super) fn s3_event(key: &str) -> String {
    records(&[record("ObjectCreated:Put", key)])
}

pub(super) fn event_bridge(kind: &str, key: &str) -> String {
    json!({
        "version": "0",
        "id": "17793124-05d4-b198-2fde-7ededc63b103",
        "detail-type": kind,
        "source": "aws.s3",
        "account": "111122223333",
        "time": "2024-01-02T03:05:00Z",
        "region": "us-east-1",
        "resources": ["arn:aws:s3:::trail"],
        "detail": {
            "version": "0",
            "event-version": "1.0",
            "bucket": {"name": BUCKET},
            "object": {
                "key": key,
                "size": 1234,
                "etag": "d41d8cd98f00b204e9800998ecf8427e",
                "version-id": "IYV3p45BT0ac8hjHg1houSdS1a.Mro8e",
                "sequencer": "00617F08299329D189"
            },
            "request-id": "N4N7GDK58NMKJ12R",
            "requester": "cloudtrail.amazonaws.com",
            "source-ip-address": "192.0.2.1",
            "reason": "PutObject"
        }
    })
    .to_string()
}

pub(super) fn cloudtrail(keys: &[&str]) -> String {
    json!({"s3Bucket": BUCKET, "s3ObjectKey": keys}).to_string()
}

pub(super) fn test_event() -> String {
    json!({
        "Service": "Amazon S3",
        "Event": "s3:TestEvent",
        "Time": "2024-01-02T03:05:00.000Z",
        "Bucket": BUCKET,
        "RequestId": "5582815E1AEA5ADF",
        "HostId": "8cLeGAmw098X5cv4Zkwcmo8vvZa3eH3eKxsPzbB9wrR"
    })
    .to_string()
}

/// What SNS wraps around a message.
pub(super) fn sns(kind: &str, message: &str) -> Value {
    json!({
        "Type": kind,
        "MessageId": "95df01b4-ee98-5cb9-9903-4c221d41eb5e",
        "TopicArn": "arn:aws:sns:us-east-1:111122223333:trail",
        "Subject": "Amazon S3 Notification",
        "Message": message,
        "Timestamp": "2024-01-02T03:05:00.000Z",
        "SignatureVersion": "1",
        "Signature": "EXAMPLE",
        "SigningCertURL": "https://sns.example/cert.pem",
        "UnsubscribeURL": "https://sns.example/unsubscribe",
    })
}

pub(super) fn in_sns(message: &str) -> String {
    sns("Notification", message).to_string()
}

/// What a Lambda function gets from SNS.
pub(super) fn sns_to_lambda(message: &str) -> String {
    records(&[json!({
        "EventVersion": "1.0",
        "EventSubscriptionArn": "arn:aws:sns:us-east-1:111122223333:trail:x",
        "EventSource": "aws:sns",
        "Sns": sns("Notification", message),
    })])
}

/// What a Lambda function gets from SQS.
pub(super) fn sqs_to_lambda(bodies: &[&str]) -> String {
    let record = |body: &&str| {
        json!({
            "messageId": "059f36b4-87a3-44ab-83d2-661975830a7d",
            "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a",
            "body": body,
            "attributes": {"ApproximateReceiveCount": "1"},
            "messageAttributes": {},
            "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:us-east-1:111122223333:trail",
            "awsRegion": "us-east-1"
        })
    };
    records(&bodies.iter().map(record).collect::<Vec<_>>())
}

/// What a failed Lambda function leaves at its destination.
pub(super) fn lambda_destination(event: &str) -> String {
    format!(
        r#"{{"version":"1.0","timestamp":"2024-01-02T03:05:00.000Z","requestContext":{{"condition":"RetriesExhausted","approximateInvokeCount":3}},"requestPayload":{event},"responseContext":{{"statusCode":200}},"responsePayload":{{"errorMessage":"x"}}}}"#
    )
}

/// What `body` says, which is to be understood.
pub(super) fn said(body: &str) -> Notification {
    decode(body.as_bytes()).unwrap_or_else(|e| panic!("{e}: {body}"))
}

/// The keys of the objects that `body` says were created.
pub(super) fn keys(body: &str) -> Vec<String> {
    said(body).created().map(|o| o.key.clone()).collect()
}

/// The one reason for which all that `body` says is skipped.
pub(super) fn skipped(body: &str) -> &'static str {
    match &said(body).items[..] {
        [Item::Skip { why, .. }] => why,
        other => panic!("{other:?}"),
    }
}

/// Why `body` is not understood.
pub(super) fn refused(body: &str) -> String {
    match decode(body.as_bytes()) {
        Err(e) => {
            assert!(!e.is_retryable());
            e.to_string()
        }
        Ok(said) => panic!("{said:?} of {body}"),
    }
}

pub(super) fn created(key: &str) -> NamedObject {
    NamedObject {
        size: Some(1234),
        etag: Some("d41d8cd98f00b204e9800998ecf8427e".to_owned()),
        ..NamedObject::new(BUCKET, key)
    }
}
