//! Every shape of event, told apart by content, and the bytes that it brings.

use super::*;

/// What a topic sends.
fn of_sns(message: &str) -> Value {
    json!({
        "Type": "Notification",
        "MessageId": "95df01b4-ee98-5cb9-9903-4c221d41eb5e",
        "TopicArn": "arn:aws:sns:us-east-1:111122223333:trail",
        "Subject": "Amazon S3 Notification",
        "Message": message,
        "Timestamp": "2026-03-01T12:05:00.000Z",
        "SignatureVersion": "1",
        "Signature": "EXAMPLE",
        "SigningCertURL": "http://127.0.0.1:1/never",
        "UnsubscribeURL": "http://127.0.0.1:1/never"
    })
}

/// A topic as a direct trigger.
fn sns_event(message: &str) -> Value {
    json!({"Records": [{
        "EventVersion": "1.0",
        "EventSubscriptionArn": "arn:aws:sns:us-east-1:111122223333:trail:x",
        "EventSource": "aws:sns",
        "Sns": of_sns(message)
    }]})
}

fn event_bridge(bucket: &str, key: &str) -> Value {
    json!({
        "version": "0",
        "id": "17793124-05d4-b198-2fde-7ededc63b103",
        "detail-type": "Object Created",
        "source": "aws.s3",
        "account": "111122223333",
        "time": "2026-03-01T12:05:00Z",
        "region": "us-east-1",
        "resources": [format!("arn:aws:s3:::{bucket}")],
        "detail": {
            "version": "0",
            "bucket": {"name": bucket},
            "object": {"key": key, "sequencer": "00617F08299329D189"},
            "request-id": "N4N7GDK58NMKJ12R",
            "requester": "111122223333",
            "source-ip-address": "192.0.2.1",
            "reason": "PutObject"
        }
    })
}

fn cloudtrail(bucket: &str, key: &str) -> String {
    json!({"s3Bucket": bucket, "s3ObjectKey": [key]}).to_string()
}

/// What a failed asynchronous call leaves at its destination.
fn destination(event: &Value) -> String {
    json!({
        "version": "1.0",
        "timestamp": "2026-03-01T12:05:00.000Z",
        "requestContext": {
            "requestId": "e4b46cbf-b738-xmpl-8880-a18cdf61200e",
            "functionArn": "arn:aws:lambda:us-east-1:111122223333:function:f:$LATEST",
            "condition": "RetriesExhausted",
            "approximateInvokeCount": 3
        },
        "requestPayload": event,
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        "responsePayload": {"errorMessage": "RequestId: e4b46cbf Process exited"}
    })
    .to_string()
}

fn shapes(bucket: &str, key: &str) -> Vec<(&'static str, Value)> {
    let s3 = s3_event(bucket, &[key]);
    vec![
        ("S3", s3.clone()),
        ("SNS of S3", sns_event(&s3.to_string())),
        ("SNS of CloudTrail", sns_event(&cloudtrail(bucket, key))),
        ("EventBridge", event_bridge(bucket, key)),
        (
            "SNS of EventBridge",
            sns_event(&event_bridge(bucket, key).to_string()),
        ),
    ]
}

fn bodies(bucket: &str, key: &str) -> Vec<(&'static str, String)> {
    let s3 = s3_event(bucket, &[key]);
    vec![
        ("S3", s3.to_string()),
        ("SNS of S3", of_sns(&s3.to_string()).to_string()),
        ("CloudTrail", cloudtrail(bucket, key)),
        (
            "SNS of CloudTrail",
            of_sns(&cloudtrail(bucket, key)).to_string(),
        ),
        ("EventBridge", event_bridge(bucket, key).to_string()),
        ("a destination", destination(&s3)),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_direct_trigger_is_told_by_its_content_and_one_function_takes_them_all() {
    let place = Place::new().await;
    let standin = standin().await;
    let function = place.function(place.program(&standin.endpoint()));
    let count = shapes("trail", "x").len();
    for at in 0..count {
        let names = [format!("{at}-a"), format!("{at}-b")];
        let (key, expected) = place.put(at as u32, &[&names[0], &names[1]]);
        let (what, event) = shapes("trail", &key).swap_remove(at);
        standin.clear();
        let said = place.lambda.call(&event, LONG).await;
        assert!(
            matches!(said, Said::Answer(Value::Null)),
            "{what}: {said:?}\n{}",
            function.log()
        );
        assert_eq!(received(&standin), sorted(expected), "{what}");
        // What may not be read fails the whole call: nobody else would try it again.
        let (what, event) = shapes("other", &key).swap_remove(at);
        let said = place.lambda.call(&event, LONG).await;
        let Said::Error(kind, words) = said else {
            panic!("{what}: {said:?}")
        };
        assert!(kind.starts_with("Ctforward."), "{kind}");
        assert!(words.contains("not finished"), "{words}");
    }
    // One environment took them all, and says what its start cost.
    let log = function.log();
    assert_eq!(log.matches("\"cold\":true").count(), 1, "{log}");
    assert_eq!(log.matches("\"message\":\"started\"").count(), 1, "{log}");
    assert!(log.contains("\"init_ms\":"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_brings_every_shape_and_a_poisoned_message_fails_alone() {
    let place = Place::new().await;
    let standin = standin().await;
    let function = place.function(place.program(&standin.endpoint()));
    let (mut messages, mut expected) = (Vec::new(), Vec::new());
    let count = bodies("trail", "x").len();
    for at in 0..count {
        let name = format!("r{at}");
        let (key, records) = place.put(at as u32, &[&name]);
        let (_, body) = bodies("trail", &key).swap_remove(at);
        messages.push(message(&format!("good-{at}"), 1, &body));
        expected.extend(records);
    }
    let (key, records) = place.put(30, &["beside"]);
    expected.extend(records);
    // An allowed object beside a foreign one is delivered, and the message stays.
    let mut mixed = s3_event("trail", &[&key]);
    let foreign = s3_event("other", &[&key])["Records"][0].clone();
    mixed["Records"].as_array_mut().unwrap().push(foreign);
    let broken = write(
        &place.root.path().join("trail"),
        "broken.json.gz",
        b"\x1f\x8bno",
    );
    assert!(broken.exists());
    for (id, body) in [
        ("bad-json", "{\"Records\":[".to_owned()),
        ("bad-bucket", cloudtrail("other", &key)),
        ("bad-file", cloudtrail("trail", "broken.json.gz")),
        ("bad-missing", cloudtrail("trail", "missing.json.gz")),
        ("bad-mixed", mixed.to_string()),
        (
            "test",
            json!({"Service": "Amazon S3", "Event": "s3:TestEvent"}).to_string(),
        ),
        (
            "validation",
            of_sns("CloudTrail validation message.").to_string(),
        ),
    ] {
        messages.insert(messages.len() / 2, message(id, 1, &body));
    }
    let said = place.lambda.call(&batch(&messages), LONG).await;
    let bad = [
        "bad-bucket",
        "bad-file",
        "bad-json",
        "bad-missing",
        "bad-mixed",
    ];
    assert_eq!(failures(&said), bad, "{}", function.log());
    assert_eq!(received(&standin), sorted(expected));
    // They fail the same way next time: nobody hurries them.
    assert_eq!(place.lambda.put_off(), []);
    // What was wrong with each is said, where something was.
    let log = function.log();
    for words in ["bad-json", "may not be read", "not finished"] {
        assert!(log.contains(words), "{words}: {log}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_two_messages_name_is_sent_once() {
    let place = Place::new().await;
    let standin = standin().await;
    let function = place.function(place.program(&standin.endpoint()));
    let (key, expected) = place.put(1, &["once"]);
    let event = batch(&[
        message("a", 1, &s3_event("trail", &[&key]).to_string()),
        message("b", 1, &s3_event("trail", &[&key, &key]).to_string()),
    ]);
    let said = place.lambda.call(&event, LONG).await;
    assert!(failures(&said).is_empty(), "{}", function.log());
    assert_eq!(received(&standin), expected);
}

/// Events as others recorded them name none of our buckets: each is answered, nothing is
/// read, nothing is sent, and none that tells of a new object is called finished.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorded_events_are_answered_and_none_that_tells_of_a_new_object_is_finished() {
    let Some(corpus) = crate::corpus::corpus() else {
        return;
    };
    let place = Place::new().await;
    let standin = standin().await;
    let function = place.function(place.program(&standin.endpoint()));
    let mut answered = 0;
    for file in files(&corpus.join("notifications")) {
        let event = std::fs::read_to_string(&file).unwrap();
        let deadline = std::time::SystemTime::now() + LONG;
        let deadline = deadline.duration_since(std::time::UNIX_EPOCH).unwrap();
        let created = event.contains("ObjectCreated:") || event.contains("Object Created");
        let said = place.lambda.call_at(event, deadline.as_millis()).await;
        let unfinished = match &said {
            Said::Answer(Value::Null) => false,
            Said::Answer(_) => !failures(&said).is_empty(),
            Said::Error(..) => true,
        };
        let name = file.display();
        assert!(unfinished || !created, "{name}: {said:?}");
        answered += 1;
    }
    assert!(answered > 50, "{answered}");
    assert_eq!(standin.counts().requests, 0, "{}", function.log());
    assert!(!function.log().contains("panicked"));
}
